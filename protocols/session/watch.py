"""One timer for the deadlines of many sessions: one each would take half a kilobyte of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Least seconds between two looks at everybody: many who fall silent together are found together.
BETWEEN_S = 0.25


class Watched(Protocol):
    """Who has deadlines; a key of a dictionary."""

    def next_deadline(self) -> float:
        """When it has to be looked at again, by the clock: never before it was told last."""


_W = TypeVar("_W", bound=Watched)


class Watch(Generic[_W]):
    """Calls ``over(watched)`` for each whose deadline has come, at most 0.25 s late."""

    def __init__(self, clock: IReactorTime, over: Callable[[_W], object]) -> None:
        self._clock = clock
        self._over = over
        #: In the order of their coming.
        self._watched: dict[_W, None] = {}
        self._timer: IDelayedCall | None = None
        self._looks_at = 0.0

    def add(self, watched: _W) -> None:
        """Look after ``watched`` until it is removed."""
        self._watched[watched] = None
        self._look_by(watched.next_deadline())

    def remove(self, watched: _W) -> None:
        """It has no deadlines any more; nothing if it is not watched."""
        self._watched.pop(watched, None)
        if not self._watched and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_by(self, at: float) -> None:
        """Look at ``at``, or before."""
        if self._timer is not None:
            if self._looks_at <= at:
                return
            self._timer.cancel()
        self._looks_at = at
        wait_s = max(at - self._clock.seconds(), 0.0)
        self._timer = self._clock.callLater(wait_s, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        earliest: float | None = None
        for watched in list(self._watched):
            if watched not in self._watched:
                # The end of another one was its end too.
                continue
            at = watched.next_deadline()
            if at <= now:
                del self._watched[watched]
                self._over(watched)
            elif earliest is None or at < earliest:
                earliest = at
        if earliest is not None and self._watched:
            self._look_by(max(earliest, now + BETWEEN_S))
