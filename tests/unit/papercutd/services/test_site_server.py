"""A site forwards what it journals as it journals it."""

from __future__ import annotations

from tests.unit.papercutd.services.test_runs import RunCase


class ForwardingTests(RunCase):
    def test_the_end_of_a_session(self) -> None:
        """Its record does not wait for the next one: nobody may come for days."""
        asker = self.branch.provider()
        before = self.turner.result(self.branch.store.identity()).mark.number
        woken = self.site.uplink._woken()
        self.turner.run(self.site.end_session(asker))
        after = self.turner.result(self.branch.store.identity()).mark.number
        self.assertEqual((after, woken.called), (before + 1, True))


class ComparingTests(RunCase):
    def test_not_all_at_once(self) -> None:
        """Sites that were started together compare their replicas at times of their own."""
        interval_s = self.site.settings_in_force.repair_every_s
        waits_s = []
        for _ in range(20):
            self.site._plan_repair()
            planned = self.site._next_repair
            assert planned is not None
            waits_s.append(planned.getTime() - self.site.env.now())
            planned.cancel()
        self.assertGreaterEqual(min(waits_s), interval_s * 0.75)
        self.assertLessEqual(max(waits_s), interval_s * 1.25)
        self.assertEqual(len(set(waits_s)), 20)

    def test_again_and_again(self) -> None:
        """The next one is planned when one begins."""
        first = self.site._next_repair
        self.site._repair()
        self.assertIsNot(self.site._next_repair, first)
        planned = self.site._next_repair
        assert planned is not None
        planned.cancel()
