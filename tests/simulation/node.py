"""A machine: its process, its wall clock, its disk, whether it is up."""

from __future__ import annotations

import enum
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from papercutd.environment import Environment
from tests.simulation.clock import NodeClock

if TYPE_CHECKING:
    from tests.simulation.disk import SimDisk
    from tests.simulation.world import World


class NodeCrashed(BaseException):
    """Raised through the code of a node that crashes in the midst of a call.

    Not an Exception: what the code catches at its edges must not catch this.
    """


class Crash(enum.Enum):
    """How a node ends."""

    #: The process was killed: its kernel closes the connections in order.
    KILLED = "killed"
    #: As when unread data was left: its kernel resets them, what is under way is lost.
    RESET = "reset"
    #: The machine lost power: nobody is told anything.
    POWER = "power"


class Node:
    """One machine of the world, through all its starts.

    ``on_boot`` builds the node's services at each start from its ``environment`` and
    ``disk``; ``on_crash`` is told when they are gone. ``role`` and ``name`` are what
    its certificate says.
    """

    def __init__(self, world: World, name: str, role: str, disk: SimDisk) -> None:
        self.world = world
        self.name = name
        #: Whose certificate it shows: its own name, unless it is a copy of another.
        self.identity = name
        self.role = role
        self.disk = disk
        self.address = ""
        #: The clock of the running process; None while it is down.
        self.clock: NodeClock | None = None
        self.starts = 0
        self.crashes = 0
        #: The machine has power; its process may be down all the same.
        self.has_power = False
        #: The machine itself stands still: it answers no packet.
        self.is_frozen = False
        #: It is not started again before this time, whoever wants to.
        self.down_until_s = 0.0
        self.pace = 1.0
        self.on_boot: Callable[[Node], None] = lambda node: None
        self.on_crash: Callable[[Node], None] = lambda node: None
        self._wall_base_s = world.epoch_s
        self._wall_since_s = 0.0
        self._pauses = 0

    def __repr__(self) -> str:
        return f"<node {self.name}>"

    @property
    def is_up(self) -> bool:
        """Its process runs (paused or not)."""
        return self.clock is not None

    @property
    def is_reachable(self) -> bool:
        """Packets to it are answered, if only by a reset."""
        return self.has_power and not self.is_frozen

    @property
    def environment(self) -> Environment:
        """What the services of this incarnation know of the world."""
        assert self.clock is not None
        return Environment(self.clock, self.wall_s, self.clock.rng)

    # Time.

    def wall_s(self) -> float:
        """What the machine's wall clock shows, seconds since 1970."""
        return self._wall_base_s + (self.world.scheduler.now - self._wall_since_s) * self.pace

    def step_wall(self, seconds: float) -> None:
        """Somebody sets the wall clock: forward, or back."""
        self._wall_base_s += seconds

    def set_pace(self, pace: float) -> None:
        """The quartz runs ``pace`` times as fast, for both clocks."""
        self._wall_base_s, self._wall_since_s = self.wall_s(), self.world.scheduler.now
        self.pace = pace
        if self.clock is not None:
            self.clock.set_pace(pace)

    # Life.

    def boot(self) -> NodeClock:
        """Start the process; ``on_boot`` runs as its first call."""
        assert self.clock is None, f"{self.name} runs already"
        self.world.bury()
        self.has_power = True
        self.starts += 1
        rng = random.Random(f"{self.world.seed}/{self.name}/{self.starts}")
        self.clock = NodeClock(self, self.starts, rng)
        self.clock.callLater(0, self.on_boot, self)
        self.world.network.machine_is_up(self.name)
        return self.clock

    def crash(self, how: Crash = Crash.KILLED) -> None:
        """End the process now. What runs of it at this moment can do no more harm.

        From within the node's own code, raise NodeCrashed after it (``crash_here``).
        """
        clock, self.clock = self.clock, None
        assert clock is not None, f"{self.name} is down already"
        self.crashes += 1
        self._pauses = 0
        self.is_frozen = False
        self.has_power = how is not Crash.POWER
        self.world.trace.note(self.world.scheduler.now, self.name, f"crash {how.value}")
        self.world.network.process_ended(self.name, clock, how)
        clock.die()
        self.world.later_bury(self)

    def crash_here(self, how: Crash = Crash.KILLED) -> None:
        """Crash in the midst of the node's own code; does not return."""
        self.crash(how)
        raise NodeCrashed(self.name)

    def cut_power(self) -> None:
        """The machine goes dark, its process down already or not."""
        if self.clock is not None:
            self.crash(Crash.POWER)
        self.has_power = False

    def pause(self, frozen: bool = False) -> NodeClock | None:
        """The process stands still (a collection); ``frozen``: the machine does (a snapshot).

        Pauses add up. What is returned is to be given to ``resume``; None: it is down.
        """
        if self.clock is not None:
            self._pauses += 1
            self.clock.is_paused = True
            self.is_frozen = self.is_frozen or frozen
        return self.clock

    def resume(self, clock: NodeClock | None) -> None:
        """It goes on where it was; what became due meanwhile happens at once, in order."""
        if clock is None or clock is not self.clock:
            # It crashed since, and whoever is there now was not paused by this pause.
            return
        self._pauses -= 1
        if self._pauses == 0:
            self.is_frozen = False
            clock.is_paused = False
            self.world.network.machine_is_up(self.name)
            self.world.scheduler.callLater(0, self.world.wake, clock)
