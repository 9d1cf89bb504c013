"""A document from ``papercut-lp`` to the paper, over real sockets and with a real worker."""

from __future__ import annotations

import json
import os
import pwd
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from papercutd.domain.document import Document
from papercutd.environment import Environment
from papercutd.provider.adapters import PrinterUnreachable, PrintOptions
from papercutd.provider.adapters.ipp import Operation, Tag
from papercutd.provider.adapters.ipp_printer import IppPrinter
from papercutd.provider.adapters.registry import direct_adapters
from papercutd.provider.adapters.socket_printer import SocketPrinter
from papercutd.provider.analysis import worker as worker_module
from papercutd.provider.analysis.analyser import DocumentAnalyser
from papercutd.provider.analysis.formats import PDF
from papercutd.provider.journal import ProviderJournal
from papercutd.provider.provider import PrintProvider
from papercutd.provider.submission import SubmissionFactory
from papercutd.services.link import LinkSettings
from papercutd.storage.replication.asker_journal import create_journal, verify_journal
from papercutd.storage.sqlite.migrate import open_database
from papercutd.storage.sqlite.writer import ThreadWriter
from protocols.provider import messages
from tests.unit.papercutd.provider.adapters.test_ipp import line
from tests.unit.papercutd.provider.documents import (
    RED_DOT,
    Page,
    make_encrypted,
    make_many_pages,
    make_pdf,
)
from tests.unit.papercutd.provider.rig import JOURNAL, PRINTER, FakeServer, config

reactor: Any = _reactor
ROOT = Path(__file__).resolve().parents[2]
THREE_PAGES = make_pdf([Page(), Page(content=RED_DOT), Page((842, 595))])


