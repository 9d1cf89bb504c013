"""Handing in a document: nothing is answered before it is on the disk, nothing left behind."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from papercutd.environment import Environment
from papercutd.errors import NotFound
from papercutd.provider.journal import Job
from papercutd.provider.provider import Submission
from papercutd.provider.submission import (
    CONNECTIONS_MAX,
    CONNECTIONS_OF_USER_MAX,
    HEADER_S,
    TIMEOUT_S,
    SubmissionFactory,
    remove_orphans,
)
from tests.support.stores import job_id
from tests.unit.papercutd.provider.test_journal import job as make_job


@attrs.define
class FakeProvider:
    """Takes what it is given, or answers as a test says."""

    answer: Callable[[], Deferred[str]] = lambda: succeed(job_id(1))
    taken: list[Submission] = attrs.field(factory=list)
    watchers: list[Callable[[Job], None]] = attrs.field(factory=list)

    async def submit(self, submission: Submission) -> str:
        self.taken.append(submission)
        return await self.answer()

    def watch(self, job: str, watcher: Callable[[Job], None]) -> None:
        self.watchers.append(watcher)


class SubmissionCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.spool = Path(self.mktemp())
        self.spool.mkdir()
        self.provider = FakeProvider()
        env = Environment(self.clock, lambda: 0.0, random.Random(1))
        provider: Any = self.provider
        self.factory = SubmissionFactory(env, provider, self.spool, 1000)
        self.uid = 12345
        self.factory.uid_of = lambda transport: self.uid
        self.connect()

    def connect(self) -> None:
        self.transport = StringTransport()
        self.protocol = self.factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        self.addCleanup(self.protocol.connectionLost)

    def connect_many(self, count: int) -> list[Any]:
        """So many that say nothing; what each of them is told at once."""
        said = []
        for _ in range(count):
            self.connect()
            said.append(self.said())
        return said

    def header(self, **fields: Any) -> bytes:
        usual = {"printer": "lp1", "user": "anna", "size": 5, "title": "t"}
        return json.dumps({**usual, **fields}).encode() + b"\n"

    def said(self) -> list[Any]:
        return [json.loads(line) for line in self.transport.value().splitlines()]

    def files(self) -> list[str]:
        return sorted(os.listdir(self.spool))


class AcceptedTests(SubmissionCase):
    def test_on_the_disk_then_answered(self) -> None:
        waiting: Deferred[str] = Deferred()
        self.provider.answer = lambda: waiting
        for byte in self.header(copies=2, duplex=True) + b"%PDF-":
            self.protocol.dataReceived(bytes([byte]))
        (taken,) = self.provider.taken
        self.assertEqual(Path(taken.path).read_bytes(), b"%PDF-")
        self.assertEqual((taken.size, taken.copies, taken.duplex), (5, 2, True))
        self.assertEqual((taken.user_name, taken.format), ("anna", "application/pdf"))
        self.assertEqual(self.said(), [])
        waiting.callback(job_id(1))
        self.assertEqual(self.said(), [{"job": job_id(1)}])
        self.assertTrue(self.transport.disconnecting)
        self.protocol.connectionLost()
        self.assertEqual(len(self.files()), 1)

    def test_more_than_was_said_is_not_read(self) -> None:
        self.protocol.dataReceived(self.header() + b"12345678")
        self.assertEqual(Path(self.provider.taken[0].path).read_bytes(), b"12345")

    def test_progress_until_it_ended(self) -> None:
        self.protocol.dataReceived(self.header(wait=True) + b"12345")
        self.assertFalse(self.transport.disconnecting)
        (watcher,) = self.provider.watchers
        watcher(make_job(state="asked"))
        self.assertFalse(self.transport.disconnecting)
        watcher(make_job(state="ended", outcome="completed"))
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual([one.get("state") for one in self.said()], [None, "asked", "ended"])

    def test_gone_while_it_is_taken_it_stays_a_job(self) -> None:
        waiting: Deferred[str] = Deferred()
        self.provider.answer = lambda: waiting
        self.protocol.dataReceived(self.header() + b"12345")
        self.protocol.connectionLost()
        self.assertEqual(len(self.files()), 1)
        waiting.callback(job_id(1))
        self.assertEqual(len(self.files()), 1)


class RefusedTests(SubmissionCase):
    def refused(self, data: bytes) -> str:
        self.connect()
        self.protocol.dataReceived(data)
        (said,) = self.said()
        self.assertTrue(self.transport.disconnecting)
        self.protocol.connectionLost()
        self.assertEqual(self.files(), [])
        return str(said["error"])

    def test_bad_headers(self) -> None:
        for header in (
            b"hello\n",
            b"[]\n",
            b"{}\n",
            self.header(size="5"),
            self.header(printer=1),
            self.header(copies="2"),
        ):
            self.assertIn("the header is", self.refused(header))
        self.assertIn("too long", self.refused(b"x" * 70_000))

    def test_sizes(self) -> None:
        self.assertIn("empty", self.refused(self.header(size=0)))
        self.assertIn("too large", self.refused(self.header(size=1001)))

    def test_refused_by_the_provider_nothing_is_left(self) -> None:
        self.provider.answer = lambda: fail(NotFound("printer", "lp9"))
        self.assertIn("lp9", self.refused(self.header(printer="lp9") + b"12345"))

    def test_a_defect_is_not_told(self) -> None:
        self.provider.answer = lambda: fail(RuntimeError("secret"))
        self.assertNotIn("secret", self.refused(self.header() + b"12345"))
        self.flushLoggedErrors(RuntimeError)

    def test_given_up_half_way(self) -> None:
        self.protocol.dataReceived(self.header() + b"123")
        self.assertEqual(len(self.files()), 1)
        self.protocol.connectionLost()
        self.assertEqual(self.files(), [])
        self.assertEqual(self.provider.taken, [])

    def test_too_slow(self) -> None:
        self.protocol.dataReceived(self.header() + b"123")
        self.clock.advance(TIMEOUT_S)
        self.assertIn("in time", self.said()[0]["error"])
        self.protocol.connectionLost()
        self.assertEqual(self.files(), [])

    def test_silent(self) -> None:
        self.clock.advance(HEADER_S)
        self.assertIn("in time", self.said()[0]["error"])
        self.assertTrue(self.transport.disconnecting)

    def test_who_waits_for_a_job_is_not_slow(self) -> None:
        self.protocol.dataReceived(self.header(wait=True) + b"12345")
        self.clock.advance(2 * TIMEOUT_S)
        self.assertFalse(self.transport.disconnecting)

    def test_too_many(self) -> None:
        """One user's do not keep others out, and everybody's leave files to the process."""
        *admitted, last = self.connect_many(CONNECTIONS_OF_USER_MAX)
        self.assertEqual([said for said in admitted if said], [])
        self.assertIn("too many", last[0]["error"])
        refused = self.protocol
        refused.dataReceived(self.header() + b"12345")
        refused.connectionLost()
        self.assertEqual(self.provider.taken, [])
        self.uid = 0
        left = CONNECTIONS_MAX - CONNECTIONS_OF_USER_MAX
        self.assertEqual(self.connect_many(left), [[]] * left)
        freed = self.protocol
        self.assertIn("too many", self.connect_many(1)[0][0]["error"])
        freed.connectionLost()
        self.assertEqual(self.connect_many(1), [[]])
        self.protocol.dataReceived(self.header() + b"12345")
        self.assertEqual(len(self.provider.taken), 1)

    def test_a_spool_that_cannot_be_written(self) -> None:
        self.spool.rmdir()
        self.protocol.dataReceived(self.header() + b"12345")
        self.assertIn("cannot be kept", self.said()[0]["error"])
        self.assertTrue(self.transport.disconnecting)
        self.spool.mkdir()


class OrphanTests(SubmissionCase):
    def test_documents_of_no_job_go(self) -> None:
        for name in ("kept", "gone"):
            (self.spool / name).write_bytes(b"x")
        # The spool may have been called otherwise when the job came in.
        self.assertEqual(remove_orphans(self.spool, ["elsewhere/spool/kept"]), 1)
        self.assertEqual(self.files(), ["kept"])
