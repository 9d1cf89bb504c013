"""Numbered migrations of a schema of PostgreSQL, as sqlite/migrate.py has them for SQLite."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from importlib import resources

from papercutd.errors import SchemaTooNew
from papercutd.storage.engine import Connection
from papercutd.storage.sqlite.migrate import SchemaDiffers

#: The advisory lock of whoever changes tables.
_MIGRATING = 7_027_701


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
