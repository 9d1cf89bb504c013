"""Cards that people linked at this site: theirs here at once, until the replica knows better.

A claim counts from its record on until the replica has come past it: then the application
server has decided, and its word is in the replica.
"""

from __future__ import annotations

from papercutd.domain.card import hash_card
from papercutd.errors import Rejected
from papercutd.storage.engine import Connection
from papercutd.storage.people.claims import Claim
from papercutd.storage.people.people import CARD_KEY, Login, find_by_id, heir_of_user, read_secret
from papercutd.storage.site.overlay import replicated_mark


def owner_here(connection: Connection, number: str) -> Login | None:
    """Whose card that is, as this site shows it; raises InvalidValue for no card number."""
    key = read_secret(connection, "replica.", CARD_KEY)
    if key is None:
        return None
    user = _owner(connection, hash_card(number, key))
    return None if user is None else find_by_id(connection, "replica.", user)


def check_claim(connection: Connection, id: str, user: int, number: str) -> Claim | None:
    """What is to be journalled for ``user`` linking the card; None: it is theirs already.

    Raises Rejected ``card-taken``, or ``unavailable`` before the first replica.
    """
    key = read_secret(connection, "replica.", CARD_KEY)
    if key is None:
        raise Rejected("unavailable")
    hashed = hash_card(number, key)
    owner = _owner(connection, hashed)
    if owner is None:
        return Claim(id, hashed, user)
    if owner != heir_of_user(connection, "replica.", user):
        raise Rejected("card-taken")
    return None


def keep_claim(connection: Connection, claim: Claim, number: int) -> None:
    """It is journalled as record ``number``."""
    connection.execute(
        "INSERT INTO card_claim VALUES (?, ?, ?, ?)", (claim.id, claim.hash, claim.user, number)
    )


def _owner(connection: Connection, hashed: str) -> int | None:
    found = connection.execute(
        "SELECT user FROM replica.card WHERE hash = ?1 UNION ALL"
        " SELECT user FROM card_claim WHERE hash = ?1 AND number > ?2 LIMIT 1",
        (hashed, replicated_mark(connection)),
    ).fetchone()
    return None if found is None else heir_of_user(connection, "replica.", found[0])
