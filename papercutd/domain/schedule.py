"""Quotas by the calendar: when a schedule is due, and what a run credits (design 4.11).

Due moments are whole seconds of UTC, so no time zone and no daylight saving moves them;
each belongs to one period, whose name is the same wherever it is computed.
"""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, timedelta

import attrs

from papercutd.errors import InvalidValue

PERIODS = ("daily", "weekly", "monthly", "custom")
#: Days between two runs of a custom rule.
DAYS_MAX = 366
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
#: Moments beyond these are those of a broken clock.
_FIRST_S, _LAST_S = 0, 250_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@attrs.frozen
class Rule:
    """When: each period has one due moment.

    ``day`` is 1 (Monday) to 7 of a week, or 1 to 31 of a month, where a shorter month has
    its last day; 0 of a daily rule. ``minute`` is the minute of that day, UTC. Of a custom rule
    ``day`` is how many days are between two, and ``minute`` says which: it is counted from the
    beginning of 1970, and less than so many days.
    """

    period: str
    day: int = 0
    minute: int = 0

    def check(self) -> None:
        """Raise InvalidValue for what is no rule."""
        if self.period not in PERIODS:
            raise InvalidValue("period", f"is one of {', '.join(PERIODS)}")
        if self.period == "custom":
            if not 1 <= self.day <= DAYS_MAX or not 0 <= self.minute < self.day * 1_440:
                raise InvalidValue("days", f"is from 1 to {DAYS_MAX}")
            return
        low, high = {"daily": (0, 0), "weekly": (1, 7), "monthly": (1, 31)}[self.period]
        if not low <= self.day <= high:
            raise InvalidValue("day", "is a day of the week, or 1 to 31 of a month")
        if not 0 <= self.minute < 1_440:
            raise InvalidValue("time", "is from 00:00 to 23:59 UTC")

    def next_due(self, after_s: float) -> int:
        """The first due moment after ``after_s``."""
        if self.period == "custom":
            return self._last_custom(after_s) + self.day * 86_400
        day = _day(after_s)
        due = self._due_of(day)
        return due if due > after_s else self._due_of(self._step(day, 1))

    def last_due(self, until_s: float) -> int:
        """The last due moment at or before ``until_s``."""
        if self.period == "custom":
            return self._last_custom(until_s)
        day = _day(until_s)
        due = self._due_of(day)
        return due if due <= until_s else self._due_of(self._step(day, -1))

    def name_of(self, due_s: int) -> str:
        """The period of a due moment: ``2026-11-28``, ``2026-W48`` or ``2026-11``."""
        day = _day(due_s)
        if self.period in ("daily", "custom"):
            return day.isoformat()
        if self.period == "monthly":
            return f"{day.year:04d}-{day.month:02d}"
        year, week, _ = day.isocalendar()
        return f"{year:04d}-W{week:02d}"

    def _last_custom(self, until_s: float) -> int:
        until = int(min(max(until_s, _FIRST_S), _LAST_S) // 1)
        cycle_s, first_s = self.day * 86_400, self.minute * 60
        return (until - first_s) // cycle_s * cycle_s + first_s

    def _due_of(self, day: date) -> int:
        """The due moment of the period that ``day`` is in."""
        if self.period == "weekly":
            day += timedelta(days=self.day - day.isoweekday())
        elif self.period == "monthly":
            days = calendar.monthrange(day.year, day.month)[1]
            day = day.replace(day=min(self.day, days))
        return (day - _EPOCH.date()).days * 86_400 + self.minute * 60

    def _step(self, day: date, by: int) -> date:
        """A day of the next period (``by`` 1) or of the one before (-1)."""
        if self.period == "daily":
            return day + timedelta(days=by)
        if self.period == "weekly":
            return day + timedelta(days=7 * by)
        first = day.replace(day=1)
        return first + timedelta(days=31) if by > 0 else first - timedelta(days=1)


def every(days: int, day: date, minute: int) -> Rule:
    """Each ``days`` days, and on ``day`` too."""
    if not 1 <= days <= DAYS_MAX:
        raise InvalidValue("days", f"is from 1 to {DAYS_MAX}")
    return Rule("custom", days, (day - _EPOCH.date()).days % days * 1_440 + minute)


def _day(at_s: float) -> date:
    return (_EPOCH + timedelta(seconds=min(max(at_s, _FIRST_S), _LAST_S))).date()


@attrs.frozen(order=True)
class Due:
    """A place in the order of all runs: when it was due, and of which schedule."""

    at_s: int
    schedule: int

    @property
    def text(self) -> str:
        """``1798761600.3``: so a decision names the last promise that was due."""
        return f"{self.at_s}.{self.schedule}"


#: Before all runs.
NO_DUE = Due(0, 0)


def parse_due(text: str) -> Due | None:
    """None: nothing is known (a decision of an older release, or of nobody)."""
    at, point, schedule = text.partition(".")
    if not point or not all(p.isascii() and p.isdecimal() and len(p) <= 15 for p in (at, schedule)):
        return None
    return Due(int(at), int(schedule))


@attrs.frozen
class Credit:
    """What one run does to one purse."""

    credit_e4: int
    #: What the cap kept back of the amount.
    withheld_e4: int
    #: By how much the purse stood above the cap: so much may be spent before a smaller
    #: balance would have been credited more.
    over_e4: int


def credit_of(amount_e4: int, cap_e4: int | None, balance_e4: int) -> Credit:
    """A credit of ``amount_e4``, after which the balance is ``cap_e4`` at the most."""
    if cap_e4 is None:
        return Credit(amount_e4, 0, 0)
    credit_e4 = min(amount_e4, max(0, cap_e4 - balance_e4))
    return Credit(credit_e4, amount_e4 - credit_e4, max(0, balance_e4 - cap_e4))


@attrs.frozen
class GivenBack:
    """What a late charge has back of one run, and what is left for the next charge."""

    given_e4: int
    left_e4: int
    over_e4: int


def give_back_of(spent_e4: int, left_e4: int, over_e4: int) -> GivenBack:
    """A charge of ``spent_e4``, decided before a run and posted after it.

    With it the balance at the run would have been so much smaller: the cap would have
    withheld less. Never more than is left of what it withheld, nor than was spent.
    """
    eaten_e4 = min(over_e4, spent_e4)
    given_e4 = min(left_e4, spent_e4 - eaten_e4)
    return GivenBack(given_e4, left_e4 - given_e4, over_e4 - eaten_e4)
