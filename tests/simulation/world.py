"""The world of one seed: time, machines, network, and what is remembered of it.

Everything random in it comes from the seed. Each part draws from a stream of its own,
so that a change of the workload does not change the network, and a failing seed stays
recognisable while it is being mended.
"""

from __future__ import annotations

import gc
import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.simulation.clock import NodeClock
from tests.simulation.disk import SimDisk
from tests.simulation.findings import Finding, Findings
from tests.simulation.network import SimNetwork
from tests.simulation.node import Node, NodeCrashed
from tests.simulation.scheduler import Call, Scheduler
from tests.simulation.trace import Trace

#: Wall time of the beginning: a day in 2027, at a random second of it.
EPOCH_S = 1_800_000_000.0
#: Events between two collections of garbage, which runs at no other time.
COLLECT_EVERY = 200_000
#: Distinguishes worlds of one process where a name must be unique in it; never traced.
_numbers = itertools.count(1)


class World:
    """One simulated world. Make its nodes, then ``run``.

    ``expected_failures``: exceptions whose being logged is no defect.
    """

    def __init__(self, seed: int, expected_failures: tuple[type[BaseException], ...] = ()) -> None:
        self.seed = seed
        self.number = next(_numbers)
        if self.number == 1:
            # Modules and their like live for ever: no collection need look at them.
            gc.freeze()
        self.epoch_s = EPOCH_S + self.random("epoch").uniform(0.0, 86_400.0)
        self.trace = Trace()
        self.scheduler = Scheduler(self.random("order"), self._execute)
        self.network = SimNetwork(self)
        self.nodes: dict[str, Node] = {}
        self.findings = Findings(seed=seed)
        #: Whose code runs now; None: nobody's.
        self.current: NodeClock | None = None
        self.expected_failures = expected_failures
        #: Called with each node that has crashed, once its disk is as it was left.
        self.on_crash: list[Callable[[Node], None]] = []
        self._to_bury: list[Node] = []
        self._collect_at = COLLECT_EVERY

    # Making it.

    def random(self, purpose: str) -> random.Random:
        """A stream of randomness for one purpose, the same in each run of this seed."""
        return random.Random(f"{self.seed}/{purpose}")

    def add_node(self, name: str, role: str) -> Node:
        """A machine, still dark."""
        assert name not in self.nodes
        disk = SimDisk(self, name)
        node = self.nodes[name] = Node(self, name, role, disk)
        node.address = f"10.0.{len(self.nodes) // 250}.{len(self.nodes) % 250 + 1}"
        return node

    # Time.

    @property
    def now(self) -> float:
        """Seconds since the beginning; no node knows them."""
        return self.scheduler.now

    def later(self, delay_s: float, func: Callable[..., object], *args: object) -> Call:
        """Something that the world does, not a node."""
        return self.scheduler.callLater(delay_s, func, *args)

    def run(self, until_s: float) -> None:
        """Let it be ``until_s``. Log events of the nodes are watched meanwhile."""
        with _collected_by_hand(), self._watching_the_log():
            self.scheduler.run(until_s)
            self.bury()

    def run_until(
        self, condition: Callable[[], bool], until_s: float, every_s: float = 0.5
    ) -> bool:
        """Run until ``condition``, looked at every so often; False: not by ``until_s``."""
        # The garbage of all these short runs is one run's.
        with _collected_by_hand():
            while not condition():
                if self.now >= until_s:
                    return False
                self.run(min(self.now + every_s, until_s))
            return True

    # What happened.

    def sometimes(self, name: str, times: int = 1) -> None:
        """``name`` happened: what never happens in any seed is not tested."""
        self.findings.sometimes[name] += times

    def count(self, name: str, times: int = 1) -> None:
        """For the summary of the run."""
        self.findings.counts[name] += times

    def find(self, invariant: str, text: str, node: str = "") -> None:
        """Something that must not be."""
        self.findings.add(Finding(invariant, round(self.now, 6), node, text))

    def finish(self) -> Findings:
        """The findings, with the trace as it is now."""
        findings = self.findings
        findings.trace = self.trace.digest()
        findings.events = self.trace.events
        findings.simulated_s = self.now
        return findings

    # Making calls: for the scheduler, clocks and the network.

    def _execute(self, call: Call) -> None:
        clock = call.owner
        if clock is None:
            # The world's own: whom it concerns, it says itself.
            self.trace.note(self.scheduler.now, "", _name_of(call.func))
            call.make()
        else:
            assert isinstance(clock, NodeClock)
            if clock.is_paused or clock.stalled:
                clock.stalled.append((call, call.version))
                return
            if clock.is_early(call):
                self.scheduler.place(call, call.local_s - clock.seconds())
                return
            self._make(clock, _name_of(call.func), b"", call.make)
        if self._to_bury:
            self.bury()
        if self.trace.events > self._collect_at:
            self._collect_at = self.trace.events + COLLECT_EVERY
            gc.collect()

    def deliver(
        self, clock: NodeClock, kind: str, func: Callable[..., object], args: tuple[Any, ...]
    ) -> None:
        """See NodeClock.deliver."""
        if clock.is_paused or clock.stalled:
            call = Call(self.scheduler, clock, func, args, {})
            call.kind = kind
            call.local_s = clock.seconds()
            clock.stalled.append((call, call.version))
        else:
            self._make(clock, kind, _data_of(args), func, args)

    def _make(
        self,
        clock: NodeClock,
        kind: str,
        data: bytes,
        func: Callable[..., object],
        args: tuple[Any, ...] = (),
    ) -> None:
        self.trace.note(self.scheduler.now, clock.node.name, kind, data)
        # The network may deliver while something of a node runs: that comes back after it.
        before, self.current = self.current, clock
        try:
            func(*args)
        except NodeCrashed:
            pass
        except Exception:
            self.defect(Failure())
        finally:
            self.current = before

    def wake(self, clock: NodeClock) -> None:
        """What waited for a paused process happens, in the order in which it became due."""
        stalled, clock.stalled = clock.stalled, []
        for index, (call, version) in enumerate(stalled):
            if not clock.is_alive:
                call.kill()
            elif clock.is_paused:
                clock.stalled = [*stalled[index:], *clock.stalled]
                return
            elif call.active() and call.version == version:
                kind = call.kind or _name_of(call.func)
                self._make(clock, kind, _data_of(call.args), call.make)

    def later_bury(self, node: Node) -> None:
        """``node`` has crashed: its remains are put away when its code has unwound."""
        self._to_bury.append(node)

    def bury(self) -> None:
        """Leave of the dead what a disk keeps, and nothing else."""
        while self._to_bury:
            node = self._to_bury.pop(0)
            node.disk.crashed()
            node.on_crash(node)
            for hear in self.on_crash:
                hear(node)

    def defect(self, failure: Failure) -> None:
        """An exception that nobody caught, or that was logged as a failure."""
        if failure.check(NodeCrashed, *self.expected_failures):
            return
        if self.current is None:
            # Heard of as garbage was collected: of whom is not known any more, and the dead may
            # fail at anything but at names that are not there.
            if failure.check(NameError):
                self.find("defect", f"a Deferred's: {failure.getTraceback(detail='brief')}"[-1500:])
            return
        if not self.current.is_alive:
            return
        frames = failure.getTraceback(detail="brief").strip().split("\n")[1:]
        where = " < ".join(frame.strip() for frame in reversed(frames[-8:]))
        kind = failure.type.__qualname__ if failure.type is not None else "failure"
        text = f"{kind}: {failure.getErrorMessage()} | {where}"
        self.find("defect", text[:1500], self.current.node.name)

    @contextmanager
    def _watching_the_log(self) -> Iterator[None]:
        observer = _LogObserver(self)
        globalLogPublisher.addObserver(observer)
        try:
            yield
        finally:
            globalLogPublisher.removeObserver(observer)


@implementer(ILogObserver)
class _LogObserver:
    """Every failure that a node logs is one that nobody expected."""

    def __init__(self, world: World) -> None:
        self._world = world

    def __call__(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if isinstance(failure, Failure):
            self._world.defect(failure)


@contextmanager
def _collected_by_hand() -> Iterator[None]:
    """Garbage is collected between events only, so that what it runs has no part in them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _name_of(func: Callable[..., object]) -> str:
    """A name that is the same in every run and process."""
    name = getattr(func, "__qualname__", None)
    return name if isinstance(name, str) else type(func).__qualname__


def _data_of(args: tuple[Any, ...]) -> bytes:
    return b"".join(arg for arg in args if isinstance(arg, bytes))
