"""A connection of operations on PostgreSQL: statements are translated, sent and waited for.

How one is sent is somebody else's: in a server by a greenlet over txpostgres (link.py), in
commands by psycopg2 itself (``Blocking``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import attrs
import psycopg2
from psycopg2 import errorcodes, extensions

from papercutd.errors import StorageFull
from papercutd.storage.engine import DatabaseFailed, Interrupted, RowRefused, Statement
from papercutd.storage.postgres.advice import advised
from papercutd.storage.postgres.dialect import translate


class ConnectionLost(Interrupted):
    """The connection to the database broke: what was not committed is not done."""


class TryAgain(Interrupted):
    """The transaction met another one, or its connection broke: it is to be run again."""


class Fenced(DatabaseFailed):
    """The transaction bears another writer's number: nothing of it was done."""


class ServerShort(StorageFull):
    """PostgreSQL lacks space or memory: nothing is written, reading goes on."""


#: The table that says who writes.
WRITER = "writer"
#: A disk that is full, or another limit of the server that passes.
_SHORT = errorcodes.CLASS_INSUFFICIENT_RESOURCES
_AGAIN = {
    errorcodes.SERIALIZATION_FAILURE,
    errorcodes.DEADLOCK_DETECTED,
    errorcodes.LOCK_NOT_AVAILABLE,
    # By an administrator: the session's own limits are none (database.py).
    errorcodes.QUERY_CANCELED,
}
#: The server ends the session: it stops, or an administrator ends it. One that is read-only is
#: a standby now: the primary is elsewhere, or comes back.
_GONE = ("08", "57P0", errorcodes.READ_ONLY_SQL_TRANSACTION)


def explained(error: psycopg2.Error, raw: Any) -> Exception:
    """``error`` of the connection ``raw``, as operations and the writer know it.

    After ConnectionLost it is to be closed.
    """
    code = error.pgcode or ""
    if raw is None or raw.closed or code.startswith(_GONE):
        return ConnectionLost(advised(str(error)))
    if code.startswith(_SHORT):
        return ServerShort(f"PostgreSQL: {advised(str(error))}")
    if code in _AGAIN:
        return TryAgain(advised(str(error)))
    if code == errorcodes.NOT_NULL_VIOLATION and error.diag.table_name == WRITER:
        return Fenced(str(error).strip())
    if isinstance(error, psycopg2.IntegrityError | psycopg2.DataError):
        return RowRefused(str(error).strip())
    return DatabaseFailed(str(error).strip())


@attrs.frozen
class Answer:
    """What the server answered to one statement."""

    rows: list[tuple[Any, ...]]
    rowcount: int
    description: Any


class Link(Protocol):
    """The way of statements to the server."""

    @property
    def raw(self) -> Any:
        """The connection of psycopg2; None: there is none now."""

    def send(self, sql: str, values: Sequence[Any] | None) -> Answer:
        """Run one statement and wait; raises what ``explained`` gives."""

    def close(self) -> None: ...


class Cursor:
    """Rows that have arrived."""

    def __init__(self, answer: Answer, text_factory: Callable[[bytes], Any]) -> None:
        self.rowcount = answer.rowcount
        self.description = answer.description
        rows: Iterable[tuple[Any, ...]] = answer.rows
        if text_factory is bytes:
            rows = (_as_bytes(row) for row in rows)
        self._rows = iter(rows)

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def __next__(self) -> Any:
        return next(self._rows)


def _in_order(sql: str, parameters: Sequence[Any]) -> tuple[str, list[Any]]:
    """The statement in PostgreSQL's words, and the values in the order of its places."""
    translated = translate(sql)
    if not translated.places:
        return translated.sql, []
    order = translated.order
    if order is None and len(parameters) != translated.places:
        raise ValueError(f"{translated.places} values wanted, {len(parameters)} given")
    chosen = parameters if order is None else [parameters[index] for index in order]
    return translated.sql, [
        _number_in(value) if isinstance(value, int) else value for value in chosen
    ]


def _number_in(value: int) -> int:
    """Truth is a number, and a number has 64 bits, as in SQLite."""
    if not -(2**63) <= value < 2**63:
        raise OverflowError("a number of more than 64 bits")
    return int(value)


def _as_bytes(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.encode() if isinstance(value, str) else value for value in row)


class PostgresConnection:
    """What operations are given in place of SQLite's connection."""

    def __init__(self, link: Link) -> None:
        self._link = link
        #: ``bytes``, or anything else for texts as they are: they are never illegible here.
        self.text_factory: Any = str

    @property
    def raw(self) -> Any:
        """The connection of psycopg2, for what goes in no statement."""
        return self._link.raw

    @property
    def in_transaction(self) -> bool:
        raw = self._link.raw
        if raw is None or raw.closed:
            return False
        return bool(
            raw.info.transaction_status
            in (extensions.TRANSACTION_STATUS_INTRANS, extensions.TRANSACTION_STATUS_INERROR)
        )

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> Cursor:
        told, values = _in_order(sql, parameters)
        return Cursor(self._link.send(told, values or None), self.text_factory)

    def execute_all(self, *statements: Statement) -> Cursor:
        """Run ``statements`` on one journey; what the last of them answers.

        One that fails is raised and keeps those behind it from being run.
        """
        told = [_in_order(sql, parameters) for sql, parameters in statements]
        values = [value for _, each in told for value in each]
        texts = [
            # Where values are put in, a percent sign is written twice, in all of them.
            sql.replace("%", "%%") if values and not each else sql
            for sql, each in told
        ]
        return Cursor(self._link.send("; ".join(texts), values or None), self.text_factory)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> None:
        for one in parameters:
            self.execute(sql, one)

    def close(self) -> None:
        self._link.close()


def _integer(value: str | None, cursor: object) -> int | None:
    return None if value is None else int(value == "t")


def _number(value: str | None, cursor: object) -> int | float | None:
    if value is None:
        return None
    return float(value) if "." in value or "N" in value else int(value)


def _octets(value: str | None, cursor: object) -> bytes | None:
    return None if value is None else bytes.fromhex(value[2:])


_TYPES = (
    # What SQLite gives for the same: truth and sums are numbers, binary values bytes.
    extensions.new_type((16,), "TRUTH", _integer),
    extensions.new_type((1700,), "SUM", _number),
    extensions.new_type((17,), "OCTETS", _octets),
)


def prepare(raw: Any) -> None:
    """Values of ``raw`` arrive as SQLite would give them."""
    for kind in _TYPES:
        extensions.register_type(kind, raw)


def run_on(raw: Any, cursor: Any) -> Answer:
    """What ``cursor``, which has run its statement, brought."""
    rows = cursor.fetchall() if cursor.description is not None else []
    return Answer(rows, cursor.rowcount, cursor.description)


class Blocking:
    """A link that blocks: for commands, and before the reactor runs."""

    def __init__(self, dsn: str, **options: int) -> None:
        self.raw: Any = psycopg2.connect(dsn, **options)
        self.raw.autocommit = True
        prepare(self.raw)

    def send(self, sql: str, values: Sequence[Any] | None) -> Answer:
        try:
            with self.raw.cursor() as cursor:
                cursor.execute(sql, values)
                return run_on(self.raw, cursor)
        except psycopg2.Error as error:
            told = explained(error, self.raw)
            if isinstance(told, ConnectionLost):
                self.raw.close()
            raise told from error
        except (ValueError, UnicodeEncodeError) as error:
            # A text that no database of this kind can hold.
            raise RowRefused(str(error)) from error

    def close(self) -> None:
        self.raw.close()
