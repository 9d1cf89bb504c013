"""What a transaction step needs of a connection, whichever engine the database is on.

Steps are plain functions of a connection. SQLite's own connection satisfies the protocol as
it is; storage/postgres brings one that hands each statement to the reactor and comes back
with its rows. Statements are written for SQLite, in what both understand; what still differs
is translated by storage/postgres/dialect.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, cast

import msgspec

from papercutd.errors import StorageError


class Cursor(Protocol):
    """The answer to one statement."""

    @property
    def rowcount(self) -> int: ...
    @property
    def description(self) -> Any: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __next__(self) -> Any: ...


#: A statement and what it takes.
Statement = tuple[str, Sequence[Any]]


class Connection(Protocol):
    """Runs statements, one transaction at a time."""

    #: What texts are made of: ``str``, or a function of their bytes.
    text_factory: Any

    @property
    def in_transaction(self) -> bool: ...
    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor: ...
    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> object: ...
    def close(self) -> None: ...


class DatabaseFailed(StorageError):
    """The database could not do what it was asked: its own words are in the log."""


class RowRefused(DatabaseFailed):
    """The database itself refuses a row: one of its rules, or a value of another type."""


class Interrupted(DatabaseFailed):
    """The transaction under way is gone, for no fault of its own: it may be run again, whole."""


_ENCODE = msgspec.json.Encoder().encode
#: What an engine raises of a row that it refuses, whoever wrote it.
REFUSALS = (sqlite3.IntegrityError, sqlite3.DataError, RowRefused)
#: What an engine raises of its own accord.
DATABASE_ERRORS = (sqlite3.Error, DatabaseFailed)


def is_sqlite(connection: Connection) -> bool:
    """Whether ``connection`` is SQLite's own: the few steps that differ whole ask it."""
    return isinstance(connection, sqlite3.Connection)


def insert_row(connection: Connection, sql: str, parameters: Sequence[Any]) -> int:
    """Insert one row into a table whose key is ``id``; that id."""
    if isinstance(connection, sqlite3.Connection):
        made = connection.execute(sql, parameters).lastrowid
        assert made is not None
        return made
    (number,) = connection.execute(f"{sql} RETURNING id", parameters).fetchone()
    return int(number)


def insert_rows(
    connection: Connection, into: str, rows: Sequence[Sequence[Any]], ending: str = ""
) -> list[Any]:
    """Insert many rows with one statement; what ``ending`` returns."""
    if not rows:
        return []
    done = connection.execute(*insertion(connection, into, rows, ending))
    return done.fetchall() if ending else []


def insertion(
    connection: Connection, into: str, rows: Sequence[Sequence[Any]], ending: str = ""
) -> Statement:
    """The statement that inserts ``rows``, at least one.

    ``into``: the table, and in parentheses its columns.
    """
    if is_sqlite(connection) or len(rows) == 1:
        one = f"({', '.join('?' * len(rows[0]))})"
        places = ", ".join([one] * len(rows))
        return f"INSERT INTO {into} VALUES {places}{ending}", [v for row in rows for v in row]
    # Read several times faster than so many values of a statement.
    table, _, listed = into.rstrip(")").partition(" (")
    names = listed.split(", ")
    given = as_json([dict(zip(names, map(_for_json, row), strict=True)) for row in rows])
    source = f"SELECT {listed} FROM json_populate_recordset(NULL::{table}, ?)"
    return f"INSERT INTO {into} {source}{ending}", [given]


def _for_json(value: Any) -> Any:
    """Bytes as PostgreSQL reads them in a text."""
    return f"\\x{value.hex()}" if isinstance(value, bytes) else value


def execute_all(connection: Connection, statements: Sequence[Statement]) -> Cursor:
    """Run ``statements``, at least one; the answer to the last. To PostgreSQL: one journey."""
    if not is_sqlite(connection):
        done: Cursor = cast(Any, connection).execute_all(*statements)
        return done
    for sql, values in statements:
        done = connection.execute(sql, values)
    return done


def as_json(value: object) -> str:
    """``value`` for a function of PostgreSQL that takes many rows at once; raises RowRefused."""
    try:
        return _ENCODE(value).decode()
    except (UnicodeEncodeError, msgspec.MsgspecError) as error:
        # A text that no database can hold.
        raise RowRefused(str(error)) from error


def among(
    connection: Connection, column: str, values: Sequence[int | str]
) -> tuple[str, Sequence[Any]]:
    """The condition that ``column`` is one of ``values``, and what it takes."""
    if is_sqlite(connection):
        return f"{column} IN ({', '.join('?' * len(values))})", values
    # One value, and one statement however many there are.
    return f"{column} = ANY(?)", [as_array(values)]


def as_array(values: Sequence[int | str]) -> str:
    """What PostgreSQL's ``ANY`` takes: a text is read faster than an expression of them all."""
    return f"{{{','.join(str(v) if isinstance(v, int) else _quoted(v) for v in values)}}}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


#: Runs one statement at a server and waits for its answer.
Send = Callable[[str, "Sequence[Any] | None"], "Answer"]


class Answer(Protocol):
    """What a server answered."""

    rows: list[tuple[Any, ...]]
    rowcount: int
    description: Any
