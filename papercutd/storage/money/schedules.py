"""Quotas at the application server: schedules, their runs, and what caps withheld.

A run is one event of (schedule, period). It goes through the accounts in the order of their
ids, in pieces of one transaction each: credits, what was withheld, how far it has come, and
the promise to the sites change together, so each account has each run once, whatever ends
or restarts in between.
"""

from __future__ import annotations

from typing import Any

import attrs

from papercutd.domain.purses import MAIN
from papercutd.domain.schedule import Rule, credit_of
from papercutd.errors import AlreadyExists, InvalidValue, NotFound
from papercutd.storage.engine import Connection, Statement, execute_all, insertion
from papercutd.storage.money.accounts import Accounts, Entry
from papercutd.storage.money.credits import Credit, give_all, hold_all, open_purses
from papercutd.storage.money.purses import find_kind
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.timeline import next_id

#: Accounts of one piece: what an interactive request waits for at the most; and at the least.
PIECE_ACCOUNTS, PIECE_ACCOUNTS_MIN = 200, 100
#: Ids that are looked through at once for each account of a piece: most are of who is filled.
IDS_PER_ACCOUNT = 4
#: A run so long overdue waits for an administrator: more likely than so long an absence is
#: a clock that is wrong.
LATE_MAX_S = 35 * 86_400
#: Withheld amounts are kept so long for charges decided before their run.
KEPT_S = 35 * 86_400
SCHEDULES_MAX = 100
_WITHHELD = "account, due_at, schedule, period, withheld_e4, left_e4, over_e4"
AMOUNT_MAX_E4 = 10**9
#: Every open personal account that is restricted.
RESTRICTED = "restricted"
#: Else it is one shared account: so with its id behind it.
SHARED = "account:"
#: The same at a site, of the replica's accounts.
IS_RESTRICTED = "kind = 'personal' AND restricted = 1 AND closed = 0 AND merged_into IS NULL"
#: A shared account that is open.
IS_SHARED = "kind = 'shared' AND closed = 0"
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
    #: RESTRICTED, or ``of_account`` of a shared account.
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
        if self.whom != RESTRICTED and account_of(self.whom) is None:
            raise InvalidValue("whom", f"is {RESTRICTED}, or a shared account")
        self.rule.check()


def _check_purse(schedule: Schedule, purse: int) -> None:
    """Raises InvalidValue for a cap below the amount of another purse than the main one."""
    if purse != MAIN and schedule.cap_e4 is not None and schedule.cap_e4 < schedule.amount_e4:
        # A late charge would have more back than it made room for: that purse owes nothing.
        raise InvalidValue("cap", "is less than the amount: nobody would ever get all of it")


def of_account(account: int) -> str:
    """``whom`` of a quota of one shared account."""
    return f"{SHARED}{account}"


def account_of(whom: str) -> int | None:
    """The shared account that ``whom`` names; None: it names none."""
    number = whom.removeprefix(SHARED)
    is_one = number != whom and number.isascii() and number.isdecimal() and len(number) <= 15
    return int(number) if is_one else None


