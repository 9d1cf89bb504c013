"""``socket://host:port``: a printer that takes the document as the bytes of a connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import BinaryIO
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.basic import FileSender
from twisted.python.failure import Failure

from papercutd.provider.adapters import Outcome, PrinterUnreachable

DEFAULT_PORT = 9100
CONNECT_TIMEOUT_S = 10.0
#: Seconds a printer may take to accept the whole document and close.
PRINT_TIMEOUT_S = 1_800.0


class _Connection(Protocol):
    """Sends; whatever the printer says back is read and thrown away."""

    def __init__(self) -> None:
        self.closed: Deferred[bool] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        """Status replies of printers: not used."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(reason.check(ConnectionDone) is not None)


class SocketPrinter:
    """The adapter for raw sockets."""

    def __init__(self, reactor: IReactorTCP, clock: IReactorTime) -> None:
        self._reactor = reactor
        self._clock = clock

    async def print_document(
        self, path: str, uri: str, started: Callable[[], Awaitable[None]]
    ) -> Outcome:
        parts = urlsplit(uri)
        endpoint = TCP4ClientEndpoint(
            self._reactor,
            parts.hostname or "",
            parts.port or DEFAULT_PORT,
            timeout=int(CONNECT_TIMEOUT_S),
        )
        try:
            connection = await endpoint.connect(Factory.forProtocol(_Connection))
        except Exception as error:
            raise PrinterUnreachable(str(error)) from error
        assert isinstance(connection, _Connection)
        transport = connection.transport
        assert transport is not None
        try:
            await started()
        except BaseException:
            transport.abortConnection()  # type: ignore[attr-defined]
            raise
        timer = self._clock.callLater(PRINT_TIMEOUT_S, transport.abortConnection)  # type: ignore[attr-defined]
        try:
            with open(path, "rb") as document:
                sent = await self._send(document, connection)
            if sent:
                transport.loseWriteConnection()  # type: ignore[attr-defined]
            is_clean = await connection.closed
        finally:
            if timer.active():
                timer.cancel()
        # A printer that broke off may have printed part of it: as analysed is what is known.
        return Outcome("completed", assumed=not (sent and is_clean))

    async def _send(self, document: BinaryIO, connection: _Connection) -> bool:
        try:
            await FileSender().beginFileTransfer(document, connection.transport)
        except Exception:
            return False
        return True
