"""The worker process: at most two, bounded in time and words; what it fails at is let through."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.document import Document, PageGroup
from papercutd.provider.analysis.analyser import (
    AT_ONCE,
    OUTPUT_MAX,
    READY,
    READY_AFTER_S,
    WALL_TIME_S,
    DocumentAnalyser,
)
from papercutd.provider.analysis.formats import PDF


class FakeProcess:
    """A process that a test ends."""

    def __init__(self, clock: Clock, protocol: Any, arguments: list[str]) -> None:
        self.clock = clock
        self.protocol = protocol
        self.arguments = arguments
        self.is_over = False
        self.asked = b""
        protocol.makeConnection(self)

    def write(self, data: bytes) -> None:
        self.asked += data

    def signalProcess(self, signal: str) -> None:
        if self.is_over:
            raise ProcessExitedAlready
        self.clock.callLater(0, self.end, b"", ProcessTerminated(signal=9))

    def end(self, output: bytes, reason: Exception | None = None) -> None:
        self.is_over = True
        self.protocol.outReceived(output)
        self.protocol.processEnded(Failure(reason or ProcessDone(0)))


class AnalyserTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.processes: list[FakeProcess] = []
        reactor: Any = self
        self.analyser = DocumentAnalyser(reactor, self.clock)

    def spawnProcess(
        self, protocol: Any, executable: str, args: list[str], env: object = None
    ) -> FakeProcess:
        self.processes.append(FakeProcess(self.clock, protocol, args))
        return self.processes[-1]

    def analyse(
        self, path: str = "x.pdf", format: str = PDF, user_name: str = ""
    ) -> list[Document]:
        found: list[Document] = []
        looking = self.analyser.analyse(path, format, 3, True, user_name)
        self.work = Deferred.fromCoroutine(looking)
        self.work.addCallback(found.append)
        return found

    def test_found(self) -> None:
        found = self.analyse()
        self.processes[0].end(b'{"groups": [["A4", 5, 2]]}')
        self.assertEqual(found, [Document((PageGroup("A4", 5, 2),), 3, True, PDF)])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        asked, end, rest = self.processes[0].asked.partition(b"\n")
        self.assertEqual((json.loads(asked)["path"], end, rest), ("x.pdf", b"\n", b""))

    def unknown(self, end: Callable[[FakeProcess], None]) -> None:
        found = self.analyse()
        end(self.processes[-1])
        self.assertEqual(found, [Document((), 3, True, PDF, analysed=False)])

    def test_what_it_fails_at_is_counted_afterwards(self) -> None:
        self.unknown(lambda process: process.end(b'{"failed": "unreadable (PdfiumError)"}'))
        self.unknown(lambda process: process.end(b""))
        self.unknown(lambda process: process.end(b"{"))
        self.unknown(lambda process: process.end(b'{"groups": []}'))
        self.unknown(lambda process: process.end(b'{"groups": [["A4"]]}'))
        self.unknown(lambda process: process.end(b"[1]"))
        self.unknown(lambda process: process.end(b" " * (OUTPUT_MAX + 10)))
        half = b'{"groups": [["A4", 5, 2]]}'
        self.unknown(lambda process: process.end(half, ProcessTerminated(signal=24)))

    def test_endless_it_is_killed(self) -> None:
        self.unknown(lambda process: self.clock.pump([WALL_TIME_S, 0]))
        self.assertTrue(self.processes[0].is_over)

    def test_at_most_two_at_once(self) -> None:
        found = [self.analyse(f"{n}.pdf", user_name=str(n)) for n in range(4)]
        self.assertEqual(len(self.processes), AT_ONCE)
        self.processes[0].end(b'{"groups": [["A4", 1, 0]]}')
        self.assertEqual(len(self.processes), AT_ONCE + 1)
        for process in self.processes[1:]:
            process.end(b"")
        self.processes[3].end(b"")
        self.assertEqual([len(one) for one in found], [1, 1, 1, 1])

    def test_one_of_each_user_at_once(self) -> None:
        """However many endless ones anna has, ben's are looked into."""
        for number in range(5):
            self.analyse(f"anna {number}", user_name="anna")
        self.work.cancel()
        self.failureResultOf(self.work, CancelledError)
        found = [self.analyse(f"ben {number}", user_name="ben") for number in range(2)]
        started = lambda: [json.loads(p.asked.partition(b"\n")[0])["path"] for p in self.processes]  # noqa: E731
        self.assertEqual(started(), ["anna 0", "ben 0"])
        self.processes[1].end(b'{"groups": [["A4", 1, 0]]}')
        self.assertEqual(started(), ["anna 0", "ben 0", "ben 1"])
        self.processes[2].end(b"")
        self.assertEqual([len(one) for one in found], [1, 1])
        self.clock.pump([WALL_TIME_S, 0])
        self.assertEqual(started()[3:], ["anna 1"])
        for _ in range(3):
            self.processes[-1].end(b"")
        self.assertEqual(started()[3:], ["anna 1", "anna 2", "anna 3"])
        self.assertEqual(self.analyser._turns, {})

    def test_other_formats_take_no_process(self) -> None:
        found = self.analyse(format="application/octet-stream")
        self.assertEqual(self.processes, [])
        self.assertFalse(found[0].analysed)

    def test_stopped_it_is_killed(self) -> None:
        self.analyse()
        self.work.cancel()
        self.failureResultOf(self.work, CancelledError)
        self.clock.advance(0)
        self.assertTrue(self.processes[0].is_over)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_some_wait_for_a_document(self) -> None:
        self.analyser.start()
        self.assertEqual(len(self.processes), READY)
        first, second = self.processes
        found = self.analyse()
        self.assertEqual((first.asked[:1], second.asked), (b"{", b""))
        first.end(b'{"groups": [["A4", 5, 2]]}')
        self.assertEqual(found[0].pages, 15)
        # The next is started when that job is on its way.
        self.assertEqual(len(self.processes), READY)
        self.clock.advance(READY_AFTER_S)
        self.assertEqual(len(self.processes), READY + 1)
        # One that died while it waited is passed over, and replaced.
        second.end(b"", ProcessTerminated(signal=9))
        found = self.analyse()
        self.processes[2].end(b'{"groups": [["A4", 5, 2]]}')
        self.assertEqual(found[0].pages, 15)
        self.clock.advance(READY_AFTER_S)
        self.assertEqual(sum(not process.is_over for process in self.processes), READY)
        self.analyser.stop()
        self.clock.advance(0)
        self.assertTrue(all(process.is_over for process in self.processes))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_has_said_all_is_ended_afterwards(self) -> None:
        self.analyser.start()
        for number in range(READY + 2):
            found = self.analyse()
            process = self.processes[number]
            process.protocol.outReceived(b'{"groups": [["A4", 5, 2]]}\n')
            self.assertEqual(found[0].pages, 15)
            self.clock.advance(0)
        # Of those that were begun too many at once some are ended before.
        said = self.processes[: READY + 2]
        self.assertEqual([p.is_over for p in said], [True] * 2 + [False] * READY)
        self.clock.pump([READY_AFTER_S, 0])
        self.assertTrue(all(p.is_over for p in said))
        self.analyse()
        ready = [p for p in self.processes if not p.is_over]
        ready[0].protocol.outReceived(b'{"groups": [["A4", 5, 2]]}\n')
        stopped = self.analyser.stop()
        self.assertNoResult(stopped)
        self.clock.advance(0)
        self.successResultOf(stopped)
        self.assertTrue(all(p.is_over for p in self.processes))

    def test_no_process_to_be_had(self) -> None:
        def none(*arguments: object, **more: object) -> FakeProcess:
            raise OSError("no more processes")

        self.patch(self, "spawnProcess", none)
        self.assertEqual([one.analysed for one in self.analyse()], [False])
