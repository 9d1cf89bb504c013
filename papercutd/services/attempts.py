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
#: Names of which failures are remembered.
REMEMBERED_MAX = 10_000


@attrs.define
class LockedOut(Exception):
    """Too many attempts; ``left_s`` seconds remain."""

    left_s: float


class Attempts:
    """Failed attempts by name: so many within the window lock it out for as long."""

    def __init__(self, env: Environment, attempts_max: int, at_once_max: int | None = None) -> None:
        """``at_once_max``: attempts of one name whose outcome is not known yet."""
        self._env = env
        self._max = attempts_max
        self._at_once_max = at_once_max or attempts_max
        self._failed: dict[str, deque[float]] = {}
        self._trying: dict[str, int] = {}

    @contextmanager
    def trying(self, name: str) -> Iterator[None]:
        """An attempt whose outcome is not known yet; raises LockedOut, or Rejected ``busy``.

        Those under way might all fail: together with the failures they are no more than
        may fail, else guesses made at once would not be counted against each other.
        """
        self.check(name)
        now = self._env.now()
        failed = sum(now - at <= LOCKOUT_S for at in self._failed.get(name, ()))
        under_way = self._trying.get(name, 0)
        if under_way >= self._at_once_max or (under_way and failed + under_way >= self._max):
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

    def failed(self, name: str) -> None:
        times = self._failed.pop(name, None)
        if times is None:
            times = deque(maxlen=self._max)
            if len(self._failed) >= REMEMBERED_MAX:
                # Dicts keep their order: who failed longest ago is forgotten first.
                del self._failed[next(iter(self._failed))]
        times.append(self._env.now())
        self._failed[name] = times

    def succeeded(self, name: str) -> None:
        self._failed.pop(name, None)

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
        times = self._failed.get(name)
        if times is None or len(times) < self._max or times[-1] - times[0] > LOCKOUT_S:
            return 0.0
        return times[-1] + LOCKOUT_S - self._env.now()
