"""Whole tables of a database, read alike on both engines: what is moved, and how two are compared.

The sum of a table is that of the digests of its rows: their order does not matter, and one that
is there twice counts twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any, Protocol

import attrs
import msgspec
from twisted.internet.task import Clock

from papercutd.errors import StorageError
from papercutd.storage.application_store import ApplicationStore
from papercutd.storage.engine import Connection
from papercutd.storage.proof.seals import verify_replica
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.replicated import TABLES
from papercutd.storage.site.site_journal import verify_journal
from papercutd.storage.sqlite.writer import InlineReader, InlineWriter, result_of

Row = tuple[Any, ...]
#: Rows done since it was called last.
Told = Callable[[int], None]
#: What a role's database is made of, and the schema that says which role's it is.
SCHEMAS = {"application": ("application",), "journal": ("journal", "replica")}
#: Tables of an engine's own.
OWN = frozenset({"schema_migration", "writer", "server"})
#: Columns that name a row of any table (``tbl``): in SQLite a number or a text, as that table's
#: key is; in PostgreSQL a text.
ANY_KEYS = {"lost_edit": "key", "seal": "key", "gone": "key"}
#: Rows between two words of progress.
TOLD_ROWS = 1_000
_ENCODE = msgspec.msgpack.Encoder().encode


class CannotMove(StorageError):
    """The database stays where it is."""


@attrs.frozen
class Table:
    """One table."""

    schema: str
    name: str
    columns: tuple[str, ...]

    @property
    def quoted_columns(self) -> str:
        return ", ".join(f'"{name}"' for name in self.columns)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@attrs.frozen
class TableSum:
    """What two copies of a table have in common."""

    rows: int
    digest: str


class Database(Protocol):
    """One of a role, on either engine: read in one transaction, or being filled."""

    @property
    def connection(self) -> Connection: ...
    @property
    def schemas(self) -> tuple[str, ...]:
        """Those that are there: a site may have no replica yet."""

    def tables(self) -> list[Table]: ...
    def count(self, table: Table) -> int: ...
    def rows(self, table: Table) -> Iterator[Row]:
        """All of them, in any order, few in memory."""


class Target(Database, Protocol):
    """One that is being filled; until it is put in force, nothing has changed."""

    def begin(self, schemas: tuple[str, ...]) -> None:
        """Empty tables; raises CannotMove where there is something already."""

    def fill(self, table: Table, rows: Iterable[Row]) -> None: ...
    def finish(self, told: Callable[[int, int], None]) -> None:
        """Indexes and rules; ``told``: how many are made, of how many."""


class Summing:
    """Takes the sum of rows that pass through."""

    def __init__(self, told: Told = lambda rows: None) -> None:
        self._told = told
        self._rows = 0
        self._sum = 0

    def through(self, rows: Iterable[Row]) -> Iterator[Row]:
        untold = 0
        for row in rows:
            digest = blake2b(_ENCODE(row), digest_size=16).digest()
            self._sum += int.from_bytes(digest, "big")
            self._rows += 1
            untold += 1
            if untold == TOLD_ROWS:
                self._told(untold)
                untold = 0
            yield row
        self._told(untold)

    @property
    def result(self) -> TableSum:
        return TableSum(self._rows, f"{self._sum % 2**128:032x}")


def sum_of(database: Database, table: Table, told: Told = lambda rows: None) -> TableSum:
    """The sum of a whole table."""
    summing = Summing(told)
    for _ in summing.through(database.rows(table)):
        pass
    return summing.result


def any_key_as_text(table: Table, rows: Iterable[Row]) -> Iterable[Row]:
    """Rows of SQLite as PostgreSQL has them."""
    if table.name not in ANY_KEYS:
        return rows
    place = table.columns.index(ANY_KEYS[table.name])
    return ((*row[:place], str(row[place]), *row[place + 1 :]) for row in rows)


def any_key_as_kept(table: Table, rows: Iterable[Row]) -> Iterable[Row]:
    """The reverse."""
    if table.name not in ANY_KEYS:
        return rows
    place, whose = table.columns.index(ANY_KEYS[table.name]), table.columns.index("tbl")
    return ((*row[:place], _key_of(row[whose], row[place]), *row[place + 1 :]) for row in rows)


def _key_of(table: str, text: str) -> int | str:
    spec = TABLES.get(table)
    return text if spec is None or isinstance(spec.first_key, str) else int(text)


def problems_of(database: Database, wall_s: Callable[[], float]) -> list[str]:
    """What ``papercutd verify`` of the role says."""
    connection = database.connection
    if "application" not in database.schemas:
        found = verify_journal(connection)
        if "replica" in database.schemas:
            found += verify_replica(connection, "replica")
        return found
    return problems_of_books(connection, wall_s)


def problems_of_books(connection: Connection, wall_s: Callable[[], float]) -> list[str]:
    """The same of an application server's database that no server has open."""
    clock = Clock()
    log = ChangeLog(wall_s)
    writer = InlineWriter(connection, clock, log)
    store = ApplicationStore(writer, InlineReader(writer), log, wall_s)
    return list(result_of(clock, store.verify()))
