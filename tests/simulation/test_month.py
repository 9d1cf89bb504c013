"""A month with sites cut at random; 20 sites and 100,000 users by ``make month``."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.month import MonthRun

SITES, USERS, JOBS, DAYS = 4, 60, 300, 15


class MonthTests(SynchronousTestCase):
    timeout = 600

    def test_every_balance_is_what_its_transfers_say(self) -> None:
        month = MonthRun(SITES, USERS, JOBS, days=DAYS).run()
        self.assertEqual(month.found, [])
        self.assertEqual((month.jobs, month.balances_compared), (JOBS, USERS))
        # It was a month: cuts, quotas, and money that was there and that was not.
        self.assertGreater(month.cuts, 5)
        self.assertGreater(month.decided_at_cut_sites, 20)
        self.assertGreaterEqual(month.quota_runs, 2)
        self.assertTrue(0 < month.allowed < month.jobs)
