"""How much of what sites have to catch up with is done at once; the rest is told to come again.

When many links heal at once, all have a journal to tell, and perhaps a snapshot to load. Work
that people wait for must not stand behind that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

from twisted.internet.defer import Deferred

from papercutd.acquired import Acquired
from papercutd.environment import Environment
from protocols.codes import Code
from protocols.errors import Refusal

T = TypeVar("T")


def busy(retry_after_s: float) -> Refusal:
    """``NO busy``, and when to come again."""
    return Refusal(Code.BUSY, {"retry_after_s": retry_after_s})


class Turns:
    """Pieces of work, ``running_max`` at once; some wait for their turn, in order."""

    def __init__(self, running_max: int, waiting_max: int, retry_after_s: float) -> None:
        self._running_max = running_max
        self._waiting_max = waiting_max
        self._retry_after_s = retry_after_s
        self._running = 0
        self._waiting: deque[Deferred[None]] = deque()
        self._is_passing = False
        #: How many were told to come again, and the most that ran or waited: shown by status.
        self.turned_away = 0
        self.most = 0

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """What ``work`` answers, when it is its turn; raises Refusal ``busy``."""
        if self._running >= self._running_max:
            if len(self._waiting) >= self._waiting_max:
                self.turned_away += 1
                raise busy(self._retry_after_s)
            turn: Deferred[None] = Deferred()
            self._waiting.append(turn)
            self._note()
            await turn
        else:
            self._running += 1
            self._note()
        with Acquired(self._ended):
            return await work()

    def _note(self) -> None:
        self.most = max(self.most, self._running + len(self._waiting))

    def _ended(self) -> None:
        self._running -= 1
        self._pass_on()

    def _pass_on(self) -> None:
        # Work that ends at once comes back here: a loop, however many wait.
        if self._is_passing:
            return
        self._is_passing = True
        try:
            while self._waiting and self._running < self._running_max:
                self._running += 1
                self._waiting.popleft().callback(None)
        finally:
            self._is_passing = False


class Places:
    """So many places for what takes many requests; who does not use one for long loses it."""

    def __init__(
        self, env: Environment, places_max: int, idle_max_s: float, retry_after_s: float
    ) -> None:
        self._env = env
        self._places_max = places_max
        self._idle_max_s = idle_max_s
        self._retry_after_s = retry_after_s
        self._used_at: dict[Hashable, float] = {}
        #: How many were told to come again, and the most that had a place: shown by status.
        self.turned_away = 0
        self.most = 0

    def take(self, who: Hashable) -> None:
        """``who`` has a place, now or still; raises Refusal ``busy``."""
        now = self._env.now()
        if who not in self._used_at and len(self._used_at) >= self._places_max:
            for idle, at in list(self._used_at.items()):
                if now - at > self._idle_max_s:
                    del self._used_at[idle]
            if len(self._used_at) >= self._places_max:
                self.turned_away += 1
                raise busy(self._retry_after_s)
        self._used_at[who] = now
        self.most = max(self.most, len(self._used_at))

    def leave(self, who: Hashable) -> None:
        """``who`` needs its place no more, if it has one."""
        self._used_at.pop(who, None)
