"""Tests of protocols.session.watch."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from protocols.session.watch import BETWEEN_S, Watch


class Quiet:
    def __init__(self, at: float) -> None:
        self.at = at

    def next_deadline(self) -> float:
        return self.at


class WatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.over: list[tuple[float, Quiet]] = []
        self.watch = Watch(
            self.clock,
            lambda quiet: self.over.append((self.clock.seconds(), quiet)),
        )

    def add(self, at: float) -> Quiet:
        quiet = Quiet(at)
        self.watch.add(quiet)
        return quiet

    def test_each_at_its_own_deadline(self) -> None:
        late, early = self.add(20.0), self.add(5.0)
        self.clock.pump([1.0] * 30)
        self.assertEqual(self.over, [(5.0, early), (20.0, late)])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_deadline_that_moved(self) -> None:
        quiet = self.add(5.0)
        quiet.at = 12.0
        self.clock.advance(5.0)
        self.assertEqual(self.over, [])
        self.clock.advance(7.0)
        self.assertEqual(self.over, [(12.0, quiet)])

    def test_many_at_almost_the_same_time_are_few_looks(self) -> None:
        for n in range(1_000):
            self.add(5.0 + n / 10_000)
        self.clock.advance(5.0)
        self.assertEqual(len(self.over), 1)
        (call,) = self.clock.getDelayedCalls()
        self.assertEqual(call.getTime(), 5.0 + BETWEEN_S)
        self.clock.advance(BETWEEN_S)
        self.assertEqual(len(self.over), 1_000)

    def test_removed(self) -> None:
        first, second = self.add(5.0), self.add(6.0)
        self.watch.remove(first)
        self.watch.remove(first)
        self.clock.advance(5.0)
        self.assertEqual(self.over, [])
        self.watch.remove(second)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_end_of_one_is_another_ones_too(self) -> None:
        pair = [self.add(5.0), self.add(5.0)]

        def both(quiet: Quiet) -> None:
            self.over.append((self.clock.seconds(), quiet))
            for one in pair:
                self.watch.remove(one)

        self.watch._over = both
        self.clock.advance(5.0)
        self.assertEqual(self.over, [(5.0, pair[0])])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_comes_while_another_ends(self) -> None:
        self.add(5.0)
        self.watch._over = lambda quiet: self.add(9.0)
        self.clock.advance(5.0)
        (call,) = self.clock.getDelayedCalls()
        self.assertEqual(call.getTime(), 9.0)
