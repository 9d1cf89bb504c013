"""Quotas at the application server: schedules, their runs, and what caps withheld.

A run is one event of (schedule, period). It goes through the accounts in the order of their
ids, in pieces of one transaction each: credits, what was withheld, how far it has come, and
the promise to the sites change together, so each account has each run once, whatever ends
or restarts in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from papercutd.domain.decision import Decision
from papercutd.domain.purses import MAIN, MAIN_NAME
from papercutd.domain.schedule import NO_DUE, Due, Rule, credit_of, give_back_of, parse_due
from papercutd.errors import AlreadyExists, InvalidValue, NotFound
from papercutd.storage.accounts import ADJUSTMENT, Accounts, Entry
from papercutd.storage.change_log import ChangeLog
from papercutd.storage.engine import Connection
from papercutd.storage.listings import Row, rows
from papercutd.storage.purses import find_kind
from papercutd.storage.timeline import next_id

#: Accounts of one piece: what an interactive request waits for at the most.
PIECE_ACCOUNTS = 100
#: A run so long overdue waits for an administrator: more likely than so long an absence is
#: a clock that is wrong.
LATE_MAX_S = 35 * 86_400
#: Withheld amounts are kept so long for charges decided before their run.
KEPT_S = 35 * 86_400
SCHEDULES_MAX = 100
AMOUNT_MAX_E4 = 10**9
#: Every open personal account that is restricted.
RESTRICTED = "restricted"
#: The same at a site, of the replica's accounts.
IS_RESTRICTED = "kind = 'personal' AND restricted = 1 AND closed = 0 AND merged_into IS NULL"
#: What purses lent to sites.
_LENT = (
    "COALESCE((SELECT SUM(left_e4) FROM purse_lent JOIN allowance"
    " ON allowance.id = purse_lent.allowance"
    " WHERE allowance.user = account.user{}), 0)"
)
#: A person's money in the purse that is filled, whichever account of theirs it is in: the main
#: one, or that of kind ?6.
_BALANCE = (
    "credits_e4 - debits_e4 + COALESCE((SELECT SUM(escrow.credits_e4 - escrow.debits_e4)"
    " FROM account AS escrow WHERE escrow.kind = 'escrow' AND escrow.user = account.user), 0)"
    f" - {_LENT.format('')}"
)
_PURSE = (
    "COALESCE((SELECT held.credits_e4 - held.debits_e4 FROM account AS held"
    " WHERE held.kind = 'purse' AND held.parent = account.id AND held.purse = ?6), 0)"
    f" + {_LENT.format(' AND purse_lent.purse = ?6')}"
)
#: What came in before run (?1, ?2) and was decided after it.
_EARLY = (
    "COALESCE((SELECT SUM(amount_e4) FROM {0} WHERE {0}.account = account.id"
    " AND (due_at, schedule) >= (?1, ?2){1}), 0)"
)
_OF_MAIN = f"{_BALANCE} + {_EARLY.format('early_charge', '')}"
_OF_PURSE = f"{_PURSE} + {_EARLY.format('early_purse', ' AND early_purse.purse = ?6')}"


@attrs.frozen
class Schedule:
    """What an administrator says of a quota."""

    name: str
    amount_e4: int
    rule: Rule
    cap_e4: int | None = None
    whom: str = RESTRICTED
    #: The name of the purse that it fills; empty: the main one.
    purse: str = ""

    def check(self) -> None:
        """Raise InvalidValue for what no quota is."""
        if not self.name or len(self.name) > 63 or not self.name.isprintable():
            raise InvalidValue("name", "is empty, longer than 63 or holds control characters")
        if not 0 < self.amount_e4 <= AMOUNT_MAX_E4:
            raise InvalidValue("amount", "is not above zero, or above 100000.00")
        if self.cap_e4 is not None and not 0 < self.cap_e4 <= 10**13:
            raise InvalidValue("cap", "is not above zero, or out of bounds")
        if self.whom != RESTRICTED:
            raise InvalidValue("whom", f"is {RESTRICTED}")
        self.rule.check()


@attrs.frozen
class QuotaPiece:
    """One transaction of a run."""

    name: str
    period: str
    users: int
    credited_e4: int
    withheld_e4: int
    is_last: bool


@attrs.frozen
class _Run:
    """The run that is to be gone on with."""

    schedule: int
    name: str
    amount_e4: int
    cap_e4: int | None
    rule: Rule
    due_at: int
    done_account: int
    last_account: int
    period: str
    purse: int


class Schedules:
    """Each method is one step of the writer's transaction."""

    def __init__(self, log: ChangeLog, accounts: Accounts) -> None:
        self._log = log
        self._accounts = accounts

    def add(self, connection: Connection, schedule: Schedule, now_s: float) -> int:
        """A new schedule; its first run is the first that is due from now on.

        Raises InvalidValue, AlreadyExists.
        """
        schedule.check()
        taken = connection.execute(
            "SELECT 1 FROM schedule WHERE name = ? AND removed = 0", (schedule.name,)
        ).fetchone()
        if taken is not None:
            raise AlreadyExists("quota", schedule.name)
        (count,) = connection.execute("SELECT COUNT(*) FROM schedule WHERE removed = 0").fetchone()
        if count >= SCHEDULES_MAX:
            raise InvalidValue("name", f"there are {SCHEDULES_MAX} quotas already: remove one")
        purse = find_kind(connection, schedule.purse).id
        is_small = schedule.cap_e4 is not None and schedule.cap_e4 < schedule.amount_e4
        if purse != MAIN and is_small:
            # A late charge would have more back than it made room for: that purse owes nothing.
            raise InvalidValue("cap", "is less than the amount: nobody would ever get all of it")
        number = next_id(connection, "schedule")
        rule = schedule.rule
        connection.execute(
            "INSERT INTO schedule (id, name, amount_e4, cap_e4, period, day, minute, whom, next_at,"
            " purse) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(number, schedule.name, schedule.amount_e4, schedule.cap_e4, rule.period),
                *(rule.day, rule.minute, schedule.whom, rule.next_due(now_s), purse),
            ),
        )
        self._log.touch("schedule", number)
        return number

    def remove(self, connection: Connection, name: str) -> None:
        """No more runs, and no promise; raises NotFound, InvalidValue while one is under way."""
        run = self._read(connection, name)
        if run.last_account:
            raise InvalidValue("name", "has a run under way: try again when it has ended")
        connection.execute("UPDATE schedule SET removed = 1 WHERE id = ?", (run.schedule,))
        self._log.touch("schedule", run.schedule)

    def skip(self, connection: Connection, name: str, now_s: float) -> int:
        """The periods that were missed have no run; when the next one is due.

        Raises NotFound, InvalidValue while a run is under way.
        """
        run = self._read(connection, name)
        if run.last_account:
            raise InvalidValue("name", "has a run under way: try again when it has ended")
        next_at = max(run.due_at, run.rule.next_due(now_s))
        connection.execute("UPDATE schedule SET next_at = ? WHERE id = ?", (next_at, run.schedule))
        self._log.touch("schedule", run.schedule)
        return next_at

    def run_piece(
        self,
        connection: Connection,
        now_s: float,
        name: str | None = None,
        believed: bool = False,
    ) -> QuotaPiece | None:
        """Go on with the run that is due first, of the schedule ``name`` if it is given.

        ``believed``: an administrator has said that what is overdue for more than 35 days
        is to be made up for too. None: nothing is due. Raises NotFound.
        """
        run = self._due(connection, now_s, name, believed)
        if run is None:
            return None
        if not run.last_account:
            run = self._begin(connection, run, now_s)
        found = connection.execute(
            f"SELECT id, {_OF_MAIN if run.purse == MAIN else _OF_PURSE} FROM account"
            f" WHERE id > ?3 AND id <= ?4 AND {IS_RESTRICTED} AND ?6 > 0 ORDER BY id LIMIT ?5",
            (
                *(run.due_at, run.schedule, run.done_account, run.last_account),
                *(PIECE_ACCOUNTS, run.purse),
            ),
        ).fetchall()
        credited_e4 = withheld_e4 = 0
        for account, balance_e4 in found:
            done = credit_of(run.amount_e4, run.cap_e4, balance_e4)
            if done.credit_e4:
                entry = _entry(run, account, now_s)
                self._accounts.into_purse(
                    connection, ADJUSTMENT, account, run.purse, done.credit_e4, entry
                )
            if done.withheld_e4:
                connection.execute(
                    "INSERT INTO withheld VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(account, run.due_at, run.schedule, run.period),
                        *(done.withheld_e4, done.withheld_e4, done.over_e4),
                    ),
                )
            credited_e4 += done.credit_e4
            withheld_e4 += done.withheld_e4
        is_last = len(found) < PIECE_ACCOUNTS
        upto = run.last_account if is_last else found[-1][0]
        connection.execute(
            "DELETE FROM withheld WHERE account > ? AND account <= ? AND due_at < ?",
            (run.done_account, upto, run.due_at - KEPT_S),
        )
        for early in ("early_charge", "early_purse"):
            connection.execute(
                f"DELETE FROM {early} WHERE account > ? AND account <= ?"
                " AND (due_at, schedule) <= (?, ?)",
                (run.done_account, upto, run.due_at, run.schedule),
            )
        connection.execute(
            "UPDATE quota_run SET users = users + ?, credited_e4 = credited_e4 + ?,"
            " withheld_e4 = withheld_e4 + ?, finished_at = ? WHERE schedule = ? AND period = ?",
            (
                *(len(found), credited_e4, withheld_e4, now_s if is_last else None),
                *(run.schedule, run.period),
            ),
        )
        self._advance(connection, run, upto, is_last)
        return QuotaPiece(run.name, run.period, len(found), credited_e4, withheld_e4, is_last)

    def _due(
        self, connection: Connection, now_s: float, name: str | None, believed: bool
    ) -> _Run | None:
        if name is not None:
            self._read(connection, name)
        found = connection.execute(
            f"SELECT {_COLUMNS} FROM schedule WHERE removed = 0 AND (?2 IS NULL OR name = ?2)"
            " AND (last_account > 0 OR (next_at <= ?1 AND (?3 = 1 OR next_at >= ?1 - ?4)))"
            " ORDER BY last_account > 0 DESC, next_at, id LIMIT 1",
            (now_s, name, int(believed), LATE_MAX_S),
        ).fetchone()
        return None if found is None else _run(found)

    def _begin(self, connection: Connection, run: _Run, now_s: float) -> _Run:
        (last,) = connection.execute("SELECT MAX(id) FROM account").fetchone()
        connection.execute(
            "INSERT INTO quota_run (schedule, period, due_at, began_at, number)"
            " VALUES (?, ?, ?, ?, ?)",
            (run.schedule, run.period, run.due_at, now_s, self._log.number),
        )
        return attrs.evolve(run, last_account=last)

    def _advance(self, connection: Connection, run: _Run, upto: int, is_last: bool) -> None:
        if is_last:
            connection.execute(
                "UPDATE schedule SET ran_at = next_at, next_at = ?, done_account = 0,"
                " last_account = 0 WHERE id = ?",
                (run.rule.next_due(run.due_at), run.schedule),
            )
        else:
            connection.execute(
                "UPDATE schedule SET done_account = ?, last_account = ? WHERE id = ?",
                (upto, run.last_account, run.schedule),
            )
        self._log.touch("schedule", run.schedule)

    def _read(self, connection: Connection, name: str) -> _Run:
        found = connection.execute(
            f"SELECT {_COLUMNS} FROM schedule WHERE name = ? AND removed = 0", (name,)
        ).fetchone()
        if found is None:
            raise NotFound("quota", name)
        return _run(found)


