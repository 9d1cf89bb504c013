"""One port for several protocols: over TLS the handshake has agreed on one (ALPN), in
plaintext the first bytes tell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from protocols.limits import HANDSHAKE_TIMEOUT_S, TAG_LENGTH_MAX

#: Seconds until who connects has to say something.
FIRST_WORD_S = 30.0
_HELLO = re.compile(rb"[A-Za-z0-9._:-]{1,%d} HELLO " % TAG_LENGTH_MAX)
#: What may still become one.
_PERHAPS_HELLO = re.compile(
    rb"[A-Za-z0-9._:-]{0,%d}|[A-Za-z0-9._:-]{1,%d} (?:H|HE|HEL|HELL|HELLO)?"
    % (TAG_LENGTH_MAX, TAG_LENGTH_MAX)
)


class _Waiting(Protocol):
    """Passes everything on to the protocol that its factory chooses by the first bytes.

    Clients speak first; by then the handshake, if there is one, is done.
    """

    def __init__(self, switch: _SwitchFactory, address: IAddress) -> None:
        self._switch = switch
        self._address = address
        self._inner: IProtocol | None = None
        self._timer: IDelayedCall | None = None
        #: What came while it was not decided.
        self._first = b""

    def connectionMade(self) -> None:
        self._timer = self._switch.clock.callLater(self._switch.first_word_s, self._give_up)

    def dataReceived(self, data: bytes) -> None:
        if self._inner is None:
            assert self.transport is not None
            self._first += data
            factory = self._switch.choose(self.transport, self._first)
            if factory is None:
                return
            self._stop_timer()
            inner = factory.buildProtocol(self._address)
            if inner is None:
                self.transport.loseConnection()
                return
            self._inner = inner
            inner.makeConnection(self.transport)
            data, self._first = self._first, b""
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


class _SwitchFactory(Factory):
    """``choose`` says which factory goes on; ``otherwise`` is told of start and stop."""

    noisy = False
    first_word_s = FIRST_WORD_S

    def __init__(self, clock: IReactorTime, otherwise: IProtocolFactory) -> None:
        self.clock = clock
        self.otherwise = otherwise

    def choose(self, transport: ITransport, first: bytes) -> IProtocolFactory | None:
        """By what came first; None until that can be told."""
        raise NotImplementedError

    def doStart(self) -> None:
        super().doStart()
        self.otherwise.doStart()

    def doStop(self) -> None:
        super().doStop()
        self.otherwise.doStop()

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        return None if addr is None else _Waiting(self, addr)


class ProtocolSwitch(_SwitchFactory):
    """``factories`` by the protocol agreed on; ``otherwise`` for every other and none."""

    def __init__(
        self,
        clock: IReactorTime,
        otherwise: IProtocolFactory,
        factories: Mapping[bytes, IProtocolFactory],
    ) -> None:
        super().__init__(clock, otherwise)
        self.factories = factories

    def choose(self, transport: ITransport, first: bytes) -> IProtocolFactory | None:
        agreed = getattr(transport, "negotiatedProtocol", None)
        return self.factories.get(agreed or b"", self.otherwise)


class PlainSwitch(_SwitchFactory):
    """HTTP, and the line protocol for those whom ``may_speak`` admits by their address.

    A line that begins a session is ``TAG HELLO ...``; no request of HTTP has that as its
    second word. Everything else is HTTP's to answer.
    """

    first_word_s = HANDSHAKE_TIMEOUT_S

    def __init__(
        self,
        clock: IReactorTime,
        otherwise: IProtocolFactory,
        lines: IProtocolFactory,
        may_speak: Callable[[IAddress], bool],
    ) -> None:
        super().__init__(clock, otherwise)
        self._lines = lines
        self._may_speak = may_speak

    def choose(self, transport: ITransport, first: bytes) -> IProtocolFactory | None:
        if _HELLO.match(first):
            return self._lines
        return None if _PERHAPS_HELLO.fullmatch(first) else self.otherwise

    def buildProtocol(self, addr: IAddress | None) -> Any:
        if addr is None or not self._may_speak(addr):
            return self.otherwise.buildProtocol(addr)  # type: ignore[arg-type]
        return super().buildProtocol(addr)
