"""Opening a SQLite database: durable settings, numbered migrations, newer ones refused.

Migrations are files ``schema/<name>/NNNN_<what>.sql``; the database remembers
the number and the checksum of each in ``schema_migration``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import blake2b
from importlib import resources

import attrs

from papercutd.errors import SchemaTooNew, StorageError
from papercutd.storage.engine import Connection

#: Pages of the write-ahead log (40 MB) at which a commit puts them into the database itself. A
#: writer does it before, while nobody waits (writer.py), unless somebody always does.
LOG_PAGES_MAX = 10_000


@attrs.frozen(auto_exc=True, str=False)
class SchemaDiffers(StorageError):
    """A migration of the database is not the file of this release: wrong release, or tampering."""

    path: str
    migration: str

    def __str__(self) -> str:
        return f"{self.path}: migration {self.migration} is not the one of this release"


@attrs.frozen(auto_exc=True, str=False)
class SchemaOlder(StorageError):
    """The database is of an older release: start this release's role on it once."""

    path: str
    found: int
    known: int

    def __str__(self) -> str:
        return (
            f"{self.path} has schema {self.found}, this release has {self.known}:"
            " start the role on it once"
        )


@attrs.frozen(auto_exc=True, str=False)
class Damaged(StorageError):
    """The database fails SQLite's own check: restore a backup."""

    path: str
    found: str

    def __str__(self) -> str:
        return f"{self.path} is damaged ({self.found}): restore a backup"


@cache
def migrations(schema: str) -> tuple[tuple[int, str, str], ...]:
    """(number, file name, SQL) of ``schema``, in order; read once in a process."""
    folder = resources.files("papercutd.storage") / "schema" / schema
    found = []
    for entry in folder.iterdir():
        if entry.name.endswith(".sql"):
            found.append((int(entry.name[:4]), entry.name, entry.read_text("utf-8")))
    return tuple(sorted(found))


@cache
def _checksum(sql: str) -> str:
    return blake2b(sql.encode(), digest_size=16).hexdigest()


def check_current(
    path: str, applied: Mapping[int, str], known: Sequence[tuple[int, str, str]]
) -> None:
    """Raises SchemaTooNew, SchemaOlder or SchemaDiffers unless ``applied`` are all ``known``."""
    newest = known[-1][0]
    if max(applied, default=0) > newest:
        raise SchemaTooNew(path, max(applied), newest)
    for number, name, sql in known:
        if number not in applied:
            raise SchemaOlder(path, max(applied, default=0), newest)
        if applied[number] != _checksum(sql):
            raise SchemaDiffers(path, name)


def connect(path: str, *, uri: bool = False) -> sqlite3.Connection:
    """A connection with the settings that every database here needs."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=512, uri=uri
    )
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES_MAX}")
    set_durable(connection)
    return connection


def set_durable(connection: Connection, database: str = "main") -> None:
    """Write-ahead log with a sync at every commit."""
    connection.execute(f"PRAGMA {database}.journal_mode = WAL")
    connection.execute(f"PRAGMA {database}.synchronous = FULL")


def open_database(path: str, schema: str) -> sqlite3.Connection:
    """Open or make the database at ``path`` and bring it to this release's ``schema``.

    Raises SchemaTooNew, SchemaDiffers or Damaged.
    """
    try:
        connection = connect(path)
    except sqlite3.DatabaseError as error:
        raise _explained(error, path) from error
    try:
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise Damaged(path, "quick_check")
        migrate(connection, path, schema)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise _explained(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _explained(error: sqlite3.DatabaseError, path: str) -> Exception:
    """``error`` in words for the person whose server does not start, where we have them."""
    if getattr(error, "sqlite_errorcode", 0) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return Damaged(path, "not a database")
    return error


def migrate(connection: Connection, path: str, schema: str, database: str = "main") -> bool:
    """Apply what is missing of ``schema`` to the attached ``database``.

    True when it was there before, in an older form.
    """
    known = migrations(schema)
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {database}.schema_migration"
        " (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL) STRICT"
    )
    applied = {
        number: (name, checksum)
        for number, name, checksum in connection.execute(
            f"SELECT number, name, checksum FROM {database}.schema_migration"
        )
    }
    newest = max((number for number, _, _ in known), default=0)
    if applied and max(applied) > newest:
        raise SchemaTooNew(path, max(applied), newest)
    for number, name, sql in known:
        checksum = _checksum(sql)
        if number in applied:
            if applied[number][1] != checksum:
                raise SchemaDiffers(path, name)
            continue
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in split_statements(sql):
                connection.execute(statement.replace("@", f"{database}."))
            connection.execute(
                f"INSERT INTO {database}.schema_migration VALUES (?, ?, ?)",
                (number, name, checksum),
            )
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    return bool(applied) and max(applied) < newest


def split_statements(sql: str) -> list[str]:
    """The statements of ``sql``; triggers, which hold semicolons, stay whole."""
    statements = []
    current = ""
    for line in sql.splitlines(keepends=True):
        if line.lstrip().startswith("--"):
            continue
        current += line
        if sqlite3.complete_statement(current):
            statements.append(current.strip())
            current = ""
    if current.strip():
        statements.append(current.strip())
    return [statement for statement in statements if statement]
