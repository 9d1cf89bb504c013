"""Credits to many accounts at once: what an import opens with, what a quota gives.

To PostgreSQL a statement is a journey, and to SQLite it is most of the work: so there are four,
however many accounts there are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import attrs

from papercutd.storage.engine import (
    Connection,
    Statement,
    among,
    as_json,
    execute_all,
    insertion,
    is_sqlite,
)
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
    connection: Connection,
    log: ChangeLog,
    credits: Sequence[Credit],
    entry: Entry,
    *held: Statement,
) -> dict[int, int]:
    """Their transfers, by account, and the installation's side of them.

    What the accounts themselves hold is their caller's to write, or ``held`` writes it on the same
    journey. ``entry``: all else that the transfers say. No account comes twice.
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
    own = (
        "UPDATE account SET debits_e4 = debits_e4 + ?, credits_e4 = credits_e4 + ? WHERE id = ?",
        (
            sum(one.amount_e4 for one in credits if one.amount_e4 > 0),
            sum(-one.amount_e4 for one in credits if one.amount_e4 < 0),
            ADJUSTMENT,
        ),
    )
    theirs = insertion(
        connection,
        "transfer (kind, debit, credit, amount_e4, key, price_version, who, place,"
        " claimed_at, received_at, forced, reason, number)",
        rows,
        " RETURNING id, debit, credit",
    )
    made = execute_all(connection, [*held, own, theirs]).fetchall()
    return {debit if credit == ADJUSTMENT else credit: id for id, debit, credit in made}


def give_all(
    connection: Connection, log: ChangeLog, credits: Sequence[Credit], entry: Entry
) -> dict[int, int]:
    """Credit each of these accounts, and write the transfers, by account; amounts are above
    zero."""
    if not credits:
        return {}
    held = addition(connection, "credits_e4", {one.account: one.amount_e4 for one in credits})
    return write_credits(connection, log, credits, entry, held)


def open_purses(connection: Connection, accounts: Collection[int], kind: int) -> dict[int, int]:
    """The purse of that kind of each of these personal accounts, made where there is none yet."""
    if not accounts:
        return {}
    condition, values = among(connection, "parent", [*accounts])
    found = dict(
        connection.execute(
            f"SELECT parent, id FROM account WHERE kind = 'purse' AND purse = ? AND {condition}",
            (kind, *values),
        ).fetchall()
    )
    return {one: found.get(one) or open_purse(connection, one, kind) for one in accounts}


def hold_all(
    connection: Connection, log: ChangeLog, amounts: Mapping[int, int], purses: Mapping[int, int]
) -> None:
    """So much more is in the ``purses`` of these personal accounts."""
    if amounts:
        add_to_all(connection, "purses_e4", amounts)
    for account in amounts:
        log.touch("account", account)
        log.touch("purse", purses[account])


def add_to_all(connection: Connection, column: str, amounts: Mapping[int, int]) -> None:
    """To that column of these accounts."""
    connection.execute(*addition(connection, column, amounts))


def addition(connection: Connection, column: str, amounts: Mapping[int, int]) -> Statement:
    """The statement that adds to that column of these accounts, at least one."""
    if not is_sqlite(connection):
        rows = [{"id": account, "more": amount_e4} for account, amount_e4 in amounts.items()]
        return (
            f"UPDATE account SET {column} = {column} + given.more"
            " FROM json_to_recordset(?) AS given (id BIGINT, more BIGINT)"
            " WHERE account.id = given.id",
            (as_json(rows),),
        )
    values: list[int] = []
    if len({*amounts.values()}) == 1:
        more, values = "?", [*{*amounts.values()}]
    else:
        more = f"CASE id {'WHEN ? THEN ? ' * len(amounts)}END"
        values = [value for pair in amounts.items() for value in pair]
    condition, accounts = among(connection, "id", [*amounts])
    return (
        f"UPDATE account SET {column} = {column} + {more} WHERE {condition}",
        (*values, *accounts),
    )
