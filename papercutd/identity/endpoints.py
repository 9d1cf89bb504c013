"""Connecting and listening: TCP with bounds, TLS that proves who it is."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import TimeoutError as HandshakeTimeout
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import BufferingTLSTransport, TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from protocols.limits import HANDSHAKE_TIMEOUT_S
from protocols.sockets import tune

CONNECT_TIMEOUT_S = 4.0
#: Bytes not yet sent that the kernel takes: bulk must not queue ahead of an answer.
NOT_SENT_BYTES_MAX = 16_384
_NOT_SENT_OPTION = getattr(socket, "TCP_NOTSENT_LOWAT", None)


class TimedTls(BufferingTLSTransport):
    """TLS over a transport that is cut off when its handshake takes too long.

    A peer that says nothing, or that does not speak TLS, would else stay for as long as
    the protocol inside waits; some wait for ever.
    """

    _limit: IDelayedCall | None = None

    def makeConnection(self, transport: ITransport) -> None:
        factory = self.factory
        assert isinstance(factory, TimedTlsFactory)
        tune(transport)
        _bound_unsent(transport)
        self._limit = factory.clock.callLater(factory.handshake_timeout_s, self._check_time)
        super().makeConnection(transport)

    def _check_time(self) -> None:
        self._limit = None
        # None until the peer's last handshake message is here.
        if self.getHandle().get_peer_finished() is None:
            self.failVerification(Failure(HandshakeTimeout(string="no TLS handshake in time")))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        super().connectionLost(reason)


class TimedTlsFactory(TLSMemoryBIOFactory):
    """Makes TimedTls around the protocols of ``wrapped``."""

    protocol = TimedTls

    def __init__(
        self,
        tls: IOpenSSLClientConnectionCreator | IOpenSSLServerConnectionCreator,
        is_client: bool,
        wrapped: IProtocolFactory,
        clock: IReactorTime,
        handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
    ) -> None:
        super().__init__(tls, is_client, wrapped, clock)
        self.clock = clock
        self.handshake_timeout_s = handshake_timeout_s

    def buildProtocol(self, addr: IAddress | None) -> TLSMemoryBIOProtocol | None:  # type: ignore[override]
        # WrappingFactory would wrap the None of a factory that declines.
        inner = self.wrappedFactory.buildProtocol(addr)
        return None if inner is None else self.protocol(self, inner)


def tls_server_factory(
    tls: IOpenSSLServerConnectionCreator,
    factory: IProtocolFactory,
    clock: IReactorTime,
    handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
) -> IProtocolFactory:
    """``factory`` over TLS: what a listener of any TLS port is given."""
    timed: IProtocolFactory = TimedTlsFactory(tls, False, factory, clock, handshake_timeout_s)
    return timed


@implementer(IStreamClientEndpoint)
class TlsEndpoint:
    """A client endpoint whose connections are TLS, with a time limit on the handshake.

    As with any TLS in Twisted, ``connect`` fires when TCP is up; what is written before
    the handshake has proved the peer waits, and is dropped if it fails.
    """

    def __init__(
        self,
        tls: IOpenSSLClientConnectionCreator,
        wrapped: IStreamClientEndpoint,
        clock: IReactorTime,
        handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
    ) -> None:
        self._tls = tls
        self._wrapped = wrapped
        self._clock = clock
        self._handshake_timeout_s = handshake_timeout_s

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        factory = TimedTlsFactory(
            self._tls, True, protocolFactory, self._clock, self._handshake_timeout_s
        )
        connecting: Deferred[Any] = self._wrapped.connect(factory)
        return connecting.addCallback(lambda protocol: protocol.wrappedProtocol)


def tls_endpoint(
    reactor: Any,
    host: str,
    port: int,
    tls: IOpenSSLClientConnectionCreator,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
) -> IStreamClientEndpoint:
    """An endpoint whose connections are proved to end at the identity ``tls`` expects."""
    tcp = HostnameEndpoint(reactor, host, port, timeout=connect_timeout_s)
    endpoint: IStreamClientEndpoint = TlsEndpoint(tls, tcp, reactor, handshake_timeout_s)
    return endpoint


def _bound_unsent(transport: object) -> None:
    handle = getattr(transport, "socket", None)
    if _NOT_SENT_OPTION is None or not isinstance(handle, socket.socket):
        return
    if handle.family in (socket.AF_INET, socket.AF_INET6):
        handle.setsockopt(socket.IPPROTO_TCP, _NOT_SENT_OPTION, NOT_SENT_BYTES_MAX)
