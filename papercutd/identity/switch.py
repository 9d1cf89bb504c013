"""One TLS port for several protocols: which it is, the handshake has agreed on (ALPN)."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

#: Seconds until who connects has to say something.
FIRST_WORD_S = 30.0


class _Switch(Protocol):
    """Waits for the first bytes: by then the handshake is done. Clients speak first."""

    def __init__(self, switch: ProtocolSwitch, address: IAddress) -> None:
        self._switch = switch
        self._address = address
        self._inner: IProtocol | None = None
        self._timer: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self._timer = self._switch.clock.callLater(FIRST_WORD_S, self._give_up)

    def dataReceived(self, data: bytes) -> None:
        if self._inner is None:
            self._stop_timer()
            assert self.transport is not None
            agreed = getattr(self.transport, "negotiatedProtocol", None)
            factory = self._switch.factories.get(agreed or b"", self._switch.otherwise)
            inner = factory.buildProtocol(self._address)
            if inner is None:
                self.transport.loseConnection()
                return
            self._inner = inner
            inner.makeConnection(self.transport)
        self._inner.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_timer()
        if self._inner is not None:
            self._inner.connectionLost(reason)

    def _give_up(self) -> None:
        self._timer = None
        if self.transport is not None:
            self.transport.loseConnection()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ProtocolSwitch(Factory):
    """``factories`` by the protocol agreed on; ``otherwise`` for every other and none."""

    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        otherwise: IProtocolFactory,
        factories: Mapping[bytes, IProtocolFactory],
    ) -> None:
        self.clock = clock
        self.otherwise = otherwise
        self.factories = factories

    def doStart(self) -> None:
        super().doStart()
        self.otherwise.doStart()

    def doStop(self) -> None:
        super().doStop()
        self.otherwise.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        return None if addr is None else _Switch(self, addr)
