"""Deliberate bugs of held jobs: each must be found by I21 within fifty seeds of its profile."""

from __future__ import annotations

import sqlite3
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papercutd.provider import journal
from papercutd.provider.held import HeldJobs
from papercutd.provider.journal import Job, ProviderJournal
from papercutd.provider.provider import PrintProvider
from tests.simulation.core import run_core
from tests.simulation.test_mutants import SEEDS_MAX, seeds_from


class HeldMutantTests(SynchronousTestCase):
    """Each test breaks one rule of design 4.7."""

    timeout = 240

    def tearDown(self) -> None:
        # Coroutines of processes that crashed are thrown away, and what they held with them.
        self.flushLoggedErrors()

    def assertFound(self, likely: int = 1) -> None:
        for seed in seeds_from(likely):
            found = {finding.invariant for finding in run_core(seed, "held").found}
            if "I21" in found:
                return
        self.fail(f"not found by I21 within {SEEDS_MAX} seeds")

    def test_release_without_compare_and_set(self) -> None:
        """Whoever comes second prints it too."""
        original = journal.read_jobs

        def read_jobs(connection: sqlite3.Connection, condition: str, *values: object) -> Any:
            return original(connection, condition.replace(" AND state = 'held'", ""), *values)

        self.patch(journal, "read_jobs", read_jobs)
        self.patch(HeldJobs, "take", lambda self, job: self._jobs.get(job))
        self.assertFound()

    def test_held_again_after_the_decision_was_written(self) -> None:
        """A restart between the decision of a release and the paper forgets the decision."""
        original = ProviderJournal.unended

        def unended(self: ProviderJournal) -> Deferred[list[Job]]:
            def forget(jobs: list[Job]) -> list[Job]:
                return [
                    attrs.evolve(job, state="asked")
                    if job.release and job.state == "decided"
                    else job
                    for job in jobs
                ]

            return original(self).addCallback(forget)

        self.patch(ProviderJournal, "unended", unended)
        self.assertFound(likely=22)

    def test_a_held_document_is_thrown_away(self) -> None:
        original = PrintProvider._keep_held

        async def keep_held(self: PrintProvider, job: Job, *rest: Any) -> Job:
            held = await original(self, job, *rest)
            self._forget_document(job)
            return held

        self.patch(PrintProvider, "_keep_held", keep_held)
        self.assertFound(likely=2)

    def test_alone_it_prints_without_a_release(self) -> None:
        """A tracker takes no notice of who waits for a person."""
        self.patch(PrintProvider, "_waits_for_release", lambda self, printer: False)
        self.assertFound(likely=2)
