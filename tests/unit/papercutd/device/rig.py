"""A device on a Clock: servers that answer as told; disk and engine survive its crashes."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from papercutd.device.device import Device
from papercutd.device.journal import DeviceJournal, Run, read_runs
from papercutd.device.machine import Machine, MachineSettings, Trouble
from papercutd.device.runs import Order, Work
from papercutd.environment import Environment
from papercutd.services.link import LinkSettings
from papercutd.storage.replication.asker_journal import create_journal
from papercutd.storage.sqlite.writer import InlineWriter
from protocols.codes import Code
from protocols.device import messages
from protocols.device.spec import DEVICE
from protocols.endpoint import NamedPeer, Session, SessionServerFactory
from protocols.errors import Refusal
from protocols.handshake import Hello, Mark, Welcome
from protocols.provider.messages import Done, OpenAnswer, Ping, Pong, Receipt, ServerAddress
from tests.support.databases import empty_database
from tests.unit.papercutd.provider.rig import JOURNAL, STREAM, WALL_S, ProcessClock
from tests.unit.protocols.builders import WireEndpoint

STEP_S = 1 / 64
SITE = ServerAddress("site", "north", "north.example.org", 9193)
APPLICATION = ServerAddress("application", "application", "app.example.org", 9193)


class FakeServer:
    """A server of one role: reserves, counts and posts, or answers as it was told."""

    def __init__(self, clock: Clock, address: ServerAddress, books: dict[str, int]) -> None:
        self.address = address
        #: What is charged, by key: both servers write into the same.
        self.books = books
        self.config = messages.DeviceConfig(
            1, "lp1", ["copy", "scan", "release"], ["card"], 60, [address]
        )
        self.seen: Mark | None = None
        self.refuse_hello: list[Code] = []
        #: Verb to what is said: a Code refuses, None never answers, a callable is asked.
        self.say: dict[type, Any] = {}
        self.heard: list[Any] = []
        self.hellos: list[Hello] = []
        self.sessions: list[Session] = []
        #: Pages one RUN gets at the most, and pages there is money for in all.
        self.reserve_max = 1_000
        self.credit = 1_000
        self.runs = 0
        self.endpoint = WireEndpoint(
            clock,
            SessionServerFactory(DEVICE, clock, self, lambda _: NamedPeer("device", "mfd")),
        )

    async def hello(self, session: Session, hello: Hello) -> Welcome:
        self.hellos.append(hello)
        if self.refuse_hello:
            raise Refusal(self.refuse_hello.pop(0))
        decider = STREAM if self.address.role == "site" else "application"
        return Welcome(
            version=session.version,
            role=self.address.role,
            name=self.address.name,
            decider=decider,
            session=len(self.hellos),
            seen=self.seen,
        )

    def opened(self, session: Session) -> None:
        self.sessions.append(session)
        session.notify(self.config)

    async def request(self, session: Session, message: Any) -> Any:
        self.heard.append(message)
        said = self.say.get(type(message), self._usual)
        if isinstance(said, Code):
            raise Refusal(said)
        if said is None:
            return await Deferred()
        answer = said(message)
        return await answer if isinstance(answer, Deferred) else answer

    def _usual(self, message: Any) -> Any:
        if isinstance(message, messages.Login):
            login = f"00000000-0000-7000-8000-{len(self.heard):012x}"
            return messages.Person(login, 7, "anna", "Anna Berg", 100_000, 100_000)
        if isinstance(message, messages.Run):
            return self.started(message)
        if isinstance(message, messages.Pages):
            return messages.Progress(1_000)
        if isinstance(message, messages.Finish):
            return self.post(message)
        if isinstance(message, messages.OpenRuns):
            return OpenAnswer()
        return Pong() if isinstance(message, Ping) else Done()

    def started(self, message: messages.Run) -> messages.Started:
        """What RUN is answered while there is money."""
        self.runs += 1
        job = f"{self.address.role[:1].encode().hex():0>8}-0000-7000-8000-{self.runs:012x}"
        pages = min(message.pages or 20, self.reserve_max, self.credit)
        if pages == 0:
            return messages.Started(False, job, "run-1", reason="funds")
        self.credit -= pages
        return messages.Started(True, job, "run-1", f"grant {job}/run-1", pages, 500)

    def post(self, message: messages.Finish) -> Receipt:
        """What FINISH is answered: the first under a key stands."""
        key = message.grant.removeprefix("grant ")
        state = "already" if key in self.books else "posted"
        pages = self.books.setdefault(key, message.pages)
        return Receipt(state, pages * 500, pages)

    def event(self, session: Session, event: Any) -> None:
        self.heard.append(event)

    def send(self, event: object) -> None:
        """Say something unasked in the newest session."""
        self.sessions[-1].notify(event)

    def closed(self, session: Session, reason: str) -> None:
        """Nothing to forget."""

    def all(self, kind: type) -> list[Any]:
        return [message for message in self.heard if type(message) is kind]

    def unplug(self) -> None:
        """Unreachable, and every session ends."""
        self.endpoint.mode = "refuse"
        for session in self.sessions:
            session.abort()

    def cut(self) -> None:
        """Unreachable, and nobody is told."""
        self.endpoint.mode = "hang"
        for wire in self.endpoint.wires:
            wire.is_cut = True

    def plug(self) -> None:
        self.endpoint.mode = "accept"


class Rig:
    """A device of a site and an application server."""

    def __init__(self) -> None:
        self.clock = Clock()
        #: What is charged: pages by key.
        self.books: dict[str, int] = {}
        self.site = FakeServer(self.clock, SITE, self.books)
        self.application = FakeServer(self.clock, APPLICATION, self.books)
        self.by_address = {s.address: s for s in (self.site, self.application)}
        self.configured = [SITE, APPLICATION]
        self.connection: sqlite3.Connection = empty_database("device")
        self.engine: sqlite3.Connection = empty_database("machine")
        create_journal(self.connection, "mfd", JOURNAL)
        #: Called at each commit of the journal; raising Crash is the process's death.
        self.before_commit: Callable[[], object] = lambda: None
        self.after_commit: Callable[[], object] = lambda: None
        self.process: ProcessClock | None = None
        self.notices: list[tuple[str, dict[str, Any]]] = []
        self.pages_a_minute = 120.0
        self._seed = 0

    def close(self) -> None:
        self.connection.close()
        self.engine.close()

    def start(self, run_s: float = 0.5, trouble: Trouble | None = None) -> Device:
        """A process over what the disks hold."""
        self._seed += 1
        self.process = ProcessClock(self.clock)
        process: Any = self.process
        wall_s = lambda: WALL_S + self.clock.seconds()  # noqa: E731
        env = Environment(process, wall_s, random.Random(self._seed))
        writer = InlineWriter(
            self.connection,
            process,
            before_commit=lambda: self.before_commit() and None,
            after_commit=lambda: self.after_commit() and None,
        )
        if trouble is not None and trouble.power_at:
            trouble.lose_power = self.kill
        machine = Machine(
            *(env, InlineWriter(self.engine, process)),
            *(MachineSettings(self.pages_a_minute), trouble),
        )
        self.device = Device(
            env,
            DeviceJournal(writer, wall_s),
            machine,
            list(self.configured),
            lambda address: self.by_address[address].endpoint,
            LinkSettings(back_jitter_s=0.0, reconnect_max_s=1.0),
        )
        self.device.on_notice = lambda word, fields: self.notices.append((word, fields))
        Deferred.fromCoroutine(self.device.start())
        self.run(run_s)
        return self.device

    def kill(self) -> None:
        """The process is gone, its connections with it."""
        assert self.process is not None
        self.process.is_alive = False
        for server in (self.application, self.site):
            for wire in server.endpoint.wires:
                if not wire.is_gone:
                    # Toward the servers only: nobody is there to be told on this side.
                    wire.ends[1].is_gone = True
                    wire.ends[0].closed(ConnectionError)

    def run(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / STEP_S))):
            self.clock.advance(STEP_S)

    def run_until(self, condition: Callable[[], object], seconds: float = 60.0) -> None:
        for _ in range(round(seconds / STEP_S)):
            if condition():
                return
            self.clock.advance(STEP_S)
        raise AssertionError("it never came")

    def do(self, work: Awaitable[Any], seconds: float = 20.0) -> Any:
        """What a coroutine of the device returns or raises."""
        results: list[Any] = []
        Deferred.fromCoroutine(work).addBoth(results.append)  # type: ignore[arg-type]
        self.run_until(lambda: results, seconds)
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def log_in(self) -> messages.Person:
        person: messages.Person = self.do(self.device.log_in("card", card="4711"))
        return person

    def begin(self, pages: int, **fields: Any) -> Work:
        work: Work = self.do(self.device.begin(Order("copy", pages, **fields)))
        return work

    def copy(self, pages: int, **fields: Any) -> Work:
        """An order, to its end."""
        work = self.begin(pages, **fields)
        self.run_until(lambda: work.outcome, 120.0)
        return work

    def settle(self) -> None:
        """Until servers have everything."""
        self.run_until(lambda: not self.kept(), 120.0)

    def kept(self) -> list[Run]:
        return read_runs(self.connection, "state IN ('running', 'finished')")

    def rows(self) -> list[Run]:
        return read_runs(self.connection, "1")

    def paper(self) -> int:
        """Pages that the engine has counted."""
        (pages,) = self.engine.execute("SELECT COALESCE(SUM(pages), 0) FROM counter").fetchone()
        return int(pages)
