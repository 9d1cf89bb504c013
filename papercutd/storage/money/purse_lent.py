"""What purses gave of an allowance (STRICT): the site spends it first, and gives it back last.

So a person's quota is used up before the cash, wherever the money lies, and whatever comes back is
cash as long as there is any. What purses lent is a part of what the escrow account holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from papercutd.domain.purses import REASON
from papercutd.storage.engine import Connection
from papercutd.storage.money.accounts import REVENUE, Accounts, Entry


class Escrow(Protocol):
    """An allowance, as storage/money/allowances.py reads it."""

    @property
    def id(self) -> str: ...
    @property
    def account(self) -> int: ...
    @property
    def escrow_e4(self) -> int: ...


def lend(connection: Connection, allowance: str, given: Mapping[int, int]) -> None:
    """Purses gave so much, by kind, of what was granted."""
    for kind, amount_e4 in given.items():
        connection.execute(
            "INSERT INTO purse_lent VALUES (?1, ?2, ?3) ON CONFLICT (allowance, purse)"
            " DO UPDATE SET left_e4 = purse_lent.left_e4 + ?3",
            (allowance, kind, amount_e4),
        )


def pay(
    connection: Connection, accounts: Accounts, row: Escrow, amount_e4: int, entry: Entry
) -> dict[int, int]:
    """The site has spent ``amount_e4``: first what was lent; how much of each kind."""
    spent: dict[int, int] = {}
    for kind, name, lent_e4 in _lent(connection, row.id):
        part_e4 = min(amount_e4, lent_e4)
        if part_e4 > 0:
            said = attrs.evolve(entry, reason=f"{REASON}{name}")
            accounts.transfer(connection, row.account, REVENUE, part_e4, said)
            _less(connection, row.id, kind, part_e4)
            spent[kind] = part_e4
            amount_e4 -= part_e4
    if amount_e4:
        accounts.transfer(connection, row.account, REVENUE, amount_e4, entry)
    return spent


def give_back(
    connection: Connection,
    accounts: Accounts,
    row: Escrow,
    owner: int,
    amount_e4: int,
    entry: Entry,
) -> None:
    """So much comes back to the person whose personal account is ``owner``: cash first."""
    lent = _lent(connection, row.id)
    cash_e4 = min(amount_e4, row.escrow_e4 - sum(one[2] for one in lent))
    if cash_e4 > 0:
        accounts.transfer(connection, row.account, owner, cash_e4, entry)
        amount_e4 -= cash_e4
    for kind, name, lent_e4 in reversed(lent):
        part_e4 = min(amount_e4, lent_e4)
        if part_e4 > 0:
            said = attrs.evolve(entry, reason=f"{entry.reason} to {REASON}{name}")
            accounts.into_purse(connection, row.account, owner, kind, part_e4, said)
            _less(connection, row.id, kind, part_e4)
            amount_e4 -= part_e4


def _lent(connection: Connection, allowance: str) -> list[tuple[int, str, int]]:
    """(kind, its name, how much) in the order of spending."""
    return list(
        connection.execute(
            "SELECT l.purse, k.name, l.left_e4 FROM purse_lent AS l"
            " JOIN purse_kind AS k ON k.id = l.purse WHERE l.allowance = ? AND l.left_e4 > 0"
            " ORDER BY k.rank, k.id",
            (allowance,),
        ).fetchall()
    )


def _less(connection: Connection, allowance: str, kind: int, amount_e4: int) -> None:
    connection.execute(
        "UPDATE purse_lent SET left_e4 = left_e4 - ? WHERE allowance = ? AND purse = ?",
        (amount_e4, allowance, kind),
    )
