"""Coming quota runs at a site: dated promises, from the replica's schedules (design 4.11).

A promise is counted by a cut CAPPED site from its due moment on, and never posts. The row of
a schedule says how far its runs have come, and changes with the credits of each piece of a
run: what has arrived as balance is promised no more.
"""

from __future__ import annotations

import attrs
import msgspec

from papercutd.domain.decision import Policy
from papercutd.domain.purses import MAIN, spend
from papercutd.domain.schedule import NO_DUE, PERIODS, Due, Rule, credit_of, parse_due
from papercutd.storage.engine import Connection
from papercutd.storage.money.purses import by_kind, parts_of, read_purses_here
from papercutd.storage.money.schedules import IS_RESTRICTED, IS_SHARED, RESTRICTED, of_account
from papercutd.storage.site.overlay import Overlay, merged_accounts, replicated_mark

#: Runs of one schedule that are counted ahead at the most.
AHEAD_MAX = 100


class _Dated(msgspec.Struct):
    """Of a decision, after which promise it was made."""

    promise: str = ""


_DECODE = msgspec.json.Decoder(_Dated).decode


@attrs.frozen
class Promised:
    """What is promised to one account and due."""

    amount_e4: int
    #: The last promise that is due: what is decided now is decided after it.
    due: Due


@attrs.frozen
class _Coming:
    due: Due
    amount_e4: int
    cap_e4: int | None
    is_for_us: bool
    #: Which kind of purse it fills.
    purse: int


def read_promised(connection: Connection, account: int, dated_s: float) -> Promised:
    """What runs that are due, and not in the replica, will credit ``account``.

    Each cap is applied to its purse as it will have been: with what was decided here before that
    run, paid from the purses in the order of spending.
    """
    last, coming = _due_runs(connection, account, dated_s)
    found = connection.execute(
        "SELECT credits_e4 - debits_e4 + COALESCE((SELECT"
        " SUM(granted_e4 - returned_e4 - settled_e4) FROM replica.allowance"
        " WHERE allowance.user = account.user), 0)"
        f" FROM replica.account WHERE id = ? AND (({IS_RESTRICTED}) OR ({IS_SHARED}))",
        (account,),
    ).fetchone()
    if found is None or not coming:
        return Promised(0, last)
    (balance_e4,) = found
    ours = _unsettled(connection, account) if any(one.cap_e4 is not None for one in coming) else []
    ours.sort(key=lambda one: one[0])
    order, holds = _purses(connection, account)
    holds[MAIN] = balance_e4
    promised_e4 = 0
    for one in coming:
        if not one.is_for_us:
            continue
        before_e4 = 0
        while ours and ours[0][0] < one.due:
            before_e4 += ours.pop(0)[1]
        if before_e4:
            paid = spend(before_e4, parts_of(holds, order, holds[MAIN]))
            holds[MAIN] -= paid.main_e4
            for kind, part_e4 in by_kind(paid, order).items():
                holds[kind] -= part_e4
        credit = credit_of(one.amount_e4, one.cap_e4, holds.get(one.purse, 0))
        holds[one.purse] = holds.get(one.purse, 0) + credit.credit_e4
        promised_e4 += credit.credit_e4
    return Promised(promised_e4, last)


def with_promised(overlay: Overlay, promised: Promised, policy: Policy) -> Overlay:
    """The overlay that a cut site of ``policy`` decides by."""
    if policy is not Policy.CAPPED or not promised.amount_e4:
        return overlay
    funds = overlay.funds
    credits_e4 = funds.credits_e4 + promised.amount_e4
    return attrs.evolve(overlay, funds=attrs.evolve(funds, credits_e4=credits_e4))


def _due_runs(connection: Connection, account: int, dated_s: float) -> tuple[Due, list[_Coming]]:
    """The last run that is due or done, and those due that ``account`` has not had."""
    found = connection.execute(
        f"SELECT 1 FROM replica.account WHERE id = ? AND {IS_SHARED}", (account,)
    ).fetchone()
    is_shared = found is not None
    last = NO_DUE
    coming: list[_Coming] = []
    for (
        number,
        amount_e4,
        cap_e4,
        *rule_of,
        whom,
        next_at,
        done,
        until,
        ran_at,
        purse,
    ) in connection.execute(
        "SELECT id, amount_e4, cap_e4, period, day, minute, whom, next_at, done_account,"
        " last_account, ran_at, purse FROM replica.schedule ORDER BY id"
    ):
        if ran_at:
            last = max(last, Due(ran_at, number))
        rule = Rule(*rule_of)
        is_for_us = whom == (of_account(account) if is_shared else RESTRICTED)
        if rule.period not in PERIODS:
            # Of a newer release: what we cannot tell is not promised.
            continue
        due_at = next_at
        if until and (account <= done or account > until):
            # The run under way has passed this account, or will not come to it.
            last = max(last, Due(due_at, number))
            due_at = rule.next_due(due_at)
        for _ in range(AHEAD_MAX):
            if due_at > dated_s:
                break
            due = Due(due_at, number)
            last = max(last, due)
            coming.append(_Coming(due, amount_e4, cap_e4, is_for_us, purse))
            due_at = rule.next_due(due_at)
    coming.sort(key=lambda one: one.due)
    return last, coming


def _purses(connection: Connection, account: int) -> tuple[list[tuple[int, int]], dict[int, int]]:
    """(kind, rank) of each purse but the main one, and what of those the person has."""
    order = connection.execute(
        "SELECT id, rank FROM replica.purse_kind WHERE id <> ? ORDER BY rank, id", (MAIN,)
    ).fetchall()
    held = read_purses_here(connection, account)
    return order, {purse.kind: purse.balance_e4 for purse in held}


def _unsettled(connection: Connection, account: int) -> list[tuple[Due, int]]:
    """What the replica does not contain of what was decided here: after which run, how much."""
    mine = merged_accounts(connection, account)
    places = ", ".join("?" * len(mine))
    return [
        (due, amount_e4)
        for body, amount_e4 in connection.execute(
            "SELECT body, reserved_e4"
            f" FROM decision WHERE account IN ({places})"
            " AND (state = 'open' OR (state = 'settled' AND number > ?))"
            " AND key NOT IN (SELECT key FROM replica.charged)",
            (*mine, replicated_mark(connection)),
        )
        if (due := parse_due(_DECODE(body).promise)) is not None
    ]
