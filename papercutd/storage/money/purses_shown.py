"""A balance purse by purse, as people are shown it: the lines add up to the balance."""

from __future__ import annotations

from collections.abc import Sequence

from papercutd.domain.purses import spend
from papercutd.storage.engine import Connection
from papercutd.storage.money.purses import (
    Held,
    by_kind,
    main_name,
    parts_of,
    read_kinds,
    read_purses,
    read_purses_here,
)

#: (name, amount) in the order of spending; none where there is but the main one.
Lines = tuple[tuple[str, int], ...]
_LENT = (
    "SELECT l.purse, SUM(l.left_e4) FROM purse_lent AS l JOIN allowance ON allowance.id ="
    " l.allowance JOIN account ON account.user = allowance.user WHERE account.id = ?"
    " GROUP BY l.purse"
)


def shown_at_centre(connection: Connection, account: int, balance_e4: int) -> Lines:
    """``balance_e4``: with what sites hold, of which purses lent a part."""
    held = read_purses(connection, account)
    if not held:
        return ()
    living = {kind.id for kind in read_kinds(connection)}
    held = [purse for purse in held if purse.kind in living]
    amounts = {purse.kind: purse.balance_e4 for purse in held}
    for kind, lent_e4 in connection.execute(_LENT, (account,)).fetchall():
        amounts[kind] = amounts.get(kind, 0) + lent_e4
    return _lines(held, amounts, balance_e4, main_name(connection)) if held else ()


def shown_here(connection: Connection, account: int, balance_e4: int, settled_e4: int) -> Lines:
    """At a site: ``settled_e4`` was printed here and is not in the replica. The application server
    will take it from the purses in the order of spending: so it is shown already.

    What sites hold of a person is shown as cash: which purse lent it, no site knows.
    """
    held = read_purses_here(connection, account)
    if not held:
        return ()
    order = [(purse.kind, purse.rank) for purse in held]
    amounts = {purse.kind: purse.balance_e4 for purse in held}
    main_e4 = balance_e4 + settled_e4 - sum(amounts.values())
    spent = by_kind(spend(settled_e4, parts_of(amounts, order, main_e4)), order)
    left = {kind: amount_e4 - spent.get(kind, 0) for kind, amount_e4 in amounts.items()}
    return _lines(held, left, balance_e4, main_name(connection, "replica."))


def _lines(held: Sequence[Held], amounts: dict[int, int], balance_e4: int, main: str) -> Lines:
    own_e4 = balance_e4 - sum(amounts[purse.kind] for purse in held)
    first = [(purse.name, amounts[purse.kind]) for purse in held if purse.rank < 0]
    last = [(purse.name, amounts[purse.kind]) for purse in held if purse.rank >= 0]
    return (*first, (main, own_e4), *last)
