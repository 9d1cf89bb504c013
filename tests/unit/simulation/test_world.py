"""Tests of worlds, nodes and their clocks."""

from __future__ import annotations

import gc
from collections.abc import Generator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.simulation.clock import NodeClock
from tests.simulation.node import Crash, Node
from tests.simulation.world import World


class WorldTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(1)
        self.node = self.world.add_node("n", "provider")
        self.made: list[object] = []

    def up(self) -> NodeClock:
        clock = self.node.boot()
        self.world.run(self.world.now)
        return clock

    def note(self, what: object) -> None:
        self.made.append(what)


class ClockTests(WorldTestCase):
    def test_interface(self) -> None:
        self.assertTrue(verifyObject(IReactorTime, self.up()))

    def test_monotonic_time_starts_anywhere_and_advances(self) -> None:
        clock = self.up()
        began = clock.seconds()
        self.world.run(10)
        self.assertAlmostEqual(clock.seconds() - began, 10)
        self.node.crash()
        self.assertGreater(abs(self.up().seconds() - clock.seconds()), 1)

    def test_wall_time(self) -> None:
        began = self.node.wall_s()
        self.world.run(10)
        self.assertAlmostEqual(self.node.wall_s() - began, 10)
        self.node.step_wall(-3600)
        self.assertAlmostEqual(self.node.wall_s() - began, 10 - 3600)
        self.node.set_pace(1.02)
        self.world.run(110)
        self.assertAlmostEqual(self.node.wall_s() - began, 10 - 3600 + 102)
        self.node.set_pace(1.0)
        self.world.run(210)
        self.assertAlmostEqual(self.node.wall_s() - began, 10 - 3600 + 202)

    def test_wall_time_survives_a_crash(self) -> None:
        self.up()
        self.node.step_wall(600)
        before = self.node.wall_s()
        self.node.crash(Crash.POWER)
        self.up()
        self.assertEqual(self.node.wall_s(), before)

    def test_pace(self) -> None:
        self.node.set_pace(1.25)
        clock = self.up()
        clock.callLater(10, self.note, "called")
        self.world.run(7.9)
        self.assertEqual(self.made, [])
        self.world.run(8.1)
        self.assertEqual(self.made, ["called"])

    def test_no_call_before_its_time_whatever_the_pace(self) -> None:
        clock = self.up()
        times: list[float] = []

        def check(due: float) -> None:
            times.append(clock.seconds() - due)

        for number in range(200):
            clock.callLater(number * 0.317, check, clock.seconds() + number * 0.317)
        for pace in (1.02, 0.98, 1.0):
            self.world.run(self.world.now + 15)
            self.node.set_pace(pace)
        self.world.run(100)
        self.assertEqual(len(times), 200)
        self.assertGreaterEqual(min(times), 0.0)

    def test_looping_call(self) -> None:
        clock = self.up()
        loop = LoopingCall(self.note, 1)
        loop.clock = clock
        self.world.later(0.5, loop.start, 1.0)
        self.world.run(10.2)
        self.assertEqual(len(self.made), 10)


class DeathTests(WorldTestCase):
    def test_nothing_of_the_dead_runs(self) -> None:
        clock = self.up()
        call = clock.callLater(1, self.note, 1)
        self.node.crash()
        self.assertFalse(call.active())
        self.world.run(5)
        self.assertEqual(self.made, [])

    def test_the_dead_may_touch_their_clock(self) -> None:
        clock = self.up()
        old = clock.callLater(1, self.note, 1)
        self.node.crash()
        old.cancel()
        old.reset(1)
        old.delay(1)
        new = clock.callLater(0, self.note, 2)
        self.assertFalse(new.active())
        new.cancel()
        clock.deliver("data", self.note, 3)
        self.assertEqual(clock.getDelayedCalls(), [])
        self.world.run(5)
        self.assertEqual(self.made, [])

    def test_a_crash_within_a_call_ends_it(self) -> None:
        def work() -> None:
            self.note("before")
            self.node.crash_here()
            self.note("after")

        self.up().callLater(1, work)
        self.world.run(2)
        self.assertEqual(self.made, ["before"])
        self.assertFalse(self.node.is_up)
        self.assertTrue(self.world.findings.is_good)

    def test_coroutines_of_the_dead_end_in_peace(self) -> None:
        clock = self.up()
        log = Logger()

        async def work() -> None:
            timer = clock.callLater(100, self.note, "never")
            try:
                await Deferred()
            finally:
                timer.cancel()
                clock.callLater(0, self.note, "from the grave")
                log.failure("the dead complain")

        def start() -> None:
            try:
                raise ValueError("complaint")
            except ValueError:
                Deferred.fromCoroutine(work())

        clock.callLater(0, start)
        self.world.run(1)
        self.node.crash()
        self.up()
        gc.collect()
        self.world.run(10)
        self.assertEqual(self.made, [])
        self.assertEqual(self.world.findings.found, [])
        self.flushLoggedErrors(GeneratorExit)

    def test_restart_runs_on_boot_and_hears_of_the_crash(self) -> None:
        self.node.on_boot = lambda node: self.note(("boot", node.starts))
        self.node.on_crash = lambda node: self.note(("crash", node.crashes))
        self.up()
        self.node.crash()
        self.up()
        self.assertEqual(self.made, [("boot", 1), ("crash", 1), ("boot", 2)])

    def test_each_start_has_randomness_of_its_own(self) -> None:
        first = self.up().rng.random()
        self.node.crash()
        second = self.up().rng.random()
        self.assertNotEqual(first, second)
        again = World(1)
        again.add_node("n", "provider").boot()
        clock = again.nodes["n"].clock
        assert clock is not None
        self.assertEqual(clock.rng.random(), first)


