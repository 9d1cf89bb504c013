"""Simulated time: a heap of calls, which is a reactor's time and nothing else of one.

What a reactor promises of order is little, and it is kept, no more: a call runs not
before its time; a call made for now runs in the next step, after all that were due
already (``task.Clock`` runs it in the same); calls due at one time run in an order
drawn from the seed.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

#: Steps at one instant before the world is held to spin.
STEPS_MAX = 100_000

_PENDING = 0
_CALLED = 1
_CANCELLED = 2
#: Its node died: it never runs, and touching it is harmless.
_DEAD = 3


class Livelock(Exception):
    """Calls for now make calls for now, without end."""


class Owner(Protocol):
    """The clock of a node, which runs at a pace of its own."""

    is_alive: bool

    def seconds(self) -> float: ...

    def to_global(self, delay_s: float) -> float:
        """How long ``delay_s`` of this clock lasts."""


@implementer(IDelayedCall)
class Call:
    """A call to be made. ``time_s`` is the world's, ``getTime`` the owner's."""

    __slots__ = (
        *("scheduler", "owner", "func", "args", "kwargs", "time_s", "local_s"),
        *("state", "version", "kind"),
    )

    def __init__(
        self,
        scheduler: Scheduler,
        owner: Owner | None,
        func: Callable[..., object],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.scheduler = scheduler
        self.owner = owner
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self.time_s = 0.0
        self.local_s = 0.0
        #: Counts the entries in the heap; only that of the newest version runs.
        self.version = 0
        self.state = _PENDING
        #: The trace's word for it; empty: the name of the function.
        self.kind = ""

    def active(self) -> bool:
        return self.state == _PENDING and not self._is_orphan()

    def getTime(self) -> float:
        return self.local_s

    def cancel(self) -> None:
        if self._check():
            self.state = _CANCELLED
            # What it holds must not live until its time comes.
            self.forget()

    def reset(self, secondsFromNow: float) -> None:
        if self._check():
            self.scheduler.place(self, secondsFromNow)

    def delay(self, secondsLater: float) -> None:
        if self._check():
            now = self.scheduler.now if self.owner is None else self.owner.seconds()
            self.scheduler.place(self, max(self.local_s + secondsLater - now, 0.0))

    def make(self) -> None:
        """Make it, unless it was cancelled or put off since it was due."""
        if self.state == _PENDING:
            self.state = _CALLED
            self.func(*self.args, **self.kwargs)

    def kill(self) -> None:
        """Its node died with it."""
        self.state = _DEAD
        self.forget()

    def forget(self) -> None:
        """Let go of the function and its arguments."""
        self.func = _nothing
        self.args = ()
        self.kwargs = {}

    def _is_orphan(self) -> bool:
        return self.owner is not None and not self.owner.is_alive

    def _check(self) -> bool:
        if self.state == _DEAD or self._is_orphan():
            return False
        if self.state == _CALLED:
            raise AlreadyCalled()
        if self.state == _CANCELLED:
            raise AlreadyCancelled()
        return True


def _nothing() -> None:
    """What a cancelled call calls."""


@implementer(IReactorTime)
class Scheduler:
    """The world's time, in seconds from its beginning.

    ``execute`` makes the call, or keeps it to make it later; its owner may be dead.
    """

    def __init__(self, rng: random.Random, execute: Callable[[Call], None] | None = None) -> None:
        self.now = 0.0
        self.steps = 0
        self._tie = rng.getrandbits
        self._execute = execute if execute is not None else Call.make
        self._heap: list[tuple[float, int, int, int, Call, int]] = []
        self._step = 0
        self._sequence = 0
        self._is_stopped = False

    # As IReactorTime: the world's own time, which no node sees.

    def seconds(self) -> float:
        return self.now

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object
    ) -> Call:
        return self.schedule(None, delay, callable, args, kwargs)

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        return self.calls_of(None)

    # For clocks of nodes.

    def schedule(
        self,
        owner: Owner | None,
        delay_s: float,
        func: Callable[..., object],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Call:
        """A new call, ``delay_s`` from now by the owner's clock."""
        assert delay_s >= 0, delay_s
        call = Call(self, owner, func, args, kwargs or {})
        self.place(call, delay_s)
        return call

    def place(self, call: Call, delay_s: float) -> None:
        """Put ``call`` where it belongs, anew if it was in the heap."""
        owner = call.owner
        now = self.now
        if owner is None:
            time_s = call.local_s = now + delay_s
        else:
            call.local_s = owner.seconds() + delay_s
            time_s = now + owner.to_global(delay_s)
        call.time_s = time_s
        version = call.version = call.version + 1
        sequence = self._sequence = self._sequence + 1
        # A time in the future starts with its first step; at this very instant it is the next.
        step = 0 if time_s > now else self._step + 1
        heapq.heappush(self._heap, (time_s, step, self._tie(32), sequence, call, version))

    def calls_of(self, owner: Owner | None) -> list[Call]:
        """The calls of one clock that are still to be made."""
        return [
            entry[4]
            for entry in sorted(self._heap)
            if entry[4].owner is owner and entry[4].version == entry[5] and entry[4].active()
        ]

    def bury(self, owner: Owner) -> None:
        """Drop every call of ``owner``, which has died."""
        kept = []
        for entry in self._heap:
            if entry[4].owner is owner:
                entry[4].kill()
            else:
                kept.append(entry)
        self._heap = kept
        heapq.heapify(kept)

    # Running.

    def stop(self) -> None:
        """End ``run`` after the call under way."""
        self._is_stopped = True

    def run(self, until_s: float) -> None:
        """Make every call due up to ``until_s``, and be there then."""
        self._is_stopped = False
        pop, execute = heapq.heappop, self._execute
        # ``bury`` replaces the heap: it is looked up anew each time.
        while (heap := self._heap) and not self._is_stopped:
            if heap[0][0] > until_s:
                break
            time_s, step, _, _, call, version = pop(heap)
            if call.version != version or call.state != _PENDING:
                continue
            self.now, self._step = time_s, step
            if step > STEPS_MAX:
                raise Livelock(f"at {time_s} s: {call.func!r}")
            self.steps += 1
            execute(call)
        if not self._is_stopped and until_s > self.now:
            self.now, self._step = until_s, 0
