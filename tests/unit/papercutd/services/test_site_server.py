"""A site forwards what it journals as it journals it."""

from __future__ import annotations

from papercutd.domain.chain import MARK_START
from papercutd.domain.job import SessionRef
from tests.support.stores import job_id
from tests.unit.papercutd.services.test_runs import RunCase


class ForwardingTests(RunCase):
    def test_the_end_of_a_session(self) -> None:
        """Its record does not wait for the next one: nobody may come for days."""
        journal = job_id(0xD1)
        seen = self.turner.result(self.branch.store.begin_device("desk", journal, MARK_START, ""))
        before = self.turner.result(self.branch.store.identity()).mark.number
        woken = self.site.uplink._woken()
        asker = SessionRef("device", "desk", journal, seen.session)
        self.turner.run(self.site.end_session(asker))
        after = self.turner.result(self.branch.store.identity()).mark.number
        self.assertEqual((after, woken.called), (before + 1, True))
