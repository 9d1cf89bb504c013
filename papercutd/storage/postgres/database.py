"""A database of PostgreSQL: where it is, and whether it can be used.

The application server's tables are in the schema ``application``; a site's in ``journal`` and
``replica``. Whoever writes holds the database's advisory lock (writer.py).
"""

from __future__ import annotations

from typing import Any

import attrs
import psycopg2

from papercutd.errors import StorageError
from papercutd.storage.engine import Connection
from papercutd.storage.postgres.connection import Blocking, PostgresConnection

#: What a configuration's ``store`` begins with.
SCHEMES = ("postgresql:", "postgres:")
VERSION_MIN = 130000


@attrs.frozen(auto_exc=True, str=False)
class NoDatabase(StorageError):
    """The database cannot be reached, or not be used."""

    why: str

    def __str__(self) -> str:
        return f"PostgreSQL: {self.why}"


def is_postgres(store: str) -> bool:
    """Whether ``store`` of a configuration names a database of PostgreSQL."""
    return store.startswith(SCHEMES)


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
