"""A database of sample data on PostgreSQL: that of SQLite's, copied table by table."""

from __future__ import annotations

import io
import sqlite3
from contextlib import closing
from typing import Any

import psycopg2

from papercutd.storage.postgres.opening import prepare_database

_PIECE_ROWS = 5_000


def copy_to_postgres(path: str, dsn: str) -> None:
    """The application server's database at ``path`` into the new database ``dsn``."""
    prepare_database(dsn, "application")
    with closing(sqlite3.connect(path)) as source, closing(psycopg2.connect(dsn)) as target:
        with target.cursor() as cursor:
            # What triggers would do is in the data.
            cursor.execute("SET session_replication_role = replica; SET search_path = application")
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'application'")
            tables = {name for (name,) in cursor.fetchall()} - {"schema_migration"}
            for table in sorted(tables):
                _copy(source, cursor, table)
            cursor.execute(
                "SELECT table_name, column_name FROM information_schema.columns"
                " WHERE table_schema = 'application' AND is_identity = 'YES'"
            )
            for table, column in cursor.fetchall():
                cursor.execute(
                    f"SELECT setval(pg_get_serial_sequence('application.\"{table}\"', %s),"
                    f' (SELECT COALESCE(MAX({column}), 0) + 1 FROM "{table}"))',
                    (column,),
                )
        target.commit()
        target.autocommit = True
        with target.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")


def _copy(source: sqlite3.Connection, cursor: Any, table: str) -> None:
    columns = [row[1] for row in source.execute(f'PRAGMA table_info("{table}")')]
    if not columns:
        # PostgreSQL's alone.
        return
    cursor.execute(f'DELETE FROM "{table}"')
    names = ", ".join(f'"{name}"' for name in columns)
    rows = source.execute(f'SELECT {names} FROM "{table}"')
    while piece := rows.fetchmany(_PIECE_ROWS):
        lines = "".join("\t".join(map(_field, row)) + "\n" for row in piece)
        cursor.copy_expert(f'COPY "{table}" ({names}) FROM STDIN', io.StringIO(lines))


def _field(value: object) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    text = repr(value) if isinstance(value, float) else str(value)
    for plain, escaped in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(plain, escaped)
    return text
