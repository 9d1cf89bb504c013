"""Reads beside the writer: a few connections, each mended before it is used again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from papercutd.errors import StorageClosed, StorageFull
from papercutd.storage.engine import Interrupted
from papercutd.storage.postgres.advice import advised
from papercutd.storage.postgres.database import settings
from papercutd.storage.postgres.hub import spawn
from papercutd.storage.postgres.link import ReactorLink
from papercutd.storage.postgres.writer import StorageAway
from papercutd.storage.sqlite.writer import QUEUE_MAX, Operation, T

CONNECTIONS = 4
#: Some read whole tables: only a server that is gone takes longer.
ANSWER_S = 600.0


class PostgresReader:
    """Runs queries, as many at once as it has connections."""

    def __init__(
        self, reactor: Any, dsn: str, search_path: str, connections: int = CONNECTIONS
    ) -> None:
        # Several questions of one transaction see one moment.
        session = {"default_transaction_isolation": "'repeatable read'"}
        told = settings(search_path, session)
        self._all = [ReactorLink(reactor, dsn, told, answer_s=ANSWER_S) for _ in range(connections)]
        self._free = list(self._all)
        self._waiting: deque[Deferred[ReactorLink]] = deque()
        self._is_closed = False

    def read(self, operation: Operation[T]) -> Deferred[T]:
        if self._is_closed:
            return fail(StorageClosed())
        if len(self._waiting) >= QUEUE_MAX:
            return fail(StorageFull())
        if self._free:
            link = succeed(self._free.pop())
        else:
            link = Deferred()
            self._waiting.append(link)
        return link.addCallback(self._run, operation)

    def tell(self, function: Callable[..., object], *arguments: object) -> None:
        """Call ``function``: an operation is in the reactor's thread already."""
        function(*arguments)

    def _run(self, link: ReactorLink, operation: Operation[T]) -> Deferred[T]:
        def done(result: Any) -> Any:
            self._give_back(link)
            return result

        return spawn(lambda: _read(link, operation)).addBoth(done)

    def _give_back(self, link: ReactorLink) -> None:
        if self._waiting:
            self._waiting.popleft().callback(link)
        elif self._is_closed:
            link.close()
        else:
            self._free.append(link)

    def close(self) -> Deferred[None]:
        self._is_closed = True
        for link in self._free:
            link.close()
        return succeed(None)


def _read(link: ReactorLink, operation: Operation[T]) -> T:
    try:
        return _once(link, operation)
    except Interrupted:
        pass
    try:
        # It was dead, or died: nothing was changed, and another may live.
        return _once(link, operation)
    except Interrupted as error:
        raise StorageAway(f"PostgreSQL: {advised(str(error))}") from error


def _once(link: ReactorLink, operation: Operation[T]) -> T:
    if not link.is_connected:
        link.connect()
    connection = link.connection
    try:
        return operation(connection)
    finally:
        connection.text_factory = str
        if connection.in_transaction:
            connection.execute("ROLLBACK")
