"""The staleness clock: what it counts, whatever the wall clock does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.chain import CHAIN_START, Position
from papercutd.domain.staleness import BOOT_MAX_S, Kept, LinkState, StalenessClock, state_of

T0 = 1_800_000_000.0
DAY_S = 86_400.0


def at(number: int, timeline: int = 0) -> Position:
    return Position(timeline, number, CHAIN_START)


def heard(told_s: float = T0, wall_s: float = T0, now_s: float = 0.0) -> StalenessClock:
    clock = StalenessClock(None, wall_s, now_s)
    clock.told(at(1), told_s, now_s, at(1))
    return clock


class RunningTests(SynchronousTestCase):
    def test_never_heard(self) -> None:
        clock = StalenessClock(None, T0, 5.0)
        self.assertEqual((clock.stale_s(65.0), clock.stale_now_s(65.0)), (60.0, None))

    def test_sums_monotonic_time(self) -> None:
        clock = heard(T0 + 7, now_s=100.0)
        self.assertEqual((clock.stale_s(160.0), clock.stale_now_s(160.0)), (60.0, T0 + 67))
        clock.told(at(2), T0 + 70, 163.0, at(2))
        self.assertEqual((clock.stale_s(163.0), clock.stale_now_s(163.0)), (0.0, T0 + 70))

    def test_a_replica_behind_is_fresh_once_it_has_come_so_far(self) -> None:
        clock = heard()
        clock.told(at(9), T0 + 10, 10.0, at(8))
        self.assertEqual(clock.stale_s(12.0), 12.0)
        clock.reached(at(9))
        # As old as what it was told then.
        self.assertEqual((clock.stale_s(12.0), clock.stale_now_s(12.0)), (2.0, T0 + 12))

    def test_a_head_that_moves_on_for_ever_is_reached(self) -> None:
        clock = heard()
        for second in range(1, 100):
            clock.told(at(second + 5), T0 + second, float(second), at(second))
            clock.reached(at(second))
            self.assertLessEqual(clock.stale_s(float(second)), 10.0)

    def test_a_new_timeline_is_beyond_an_older_one(self) -> None:
        clock = heard()
        clock.told(at(900), T0 + 10, 10.0, at(8))
        clock.reached(at(5, timeline=1))
        self.assertEqual(clock.stale_s(10.0), 0.0)

    def test_what_was_not_reached_before_the_cut_is_told_anew(self) -> None:
        clock = heard()
        clock.told(at(900), T0 + 10, 10.0, at(8))
        clock.link_down()
        clock.reached(at(900))
        self.assertEqual(clock.stale_s(10.0), 10.0)
        clock.told(at(5), T0 + 11, 11.0, at(900))
        self.assertEqual(clock.stale_s(11.0), 0.0)


class RestartTests(SynchronousTestCase):
    kept = Kept(T0, 100.0, T0 + 100)

    def stale_after(self, wall_s: float) -> float:
        return StalenessClock(self.kept, wall_s, 7.0).stale_s(7.0)

    def test_the_wall_clock_tells_how_long_it_was_away(self) -> None:
        self.assertEqual(self.stale_after(T0 + 130), 130.0)

    def test_1970_adds_nothing_and_2099_a_week(self) -> None:
        self.assertEqual(self.stale_after(0.0), 100.0)
        self.assertEqual(self.stale_after(4_070_908_800.0), 100.0 + BOOT_MAX_S)

    def test_the_next_start_counts_from_what_this_one_wrote(self) -> None:
        """2099, written down at once, then the right year: nothing more."""
        clock = StalenessClock(self.kept, 4_070_908_800.0, 7.0)
        kept = clock.keep(8.0, 4_070_908_801.0)
        again = StalenessClock(kept, T0 + 500, 3.0)
        self.assertEqual(again.stale_s(3.0), 101.0 + BOOT_MAX_S)
        self.assertEqual(again.stale_now_s(3.0), T0 + 101.0 + BOOT_MAX_S)


#: A stretch of running: (monotonic seconds, seconds the wall clock is stepped by meanwhile),
#: then a stop of so many seconds, with the wall clock stepped by so many.
_s = st.integers(0, 30 * 86_400).map(float)
_step = st.one_of(st.just(0.0), st.integers(-60 * 365 * 86_400, 80 * 365 * 86_400).map(float))
_life = st.lists(st.tuples(_s, _step, _s, _step), max_size=8)


class PropertyTests(SynchronousTestCase):
    @given(_life)
    def test_any_life(self, life: list[tuple[float, float, float, float]]) -> None:
        """While cut it never goes back, counts all running time, and a week a start at the most."""
        wall_s, clock, now_s = T0, heard(), 0.0
        ran_s, starts, before = 0.0, 0, T0
        for run_s, stepped_s, away_s, set_s in life:
            now_s += run_s
            ran_s += run_s
            wall_s += run_s + stepped_s
            kept = clock.keep(now_s, wall_s)
            wall_s += away_s + set_s
            starts += 1
            now_s = 1_000.0 * starts
            clock = StalenessClock(kept, wall_s, now_s)
            estimate = clock.stale_now_s(now_s)
            assert estimate is not None
            self.assertGreaterEqual(estimate, before)
            before = estimate
            self.assertAlmostEqual(estimate - T0, clock.stale_s(now_s), places=3)
            self.assertGreaterEqual(clock.stale_s(now_s), ran_s - 1e-3)
            self.assertLessEqual(clock.stale_s(now_s), ran_s + starts * BOOT_MAX_S + 1e-3)

    @given(st.lists(st.tuples(_s, st.integers(0, 6 * 86_400).map(float)), max_size=8))
    def test_with_an_honest_clock_it_is_exact(self, life: list[tuple[float, float]]) -> None:
        wall_s, clock, now_s, passed_s = T0, heard(), 0.0, 0.0
        for run_s, away_s in life:
            wall_s += run_s
            kept = clock.keep(now_s + run_s, wall_s)
            wall_s += away_s
            passed_s += run_s + away_s
            clock, now_s = StalenessClock(kept, wall_s, 0.0), 0.0
            self.assertAlmostEqual(clock.stale_s(0.0), passed_s, places=3)


class StateTests(SynchronousTestCase):
    def test_table(self) -> None:
        for is_cut, stale_s, limit_s, expected in (
            (False, 0.0, 60.0, LinkState.ONLINE),
            (False, 1e9, 60.0, LinkState.ONLINE),
            (True, 60.0, 60.0, LinkState.CUT),
            (True, 60.1, 60.0, LinkState.STALE),
            (True, 1e9, None, LinkState.CUT),
            (True, 1.0, 0.0, LinkState.STALE),
        ):
            self.assertIs(state_of(is_cut, stale_s, limit_s), expected)
