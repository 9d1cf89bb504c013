"""The sum of lockouts: whatever the order, and how many a day has room for."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.lockout import (
    A_DAY_MAX,
    DAY_S,
    LOCKOUT_S,
    NO_LOCKOUT,
    Lockout,
    sum_lockouts,
)

#: Whatever else the machine does meanwhile.
patient = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
#: Seconds, in quarters: no sum is rounded.
times = st.integers(0, 40 * 86_400).map(lambda quarters: quarters / 4)


class SumTests(SynchronousTestCase):
    def test_each_doubles_up_to_a_day(self) -> None:
        for count, expected_s in ((1, 900), (2, 1800), (3, 3600), (7, 57_600), (8, DAY_S)):
            found = sum_lockouts([100.0] * count)
            self.assertEqual(found, Lockout(count, expected_s, 100.0 + expected_s))
        self.assertEqual(sum_lockouts([0.0] * 5_000).lasts_s, DAY_S)
        self.assertEqual(sum_lockouts([]), NO_LOCKOUT)

    def test_a_day_later_it_is_the_first_again(self) -> None:
        self.assertEqual(sum_lockouts([0.0, DAY_S]), Lockout(1, LOCKOUT_S, DAY_S + LOCKOUT_S))
        self.assertEqual(sum_lockouts([0.25, DAY_S]).count, 2)

    @patient
    @given(st.lists(times, min_size=1, max_size=30), st.permutations(range(30)))
    def test_the_order_does_not_matter(self, begun, order) -> None:
        mixed = [begun[place] for place in order if place < len(begun)]
        self.assertEqual(sum_lockouts(mixed), sum_lockouts(begun))

    @patient
    @given(st.lists(times, min_size=1, max_size=30), times)
    def test_another_one_never_lets_in_earlier(self, begun, other) -> None:
        """One that is told late counts only for what is still in force."""
        before, after = sum_lockouts(begun), sum_lockouts([*begun, other])
        if other <= max(begun):
            self.assertGreaterEqual(after.ends_at, before.ends_at)
        elif other >= before.ends_at:
            self.assertGreaterEqual(after.ends_at, before.ends_at + LOCKOUT_S)

    @patient
    @given(st.lists(times, max_size=30), st.floats(-1e12, 1e12))
    def test_what_is_left(self, begun, now_s) -> None:
        found = sum_lockouts(begun)
        self.assertTrue(0.0 <= found.left_s(now_s) <= found.lasts_s <= DAY_S)

    @patient
    @given(st.lists(st.floats(0.0, 2 * DAY_S), max_size=20))
    def test_a_server_locks_out_seven_times_a_day(self, pauses) -> None:
        """Each begins when the one before has ended, or later."""
        begun = [0.0]
        for pause_s in (0.0,) * 10 + tuple(pauses):
            begun.append(sum_lockouts(begun).ends_at + pause_s)
        for first in begun:
            self.assertLessEqual(sum(0 <= at - first < DAY_S for at in begun), A_DAY_MAX)