class PauseTests(WorldTestCase):
    def test_what_was_due_happens_at_the_wake_in_order(self) -> None:
        clock = self.up()
        for delay in (1, 2, 3, 9):
            clock.callLater(delay, lambda d=delay: self.note((d, self.world.now)))
        paused = self.node.pause()
        self.world.run(2.5)
        clock.deliver("data", self.note, "data")
        self.world.run(5)
        self.assertEqual(self.made, [])
        self.node.resume(paused)
        self.world.run(10)
        self.assertEqual(self.made, [(1, 5), (2, 5), "data", (3, 5), (9, 9)])

    def test_what_waits_may_be_cancelled_by_what_waited_longer(self) -> None:
        clock = self.up()
        second = clock.callLater(2, self.note, "second")
        third = clock.callLater(3, self.note, "third")
        clock.callLater(1, second.cancel)
        clock.callLater(1, third.reset, 4)
        paused = self.node.pause()
        self.world.run(5)
        self.node.resume(paused)
        self.world.run(8.9)
        self.assertEqual(self.made, [])
        self.world.run(9)
        self.assertEqual(self.made, ["third"])

    def test_two_pauses(self) -> None:
        clock = self.up()
        clock.callLater(1, self.note, 1)
        first, second = self.node.pause(), self.node.pause()
        self.world.run(2)
        self.node.resume(first)
        self.world.run(3)
        self.assertEqual(self.made, [])
        self.node.resume(second)
        self.world.run(4)
        self.assertEqual(self.made, [1])

    def test_a_crash_ends_the_pause(self) -> None:
        self.up()
        paused = self.node.pause()
        self.node.crash()
        clock = self.up()
        clock.callLater(1, self.note, 1)
        self.node.resume(paused)
        self.world.run(2)
        self.assertEqual(self.made, [1])


class DefectTests(WorldTestCase):
    def found(self) -> list[str]:
        return [f"{one.node} {one.text.split(' | ')[0]}" for one in self.world.findings.found]

    def test_an_exception_of_a_node_is_found(self) -> None:
        self.up().callLater(1, [].pop)
        self.world.run(2)
        self.assertEqual(self.found(), ["n IndexError: pop from empty list"])

    def test_a_failure_that_a_node_logs_is_found(self) -> None:
        def work() -> None:
            try:
                raise ValueError("lost")
            except ValueError:
                Logger().failure("it failed")

        self.up().callLater(1, work)
        self.world.run(2)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.found(), ["n ValueError: lost"])

    def test_an_expected_failure_is_not(self) -> None:
        self.world.expected_failures = (IndexError,)
        self.up().callLater(1, [].pop)
        self.world.run(2)
        self.assertEqual(self.found(), [])

    def test_an_exception_of_the_world_is_raised(self) -> None:
        self.world.later(1, [].pop)
        self.assertRaises(IndexError, self.world.run, 2)


class TraceTests(SynchronousTestCase):
    def digest(self, seed: int, what: bytes = b"x") -> str:
        world = World(seed)
        nodes = [world.add_node(name, "provider") for name in "abc"]

        def work(node: Node) -> Generator[None, None, None]:
            clock = node.clock
            assert clock is not None
            clock.deliver("data", self.ignore, what)
            clock.callLater(clock.rng.random(), self.again, node, work)
            yield

        for node in nodes:
            node.boot()
            world.later(0, self.again, node, work)
        world.run(20)
        return world.finish().trace

    @staticmethod
    def ignore(data: bytes) -> None:
        """Nothing but its being delivered matters."""

    @staticmethod
    def again(node: Node, work: Any) -> None:
        list(work(node))

    def test_same_seed_same_trace(self) -> None:
        self.assertEqual(self.digest(1), self.digest(1))

    def test_another_seed_or_byte_is_another_trace(self) -> None:
        self.assertNotEqual(self.digest(1), self.digest(2))
        self.assertNotEqual(self.digest(1), self.digest(1, b"y"))
