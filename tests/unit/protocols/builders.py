"""Messages, handlers and transports for the tests of sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IAddress, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from protocols.common import Decision, Document, PageGroup
from protocols.endpoint import NamedPeer, Session, SessionServerFactory
from protocols.errors import Refusal
from protocols.handshake import Hello, Mark, Welcome
from protocols.machine import Connection, Side, Unspoken
from protocols.provider.messages import Authorize, Ping, Pong
from protocols.provider.spec import PROVIDER

JOURNAL = "01960a2e-0000-7000-8000-000000000001"
JOB = "01960a2e-0000-7000-8000-0000000000aa"


def hello(**fields: Any) -> Hello:
    """A HELLO of the provider p1."""
    return Hello(
        **{
            "versions": [1],
            "role": "provider",
            "name": "p1",
            "journal": JOURNAL,
            "mark": Mark(0, ""),
            **fields,
        }
    )


def welcome(**fields: Any) -> Welcome:
    """The application server's answer to it."""
    return Welcome(
        **{
            "version": 1,
            "role": "application",
            "name": "application",
            "decider": "application",
            "session": 1,
            **fields,
        }
    )


def authorize(**fields: Any) -> Authorize:
    """An AUTHORIZE of three pages."""
    return Authorize(
        **{
            "job": JOB,
            "step": "submit-1",
            "printer": 4,
            "user_name": "anna",
            "document": Document(groups=[PageGroup("A4", 3, 1)]),
            **fields,
        }
    )


def decision(**fields: Any) -> Decision:
    """An allowing answer."""
    return Decision(
        **{
            "verdict": "allow",
            "reason": "",
            "decider": "application",
            "user": 7,
            "account": 70,
            "printer": 4,
            "price_version": 2,
            "lines": [],
            **fields,
        }
    )


def ready_pair() -> tuple[Connection, Connection]:
    """Client and server machine of one session, handshake done."""
    client, server = Connection(PROVIDER, Side.CLIENT), Connection(PROVIDER, Side.SERVER)
    list(server.receive_data(client.send_hello(hello())))
    list(client.receive_data(server.send_welcome(welcome())))
    return client, server


class RecordingTransport:
    """A transport that keeps what is written and does what it is told."""

    def __init__(self) -> None:
        self.written = b""
        self.producer: Any = None
        self.is_closing = False
        self.is_aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def loseConnection(self) -> None:
        self.is_closing = True

    def abortConnection(self) -> None:
        self.is_aborted = True

    def lines(self) -> list[str]:
        """What was written since the last call."""
        text, self.written = self.written.decode(), b""
        assert text == "" or text.endswith("\n")
        return text.splitlines()


class Recorder:
    """A handler of either side that writes down what it is told.

    ``respond`` answers requests; by default PING is answered and nothing else.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.sessions: list[Session] = []
        self.events: list[Any] = []
        self.refusals: list[Refusal] = []
        self.respond: Callable[[Any], Any] = self.pong
        #: The WELCOME, or what becomes of the HELLO; None: welcome, at the session's version.
        self.greet: Callable[[Hello], Any] | None = None

    @staticmethod
    def pong(message: Any) -> Any:
        assert isinstance(message, Ping)
        return Pong(clock=message.clock)

    async def hello(self, session: Session, hello: Hello) -> Welcome:
        if self.greet is None:
            return welcome(version=session.version)
        answer = self.greet(hello)
        if isinstance(answer, Deferred):
            answer = await answer
        assert isinstance(answer, Welcome)
        return answer

    def make_hello(self) -> Hello:
        return hello()

    def refused(self, refusal: Refusal) -> None:
        self.refusals.append(refusal)
        self.calls.append(f"refused {refusal.code.value}")

    def unspoken(self, peer: Any, unspoken: Unspoken) -> None:
        self.calls.append(f"{peer.role} {peer.name} speaks {unspoken.offered}")

    def opened(self, session: Session) -> None:
        self.sessions.append(session)
        self.calls.append("opened")

    async def request(self, session: Session, message: Any) -> Any:
        answer = self.respond(message)
        return await answer if isinstance(answer, Deferred) else answer

    def event(self, session: Session, event: Any) -> None:
        self.events.append(event)

    def closed(self, session: Session, reason: str) -> None:
        self.calls.append(f"closed {reason}")


def server_factory(clock: Clock, handler: Any, **options: Any) -> SessionServerFactory:
    """A server to which everybody is the provider p1."""
    return SessionServerFactory(
        PROVIDER, clock, handler, lambda _: NamedPeer("provider", "p1"), **options
    )


@attrs.define(eq=False)
class Wire:
    """Two protocols joined in memory; bytes arrive ``latency_s`` later, in order.

    ``is_cut``: nothing arrives any more and nobody is told (a half-open connection).
    """

    clock: Clock
    latency_s: float = 1 / 128
    is_cut: bool = False
    ends: list[WireEnd] = attrs.field(factory=list)

    @property
    def is_gone(self) -> bool:
        """Both ends know that it is over."""
        return all(end.is_gone for end in self.ends)

    def join(self, first: Protocol, second: Protocol) -> None:
        self.ends = [WireEnd(self, first), WireEnd(self, second)]
        for end in self.ends:
            end.protocol.makeConnection(end)

    def other(self, end: WireEnd) -> WireEnd:
        return self.ends[1] if end is self.ends[0] else self.ends[0]


@attrs.define(eq=False)
class WireEnd:
    """The transport of one end of a Wire."""

    wire: Wire
    protocol: Protocol
    is_gone: bool = False

    def write(self, data: bytes) -> None:
        self.wire.clock.callLater(self.wire.latency_s, self._arrive, data)

    def _arrive(self, data: bytes) -> None:
        other = self.wire.other(self)
        if not self.wire.is_cut and not other.is_gone:
            other.protocol.dataReceived(data)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """A wire never has enough."""

    def unregisterProducer(self) -> None:
        """As little as registering."""

    def loseConnection(self) -> None:
        # Over a cut wire nobody says goodbye back: it waits for the abort.
        if not self.wire.is_cut:
            self.wire.clock.callLater(self.wire.latency_s, self.closed, ConnectionDone)

    def abortConnection(self) -> None:
        self.wire.clock.callLater(0, self.closed, ConnectionAborted)

    def closed(self, reason: type[Exception]) -> None:
        """This end is closed; the other learns it unless the wire is cut."""
        if not self.is_gone:
            self.is_gone = True
            self.protocol.connectionLost(Failure(reason()))
            if not self.wire.is_cut:
                self.wire.other(self).closed(ConnectionDone)


@implementer(IStreamClientEndpoint)
class WireEndpoint:
    """Connects to ``server`` by Wires; ``mode`` is ``accept``, ``refuse`` or ``hang``."""

    def __init__(self, clock: Clock, server: Factory) -> None:
        self.clock = clock
        self.server = server
        self.mode = "accept"
        self.wires: list[Wire] = []
        self.tried_at: list[float] = []
        self.cancelled = 0

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        self.tried_at.append(self.clock.seconds())
        if self.mode == "refuse":
            return fail(ConnectionRefusedError())
        if self.mode == "hang":
            return Deferred(self._cancelled)
        address: IAddress | None = None
        wire = Wire(self.clock)
        client = protocolFactory.buildProtocol(address)
        server = self.server.buildProtocol(address)
        assert isinstance(server, Protocol)
        wire.join(server, client)
        self.wires.append(wire)
        return succeed(client)

    def _cancelled(self, _: Deferred[Any]) -> None:
        self.cancelled += 1