_COLUMNS = (
    "id, name, amount_e4, cap_e4, period, day, minute, next_at, done_account, last_account, purse"
)


def _run(row: tuple[Any, ...]) -> _Run:
    number, name, amount_e4, cap_e4, period, day, minute, due_at, done, last, purse = row
    rule = Rule(period, day, minute)
    named = rule.name_of(due_at)
    return _Run(number, name, amount_e4, cap_e4, rule, due_at, done, last, named, purse)


def _entry(run: _Run, account: int, now_s: float) -> Entry:
    return Entry(
        key=f"quota/{run.schedule}/{run.period}/{account}",
        price_version=0,
        who="quota",
        place="",
        claimed_at=run.due_at,
        received_at=now_s,
        reason=f"{run.name} {run.period}",
    )


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


# What administrators look at.

_SHOWN = (
    "SELECT name, amount_e4, cap_e4, period, day, minute, whom, next_at, ran_at, last_account > 0"
    " AS is_running, COALESCE((SELECT name FROM purse_kind WHERE purse_kind.id = schedule.purse),"
    f" '{MAIN_NAME}') AS purse"
    " FROM schedule WHERE removed = 0"
)


def read_schedules(connection: Connection) -> list[Row]:
    """All schedules, by name: there are at most 100."""
    return rows(connection, f"{_SHOWN} ORDER BY name")


