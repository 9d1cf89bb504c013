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
