"""What a transaction step needs of a connection, whichever engine the database is on.

Steps are plain functions of a connection. SQLite's own connection satisfies the protocol as
it is; storage/postgres brings one that hands each statement to the reactor and comes back
with its rows. Statements are written for SQLite, in what both understand; what still differs
is translated by storage/postgres/dialect.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

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
    one = f"({', '.join('?' * len(rows[0]))})"
    done = connection.execute(
        f"INSERT INTO {into} VALUES {', '.join([one] * len(rows))}{ending}",
        [value for row in rows for value in row],
    )
    return done.fetchall() if ending else []


#: Runs one statement at a server and waits for its answer.
Send = Callable[[str, "Sequence[Any] | None"], "Answer"]


class Answer(Protocol):
    """What a server answered."""

    rows: list[tuple[Any, ...]]
    rowcount: int
    description: Any
