"""A job whose backend waits: its decision and its printing are made durable together (4.6)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.document import Document, PageGroup
from papercutd.provider.adapters import Outcome
from papercutd.provider.journal import Job, Spooled
from protocols.provider import messages
from tests.support.stores import job_id
from tests.unit.papercutd.provider.rig import Crash, Rig
from tests.unit.papercutd.provider.test_journal import job

JOB = job_id(1)
SPOOLED = Spooled("q1", 7, "", "socket://printer")


class FakeSpooler:
    """Lets through at once, or when asked; remembers in which state a job came to it."""

    def __init__(self) -> None:
        self.waits = True
        self.came: list[str] = []
        self.ended: list[Deferred[Outcome]] = []

    async def analyse(self, job: Job) -> Document:
        return Document((PageGroup("A4", 2),), job.copies, job.duplex, job.format)

    async def is_grey(self, job: Job) -> bool | None:
        return False

    def at_once(self, job: Job) -> Job | None:
        about = attrs.evolve(SPOOLED, printer_job_before=41)
        return attrs.evolve(job, spooled=about) if self.waits else None

    async def print_job(
        self,
        job: Job,
        is_canceled: Callable[[], bool],
        printing: Callable[[Job], Awaitable[None]],
    ) -> Outcome:
        self.came.append(job.state)
        if job.state != "printing":
            await printing(job)
        self.ended.append(Deferred())
        return await self.ended[-1]

    def changed(self, job: Job) -> None:
        """It has nothing to tell."""

    def wake(self, job: str) -> None:
        """Nothing waits."""


class AtOnceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = Rig()
        self.spooler = self.rig.spooler = FakeSpooler()
        self.rig.start()

    def take_in(self) -> None:
        one = job(path="", job_uuid="urn:uuid:7", spooled=SPOOLED)
        Deferred.fromCoroutine(self.rig.provider.take_in(one))
        self.rig.run(1.0)

    def records(self) -> list[str]:
        rows = self.rig.rows("SELECT json_extract(body, '$.what') FROM record ORDER BY number")
        words = ("received", "analysed", "asked", "decided", "printing", "ended", "abandoned")
        return [what for (what,) in rows if what in words]

    def commits(self) -> list[list[Any]]:
        """States on the disk after each commit from now on."""
        found: list[list[Any]] = []
        look = lambda: found.append(self.rig.rows("SELECT state FROM job"))  # noqa: E731
        self.rig.after_commit = look
        return found

    def test_two_commits_less(self) -> None:
        found = self.commits()
        self.take_in()
        states = [rows[0][0] for rows in found if rows]
        self.assertEqual(list(dict.fromkeys(states)), ["received", "asked", "printing"])
        expected = ["received", "analysed", "asked", "decided", "printing"]
        self.assertEqual(self.records(), expected)
        self.assertEqual(self.spooler.came, ["printing"])
        (kept,) = self.rig.rows("SELECT json_extract(spooled, '$.printer_job_before') FROM job")
        self.assertEqual(kept, (41,))
        self.spooler.ended[0].callback(Outcome("completed"))
        self.rig.run(1.0)
        (told,) = self.rig.application.all(messages.Complete)
        self.assertEqual((told.job, told.pages), (JOB, None))

    def test_where_none_waits_one_after_the_other(self) -> None:
        self.spooler.waits = False
        found = self.commits()
        self.take_in()
        states = [rows[0][0] for rows in found if rows]
        self.assertEqual(list(dict.fromkeys(states)), ["received", "asked", "decided", "printing"])
        self.assertEqual(self.spooler.came, ["decided"])

    def test_refused_it_does_not_print(self) -> None:
        self.rig.application.answer("deny", "funds")
        self.take_in()
        self.assertEqual(self.spooler.came, [])
        self.assertEqual(self.rig.state(JOB)[4], "denied")

    def test_canceled_while_the_disk_writes_nothing_is_let_through(self) -> None:
        def cancel() -> None:
            if self.records()[-1] == "printing":
                self.rig.before_commit = None
                self.assertTrue(self.rig.provider.cancel(JOB))

        self.rig.before_commit = cancel
        self.take_in()
        self.assertIsNone(self.rig.before_commit)
        self.assertEqual(self.spooler.came, [])
        self.assertEqual(self.rig.state(JOB)[4], "canceled")
        self.assertEqual(self.rig.application.keys(messages.Cancel), [f"{JOB}/submit-1"])
        self.assertEqual(self.rig.application.all(messages.Complete), [])

    def crash(self, when: str) -> None:
        """Die around the commit of the decision, and start again."""

        def die() -> None:
            if self.records()[-1] == "printing":
                self.rig.before_commit = self.rig.after_commit = None
                raise Crash

        setattr(self.rig, when, die)
        self.assertRaises(Crash, self.take_in)
        self.rig.kill()
        self.assertEqual(self.spooler.came, [])
        self.rig.start(2.0)

    def test_dead_before_the_commit_it_is_asked_again_by_the_same_key(self) -> None:
        self.crash("before_commit")
        key = f"{JOB}/submit-1"
        self.assertEqual(self.rig.application.keys(messages.Authorize), [key, key])
        self.assertEqual(self.spooler.came, ["printing"])

    def test_dead_after_it_the_spooler_is_asked_what_became_of_it(self) -> None:
        self.crash("after_commit")
        self.assertEqual(len(self.rig.application.all(messages.Authorize)), 1)
        self.assertEqual(self.spooler.came, ["printing"])