@attrs.frozen
class QuotaPiece:
    """One transaction of a run."""

    name: str
    period: str
    users: int
    credited_e4: int
    withheld_e4: int
    is_last: bool
    #: Of its change.
    number: int


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
    #: Of one shared account: which.
    account: int | None
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
        account = account_of(schedule.whom)
        if account is not None:
            check_shared(connection, account)
            if schedule.purse:
                raise InvalidValue("purse", "is of people: a shared account has none")
        taken = connection.execute(
            "SELECT 1 FROM schedule WHERE name = ? AND removed = 0", (schedule.name,)
        ).fetchone()
        if taken is not None:
            raise AlreadyExists("quota", schedule.name)
        (count,) = connection.execute("SELECT COUNT(*) FROM schedule WHERE removed = 0").fetchone()
        if count >= SCHEDULES_MAX:
            raise InvalidValue("name", f"there are {SCHEDULES_MAX} quotas already: remove one")
        purse = find_kind(connection, schedule.purse).id
        _check_purse(schedule, purse)
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

    def change(
        self, connection: Connection, name: str, amount_e4: int | None, cap_e4: int | str | None
    ) -> None:
        """Other figures from the next run on; ``cap_e4`` ``none``: no cap, None: as it is.

        Its moments stay: a period has one run. Raises NotFound, and InvalidValue while a run is
        under way, of which everybody is to have the same.
        """
        run = self._resting(connection, name)
        schedule = Schedule(
            name,
            run.amount_e4 if amount_e4 is None else amount_e4,
            run.rule,
            None if cap_e4 == "none" else run.cap_e4 if cap_e4 is None else int(cap_e4),
        )
        schedule.check()
        _check_purse(schedule, run.purse)
        connection.execute(
            "UPDATE schedule SET amount_e4 = ?, cap_e4 = ? WHERE id = ?",
            (schedule.amount_e4, schedule.cap_e4, run.schedule),
        )
        self._log.touch("schedule", run.schedule)

    def remove(self, connection: Connection, name: str) -> None:
        """No more runs, and no promise; raises NotFound, InvalidValue while one is under way."""
        run = self._resting(connection, name)
        connection.execute("UPDATE schedule SET removed = 1 WHERE id = ?", (run.schedule,))
        self._log.touch("schedule", run.schedule)

    def skip(self, connection: Connection, name: str, now_s: float) -> int:
        """The periods that were missed have no run; when the next one is due.

        Raises NotFound, InvalidValue while a run is under way.
        """
        run = self._resting(connection, name)
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
        accounts_max: int | None = None,
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
        limit = min(accounts_max or PIECE_ACCOUNTS, PIECE_ACCOUNTS)
        found = self._next(connection, run, limit)
        credited_e4 = withheld_e4 = 0
        credits: dict[int, int] = {}
        kept = []
        for account, balance_e4 in found:
            done = credit_of(run.amount_e4, run.cap_e4, balance_e4)
            if done.credit_e4:
                credits[account] = done.credit_e4
            if done.withheld_e4:
                kept.append(
                    (
                        *(account, run.due_at, run.schedule, run.period),
                        *(done.withheld_e4, done.withheld_e4, done.over_e4),
                    )
                )
            credited_e4 += done.credit_e4
            withheld_e4 += done.withheld_e4
        self._credit(connection, run, credits, now_s)
        is_last = len(found) < limit
        upto = run.last_account if is_last else found[-1][0]
        # Nothing is asked any more: to PostgreSQL all of this is one journey.
        done_with: list[Statement] = [
            (
                "DELETE FROM withheld WHERE account > ? AND account <= ? AND due_at < ?",
                (run.done_account, upto, run.due_at - KEPT_S),
            ),
            *(
                (
                    f"DELETE FROM {early} WHERE account > ? AND account <= ?"
                    " AND (due_at, schedule) <= (?, ?)",
                    (run.done_account, upto, run.due_at, run.schedule),
                )
                for early in ("early_charge", "early_purse")
            ),
            (
                "UPDATE quota_run SET users = users + ?, credited_e4 = credited_e4 + ?,"
                " withheld_e4 = withheld_e4 + ?, finished_at = ? WHERE schedule = ? AND period = ?",
                (
                    *(len(found), credited_e4, withheld_e4, now_s if is_last else None),
                    *(run.schedule, run.period),
                ),
            ),
            self._advance(run, upto, is_last),
        ]
        if kept:
            done_with.insert(0, insertion(connection, f"withheld ({_WITHHELD})", kept))
        execute_all(connection, done_with)
        return QuotaPiece(
            *(run.name, run.period, len(found), credited_e4, withheld_e4, is_last),
            self._log.number,
        )

    @staticmethod
    def _next(connection: Connection, run: _Run, limit: int) -> list[tuple[int, int]]:
        """(account, balance_e4) of the next so many; fewer: they are the last.

        Looked for among few ids at a time: PostgreSQL, of a table that has grown since it was
        counted, would sort all that are left for each piece.
        """
        whose = IS_RESTRICTED if run.account is None else IS_SHARED
        query = (
            f"SELECT id, {_OF_MAIN if run.purse == MAIN else _OF_PURSE} FROM account"
            f" WHERE id > ?3 AND id <= ?4 AND {whose} AND ?6 > 0 ORDER BY id LIMIT ?5"
        )
        found: list[tuple[int, int]] = []
        after = run.done_account
        while after < run.last_account and len(found) < limit:
            upto = min(after + IDS_PER_ACCOUNT * limit, run.last_account)
            values = (run.due_at, run.schedule, after, upto, limit - len(found), run.purse)
            found += connection.execute(query, values).fetchall()
            after = upto
        return found

    def _credit(
        self, connection: Connection, run: _Run, credits: dict[int, int], now_s: float
    ) -> None:
        """What each account is given by this run, or the purse beside it that is filled."""
        if run.purse == MAIN:
            into = {account: account for account in credits}
        else:
            into = open_purses(connection, credits, run.purse)
            hold_all(connection, self._log, credits, into)
        made = [
            Credit(
                into[account],
                amount_e4,
                f"quota/{run.schedule}/{run.period}/{account}",
                f"{run.name} {run.period}",
            )
            for account, amount_e4 in credits.items()
        ]
        give_all(connection, self._log, made, _entry(run, now_s))
        if run.purse == MAIN:
            for account in credits:
                self._log.touch("account", account)

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
        if run.account is not None:
            # All of it is one piece.
            return attrs.evolve(run, done_account=run.account - 1, last_account=run.account)
        return attrs.evolve(run, last_account=last)

    def _advance(self, run: _Run, upto: int, is_last: bool) -> Statement:
        """What writes how far the run has come."""
        self._log.touch("schedule", run.schedule)
        if is_last:
            return (
                "UPDATE schedule SET ran_at = next_at, next_at = ?, done_account = 0,"
                " last_account = 0 WHERE id = ?",
                (run.rule.next_due(run.due_at), run.schedule),
            )
        return (
            "UPDATE schedule SET done_account = ?, last_account = ? WHERE id = ?",
            (upto, run.last_account, run.schedule),
        )

    def _resting(self, connection: Connection, name: str) -> _Run:
        """Raises NotFound, and InvalidValue while a run is under way."""
        run = self._read(connection, name)
        if run.last_account:
            raise InvalidValue("name", "has a run under way: try again when it has ended")
        return run

    def _read(self, connection: Connection, name: str) -> _Run:
        found = connection.execute(
            f"SELECT {_COLUMNS} FROM schedule WHERE name = ? AND removed = 0", (name,)
        ).fetchone()
        if found is None:
            raise NotFound("quota", name)
        return _run(found)


