"""A print provider on a Clock: servers that answer as told, a printer that counts, a disk that
survives its crashes."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from papercutd.domain.document import Document, PageGroup
from papercutd.environment import Environment
from papercutd.provider.adapters import Outcome, PrinterUnreachable
from papercutd.provider.journal import ProviderJournal
from papercutd.provider.provider import PrintProvider, Spooler, Submission
from papercutd.services.link import LinkSettings
from papercutd.storage.replication.asker_journal import create_journal
from papercutd.storage.sqlite.writer import InlineWriter
from protocols.codes import Code
from protocols.common import Decision, Position, PriceLine
from protocols.endpoint import Session
from protocols.errors import Refusal
from protocols.handshake import Hello, Mark, Welcome
from protocols.provider import messages
from tests.support.databases import empty_database
from tests.unit.protocols.builders import WireEndpoint, server_factory

WALL_S = 1_800_000_000.0
JOURNAL = "00000000-0000-7000-8000-00000000000a"
STREAM = "00000000-0000-7000-8000-0000000000b1"
OTHER_STREAM = "00000000-0000-7000-8000-0000000000b2"
PRINTER = messages.PrinterSetting(1, "lp1", "fake://printer")
STEP_S = 1 / 128


class Crash(Exception):
    """The process dies here."""


def config(**fields: Any) -> messages.Config:
    return messages.Config(
        **{
            "printers": [PRINTER],
            "servers": [],
            "price_version": 3,
            "position": Position(1, 10, "aa"),
            **fields,
        }
    )


class FakeServer:
    """A server of one role: keeps what it hears, answers as it was told."""

    def __init__(self, clock: Clock, role: str, decider: str) -> None:
        self.role = role
        self.decider = decider
        self.config: messages.Config | None = config()
        self.seen: Mark | None = None
        self.refuse_hello: list[Code] = []
        #: Verb to what is said: a Code refuses, None never answers, a callable is asked.
        self.say: dict[type, Any] = {}
        self.heard: list[Any] = []
        self.hellos: list[Hello] = []
        self.sessions: list[Session] = []
        self.endpoint = WireEndpoint(clock, server_factory(clock, self))

    async def hello(self, session: Session, hello: Hello) -> Welcome:
        self.hellos.append(hello)
        if self.refuse_hello:
            raise Refusal(self.refuse_hello.pop(0))
        return Welcome(
            version=session.version,
            role=self.role,
            name="north" if self.role == "site" else "application",
            decider=self.decider,
            session=len(self.hellos),
            seen=self.seen,
        )

    def opened(self, session: Session) -> None:
        self.sessions.append(session)
        if self.config is not None:
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
        if isinstance(message, messages.Authorize):
            return self.decision("allow")
        if isinstance(message, messages.Complete | messages.Relay):
            return messages.Receipt("posted", 500, 1)
        if isinstance(message, messages.Open):
            return messages.OpenAnswer()
        return messages.Pong() if isinstance(message, messages.Ping) else messages.Done()

    def decision(self, verdict: str, reason: str = "") -> Decision:
        lines = [PriceLine("A4 grey", 2, 500)]
        return Decision(verdict, reason, self.decider, 1, 4, 1, 3, lines, "1.10")

    def answer(self, verdict: str, reason: str = "") -> None:
        """What AUTHORIZE is answered from now on."""
        self.say[messages.Authorize] = lambda message: self.decision(verdict, reason)

    def event(self, session: Session, event: Any) -> None:
        self.heard.append(event)

    def send(self, event: object) -> None:
        """Say something unasked in the newest session."""
        self.sessions[-1].notify(event)

    def closed(self, session: Session, reason: str) -> None:
        """Nothing to forget."""

    def all(self, kind: type) -> list[Any]:
        return [message for message in self.heard if type(message) is kind]

    def keys(self, kind: type) -> list[str]:
        return [f"{message.job}/{message.step}" for message in self.all(kind)]

    def unplug(self) -> None:
        """Unreachable, and every session ends."""
        self.endpoint.mode = "refuse"
        for session in self.sessions:
            session.abort()

    def plug(self) -> None:
        self.endpoint.mode = "accept"


class ProcessClock:
    """The clock of one process: what a dead one had planned never happens."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.is_alive = True

    def seconds(self) -> float:
        return float(self._clock.seconds())

    def callLater(self, delay: float, call: Callable[..., object], *a: Any, **k: Any) -> Any:
        def run() -> None:
            if self.is_alive:
                call(*a, **k)

        return self._clock.callLater(delay, run)

    def getDelayedCalls(self) -> Any:
        return self._clock.getDelayedCalls()


