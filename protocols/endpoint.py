"""Factories of sessions: ``SessionServerFactory`` listens, ``SessionClientFactory`` connects.

The session itself is in protocols/session/endpoint.py, what handlers have to offer in
protocols/handlers.py; both are named here too, so that users import from one place.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IAddress, IReactorTime, ITransport
from twisted.internet.protocol import Factory

from protocols.codes import Code
from protocols.errors import Challenge, LocalProtocolError, Refusal
from protocols.handlers import ClientHandler, NamedPeer, Peer, ServerHandler, SessionHandler
from protocols.handshake import Hello, Welcome
from protocols.machine import Prepared, ProtocolSpec, Side, Unspoken, prepare
from protocols.session.endpoint import ABORT_AFTER_S, Session
from protocols.session.watch import Watch

__all__ = [
    "ABORT_AFTER_S",
    "ClientHandler",
    "NamedPeer",
    "Peer",
    "Prepared",
    "ProvingServerFactory",
    "ServerHandler",
    "Session",
    "SessionClientFactory",
    "SessionHandler",
    "SessionServerFactory",
    "prepare",
]

_H = TypeVar("_H", bound=SessionHandler)


class _SessionFactory(Factory, Generic[_H]):
    """What the sessions of one listener, or of one connector, share."""

    noisy = False
    side: Side

    def __init__(self, spec: ProtocolSpec, clock: IReactorTime, handler: _H) -> None:
        self.spec = spec
        self.clock = clock
        self.handler = handler
        #: Every connection, open or not.
        self.sessions: set[Session] = set()
        self.watch: Watch[Session] = Watch(clock, Session.time_out)
        #: connections, opened, requests, refusals, refused, internal, notices, busy,
        #: bad_lines, too_long, overflows, timeouts, turned_away: since the start.
        self.counters: collections.Counter[str] = collections.Counter()

    def buildProtocol(self, addr: IAddress | None) -> Session:
        session = Session(self, self.side)
        session.factory = self
        return session

    def count(self, what: str) -> None:
        self.counters[what] += 1

    def greet(self, session: Session) -> None:
        """The connection is made."""

    async def welcome(self, session: Session, hello: Hello) -> Welcome:
        raise NotImplementedError

    def refused(self, refusal: Refusal) -> None:
        """The peer ended it before it was open."""

    def unspoken(self, session: Session, unspoken: Unspoken) -> None:
        """The peer's HELLO had no version in common and was refused."""


class SessionServerFactory(_SessionFactory[ServerHandler]):
    """Sessions of those who connect here.

    ``identify(transport)`` is called when HELLO arrives and tells whose certificate
    that is; it may raise Refusal (revoked, identity, not-allowed). Connections beyond
    ``connections_max`` are dropped unanswered.
    """

    side = Side.SERVER

    def __init__(
        self,
        spec: ProtocolSpec,
        clock: IReactorTime,
        handler: ServerHandler,
        identify: Callable[[ITransport], Peer],
        connections_max: int = 12_000,
    ) -> None:
        super().__init__(spec, clock, handler)
        self._identify = identify
        self._connections_max = connections_max

    def greet(self, session: Session) -> None:
        # Not in buildProtocol: the TLS wrapper cannot do with None.
        if len(self.sessions) > self._connections_max:
            self.count("turned_away")
            session.abort()

    def identify(self, session: Session, hello: Hello) -> Peer:
        """Who that is; raises Refusal."""
        assert session.transport is not None
        return self._identify(session.transport)

    def unspoken(self, session: Session, unspoken: Unspoken) -> None:
        assert session.transport is not None
        try:
            peer = self._identify(session.transport)
        except Refusal:
            # Nobody proves who that is, or the certificate counts no more.
            return
        self.handler.unspoken(peer, unspoken)

    async def welcome(self, session: Session, hello: Hello) -> Welcome:
        peer = self.identify(session, hello)
        if (peer.role, peer.name) != (hello.role, hello.name):
            raise Refusal(Code.IDENTITY)
        session.peer = peer
        welcome = await self.handler.hello(session, hello)
        if welcome.version != session.version:
            raise LocalProtocolError(f"WELCOME says version {welcome.version}")
        return welcome


class ProvingServerFactory(SessionServerFactory):
    """The same where no certificate tells who it is: HELLO counts with a proof over our nonce.

    ``prove(transport, hello, nonce)`` tells who that is, or raises Refusal; ``admit(transport)``
    raises it for those who are not even asked. ``make_nonce()`` is never the same.
    """

    def __init__(
        self,
        spec: ProtocolSpec,
        clock: IReactorTime,
        handler: ServerHandler,
        admit: Callable[[ITransport], None],
        prove: Callable[[ITransport, Hello, str], Peer],
        make_nonce: Callable[[], str],
        connections_max: int = 1_000,
    ) -> None:
        def no_certificate(transport: ITransport) -> Peer:
            raise Refusal(Code.IDENTITY)

        super().__init__(spec, clock, handler, no_certificate, connections_max)
        self._admit = admit
        self._prove = prove
        self._make_nonce = make_nonce

    def identify(self, session: Session, hello: Hello) -> Peer:
        """Raises Challenge at the first HELLO of a connection: whoever that is, it is asked."""
        assert session.transport is not None
        self._admit(session.transport)
        if not session.nonce:
            session.nonce = self._make_nonce()
            raise Challenge(session.nonce)
        # Right or wrong, the session is open or over after this: the nonce is not used again.
        return self._prove(session.transport, hello, session.nonce)


class SessionClientFactory(_SessionFactory[ClientHandler]):
    """A session to a server: sends HELLO as soon as it is connected."""

    side = Side.CLIENT

    def greet(self, session: Session) -> None:
        session.greet(self.handler.make_hello)

    def refused(self, refusal: Refusal) -> None:
        self.handler.refused(refusal)
