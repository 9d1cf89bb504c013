"""Tests of tests.simulation.scheduler."""

from __future__ import annotations

import random
import time

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.simulation.scheduler import Livelock, Scheduler


class SchedulerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.scheduler = Scheduler(random.Random(1))
        self.made: list[object] = []

    def note(self, what: object) -> None:
        self.made.append(what)

    def test_interfaces(self) -> None:
        self.assertTrue(verifyObject(IReactorTime, self.scheduler))
        self.assertTrue(verifyObject(IDelayedCall, self.scheduler.callLater(1, self.note, 1)))

    def test_in_order_of_time(self) -> None:
        for delay in (3.0, 1.0, 2.0):
            self.scheduler.callLater(delay, self.note, delay)
        self.scheduler.run(2.5)
        self.assertEqual(self.made, [1.0, 2.0])
        self.assertEqual(self.scheduler.seconds(), 2.5)
        self.scheduler.run(10.0)
        self.assertEqual(self.made, [1.0, 2.0, 3.0])

    def test_a_call_for_now_runs_in_the_next_step(self) -> None:
        def first() -> None:
            self.note("first")
            self.scheduler.callLater(0, self.note, "made by first")

        self.scheduler.callLater(1, first)
        for number in range(20):
            self.scheduler.callLater(1, self.note, number)
        self.scheduler.run(1)
        self.assertEqual(self.made[-1], "made by first")
        self.assertEqual(len(self.made), 22)

    def test_order_at_one_time_is_drawn_from_the_seed(self) -> None:
        def order(seed: int) -> list[object]:
            made: list[object] = []
            scheduler = Scheduler(random.Random(seed))
            for number in range(20):
                scheduler.callLater(1, made.append, number)
            scheduler.run(1)
            return made

        self.assertEqual(order(1), order(1))
        self.assertNotEqual(order(1), order(2))
        self.assertEqual(sorted(map(str, order(1))), sorted(map(str, range(20))))

    def test_cancel(self) -> None:
        call = self.scheduler.callLater(1, self.note, 1)
        self.assertTrue(call.active())
        call.cancel()
        self.assertFalse(call.active())
        self.scheduler.run(2)
        self.assertEqual(self.made, [])
        self.assertRaises(AlreadyCancelled, call.cancel)

    def test_cancel_after_the_call(self) -> None:
        call = self.scheduler.callLater(1, self.note, 1)
        self.scheduler.run(2)
        self.assertFalse(call.active())
        self.assertRaises(AlreadyCalled, call.cancel)
        self.assertRaises(AlreadyCalled, call.reset, 1)

    def test_reset_sooner_and_later(self) -> None:
        sooner = self.scheduler.callLater(5, self.note, "sooner")
        later = self.scheduler.callLater(1, self.note, "later")
        sooner.reset(0.5)
        later.reset(3)
        self.assertEqual((sooner.getTime(), later.getTime()), (0.5, 3))
        self.scheduler.run(2)
        self.assertEqual(self.made, ["sooner"])
        self.scheduler.run(10)
        self.assertEqual(self.made, ["sooner", "later"])

    def test_delay(self) -> None:
        call = self.scheduler.callLater(1, self.note, 1)
        call.delay(2)
        self.assertEqual(call.getTime(), 3)
        self.scheduler.run(2.9)
        self.assertEqual(self.made, [])
        self.scheduler.run(3)
        self.assertEqual(self.made, [1])

    def test_delayed_calls(self) -> None:
        kept = self.scheduler.callLater(2, self.note, 1)
        self.scheduler.callLater(1, self.note, 2).cancel()
        kept.reset(4)
        self.assertEqual(self.scheduler.getDelayedCalls(), [kept])
        self.scheduler.run(4)
        self.assertEqual(self.scheduler.getDelayedCalls(), [])

    def test_stop(self) -> None:
        self.scheduler.callLater(1, self.scheduler.stop)
        self.scheduler.callLater(2, self.note, 2)
        self.scheduler.run(5)
        self.assertEqual((self.made, self.scheduler.now), ([], 1))

    def test_a_world_that_spins_is_found_out(self) -> None:
        def again() -> None:
            self.scheduler.callLater(0, again)

        again()
        self.assertRaises(Livelock, self.scheduler.run, 1)

    def test_fast_enough(self) -> None:
        # A hundred times slower than it is: only a wrong order of growth fails this.
        def again(left: int) -> None:
            if left:
                self.scheduler.callLater(0.001, again, left - 1)

        for _ in range(100):
            again(200)
        started = time.perf_counter()
        self.scheduler.run(1.0)
        self.assertEqual(self.scheduler.steps, 20_000)
        self.assertLess(time.perf_counter() - started, 10.0)