@attrs.define
class Paper:
    """What came out, and how the printer behaves."""

    printed: list[str] = attrs.field(factory=list)
    is_reachable: bool = True
    pages: int | None = None
    print_s: float = 0.5


class FakePrinter:
    """An adapter: paper stays when the process dies."""

    def __init__(self, clock: ProcessClock, paper: Paper) -> None:
        self._clock = clock
        self._paper = paper

    async def print_document(
        self, path: str, uri: str, started: Callable[[], Awaitable[None]], *options: Any
    ) -> Outcome:
        await deferLater(self._clock, STEP_S, lambda: None)  # type: ignore[arg-type]
        if not self._paper.is_reachable:
            raise PrinterUnreachable("off")
        await started()
        await deferLater(self._clock, self._paper.print_s, lambda: None)  # type: ignore[arg-type]
        if self._clock.is_alive:
            self._paper.printed.append(path)
        return Outcome("completed", self._paper.pages)


class FakeAnalyser:
    """Every document has two grey A4 pages."""

    async def analyse(
        self, path: str, format: str, copies: int, duplex: bool, user_name: str = ""
    ) -> Document:
        return Document((PageGroup("A4", 2),), copies, duplex, format)


class Rig:
    """A provider between an application server and a site."""

    def __init__(self, **settings: float) -> None:
        self.clock = Clock()
        self.application = FakeServer(self.clock, "application", "application")
        self.site = FakeServer(self.clock, "site", STREAM)
        self.paper = Paper()
        self.removed: list[str] = []
        self.connection: sqlite3.Connection = empty_database("provider")
        create_journal(self.connection, "p1", JOURNAL)
        self.settings = LinkSettings(
            **{"back_jitter_s": 0.0, "reconnect_max_s": 1.0, **settings}  # type: ignore[arg-type]
        )
        #: Called at each commit; raising Crash is the process's death.
        self.before_commit: Callable[[], None] | None = None
        self.after_commit: Callable[[], None] | None = None
        self.process: ProcessClock | None = None
        self.spooler: Spooler | None = None
        self._seed = 0
        self._documents = 0

    def start(self, run_s: float = 0.2) -> PrintProvider:
        """A process over what the disk holds."""
        Deferred.fromCoroutine(self.make().start())
        self.run(run_s)
        return self.provider

    def make(self) -> PrintProvider:
        """The same, before its start."""
        self._seed += 1
        self.process = ProcessClock(self.clock)
        process: Any = self.process
        wall_s = lambda: WALL_S + self.clock.seconds()  # noqa: E731
        env = Environment(process, wall_s, random.Random(self._seed))
        writer = InlineWriter(
            self.connection,
            process,
            before_commit=lambda: self.before_commit and self.before_commit(),  # type: ignore[arg-type,return-value]
            after_commit=lambda: self.after_commit and self.after_commit(),  # type: ignore[arg-type,return-value]
        )
        self.journal = ProviderJournal(writer, wall_s)
        self.adapter = FakePrinter(self.process, self.paper)
        self.provider = PrintProvider(
            env,
            self.journal,
            {"fake": self.adapter},
            FakeAnalyser(),
            self.application.endpoint,
            self.site.endpoint,
            self.settings,
            remove=self.removed.append,
            spooler=self.spooler,
        )
        return self.provider

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
        self.clock.advance(0)

    def run(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / STEP_S))):
            self.clock.advance(STEP_S)

    def run_until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        for _ in range(round(seconds / STEP_S)):
            if condition():
                return
            self.clock.advance(STEP_S)
        raise AssertionError("it never came")

    def submit(self, **fields: Any) -> list[str]:
        """Hand in a document; the list holds its job id once the job is durable."""
        self._documents += 1
        submission = Submission(
            **{
                "printer": "lp1",
                "user_name": "anna",
                "path": f"spool/{self._documents}",
                "digest": "00",
                "size": 10,
                "format": "application/pdf",
                **fields,
            }
        )
        accepted: list[str] = []
        Deferred.fromCoroutine(self.provider.submit(submission)).addCallback(accepted.append)
        return accepted

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, values).fetchall()

    def state(self, job: str) -> tuple[Any, ...]:
        """(state, step, decider, reason, outcome) of ``job`` on the disk."""
        return self.rows(
            "SELECT state, step, decider, reason, outcome FROM job WHERE job = ?", job
        )[0]
