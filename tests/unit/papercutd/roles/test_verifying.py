"""A running server's database is verified by a process of its own, which can be ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from papercutd.errors import Rejected
from papercutd.faces.control import ControlFactory
from papercutd.roles.verifying import BooksVerifier, VerifyFailed
from papercutd.services.operation import interruptible, uninterrupted
from papercutd.storage.application_store import create_installation
from papercutd.storage.site import replica
from papercutd.storage.site.site_store import create_site
from papercutd.storage.sqlite.migrate import open_database
from tests.support.stores import Turner


class WorkerTests(TestCase):
    """With a real process, on SQLite's files."""

    timeout = 60

    def verifier(self, schema: str, path: Path) -> BooksVerifier:
        return BooksVerifier(Turner().environment(), reactor, schema, path)

    async def test_the_application_server(self) -> None:
        path = Path(self.mktemp())
        connection = open_database(str(path), "application")
        self.addCleanup(connection.close)
        create_installation(connection, "test")
        verifier = self.verifier("application", path)
        found = Deferred.fromCoroutine(verifier(lambda figures: None))
        with self.assertRaises(Rejected):
            await verifier(lambda figures: None)
        self.assertEqual(await found, [])
        connection.execute("UPDATE account SET credits_e4 = 7 WHERE id = 1")
        problems = " ".join(await verifier(lambda figures: None))
        self.assertIn("all accounts together hold 7", problems)

    async def test_a_site(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        connection = open_database(str(directory / "journal.db"), "journal")
        self.addCleanup(connection.close)
        create_site(connection, "north", "stream")
        replica.attach(connection, replica.Directory(str(directory)), 0, replica.IN_FORCE)
        connection.execute("INSERT INTO replica.secret VALUES ('card-key', 'x')")
        verifier = self.verifier("journal", directory / "journal.db")
        self.assertEqual(
            await verifier(lambda figures: None),
            ["replica: secret: row card-key was not written by this server"],
        )

    async def test_it_fails(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"no database at all" * 1000)
        with self.assertRaises(VerifyFailed):
            await self.verifier("application", path)(lambda figures: None)

    async def test_ended_when_nobody_waits(self) -> None:
        path = Path(self.mktemp())
        open_database(str(path), "application").close()
        verifier = self.verifier("application", path)
        found = Deferred.fromCoroutine(verifier(lambda figures: None))
        ended = _Ended(verifier)
        found.cancel()
        self.failureResultOf(found, CancelledError)
        await ended.done


class _Ended:
    """Fires when the process of ``verifier`` has ended."""

    def __init__(self, verifier: BooksVerifier) -> None:
        worker = verifier._running
        assert worker is not None
        self.done: Deferred[None] = Deferred()
        before = worker.processEnded

        def ended(reason: Failure) -> None:
            before(reason)
            self.done.callback(None)

        worker.processEnded = ended  # type: ignore[method-assign]


class _Process:
    """Stands in for the reactor: the process is the test."""

    def spawnProcess(self, worker: Any, *arguments: Any, **options: Any) -> None:
        self.worker = worker
        worker.makeConnection(StringTransport())


class ProgressTests(SynchronousTestCase):
    def test_how_long_it_takes(self) -> None:
        turner, process = Turner(), _Process()
        verifier = BooksVerifier(turner.environment(), process, "application", Path("a.db"))
        said: list[Any] = []
        found = Deferred.fromCoroutine(verifier(said.append))
        worker = process.worker
        asked = json.loads(worker.transport.value())
        self.assertEqual(asked, {"schema": "application", "path": "a.db"})
        for percent in (0, 1, 10, 25):
            turner.clock.advance(5.0)
            line = json.dumps({"progress": {"doing": "sums", "percent": percent}}).encode()
            worker.outReceived(line[:7])
            worker.outReceived(line[7:] + b"\n" + line + b"\n")
        worker.outReceived(b'{"problems": ["one"]}\n')
        worker.processEnded(Failure(ProcessDone(0)))
        self.assertEqual(self.successResultOf(found), ["one"])
        self.assertEqual([one.get("left_s") for one in said], [None, None, 135, 60])

    def test_an_address_is_no_argument(self) -> None:
        """Other users see the arguments of a process; an address may have a password."""
        process = _Process()
        verifier = BooksVerifier(Turner().environment(), process, "journal", "postgresql://x:y@z/")
        found = Deferred.fromCoroutine(verifier(lambda figures: None))
        asked = json.loads(process.worker.transport.value())
        self.assertEqual(asked, {"schema": "journal", "address": "postgresql://x:y@z/"})
        process.worker.processEnded(Failure(ProcessDone(0)))
        self.failureResultOf(found, VerifyFailed)


class ControlTests(SynchronousTestCase):
    """Who asked is gone: what only reads ends, anything else is done all the same."""

    def setUp(self) -> None:
        self.waiting: Deferred[str] = Deferred()
        self.done: list[str] = []
        self.protocol = ControlFactory({"read": self.read, "write": self.write}).buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)

    async def work(self) -> None:
        self.done.append(await self.waiting)

    @interruptible
    async def read(self, arguments: dict[str, Any], progress: Any) -> Any:
        if arguments:
            await uninterrupted(self.work())
        else:
            await self.work()
        return "result"

    async def write(self, arguments: dict[str, Any], progress: Any) -> Any:
        await self.work()

    def ask(self, call: str, **arguments: Any) -> None:
        line = json.dumps({"call": call, "arguments": arguments})
        self.protocol.dataReceived(line.encode() + b"\n")

    def leave(self) -> None:
        self.protocol.connectionLost(Failure(ConnectionError()))

    def test_it_is_answered(self) -> None:
        self.ask("read")
        self.waiting.callback("read")
        self.assertEqual(json.loads(self.transport.value()), {"result": "result"})
        self.leave()

    def test_what_only_reads_ends(self) -> None:
        self.ask("read")
        self.leave()
        self.assertTrue(self.waiting.called)
        self.assertEqual(self.done, [])

    def test_what_writes_goes_on(self) -> None:
        for call, arguments in (("write", {}), ("read", {"repair": True})):
            self.setUp()
            self.ask(call, **arguments)
            self.leave()
            self.waiting.callback("written")
            self.assertEqual(self.done, ["written"])
