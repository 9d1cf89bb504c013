"""The provider's two sockets on its own machine: anything is answered, or its connection ends."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from papercutd.environment import Environment
from papercutd.provider.cups.backends import Announcement, Backend, BackendFactory
from papercutd.provider.submission import SubmissionFactory
from tests.fuzz.mutator import Mutator, damage_json
from tests.fuzz.strategies import ANY_JSON, SEEDS
from tests.unit.papercutd.provider.test_submission import FakeProvider

ANNOUNCEMENT = {
    **{"version": 1, "queue": "office", "job": 7, "uuid": "urn:uuid:1", "user": "anna"},
    **{"title": "t", "copies": 1, "options": "sides=one-sided", "host": "localhost"},
    **{"content_type": "application/pdf", "final_content_type": "application/pdf"},
    **{"uri": "papercut:socket://127.0.0.1", "filtered": True, "stream": False, "sheet": False},
}
HEADER = {"printer": "lp1", "user": "anna", "size": 5, "title": "t", "host": "h", "copies": 2}


class _Trusted:
    """The other end of a Unix socket, as the kernel has it for root."""

    def getsockopt(self, *args: int) -> bytes:
        return bytes(12)


class BackendTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.heard: list[Announcement] = []
        self.factory = BackendFactory(self.clock, "root", self.announced)

    def announced(self, announcement: Announcement, backend: Backend) -> None:
        self.heard.append(announcement)
        backend.hold("none", "")

    def say(self, data: list[bytes]) -> tuple[bytes, bool]:
        """What is answered, and whether it is over, to ``data`` in pieces."""
        transport: Any = StringTransport()
        transport.socket = _Trusted()
        backend = self.factory.buildProtocol(None)
        backend.makeConnection(transport)
        for piece in data:
            if not transport.disconnecting:
                backend.dataReceived(piece)
            self.assertLess(len(backend._buffer), 200_000)
        said = transport.value()
        # Silence too comes to an end.
        self.clock.advance(6.0)
        self.assertTrue(transport.disconnecting)
        backend.connectionLost()
        self.assertEqual(self.factory.backends, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return said, bool(said)

    def test_damaged_announcements(self) -> None:
        line = b"ANNOUNCE " + json.dumps(ANNOUNCEMENT).encode()

        @settings(max_examples=250, deadline=None)
        @given(SEEDS)
        def tell(seed: int) -> None:
            rng = random.Random(seed)
            mutator = Mutator(rng, [line, b"GO {}"])
            said, _ = self.say(mutator.split(mutator.data(3)))
            for answer in said.splitlines():
                self.assertIn(answer.partition(b" ")[0], (b"HOLD", b"RETRY"))

        tell()

    def test_any_field(self) -> None:
        @settings(max_examples=150, deadline=None)
        @given(st.dictionaries(st.sampled_from(sorted(ANNOUNCEMENT)), ANY_JSON, max_size=4))
        def tell(fields: dict[str, Any]) -> None:
            body = json.dumps({**ANNOUNCEMENT, **fields}).encode()
            _said, answered = self.say([b"ANNOUNCE " + body + b"\n"])
            self.assertTrue(answered)

        tell()

    def test_nested_beyond_what_is_followed(self) -> None:
        for opened in (b"[", b'{"a":'):
            said, _ = self.say([b'ANNOUNCE {"x":' + opened * 10_000 + b"\n"])
            self.assertTrue(said.startswith(b"RETRY"), said)


class SubmissionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.spool = Path(self.mktemp())
        self.spool.mkdir()
        self.provider = FakeProvider()
        provider: Any = self.provider
        env = Environment(self.clock, lambda: 0.0, random.Random(1))
        self.factory = SubmissionFactory(env, provider, self.spool, 1000)
        self.factory.uid_of = lambda transport: 12345

    def say(self, pieces: list[bytes]) -> list[dict[str, Any]]:
        transport = StringTransport()
        submitter = self.factory.buildProtocol(None)
        submitter.makeConnection(transport)
        for piece in pieces:
            if not transport.disconnecting:
                submitter.dataReceived(piece)
        self.clock.advance(301.0)
        submitter.connectionLost()
        taken = len(self.provider.taken)
        self.provider.taken.clear()
        # Nothing is left behind but the documents of jobs.
        files = list(self.spool.iterdir())
        self.assertLessEqual(len(files), taken)
        for file in files:
            file.unlink()
        self.assertEqual(self.factory._connections.total(), 0)
        return [json.loads(line) for line in transport.value().splitlines()]

    def test_damaged_headers(self) -> None:
        line = json.dumps(HEADER).encode()

        @settings(max_examples=200, deadline=None)
        @given(SEEDS)
        def tell(seed: int) -> None:
            rng = random.Random(seed)
            body = damage_json(rng, line, 1 + seed % 3)
            self.assertTrue(self.say([body + b"\nhello", b"hello"]))

        tell()

    def test_any_bytes(self) -> None:
        @settings(max_examples=100, deadline=None)
        @given(st.lists(st.binary(max_size=100), max_size=5))
        def tell(pieces: list[bytes]) -> None:
            self.assertTrue(self.say(pieces))

        tell()

    def test_any_field(self) -> None:
        @settings(max_examples=150, deadline=None)
        @given(
            st.dictionaries(
                st.sampled_from(sorted({*HEADER, "wait", "duplex"})), ANY_JSON, max_size=2
            )
        )
        def tell(fields: dict[str, Any]) -> None:
            told = {**HEADER, **fields}
            taken: list[Any] = []
            self.provider.answer = lambda: taken.extend(self.provider.taken) or _ok()  # type: ignore[func-returns-value]
            self.assertTrue(self.say([json.dumps(told).encode() + b"\n", b"hello" * 300]))
            for submission in taken:
                # As it goes into the journal.
                for text in (submission.printer, submission.user_name, submission.title):
                    text.encode()
                submission.host.encode()
                self.assertTrue(1 <= submission.copies <= 9_999)

        tell()

    def test_nested_beyond_what_is_followed(self) -> None:
        for opened in (b"[", b'{"a":'):
            (said,) = self.say([b'{"printer":' + opened * 10_000 + b"\n"])
            self.assertIn("error", said)


def _ok() -> Any:
    from twisted.internet.defer import succeed

    return succeed("01960a2e-0000-7000-8000-000000000001")
