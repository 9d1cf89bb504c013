"""A database of PostgreSQL: where it is, and whether it can be used.

The application server's tables are in the schema ``application``; a site's in ``journal`` and
``replica``. Whoever writes holds the database's advisory lock (writer.py).
"""

from __future__ import annotations

from typing import Any

import attrs
import psycopg2
from psycopg2 import extensions

from papercutd.errors import StorageError
from papercutd.storage.engine import Connection
from papercutd.storage.postgres.advice import advised
from papercutd.storage.postgres.connection import Blocking, PostgresConnection

#: What a configuration's ``store`` begins with.
SCHEMES = ("postgresql:", "postgres:")
VERSION_MIN = 130000
#: Limits that only newer releases have.
_UNLIMITED = (
    "SELECT set_config(name, '0', false) FROM pg_settings"
    " WHERE name IN ('idle_session_timeout', 'transaction_timeout')"
)
#: Before the reactor runs, and in commands.
CONNECT_S = 10
#: Whoever does not answer packets any more for ten seconds is gone (design.md 4.5).
_NOTICED = {
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}


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
        # Limits that the administrator sets for a database or a user are not meant for us.
        "statement_timeout": "0",
        "lock_timeout": "0",
        "idle_in_transaction_session_timeout": "'5min'",
        # A machine of ours that is gone holds the writer's lock no longer than this.
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
        **(session or {}),
    }
    return "; ".join([*(f"SET {name} TO {value}" for name, value in told.items()), _UNLIMITED])


def check_dsn(dsn: str) -> dict[str, Any]:
    """What ``dsn`` says, by name; raises NoDatabase, whose words hold nothing of it."""
    try:
        return extensions.parse_dsn(dsn)  # type: ignore[no-any-return]
    except psycopg2.Error:
        # libpq's own words quote it, a password perhaps.
        raise NoDatabase(
            "that is no address that libpq takes, as postgresql://user@host:port/database?name=value"
            " (within a part % is written %25, / %2F, @ %40)"
        ) from None


def connect_options(dsn: str) -> dict[str, int]:
    """What a connection to ``dsn`` is told beyond it: a network that is cut is noticed."""
    given = check_dsn(dsn)
    if "service" in given:
        return {}
    return {name: value for name, value in _NOTICED.items() if name not in given}


def open_blocking(dsn: str, schemas: str) -> PostgresConnection:
    """A connection that blocks, to a database that can be used; raises NoDatabase."""
    options = {"connect_timeout": CONNECT_S, **connect_options(dsn)}
    if "connect_timeout" in check_dsn(dsn):
        del options["connect_timeout"]
    try:
        link = Blocking(dsn, **options)
    except psycopg2.Error as error:
        raise NoDatabase(advised(str(error)) or type(error).__name__) from error
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
            " WHERE name IN"
            " ('server_encoding', 'fsync', 'full_page_writes', 'transaction_read_only')"
        )
    )
    if told["server_encoding"] != "UTF8":
        raise NoDatabase(
            f"the database is in {told['server_encoding']}: make another with ENCODING 'UTF8'"
        )
    if told["transaction_read_only"] != "off":
        raise NoDatabase(advised("the database is read-only"))
    if told["fsync"] != "on" or told["full_page_writes"] != "on":
        raise NoDatabase("fsync or full_page_writes is off: what is committed may be lost")
