"""Deliberate bugs of who is asked who pays: I25 must find each within fifty seeds."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papercutd.provider.journal import Job, ProviderJournal
from papercutd.storage.site import deciding
from tests.simulation.core import run_core
from tests.simulation.test_mutants import SEEDS_MAX, seeds_from


class ChoiceMutantTests(SynchronousTestCase):
    timeout = 240

    def tearDown(self) -> None:
        # Coroutines of processes that crashed are thrown away, and what they held with them.
        self.flushLoggedErrors()

    def assertFound(self, likely: int = 1) -> None:
        for seed in seeds_from(likely):
            found = {finding.invariant for finding in run_core(seed, "choices").found}
            if "I25" in found:
                return
        self.fail(f"not found by I25 within {SEEDS_MAX} seeds")

    def test_the_timer_forgets_after_a_restart(self) -> None:
        """Whoever did not answer before it is waited for until the job is deleted."""
        original = ProviderJournal.unended

        def unended(self: ProviderJournal) -> Deferred[list[Job]]:
            return original(self).addCallback(
                lambda jobs: [attrs.evolve(job, choice_due_at=0.0) for job in jobs]
            )

        self.patch(ProviderJournal, "unended", unended)
        self.assertFound(6)

    def test_a_site_forgets_whether_to_invoice(self) -> None:
        original = deciding.with_naming
        self.patch(
            deciding,
            "with_naming",
            lambda decision, settled, chosen, wish: original(decision, settled, chosen, None),
        )
        self.assertFound()
