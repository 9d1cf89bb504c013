"""Attempts to log in that failed: so many lock out a name for a while, in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from papercutd.environment import Environment
from papercutd.errors import Rejected

#: Seconds within which failures count, and for which they lock out.
LOCKOUT_S = 900.0
DAY_S = 86_400.0
#: Names of which failures are remembered.
REMEMBERED_MAX = 10_000


@attrs.define
class LockedOut(Exception):
    """Too many attempts; ``left_s`` seconds remain."""

    left_s: float


class _Failures:
    """Of one name: the times, and how many of the last came since a success."""

    def __init__(self, kept_max: int) -> None:
        self.times: deque[float] = deque(maxlen=kept_max)
        self.in_a_row = 0

    def within(self, since: float, in_a_row: bool) -> int:
        times = list(self.times)
        if in_a_row:
            times = times[max(len(times) - self.in_a_row, 0) :]
        return sum(at >= since for at in times)


class Attempts:
    """Failed attempts by name: so many within the window lock it out for as long."""

    def __init__(
        self,
        env: Environment,
        attempts_max: int,
        at_once_max: int | None = None,
        day_max: int | None = None,
    ) -> None:
        """``at_once_max``: attempts of one name whose outcome is not known yet.

        ``day_max``: failures within a day, whatever succeeds in between, from which on each
        locks out: who keeps below the other limit for hours guesses no more than that.
        """
        self._env = env
        self._max = attempts_max
        self._at_once_max = at_once_max or attempts_max
        self._day_max = day_max
        self._failed: dict[str, _Failures] = {}
        self._trying: dict[str, int] = {}

    @contextmanager
    def trying(self, name: str) -> Iterator[None]:
        """An attempt whose outcome is not known yet; raises LockedOut, or Rejected ``busy``.

        Those under way might all fail: together with the failures they are no more than
        may fail, else guesses made at once would not be counted against each other.
        """
        self.check(name)
        under_way = self._trying.get(name, 0)
        if under_way >= self._at_once_max or (under_way and self._might_fail(name, under_way)):
            raise Rejected("busy")
        self._trying[name] = under_way + 1
        try:
            yield
        finally:
            self._trying[name] -= 1
            if not self._trying[name]:
                del self._trying[name]

    def check(self, name: str) -> None:
        """Raises LockedOut."""
        left_s = self._left_s(name)
        if left_s > 0:
            raise LockedOut(left_s)

    def failed(self, name: str) -> int:
        """One more; where it locks ``name`` out, how many there were, else 0."""
        failures = self._failed.pop(name, None)
        if failures is None:
            failures = _Failures(max(self._max, self._day_max or 0))
            if len(self._failed) >= REMEMBERED_MAX:
                # Dicts keep their order: who failed longest ago is forgotten first.
                del self._failed[next(iter(self._failed))]
        now = self._env.now()
        failures.times.append(now)
        failures.in_a_row += 1
        self._failed[name] = failures
        return self._count(failures, now) if self._is_locked_out(failures) else 0

    def succeeded(self, name: str) -> None:
        if self._day_max is None:
            self._failed.pop(name, None)
        elif name in self._failed:
            self._failed[name].in_a_row = 0

    def unlock(self, name: str) -> bool:
        """Forget its failures; whether it was locked out."""
        was_locked = self._left_s(name) > 0
        self._failed.pop(name, None)
        return was_locked

    def locked_out(self) -> list[tuple[str, float]]:
        """(name, seconds left) of all that are locked out now."""
        found = [(name, self._left_s(name)) for name in self._failed]
        return [(name, left_s) for name, left_s in found if left_s > 0]

    def _left_s(self, name: str) -> float:
        failures = self._failed.get(name)
        if failures is None or not self._is_locked_out(failures):
            return 0.0
        return failures.times[-1] + LOCKOUT_S - self._env.now()

    def _is_locked_out(self, failures: _Failures) -> bool:
        """Whether the last failure was one too many."""
        last = failures.times[-1]
        if failures.within(last - LOCKOUT_S, in_a_row=True) >= self._max:
            return True
        if self._day_max is None:
            return False
        return failures.within(last - DAY_S, in_a_row=False) >= self._day_max

    def _count(self, failures: _Failures, now: float) -> int:
        """Those within the window that counts here."""
        if self._day_max is None:
            return failures.within(now - LOCKOUT_S, in_a_row=True)
        return failures.within(now - DAY_S, in_a_row=False)

    def _might_fail(self, name: str, under_way: int) -> bool:
        """Whether those under way would lock ``name`` out if they failed now."""
        failures = self._failed.get(name)
        now = self._env.now()
        recent = failures.within(now - LOCKOUT_S, in_a_row=True) if failures else 0
        if recent + under_way >= self._max:
            return True
        if self._day_max is None:
            return False
        today = failures.within(now - DAY_S, in_a_row=False) if failures else 0
        return today + under_way >= self._day_max
