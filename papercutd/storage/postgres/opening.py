"""Opening a role's database on PostgreSQL: made, migrated, locked; for commands, or looked into."""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import Any

import psycopg2
from psycopg2 import extensions

from papercutd.errors import AlreadyRunning, StorageFull
from papercutd.storage.engine import DatabaseFailed
from papercutd.storage.postgres.advice import advised
from papercutd.storage.postgres.connection import PostgresConnection, prepare
from papercutd.storage.postgres.database import NoDatabase, connect_options, open_blocking, settings
from papercutd.storage.postgres.locks import LOCKS
from papercutd.storage.postgres.migrate import migrate
from papercutd.storage.postgres.moved_in import refuse_marked, settle

#: Where the bare names of each role's statements are looked up.
SEARCH_PATHS = {"application": "application", "journal": "journal, replica"}
#: What a person at the prompt may make the server wait.
LOOK_S = 5


def prepare_database(dsn: str, schema: str) -> None:
    """Bring the database at ``dsn`` to this release; raises NoDatabase or SchemaTooNew."""
    open_migrated(dsn, schema).close()


def open_migrated(dsn: str, schema: str) -> PostgresConnection:
    return _migrated(open_blocking(dsn, SEARCH_PATHS[schema]), schema)


def _migrated(connection: PostgresConnection, schema: str) -> PostgresConnection:
    try:
        migrate(connection, schema)
        # Behind it: a copy whose filling it waited for is seen.
        refuse_marked(connection, schema)
    except (DatabaseFailed, StorageFull) as error:
        connection.close()
        raise NoDatabase(advised(str(error))) from error
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_command(dsn: str, schema: str) -> PostgresConnection:
    """A connection to write with while no server runs; raises AlreadyRunning where one does."""
    return _migrated(open_alone(dsn, schema), schema)


def open_alone(dsn: str, schema: str) -> PostgresConnection:
    """A connection that holds the writer's lock, whatever the database holds."""
    connection = open_blocking(dsn, SEARCH_PATHS[schema])
    found = connection.execute(f"SELECT pg_try_advisory_lock({LOCKS[schema]})").fetchone()
    if not found[0]:
        connection.close()
        raise AlreadyRunning(f"schema {schema} of PostgreSQL")
    return connection


def settle_move(dsn: str, schema: str, moves: Sequence[str]) -> None:
    """Moves whose files were set aside are over, even where the command was killed after that."""
    connection = open_blocking(dsn, SEARCH_PATHS[schema])
    try:
        settle(connection, schema, moves)
    finally:
        connection.close()


class ReadOnlyPostgres:
    """The database, for looking."""

    def __init__(self, dsn: str, rows_max: int) -> None:
        self._dsn = dsn
        self._rows_max = rows_max

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """At most 1,000 rows; anything that writes is refused by the database itself."""
        session = {
            "default_transaction_read_only": "on",
            "statement_timeout": f"'{LOOK_S}s'",
        }
        try:
            raw = psycopg2.connect(self._dsn, async_=1, **connect_options(self._dsn))
            try:
                _wait(raw)
                prepare(raw)
                with raw.cursor() as cursor:
                    cursor.execute(settings("application, journal, replica", session))
                    _wait(raw)
                    # PostgreSQL's own words here, its places too: %s.
                    cursor.execute(sql, values or None)
                    _wait(raw)
                    return list(cursor.fetchmany(self._rows_max))
            finally:
                raw.close()
        except psycopg2.OperationalError as error:
            raise NoDatabase(advised(str(error))) from error

    def tables(self) -> list[str]:
        """Names of the tables."""
        found = self.query(
            "SELECT schemaname || '.' || tablename FROM pg_tables"
            " WHERE schemaname = ANY(current_schemas(false)) ORDER BY 1"
        )
        return [row[0] for row in found]

    def __repr__(self) -> str:
        return "store.query(SQL, ...), store.tables()"


def _wait(raw: Any) -> None:
    """Until ``raw`` has its answer; a server that says nothing for some seconds is given up."""
    while (state := raw.poll()) != extensions.POLL_OK:
        on = [raw.fileno()]
        is_read = state == extensions.POLL_READ
        if not any(select.select(on if is_read else [], [] if is_read else on, [], 2 * LOOK_S)):
            raise psycopg2.OperationalError("no answer")
