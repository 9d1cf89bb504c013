"""Opening a role's database on PostgreSQL: made, migrated, locked; for commands, or looked into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg2

from papercutd.errors import AlreadyRunning
from papercutd.storage.postgres.connection import PostgresConnection, prepare
from papercutd.storage.postgres.database import NoDatabase, open_blocking, settings
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
    connection = open_blocking(dsn, SEARCH_PATHS[schema])
    try:
        migrate(connection, schema)
        # Behind it: a copy whose filling it waited for is seen.
        refuse_marked(connection, schema)
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_command(dsn: str, schema: str) -> PostgresConnection:
    """A connection to write with while no server runs; raises AlreadyRunning where one does."""
    connection = open_alone(dsn, schema)
    try:
        migrate(connection, schema)
        # Behind it: a copy whose filling it waited for is seen.
        refuse_marked(connection, schema)
    except BaseException:
        connection.close()
        raise
    return connection


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
            raw = psycopg2.connect(self._dsn)
        except psycopg2.Error as error:
            raise NoDatabase(str(error).strip()) from error
        try:
            raw.autocommit = True
            prepare(raw)
            with raw.cursor() as cursor:
                cursor.execute(settings("application, journal, replica", session))
                # PostgreSQL's own words here, its places too: %s.
                cursor.execute(sql, values or None)
                return list(cursor.fetchmany(self._rows_max))
        finally:
            raw.close()

    def tables(self) -> list[str]:
        """Names of the tables."""
        found = self.query(
            "SELECT schemaname || '.' || tablename FROM pg_tables"
            " WHERE schemaname = ANY(current_schemas(false)) ORDER BY 1"
        )
        return [row[0] for row in found]

    def __repr__(self) -> str:
        return "store.query(SQL, ...), store.tables()"
