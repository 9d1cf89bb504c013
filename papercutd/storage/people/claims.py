"""Cards that people link at sites, decided at the application server (design 4.11).

A site takes a card that nobody has for whoever proves who they are; the link is a claim
until it is here. Claims are put in order by what each site knew, never by a clock: one made
at a position before another's change did not know of it. Then neither stands.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from papercutd.errors import Rejected
from papercutd.storage.administration.listed import list_item
from papercutd.storage.engine import Connection
from papercutd.storage.people.people import heir_of_user
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.timeline import is_lost

CLAIMED_TWICE = "card-claimed-twice"
REFUSED = "card-refused"
#: Seconds for which somebody is told at each log-in that a card is not theirs.
NOTICE_KEPT_S = 30 * 86_400.0


@attrs.frozen
class Claim:
    """One card linked at a site. ``hash``: of its number, by the installation's key."""

    id: str
    hash: str
    user: int


class Claims:
    """Each method is one step of a transaction."""

    def __init__(self, log: ChangeLog, wall_s: Callable[[], float]) -> None:
        self._log = log
        self._wall_s = wall_s

    def decide(self, connection: Connection, claim: Claim, site: str, position: str) -> None:
        """A claim came in that was made at ``site`` when its replica was at ``position``.

        Raises Rejected ``bad-fields`` for somebody who is not there.
        """
        query = "SELECT 1 FROM card_claim WHERE id = ?"
        if connection.execute(query, (claim.id,)).fetchone() is not None:
            return
        if connection.execute("SELECT 1 FROM user WHERE id = ?", (claim.user,)).fetchone() is None:
            raise Rejected("bad-fields", "no such user")
        user = heir_of_user(connection, "", claim.user)
        owner = self._owner(connection, claim.hash)
        others = self._unknown_to(connection, claim, user, position)
        if others:
            self._void(connection, claim, site, user, others)
        elif owner is None or owner == user:
            self.link(connection, claim.hash, user)
            self._write(connection, claim, site, "linked")
        else:
            self._write(connection, claim, site, "void")
            self._tell(connection, claim.id, user, REFUSED, site)

    def link(self, connection: Connection, hashed: str, user: int) -> None:
        """The card is theirs; what they were told about a card of theirs is mended."""
        done = connection.execute(
            "INSERT INTO card (hash, user, added_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (hashed, user, self._wall_s()),
        )
        if done.rowcount:
            self._log.touch("card", hashed)
        self._forget(connection, "user = ?", user)

    def forget_old(self, connection: Connection) -> None:
        """What was told for long enough."""
        self._forget(connection, "at < ?", self._wall_s() - NOTICE_KEPT_S)

    # Parts of the above.

    def _unknown_to(
        self, connection: Connection, claim: Claim, user: int, position: str
    ) -> list[tuple[str, int, str]]:
        """(id, user, site) of others' claims to the card that the claiming site had not heard of.

        Claims that are void count too: the third one of a cut stands no more than the second.
        """
        known = _number(connection, position)
        return [
            (id, heir, site)
            for id, other, site in connection.execute(
                "SELECT id, user, site FROM card_claim WHERE hash = ? AND number > ? ORDER BY id",
                (claim.hash, known),
            ).fetchall()
            if (heir := heir_of_user(connection, "", other)) != user
        ]

    def _void(
        self,
        connection: Connection,
        claim: Claim,
        site: str,
        user: int,
        others: list[tuple[str, int, str]],
    ) -> None:
        """Neither stands: both are told, and both are in the statement."""
        stood = {
            row[0]
            for row in connection.execute(
                "SELECT id FROM card_claim WHERE hash = ? AND state = 'linked'", (claim.hash,)
            )
        }
        owner = self._owner(connection, claim.hash)
        if stood and owner in {other for id, other, _ in others if id in stood}:
            connection.execute("DELETE FROM card WHERE hash = ?", (claim.hash,))
            self._log.touch("card", claim.hash, ("user", owner))
        for id, other, other_site in others:
            if id in stood:
                self._tell(connection, id, other, CLAIMED_TWICE, other_site)
        connection.execute(
            "UPDATE card_claim SET state = 'void', number = ? WHERE hash = ?",
            (self._log.number, claim.hash),
        )
        self._write(connection, claim, site, "void")
        self._tell(connection, claim.id, user, CLAIMED_TWICE, site)

    def _write(self, connection: Connection, claim: Claim, site: str, state: str) -> None:
        connection.execute(
            "INSERT INTO card_claim VALUES (?, ?, ?, ?, ?, ?)",
            (claim.id, claim.hash, claim.user, site, state, self._log.number),
        )
        # Its number is a place of the history, whatever else this transaction wrote.
        self._log.place()

    def _tell(self, connection: Connection, id: str, user: int, kind: str, site: str) -> None:
        now = self._wall_s()
        connection.execute(
            "INSERT INTO notice VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (id, user, kind, now),
        )
        self._log.touch("notice", id)
        (name,) = connection.execute("SELECT name FROM user WHERE id = ?", (user,)).fetchone()
        detail = f"a card that {name} linked there is not theirs"
        list_item(connection, self._log.number, now, kind, "", f"site:{site}", detail)

    def _forget(self, connection: Connection, condition: str, value: float) -> None:
        for id, user in connection.execute(
            f"SELECT id, user FROM notice WHERE {condition}", (value,)
        ).fetchall():
            connection.execute("DELETE FROM notice WHERE id = ?", (id,))
            self._log.touch("notice", id, ("user", user))

    @staticmethod
    def _owner(connection: Connection, hashed: str) -> int | None:
        found = connection.execute("SELECT user FROM card WHERE hash = ?", (hashed,)).fetchone()
        return None if found is None else heir_of_user(connection, "", found[0])


def _number(connection: Connection, position: str) -> int:
    """How far in our history ``position`` knew; of a history that was lost nothing is sure."""
    _, _, number = position.partition(".")
    if not number.isdecimal() or len(number) > 15 or is_lost(connection, position):
        return 0
    return int(number)
