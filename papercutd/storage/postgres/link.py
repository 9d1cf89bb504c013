"""A link to PostgreSQL over txpostgres, for operations in greenlets; it heals itself.

txpostgres keeps a dead connection for ever. Here a connection that broke is thrown away, and
``connect`` makes another. A server that does not answer is a broken connection, too (alive.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg2
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.error import ConnectionLost as SocketLost

from papercutd.points import passing
from papercutd.storage.engine import RowRefused
from papercutd.storage.postgres import alive
from papercutd.storage.postgres.advice import advised
from papercutd.storage.postgres.alive import Patience
from papercutd.storage.postgres.connection import (
    Answer,
    ConnectionLost,
    PostgresConnection,
    TryAgain,
    explained,
    prepare,
    run_on,
)
from papercutd.storage.postgres.hub import wait

#: A statement that is not answered by then: the server is frozen, or the network is cut.
ANSWER_S = 30.0


class ReactorLink:
    """One connection at a time."""

    def __init__(
        self,
        reactor: Any,
        dsn: str,
        settings: str,
        greet: Callable[[PostgresConnection], None] = lambda connection: None,
        answer_s: float = ANSWER_S,
    ) -> None:
        """``greet`` is run on each new connection before anything else."""
        self._reactor = reactor
        self._dsn = dsn
        self._settings = settings
        self._greet = greet
        self._answer_s = answer_s
        self._held: Any = None
        self.connection = PostgresConnection(self)

    @property
    def raw(self) -> Any:
        return None if self._held is None else self._held._connection

    @property
    def is_connected(self) -> bool:
        raw = self.raw
        return raw is not None and not raw.closed

    def connect(self) -> None:
        """Make a connection that can be used; raises ConnectionLost."""
        self.close()
        try:
            held = alive.connect(self._reactor, self._dsn)
        except psycopg2.Error as error:
            raise ConnectionLost(advised(str(error))) from error
        self._held = held
        try:
            prepare(held._connection)
            self.send(self._settings, None)
            self._greet(self.connection)
        except BaseException:
            self.close()
            raise

    def send(self, sql: str, values: Sequence[Any] | None) -> Answer:
        held = self._held
        if not self.is_connected:
            raise ConnectionLost("not connected")
        try:
            cursor = held.cursor()
            answer = cursor.execute(sql, values)
            if sql.endswith("COMMIT"):
                passing("commit-sent")
            self._in_time(held, answer)
            return run_on(held._connection, cursor)
        except psycopg2.Error as error:
            told = explained(error, held._connection)
            if isinstance(told, ConnectionLost):
                self.close()
            raise told from error
        except CancelledError as error:
            # What txpostgres makes of a statement that somebody canceled at the server.
            raise TryAgain("canceling statement due to user request") from error
        except (ConnectionDone, SocketLost) as error:
            self.close()
            raise ConnectionLost(advised("the server did not answer")) from error
        except (ValueError, UnicodeEncodeError) as error:
            # A text that no database of this kind can hold.
            raise RowRefused(str(error)) from error

    def _in_time(self, held: Any, answer: Deferred[Any]) -> None:
        patience = Patience(
            *(self._reactor, held.target, self._answer_s), lambda: alive.close(held)
        )
        try:
            wait(answer)
        finally:
            patience.over()

    def close(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            alive.close(held)
