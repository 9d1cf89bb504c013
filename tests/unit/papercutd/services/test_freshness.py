"""A site's staleness clock: told by the link, kept through restarts."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.chain import CHAIN_START, Position
from papercutd.domain.staleness import LinkState
from papercutd.environment import real_environment
from papercutd.services.freshness import KEEP_INTERVAL_S, STALE_AFTER_S, Freshness
from tests.support.stores import WALL_S, Branch, Turner

HERE = Position(0, 1, CHAIN_START)
TOLD_S = WALL_S - 3


class FreshnessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turner = Turner()
        self.store = Branch(self.turner).store
        self.is_cut = False

    def start(self) -> Freshness:
        freshness = Freshness(self.turner.environment(), self.store, lambda: self.is_cut)
        self.turner.run(freshness.start())
        self.addCleanup(lambda: self.turner.run(freshness.stop()))
        return freshness

    def later(self, seconds: float) -> None:
        self.turner.clock.advance(seconds)
        self.turner.settle()

    def test_states(self) -> None:
        freshness = self.start()
        freshness.told(HERE, TOLD_S, HERE)
        self.later(STALE_AFTER_S + 1)
        self.assertIs(freshness.state(), LinkState.ONLINE)
        self.is_cut = True
        self.assertIs(freshness.state(), LinkState.STALE)
        self.assertIs(freshness.state(None), LinkState.CUT)
        freshness.told(HERE, TOLD_S, HERE)
        self.assertIs(freshness.state(), LinkState.CUT)

    def test_a_process_that_was_killed(self) -> None:
        """No stop, no last word: what was written a minute ago is enough."""
        first = self.start()
        first.told(HERE, TOLD_S, HERE)
        self.later(KEEP_INTERVAL_S)
        self.later(KEEP_INTERVAL_S / 2)
        again = Freshness(self.turner.environment(), self.store, lambda: True)
        self.turner.run(again.start())
        self.addCleanup(lambda: self.turner.run(again.stop()))
        self.assertEqual(again.stale_s, 90.0)
        self.assertEqual(again.stale_now_s(), TOLD_S + 90)
        self.later(5.0)
        self.assertEqual(again.stale_s, 95.0)

    def test_until_it_was_heard_our_own_clock(self) -> None:
        self.assertEqual(self.start().stale_now_s(), WALL_S)

    def test_written_once_a_minute(self) -> None:
        freshness = self.start()
        written = []
        keep = self.store.keep_staleness
        self.store.keep_staleness = lambda kept: written.append(kept) or keep(kept)
        for second in range(300):
            freshness.told(HERE, TOLD_S + second, HERE)
            self.later(1.0)
        self.assertEqual(len(written), 5)


class EnvironmentTests(SynchronousTestCase):
    def test_intervals_are_not_measured_by_the_wall_clock(self) -> None:
        """A reactor's own clock is the wall clock: it may be stepped."""
        from twisted.internet.task import Clock

        clock = Clock()
        env = real_environment(clock)
        before = env.now()
        clock.advance(1e6)
        self.assertLess(env.now() - before, 1e5)