@implementer(IHalfCloseableProtocol)
class RawPrinter(Protocol):
    """A printer of raw bytes: closes when the document is through."""

    def __init__(self, owner: RawPrinterFactory) -> None:
        self.owner = owner
        self.data = b""
        owner.printers.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        if self.owner.breaks_off:
            self.transport.abortConnection()  # type: ignore[union-attr]

    def readConnectionLost(self) -> None:
        if not self.owner.never_closes:
            self.transport.loseConnection()  # type: ignore[union-attr]

    def writeConnectionLost(self) -> None:
        """It says nothing anyway."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.owner.documents.append(self.data)


class RawPrinterFactory(Factory):
    """The documents that came, in order."""

    noisy = False

    def __init__(self) -> None:
        self.documents: list[bytes] = []
        self.printers: list[RawPrinter] = []
        self.breaks_off = False
        self.never_closes = False

    def buildProtocol(self, addr: Any) -> Protocol:
        return RawPrinter(self)


@attrs.define
class IppState:
    """What an IPP printer made of Python does and has heard."""

    states: list[int] = attrs.field(factory=lambda: [5, 9])
    impressions: int | None = 3
    accepts: bool = True
    print_status: int = 0
    http_status: int = 200
    requests: list[bytes] = attrs.field(factory=list)

    def asked(self, operation: Operation) -> list[bytes]:
        return [one for one in self.requests if one[2:4] == operation.to_bytes(2, "big")]


class IppResource(Resource):
    """Answers the three operations that the adapter uses."""

    isLeaf = True

    def __init__(self, state: IppState) -> None:
        super().__init__()
        self.state = state

    def render_POST(self, request: Any) -> bytes:
        body = request.content.read()
        self.state.requests.append(body)
        request.setResponseCode(self.state.http_status)
        request.setHeader(b"content-type", b"application/ipp")
        operation = int.from_bytes(body[2:4], "big")
        status, groups = 0, b""
        if operation == Operation.GET_PRINTER_ATTRIBUTES:
            groups = b"\x04" + line(
                Tag.BOOLEAN, "printer-is-accepting-jobs", bytes([self.state.accepts])
            )
            groups += line(Tag.MIME_TYPE, "document-format-supported", b"application/pdf")
        elif operation == Operation.PRINT_JOB:
            status = self.state.print_status
            groups = b"\x02" + line(Tag.INTEGER, "job-id", (7).to_bytes(4, "big"))
        else:
            states = self.state.states
            now = states.pop(0) if len(states) > 1 else states[0]
            groups = b"\x02" + line(Tag.ENUM, "job-state", now.to_bytes(4, "big"))
            if self.state.impressions is not None:
                counted = self.state.impressions.to_bytes(4, "big")
                groups += line(Tag.INTEGER, "job-impressions-completed", counted)
        header = b"\x01\x01" + status.to_bytes(2, "big") + body[4:8] + b"\x01"
        header += line(Tag.CHARSET, "attributes-charset", b"utf-8")
        return header + groups + b"\x03"


class PrintingCase(TestCase):
    timeout = 60

    async def listen(self, factory: Any) -> int:
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def document(self, data: bytes = THREE_PAGES) -> str:
        path = self.mktemp()
        Path(path).write_bytes(data)
        return os.path.abspath(path)

    async def started(self) -> None:
        self.begun = getattr(self, "begun", 0) + 1

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await deferLater(reactor, 0.02, lambda: None)


class SocketPrinterTests(PrintingCase):
    async def setUp(self) -> None:
        self.factory = RawPrinterFactory()
        self.uri = f"socket://127.0.0.1:{await self.listen(self.factory)}"
        self.printer = SocketPrinter(reactor, reactor, copy_retry_s=0.05, print_timeout_s=2.0)

    async def print_it(self, **options: Any) -> Any:
        return await self.printer.print_document(
            self.document(), self.uri, self.started, PrintOptions(**options)
        )

    async def test_every_byte_once_for_each_copy(self) -> None:
        outcome = await self.print_it(copies=3)
        self.assertEqual(
            (outcome.state, outcome.pages, outcome.assumed), ("completed", None, False)
        )
        self.assertEqual(self.factory.documents, [THREE_PAGES] * 3)
        self.assertEqual(self.begun, 1)

    async def test_broken_off_is_assumed(self) -> None:
        self.factory.breaks_off = True
        self.assertTrue((await self.print_it()).assumed)

    async def test_nobody_there(self) -> None:
        self.uri = "socket://127.0.0.1:1"
        await self.assertFailure(Deferred.fromCoroutine(self.print_it()), PrinterUnreachable)
        self.assertFalse(hasattr(self, "begun"))

    async def test_not_begun_when_it_may_not_begin(self) -> None:
        async def refused() -> None:
            raise RuntimeError("canceled")

        printing = self.printer.print_document(self.document(), self.uri, refused, PrintOptions())
        await self.assertFailure(Deferred.fromCoroutine(printing), RuntimeError)
        await self.until(lambda: bool(self.factory.documents))
        self.assertEqual(self.factory.documents, [b""])

    async def test_no_document(self) -> None:
        printing = self.printer.print_document("nowhere", self.uri, self.started, PrintOptions())
        await self.assertFailure(Deferred.fromCoroutine(printing), FileNotFoundError)

    async def test_a_printer_that_never_closes_is_given_up(self) -> None:
        self.factory.never_closes = True
        self.printer = SocketPrinter(reactor, reactor, print_timeout_s=0.3)
        self.assertTrue((await self.print_it()).assumed)
        for printer in self.factory.printers:
            printer.transport.abortConnection()  # type: ignore[union-attr]
        await self.until(lambda: bool(self.factory.documents))


class IppPrinterTests(PrintingCase):
    async def setUp(self) -> None:
        self.state = IppState()
        site = Site(IppResource(self.state))
        site.noisy = False
        self.uri = f"ipp://127.0.0.1:{await self.listen(site)}/ipp/print"
        self.printer = IppPrinter(
            reactor, reactor, poll_s=0.01, print_timeout_s=1.0, answer_timeout_s=1.0
        )

    async def print_it(self, data: bytes = THREE_PAGES, **options: Any) -> Any:
        return await self.printer.print_document(
            self.document(data), self.uri, self.started, PrintOptions(**options)
        )

    async def test_printed_and_counted(self) -> None:
        outcome = await self.print_it(copies=2, duplex=True, title="t\u00e4" * 200)
        self.assertEqual((outcome.state, outcome.pages, outcome.assumed), ("completed", 3, False))
        (sent,) = self.state.asked(Operation.PRINT_JOB)
        self.assertTrue(sent.endswith(THREE_PAGES))
        self.assertIn(line(Tag.INTEGER, "copies", b"\0\0\0\x02"), sent)
        self.assertIn(line(Tag.KEYWORD, "sides", b"two-sided-long-edge"), sent)
        self.assertIn(line(Tag.MIME_TYPE, "document-format", b"application/pdf"), sent)
        self.assertEqual(self.begun, 1)

    async def test_a_large_document_arrives_whole(self) -> None:
        data = b"%PDF-" + random.Random(1).randbytes(3_000_000)
        await self.print_it(data)
        self.assertTrue(self.state.asked(Operation.PRINT_JOB)[0].endswith(data))

    async def test_how_it_ends(self) -> None:
        for states, counted, expected in (
            ([3, 5, 9], 3, ("completed", 3, False)),
            ([9], None, ("completed", None, False)),
            ([9], 0, ("completed", None, False)),
            ([5, 7], 1, ("canceled", 1, False)),
            ([8], None, ("aborted", 0, False)),
            ([8], 0, ("aborted", 0, False)),
            ([5], 0, ("completed", None, True)),
        ):
            self.state.states, self.state.impressions = list(states), counted
            outcome = await self.print_it()
            self.assertEqual((outcome.state, outcome.pages, outcome.assumed), expected)

    async def test_not_now(self) -> None:
        self.state.accepts = False
        await self.assertFailure(Deferred.fromCoroutine(self.print_it()), PrinterUnreachable)
        self.assertFalse(hasattr(self, "begun"))
        self.state.accepts, self.state.print_status = True, 0x0507
        await self.assertFailure(Deferred.fromCoroutine(self.print_it()), PrinterUnreachable)
        self.state.http_status = 503
        await self.assertFailure(Deferred.fromCoroutine(self.print_it()), PrinterUnreachable)
        self.uri = "ipp://127.0.0.1:1/"
        await self.assertFailure(Deferred.fromCoroutine(self.print_it()), PrinterUnreachable)

    async def test_refused_nothing_is_charged(self) -> None:
        self.state.print_status = 0x040A
        outcome = await self.print_it()
        self.assertEqual((outcome.state, outcome.pages), ("aborted", 0))


class WorkerTests(PrintingCase):
    """The real worker, with its real limits."""

    timeout = 120

    async def analyse(self, data: bytes, wall_time_s: float = 60.0) -> Document:
        analyser = DocumentAnalyser(reactor, reactor, wall_time_s)
        found = await analyser.analyse(self.document(data), PDF, 2, True)
        await analyser.stop()
        return found

    async def setUp(self) -> None:
        # The worker is a child: it finds the project where this process did.
        self.patch(os, "environ", {**os.environ, "PYTHONPATH": str(ROOT)})

    async def test_a_document(self) -> None:
        found = await self.analyse(THREE_PAGES)
        self.assertEqual([(g.paper, g.pages, g.colour) for g in found.groups], [("A4", 3, 1)])
        self.assertEqual((found.pages, found.analysed), (6, True))

    async def test_hostile_documents_end_unknown(self) -> None:
        for data in (
            b"%PDF-1.4\nnothing",
            make_encrypted(),
            make_many_pages(worker_module.PAGES_MAX + 1),
            make_pdf([Page((1e9, 1e9))]),
        ):
            found = await self.analyse(data)
            self.assertEqual((found.analysed, found.groups), (False, ()))

    async def test_an_endless_document_is_killed(self) -> None:
        endless = make_pdf([Page(content=b"0 0 m 500 800 l S " * 60_000)] * 50)
        began = time.monotonic()
        found = await self.analyse(endless, wall_time_s=1.0)
        self.assertFalse(found.analysed)
        self.assertLess(time.monotonic() - began, 10.0)

    def test_limits_are_in_force(self) -> None:
        program = (
            "import resource, sys\n"
            "from papercutd.provider.analysis import worker\n"
            "worker.limit()\n"
            "try:\n"
            "    b = bytearray(worker.MEMORY_MAX_BYTES)\n"
            "except MemoryError:\n"
            "    print('memory')\n"
            "try:\n"
            "    with open(sys.argv[1], 'wb') as f: f.write(b'x')\n"
            "except OSError:\n"
            "    print('files')\n"
            "print(resource.getrlimit(resource.RLIMIT_CPU)[1], resource.getrlimit(4)[1])\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", program, self.mktemp()],
            capture_output=True,
            text=True,
            timeout=30,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        # SIGXFSZ is ignored by Python: the write fails.
        self.assertEqual(ran.stdout.split(), ["memory", "files", str(worker_module.CPU_MAX_S), "0"])


class WholeWayTests(PrintingCase):
    """papercut-lp, socket, spool, journal in a file, worker, two servers, a printer."""

    async def setUp(self) -> None:
        self.patch(os, "environ", {**os.environ, "PYTHONPATH": str(ROOT)})
        self.printer = RawPrinterFactory()
        uri = f"socket://127.0.0.1:{await self.listen(self.printer)}"
        self.application = FakeServer(reactor, "application", "application")
        self.application.config = config(printers=[attrs.evolve(PRINTER, uri=uri)])
        folder = Path(os.path.abspath(self.mktemp()))
        self.spool = folder / "spool"
        self.spool.mkdir(parents=True)
        # Not in the test's own folder: the name of a socket has to be short.
        short = tempfile.TemporaryDirectory(prefix="papercutd-")
        self.addCleanup(short.cleanup)
        self.socket = os.path.join(short.name, "submit.sock")
        self.connection = open_database(str(folder / "provider.db"), "provider")
        create_journal(self.connection, "p1", JOURNAL)
        self.env = Environment(reactor, time.time, random.SystemRandom())
        writer = ThreadWriter(self.connection, reactor.callFromThread, lambda failure: None)
        self.journal = ProviderJournal(writer, time.time)
        analyser = self.analyser = DocumentAnalyser(reactor, reactor)
        self.provider = PrintProvider(
            self.env,
            self.journal,
            direct_adapters(reactor, reactor),
            analyser,
            self.application.endpoint,
            None,
            LinkSettings(back_jitter_s=0.0),
        )
        await self.provider.start()
        factory = SubmissionFactory(self.env, self.provider, self.spool, 10_000_000)
        port = reactor.listenUNIX(self.socket, factory)
        self.addCleanup(self.stop, port)
        await self.until(lambda: self.provider.config is not None)

    async def stop(self, port: Any) -> None:
        await port.stopListening()
        await self.provider.stop()
        await self.analyser.stop()
        problems = await self.journal.read(verify_journal)
        await self.journal.close()
        # The last bytes of the wire in memory.
        await deferLater(reactor, 0.05, lambda: None)
        self.assertEqual(problems, [])

    async def lp(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "papercutd.commands.submit", "--socket", self.socket]
        found: subprocess.CompletedProcess[str] = await deferToThread(
            subprocess.run, [*command, *words], capture_output=True, text=True, timeout=30, cwd=ROOT
        )
        return found

    async def test_printed(self) -> None:
        ran = await self.lp(
            self.document(), "-P", "lp1", "-n", "2", "-U", "anna", "--wait", "--json"
        )
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        said = [json.loads(line) for line in ran.stdout.splitlines()]
        self.assertEqual(said[-1]["state"], "ended")
        self.assertEqual(self.printer.documents, [THREE_PAGES] * 2)
        await self.until(lambda: bool(self.application.all(messages.Complete)))
        (complete,) = self.application.all(messages.Complete)
        self.assertEqual((complete.job, complete.user_name), (said[0]["job"], "anna"))
        groups = [(g.paper, g.pages, g.colour) for g in complete.document.groups]
        self.assertEqual((groups, complete.document.copies), ([("A4", 3, 1)], 2))
        self.assertEqual(os.listdir(self.spool), [])

    async def test_the_person_is_who_the_kernel_says(self) -> None:
        ran = await self.lp(self.document(), "-P", "lp1", "--wait")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        (asked,) = self.application.all(messages.Authorize)
        self.assertEqual(asked.user_name, pwd.getpwuid(os.getuid()).pw_name)

    async def test_denied(self) -> None:
        self.application.answer("deny", "funds")
        ran = await self.lp(self.document(), "-P", "lp1", "--wait")
        self.assertEqual(ran.returncode, 1)
        self.assertIn("funds", ran.stdout)
        self.assertEqual((self.printer.documents, os.listdir(self.spool)), ([], []))

    async def test_no_such_printer(self) -> None:
        ran = await self.lp(self.document(), "-P", "nowhere")
        self.assertEqual(ran.returncode, 1)
        self.assertIn("nowhere", ran.stderr)
        self.assertEqual(os.listdir(self.spool), [])

    async def test_empty_and_missing(self) -> None:
        ran = await self.lp(self.document(b""), "-P", "lp1")
        self.assertEqual((ran.returncode, "empty" in ran.stderr), (1, True))
        ran = await self.lp("nowhere.pdf", "-P", "lp1")
        self.assertEqual((ran.returncode, "nowhere.pdf" in ran.stderr), (1, True))
