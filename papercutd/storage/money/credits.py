"""Credits to many accounts at once: what an import opens with, what a quota gives.

To PostgreSQL a statement is a journey, and to SQLite it is most of the work: so there are four,
however many accounts there are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import attrs

from papercutd.storage.engine import Connection, insert_rows
from papercutd.storage.money.accounts import ADJUSTMENT, Entry
from papercutd.storage.money.purses import open_purse
from papercutd.storage.replication.change_log import ChangeLog


@attrs.frozen
class Credit:
    """What one account is given, or (negative) owes."""

    account: int
    amount_e4: int
    key: str
    reason: str


def write_credits(
    connection: Connection, log: ChangeLog, credits: Sequence[Credit], entry: Entry
) -> dict[int, int]:
    """Their transfers, by account, and the installation's side of them.

    What the accounts themselves hold is their caller's to write. ``entry``: all else that the
    transfers say. No account comes twice.
    """
    rows = [
        (
            "direct",
            *((ADJUSTMENT, one.account) if one.amount_e4 > 0 else (one.account, ADJUSTMENT)),
            *(abs(one.amount_e4), one.key, entry.price_version, entry.who, entry.place),
            *(entry.claimed_at, entry.received_at, int(entry.forced), one.reason, log.number),
        )
        for one in credits
    ]
    made = insert_rows(
        connection,
        "transfer (kind, debit, credit, amount_e4, key, price_version, who, place,"
        " claimed_at, received_at, forced, reason, number)",
        rows,
        " RETURNING id, debit, credit",
    )
    connection.execute(
        "UPDATE account SET debits_e4 = debits_e4 + ?, credits_e4 = credits_e4 + ? WHERE id = ?",
        (
            sum(one.amount_e4 for one in credits if one.amount_e4 > 0),
            sum(-one.amount_e4 for one in credits if one.amount_e4 < 0),
            ADJUSTMENT,
        ),
    )
    return {debit if credit == ADJUSTMENT else credit: id for id, debit, credit in made}


def give_all(
    connection: Connection, log: ChangeLog, credits: Sequence[Credit], entry: Entry
) -> None:
    """Credit each of these accounts, and write the transfers; amounts are above zero."""
    if credits:
        _add(connection, "credits_e4", {one.account: one.amount_e4 for one in credits})
        write_credits(connection, log, credits, entry)


def open_purses(connection: Connection, accounts: Collection[int], kind: int) -> dict[int, int]:
    """The purse of that kind of each of these personal accounts, made where there is none yet."""
    if not accounts:
        return {}
    found = dict(
        connection.execute(
            "SELECT parent, id FROM account WHERE kind = 'purse' AND purse = ?"
            f" AND parent IN ({', '.join('?' * len(accounts))})",
            (kind, *accounts),
        ).fetchall()
    )
    return {one: found.get(one) or open_purse(connection, one, kind) for one in accounts}


def hold_all(
    connection: Connection, log: ChangeLog, amounts: Mapping[int, int], purses: Mapping[int, int]
) -> None:
    """So much more is in the ``purses`` of these personal accounts."""
    if amounts:
        _add(connection, "purses_e4", amounts)
    for account in amounts:
        log.touch("account", account)
        log.touch("purse", purses[account])


def _add(connection: Connection, column: str, amounts: Mapping[int, int]) -> None:
    """To that column of these accounts."""
    values: list[int] = []
    if len({*amounts.values()}) == 1:
        more, values = "?", [*{*amounts.values()}]
    else:
        more = f"CASE id {'WHEN ? THEN ? ' * len(amounts)}END"
        values = [value for pair in amounts.items() for value in pair]
    places = ", ".join("?" * len(amounts))
    connection.execute(
        f"UPDATE account SET {column} = {column} + {more} WHERE id IN ({places})",
        (*values, *amounts),
    )