_COLUMNS = (
    "id, name, amount_e4, cap_e4, period, day, minute, next_at, done_account, last_account, whom,"
    " purse"
)


def _run(row: tuple[Any, ...]) -> _Run:
    number, name, amount_e4, cap_e4, period, day, minute, due_at, done, last, whom, purse = row
    rule = Rule(period, day, minute)
    named = rule.name_of(due_at)
    account = account_of(whom)
    return _Run(number, name, amount_e4, cap_e4, rule, due_at, done, last, named, account, purse)


def _entry(run: _Run, now_s: float) -> Entry:
    return Entry(
        key="",
        price_version=0,
        who="quota",
        place="",
        claimed_at=run.due_at,
        received_at=now_s,
    )


def check_shared(connection: Connection, account: int) -> None:
    """Raises NotFound for what is no open shared account."""
    found = connection.execute(
        f"SELECT 1 FROM account WHERE id = ? AND {IS_SHARED}", (account,)
    ).fetchone()
    if found is None:
        raise NotFound("account", str(account))


def find_shared(connection: Connection, name: str) -> int:
    """The open shared account called ``name``; raises NotFound."""
    found = connection.execute(
        f"SELECT id FROM account WHERE lower(name) = lower(?) AND {IS_SHARED}", (name,)
    ).fetchall()
    if len(found) != 1:
        raise NotFound("account", name)
    return int(found[0][0])
