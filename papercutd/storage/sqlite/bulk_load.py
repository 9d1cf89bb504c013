"""Loading many rows into a database that nobody uses yet: fast, in key order, and sealed.

The change log is written as the server would: chained entries that seal what they brought.
Their bodies are empty, since nobody has a replica that they would bring up to date; a site
takes a snapshot.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec

from papercutd.domain.chain import next_chain
from papercutd.storage.engine import Connection
from papercutd.storage.proof.seals import Seal
from papercutd.storage.replication.replicated import digest_of
from papercutd.storage.sqlite.migrate import set_durable

_CACHE_KIB = 200_000
#: Statements done, of all.
Told = Callable[[int, int], None]
_BODY = b"[]"


def prepare(connection: sqlite3.Connection, tables: Sequence[str]) -> list[str]:
    """Nothing is synced, and secondary indexes of ``tables`` are gone; how to make them again.

    A crash leaves the file of no use: it has to be a copy that is put in place when it is done.
    """
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    places = ", ".join("?" * len(tables))
    found = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        f" AND tbl_name IN ({places}) ORDER BY tbl_name, name",
        tables,
    ).fetchall()
    for name, _ in found:
        connection.execute(f"DROP INDEX {name}")
    return [sql for _, sql in found]


def finish(connection: sqlite3.Connection) -> None:
    """Durable from the next transaction on; the file is to be synced once it is closed."""
    set_durable(connection)


def insert(connection: sqlite3.Connection, table: str, rows: Sequence[Sequence[Any]]) -> None:
    """Rows with a value for every column."""
    if rows:
        places = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({places})", rows)


def seal_of(table: str, key: int | str, row: Iterable[Any]) -> Seal:
    """Of a row with a value for every column."""
    return table, key, digest_of(row)


class Load(Protocol):
    """One load, on either engine; PostgreSQL's is in postgres/bulk_load.py."""

    @property
    def connection(self) -> Connection: ...

    def begin(self, tables: Sequence[str]) -> None:
        """From here on rows come by ``insert``, those of ``tables`` by the million."""

    @contextmanager
    def piece(self) -> Iterator[None]:
        """What is written inside is one transaction where small ones are cheaper."""

    def insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """Rows with a value for every column."""

    def finish(self, told: Told) -> None:
        """Everything is there: keys, indexes, durability."""


class SqliteLoad:
    """Into a copy of the database, which nobody else has open."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._indexes: list[str] = []

    def begin(self, tables: Sequence[str]) -> None:
        self._indexes = prepare(self.connection, tables)

    @contextmanager
    def piece(self) -> Iterator[None]:
        # Where it fails the copy is of no use any more.
        self.connection.execute("BEGIN IMMEDIATE")
        yield
        self.connection.execute("COMMIT")

    def insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        insert(self.connection, table, rows)

    def finish(self, told: Told) -> None:
        for number, sql in enumerate(self._indexes):
            told(number, len(self._indexes))
            self.connection.execute(sql)
        finish(self.connection)


class Entries:
    """The entries of the change log that a load writes, beginning behind its head."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.timeline, self._number, self._chain = load.connection.execute(
            "SELECT timeline, number, chain FROM head"
        ).fetchone()
        self._rows: list[tuple[Any, ...]] = []

    @property
    def number(self) -> int:
        """Of the entry that is written next."""
        return int(self._number) + 1

    def add(self, seals: list[Seal], at: float) -> None:
        """One entry, of a transaction that wrote what ``seals`` seal."""
        seal = msgspec.json.encode((self.timeline, at, seals))
        self._chain = next_chain(self._chain, _BODY + seal)
        self._number += 1
        self._rows.append((self._number, self.timeline, _BODY, self._chain, at, seal))

    def write(self) -> None:
        """What was added is in the log, and the head behind it."""
        self._load.insert("change_log", self._rows)
        self._rows.clear()
        self._load.connection.execute(
            "UPDATE head SET number = ?, chain = ?", (self._number, self._chain)
        )