def read_schedule(connection: Connection, name: str) -> Row:
    """One schedule with its last runs; raises NotFound."""
    found = rows(connection, f"{_SHOWN} AND name = ?", name)
    if not found:
        raise NotFound("quota", name)
    found[0]["runs"] = rows(
        connection,
        "SELECT quota_run.period, due_at, finished_at, users, credited_e4, withheld_e4,"
        " given_back_e4 FROM quota_run JOIN schedule ON schedule.id = quota_run.schedule"
        " WHERE name = ? AND removed = 0 ORDER BY due_at DESC LIMIT 20",
        name,
    )
    return found[0]


def read_waiting(connection: Connection, now_s: float) -> list[str]:
    """Schedules so long overdue that an administrator has to say what becomes of it."""
    return [
        name
        for (name,) in connection.execute(
            "SELECT name FROM schedule WHERE removed = 0 AND last_account = 0 AND next_at < ?"
            " ORDER BY name",
            (now_s - LATE_MAX_S,),
        )
    ]


def verify_quotas(connection: Connection) -> list[str]:
    """Runs whose transfers are not what they say, and accounts that had one twice."""
    problems = []
    for schedule, period, credited_e4, given_e4 in connection.execute(
        "SELECT schedule, period, credited_e4, given_back_e4 FROM quota_run"
    ).fetchall():
        run = f"{schedule}/{period}"
        for word, said_e4 in (("quota", credited_e4), ("withheld", given_e4)):
            moved_e4, count, keys = connection.execute(
                "SELECT COALESCE(SUM(amount_e4), 0), COUNT(*), COUNT(DISTINCT key) FROM transfer"
                " WHERE key > ? AND key < ?",
                (f"{word}/{run}/", f"{word}/{run}0"),
            ).fetchone()
            if moved_e4 != said_e4:
                problems.append(
                    f"quotas: run {run} says {word} {said_e4}, its transfers {moved_e4}"
                )
            if count != keys:
                problems.append(f"quotas: run {run} has credited somebody twice")
    return problems
