"""Credits to many accounts at once: what an import opens with, what a quota gives.

To PostgreSQL a statement is a journey, and to SQLite it is most of the work: so there are four,
however many accounts there are.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from papercutd.storage.accounts import ADJUSTMENT, Entry
from papercutd.storage.change_log import ChangeLog
from papercutd.storage.engine import Connection, insert_rows


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
    if not credits:
        return
    accounts = [one.account for one in credits]
    places = ", ".join("?" * len(accounts))
    amounts = {one.amount_e4 for one in credits}
    if len(amounts) == 1:
        more, values = "?", [*amounts]
    else:
        more = f"CASE id {'WHEN ? THEN ? ' * len(credits)}END"
        values = [value for one in credits for value in (one.account, one.amount_e4)]
    connection.execute(
        f"UPDATE account SET credits_e4 = credits_e4 + {more} WHERE id IN ({places})",
        (*values, *accounts),
    )
    write_credits(connection, log, credits, entry)
    for account in accounts:
        log.touch("account", account)
