"""``socket://host:port``: a printer that takes the document as the bytes of a connection.

Nothing but bytes goes over it: copies are sent one after the other, each on its own
connection; sides are as the printer is set.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import BinaryIO
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.protocols.basic import FileSender
from twisted.python.failure import Failure

from papercutd.provider.adapters import Outcome, PrinterUnreachable, PrintOptions

DEFAULT_PORT = 9100
CONNECT_TIMEOUT_S = 10.0
#: Seconds a printer may take to accept the whole document and close.
PRINT_TIMEOUT_S = 1_800.0
#: Attempts to reach the printer again for a further copy, and seconds between them.
COPY_ATTEMPTS = 60
COPY_RETRY_S = 5.0


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

    def __init__(
        self,
        reactor: IReactorTCP,
        clock: IReactorTime,
        *,
        print_timeout_s: float = PRINT_TIMEOUT_S,
        copy_retry_s: float = COPY_RETRY_S,
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._print_timeout_s = print_timeout_s
        self._copy_retry_s = copy_retry_s

    async def print_document(
        self,
        path: str,
        uri: str,
        started: Callable[[], Awaitable[None]],
        options: PrintOptions,
    ) -> Outcome:
        with open(path, "rb") as document:
            connection = await self._connect(uri)
            try:
                await started()
            except BaseException:
                connection.transport.abortConnection()  # type: ignore[union-attr]
                raise
            is_certain = await self._print_copy(document, connection)
            for _ in range(options.copies - 1):
                again = await self._connect_again(uri)
                if again is None:
                    # Some copies are out, some are not: as analysed is what is known.
                    return Outcome("completed", assumed=True)
                document.seek(0)
                is_certain = await self._print_copy(document, again) and is_certain
        # A printer that broke off may have printed part of it.
        return Outcome("completed", assumed=not is_certain)

    async def _connect(self, uri: str) -> _Connection:
        try:
            parts = urlsplit(uri)
            endpoint = TCP4ClientEndpoint(
                self._reactor,
                parts.hostname or "",
                parts.port or DEFAULT_PORT,
                timeout=int(CONNECT_TIMEOUT_S),
            )
            connection = await endpoint.connect(Factory.forProtocol(_Connection))
        except Exception as error:
            raise PrinterUnreachable(str(error)) from error
        assert isinstance(connection, _Connection)
        return connection

    async def _connect_again(self, uri: str) -> _Connection | None:
        """For a further copy: many printers take one connection at a time."""
        for _ in range(COPY_ATTEMPTS):
            try:
                return await self._connect(uri)
            except PrinterUnreachable:
                await deferLater(self._clock, self._copy_retry_s, lambda: None)
        return None

    async def _print_copy(self, document: BinaryIO, connection: _Connection) -> bool:
        """Whether the printer took all of it and closed in order."""
        transport = connection.transport
        assert transport is not None
        timer = self._clock.callLater(
            self._print_timeout_s,
            transport.abortConnection,  # type: ignore[attr-defined]
        )
        try:
            sent = await self._send(document, connection)
            if sent:
                transport.loseWriteConnection()  # type: ignore[attr-defined]
            return await connection.closed and sent
        finally:
            if timer.active():
                timer.cancel()

    async def _send(self, document: BinaryIO, connection: _Connection) -> bool:
        try:
            await FileSender().beginFileTransfer(document, connection.transport)
        except Exception:
            return False
        return True
