"""A database of PostgreSQL: where it is, its schemas, their numbered migrations.

The application server's tables are in the schema ``application``; a site's in ``journal`` and
``replica``. Whoever writes holds the database's advisory lock (writer.py).
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from importlib import resources
from typing import Any

import attrs
import psycopg2

from papercutd.errors import SchemaTooNew, StorageError
from papercutd.storage.engine import Connection
from papercutd.storage.migrate import SchemaDiffers
from papercutd.storage.postgres.connection import Blocking, PostgresConnection

#: What a configuration's ``store`` begins with.
SCHEMES = ("postgresql:", "postgres:")
VERSION_MIN = 130000
#: The advisory lock of whoever changes tables.
_MIGRATING = 7_027_701


@attrs.frozen(auto_exc=True, str=False)
class NoDatabase(StorageError):
    """The database cannot be reached, or not be used."""

    why: str

    def __str__(self) -> str:
        return f"PostgreSQL: {self.why}"


def is_postgres(store: str) -> bool:
    """Whether ``store`` of a configuration names a database of PostgreSQL."""
    return store.startswith(SCHEMES)


@cache
def migrations(schema: str) -> tuple[tuple[int, str, str], ...]:
    """(number, file name, SQL) of ``schema``, in order; read once in a process."""
    folder = resources.files("papercutd.storage") / "schema" / "postgresql" / schema
    return tuple(
        sorted(
            (int(entry.name[:4]), entry.name, entry.read_text("utf-8"))
            for entry in folder.iterdir()
            if entry.name.endswith(".sql")
        )
    )


def settings(schemas: str, session: dict[str, str] | None = None) -> str:
    """What every connection is told first; ``schemas``: where bare names are looked up."""
    told = {
        "client_encoding": "'UTF8'",
        "search_path": schemas,
        "standard_conforming_strings": "on",
        # Durability is not the session's to lessen.
        "synchronous_commit": "on",
        "idle_in_transaction_session_timeout": "'5min'",
        **(session or {}),
    }
    return "; ".join(f"SET {name} TO {value}" for name, value in told.items())


def open_blocking(dsn: str, schemas: str) -> PostgresConnection:
    """A connection that blocks, to a database that can be used; raises NoDatabase."""
    try:
        link = Blocking(dsn)
    except psycopg2.Error as error:
        raise NoDatabase(str(error).strip() or type(error).__name__) from error
    connection = PostgresConnection(link)
    try:
        _check(link.raw, connection)
        connection.execute(settings(schemas))
    except BaseException:
        connection.close()
        raise
    return connection


def _check(raw: Any, connection: Connection) -> None:
    if raw.server_version < VERSION_MIN:
        raise NoDatabase(f"release {raw.server_version // 10000} is older than 13")
    told = dict(
        connection.execute(
            "SELECT name, setting FROM pg_settings"
            " WHERE name IN ('server_encoding', 'fsync', 'full_page_writes')"
        )
    )
    if told["server_encoding"] != "UTF8":
        raise NoDatabase(f"the database is in {told['server_encoding']}: make it with UTF8")
    if told["fsync"] != "on" or told["full_page_writes"] != "on":
        raise NoDatabase("fsync or full_page_writes is off: what is committed may be lost")


def _checksum(sql: str) -> str:
    return blake2b(sql.encode(), digest_size=16).hexdigest()


def migrate(connection: Connection, schema: str, namespace: str | None = None) -> bool:
    """Bring ``namespace`` (the schema's own name) to this release; True: it was there, older.

    Raises SchemaTooNew or SchemaDiffers. All of it is one transaction.
    """
    place = namespace or schema
    known = migrations(schema)
    newest = known[-1][0]
    own = not connection.in_transaction
    if own:
        connection.execute("BEGIN")
    try:
        connection.execute(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {place}")
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {place}.schema_migration"
            " (number BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL)"
        )
        applied = {
            number: checksum
            for number, checksum in connection.execute(
                f"SELECT number, checksum FROM {place}.schema_migration"
            )
        }
        if applied and max(applied) > newest:
            raise SchemaTooNew(f"schema {place}", max(applied), newest)
        for number, name, sql in known:
            checksum = _checksum(sql)
            if number in applied:
                if applied[number] != checksum:
                    raise SchemaDiffers(f"schema {place}", name)
                continue
            connection.execute(sql.replace("@", f"{place}."))
            connection.execute(
                f"INSERT INTO {place}.schema_migration VALUES (?, ?, ?)", (number, name, checksum)
            )
        if own:
            connection.execute("COMMIT")
    except BaseException:
        if own and connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return bool(applied) and max(applied) < newest
