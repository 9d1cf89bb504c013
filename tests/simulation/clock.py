"""Time as one incarnation of a node sees it, and the gate that shuts when it dies."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

from tests.simulation.scheduler import Call

if TYPE_CHECKING:
    from tests.simulation.node import Node

#: A clock that a call finds short of its time by more than this runs it later.
_EARLY_S = 1e-6


@implementer(IReactorTime)
class NodeClock:
    """Monotonic time of one incarnation of ``node``.

    It starts at a number of its own, so that a stored monotonic time is found out, and
    runs at the node's pace. Once ``is_alive`` is False nothing it was given runs, and
    nothing it is given is kept: coroutines of a dead process may end in peace.
    """

    def __init__(self, node: Node, number: int, rng: random.Random) -> None:
        self.node = node
        #: 1 for the node's first start.
        self.number = number
        #: The randomness of this incarnation: another's is not disturbed by it.
        self.rng = rng
        self.is_alive = True
        self.is_paused = False
        #: Calls and deliveries that became due while paused, in order, and which version
        #: of each: what is put off while it waits here is in the scheduler again.
        self.stalled: list[tuple[Call, int]] = []
        self._scheduler = node.world.scheduler
        self._since = self._scheduler.now
        self._base = rng.uniform(0.0, 1_000_000.0)
        #: No call may find that its time has not come: rounding is caught here.
        self._floor = self._base
        self._pace = node.pace

    def __repr__(self) -> str:
        return f"<clock of {self.node.name}, start {self.number}>"

    # As IReactorTime.

    def seconds(self) -> float:
        now = self._base + (self._scheduler.now - self._since) * self._pace
        return now if now > self._floor else self._floor

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object
    ) -> Call:
        if not self.is_alive:
            call = Call(self._scheduler, self, callable, (), {})
            call.kill()
            return call
        return self._scheduler.schedule(self, delay, callable, args, kwargs)

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        return self._scheduler.calls_of(self) if self.is_alive else []

    # For the scheduler and the world.

    def to_global(self, delay_s: float) -> float:
        return delay_s / self._pace

    def set_pace(self, pace: float) -> None:
        """Run faster or slower from now on (1.0 is the world's pace)."""
        self._base, self._since = self.seconds(), self._scheduler.now
        self._pace = pace

    def is_early(self, call: Call) -> bool:
        """Whether ``call`` is due later by this clock, which has changed its pace since.

        If not, the clock is put to the call's time at least.
        """
        short_s = call.local_s - self.seconds()
        if short_s > _EARLY_S:
            return True
        if short_s > 0:
            self._floor = call.local_s
        return False

    def deliver(self, kind: str, func: Callable[..., object], *args: Any) -> None:
        """The kernel hands something to the process: now, when it wakes, or never.

        Order is kept among deliveries and calls that wait for a paused process.
        """
        if self.is_alive:
            self.node.world.deliver(self, kind, func, args)

    def die(self) -> None:
        """The process has ended. Nothing of it may act any more."""
        self.is_alive = False
        for call, _ in self.stalled:
            call.kill()
        self.stalled.clear()
        self._scheduler.bury(self)
