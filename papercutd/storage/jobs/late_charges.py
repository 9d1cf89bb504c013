"""Charges and runs of quotas that come in another order than they were decided in.

What a cap withheld comes back as if the charge had come first: docs/decisions/0011.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from papercutd.domain.decision import Decision
from papercutd.domain.purses import MAIN
from papercutd.domain.schedule import NO_DUE, Due, give_back_of, parse_due
from papercutd.storage.engine import Connection
from papercutd.storage.money.accounts import ADJUSTMENT, Accounts, Entry
from papercutd.storage.money.schedules import LATE_MAX_S


def last_run(connection: Connection, account: int) -> Due:
    """The newest run that ``account`` has had: what is decided now is decided after it."""
    found = connection.execute(
        "SELECT due_at, schedule FROM quota_run WHERE finished_at IS NOT NULL OR ? <="
        " (SELECT done_account FROM schedule WHERE id = quota_run.schedule)"
        " ORDER BY due_at DESC, schedule DESC LIMIT 1",
        (account,),
    ).fetchone()
    return NO_DUE if found is None else Due(*found)


def give_back(
    connection: Connection,
    accounts: Accounts,
    decision: Decision,
    account: int,
    amount_e4: int,
    given: Mapping[int, int],
    entry: Entry,
) -> int:
    """What caps withheld, as far as a charge of ``amount_e4`` would have made room for it.

    Of the runs after the last promise that its decision names, the oldest first; so that
    purses come out the same whether charge or run was posted first. ``given``: what of it purses
    gave, by kind: there is room in those alone that paid. How much.
    """
    before = parse_due(decision.promise)
    if before is None or decision.account is None:
        return 0
    coming = connection.execute(
        "SELECT next_at FROM schedule WHERE id = ?", (before.schedule,)
    ).fetchone()
    # Our own clock may be wrong; a run that is out of all reach is a broken or lying site's.
    is_ahead = coming and before.at_s <= max(coming[0], entry.received_at) + LATE_MAX_S
    if is_ahead and last_run(connection, decision.account) < before:
        early = (decision.account, before.at_s, before.schedule, entry.key)
        connection.execute(
            "INSERT INTO early_charge VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (*early, amount_e4 - sum(given.values())),
        )
        for kind, part_e4 in given.items():
            connection.execute(
                "INSERT INTO early_purse VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (*early, kind, part_e4),
            )
    left = {MAIN: amount_e4 - sum(given.values()), **given}
    total_e4 = 0
    for due_at, schedule, period, withheld_e4, over_e4 in connection.execute(
        "SELECT due_at, schedule, period, left_e4, over_e4 FROM withheld WHERE account = ?"
        " AND (due_at, schedule) > (?, ?) AND left_e4 > 0 ORDER BY due_at, schedule",
        (decision.account, before.at_s, before.schedule),
    ).fetchall():
        (purse,) = connection.execute(
            "SELECT purse FROM schedule WHERE id = ?", (schedule,)
        ).fetchone()
        back = give_back_of(left.get(purse, 0), withheld_e4, over_e4)
        connection.execute(
            "UPDATE withheld SET left_e4 = ?, over_e4 = ?"
            " WHERE account = ? AND due_at = ? AND schedule = ?",
            (back.left_e4, back.over_e4, decision.account, due_at, schedule),
        )
        if back.given_e4:
            connection.execute(
                "UPDATE quota_run SET given_back_e4 = given_back_e4 + ?"
                " WHERE schedule = ? AND period = ?",
                (back.given_e4, schedule, period),
            )
            key = f"withheld/{schedule}/{period}/{account}/{entry.key}"
            said = attrs.evolve(entry, key=key, forced=False, reason="withheld by the cap")
            accounts.into_purse(connection, ADJUSTMENT, account, purse, back.given_e4, said)
            left[purse] -= back.given_e4
            total_e4 += back.given_e4
    return total_e4
