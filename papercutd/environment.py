"""What a node may know of the world outside it: time, chance and new names.

Every service takes one of these instead of importing a reactor, ``time``,
``random`` or ``uuid``; the simulator passes its own, and so owns all three.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime


@attrs.frozen
class Environment:
    """Clock, wall clock and randomness of one node."""

    #: Delayed calls, and monotonic time in seconds. Intervals are measured by ``now`` only.
    clock: IReactorTime
    #: Wall time, seconds since 1970. Shown and recorded, never used for order.
    wall_s: Callable[[], float]
    rng: random.Random
    #: Monotonic time where ``clock`` is none: a reactor's follows the wall clock.
    monotonic_s: Callable[[], float] | None = None

    def now(self) -> float:
        """Monotonic seconds."""
        return float((self.monotonic_s or self.clock.seconds)())

    def new_id(self) -> str:
        """A new UUIDv7 (RFC 9562): 48 bits of wall milliseconds, 74 random bits."""
        milliseconds = int(self.wall_s() * 1000) & ((1 << 48) - 1)
        high = (milliseconds << 16) | 0x7000 | self.rng.getrandbits(12)
        low = (0b10 << 62) | self.rng.getrandbits(62)
        text = f"{(high << 64) | low:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def keep_time(reactor: Any) -> None:
    """Have delayed calls of ``reactor`` go by a clock that nobody sets.

    By itself it goes by the wall clock: set back by an hour, as at a start without a battery,
    no ping would be sent and no timeout end for an hour. Before anything is scheduled.
    """
    if not reactor.getDelayedCalls():
        reactor.seconds = time.monotonic


def real_environment(clock: IReactorTime) -> Environment:
    """The environment of a real process on ``clock`` (its reactor)."""
    return Environment(clock, time.time, random.SystemRandom(), time.monotonic)
