"""A role's database on PostgreSQL, read whole or filled whole: each in one transaction.

Filling is one transaction from the first table to the last index: whatever ends it before its
COMMIT, PostgreSQL itself takes everything back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2.extensions import set_wait_callback
from psycopg2.extras import wait_select

from papercutd.errors import AlreadyRunning, SchemaTooNew
from papercutd.storage.copying import OWN, SCHEMAS, CannotMove, Row, Table
from papercutd.storage.postgres.connection import PostgresConnection, TryAgain, explained
from papercutd.storage.postgres.database import open_blocking
from papercutd.storage.postgres.locks import LOCKS
from papercutd.storage.postgres.migrate import migrate, migrations
from papercutd.storage.postgres.moved_in import mark, marked, refuse_marked, unmark
from papercutd.storage.postgres.opening import SEARCH_PATHS
from papercutd.storage.postgres.set_aside import waiting
from papercutd.storage.sqlite.migrate import check_current

#: Rows of one journey.
_FETCH_ROWS = 5_000
#: Bytes of one piece of what is sent.
_PIECE = 1 << 18
#: How long a session that was killed may take until it is gone.
_LOCK_WAIT = "10s"
#: Rows that migrations put there.
_FIRST_ROWS = frozenset({*OWN, "monthly_mark"})
_TABLES = (
    "SELECT relname::text FROM pg_class WHERE relkind = 'r'"
    " AND relnamespace = to_regnamespace(?) ORDER BY relname"
)
_COLUMNS = (
    "SELECT relname::text, attname::text FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid"
    " WHERE relkind = 'r' AND relnamespace = to_regnamespace(?)"
    " AND attnum > 0 AND NOT attisdropped ORDER BY relname, attnum"
)
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class _Copied:
    """Both sides of a move: tables of schemas, and the writer's lock."""

    def __init__(self, dsn: str, schema: str) -> None:
        """Raises NoDatabase, or AlreadyRunning where somebody writes it."""
        self.schemas: tuple[str, ...] = ()
        self.schema = schema
        self.connection = open_blocking(dsn, SEARCH_PATHS[schema])
        try:
            self.connection.execute("SET application_name TO 'papercutd migrate-store'")
            self.connection.execute("SET idle_in_transaction_session_timeout TO 0")
            self.connection.execute("SET statement_timeout TO 0")
            if self.connection.raw.server_version >= 140000:
                # Who is killed leaves no session that goes on with a long index.
                self.connection.execute("SET client_connection_check_interval TO '1s'")
            self._lock()
        except BaseException:
            self.close()
            raise

    def _lock(self) -> None:
        execute = self.connection.execute
        execute(f"SET lock_timeout TO '{_LOCK_WAIT}'")
        try:
            execute(f"SELECT pg_advisory_lock({LOCKS[self.schema]})")
        except TryAgain as error:
            raise AlreadyRunning(f"schema {self.schema} of PostgreSQL") from error
        execute("SET lock_timeout TO 0")

    def tables(self) -> list[Table]:
        """All that have rows of the role."""
        columns: dict[tuple[str, str], list[str]] = {}
        for schema in self.schemas:
            for table, name in self.connection.execute(_COLUMNS, (schema,)):
                columns.setdefault((schema, table), []).append(name)
        return [
            Table(schema, table, tuple(names))
            for (schema, table), names in columns.items()
            if table not in OWN
        ]

    def count(self, table: Table) -> int:
        (count,) = self.connection.execute(f"SELECT COUNT(*) FROM {_place(table)}").fetchone()
        return int(count)

    def rows(self, table: Table) -> Iterator[Row]:
        execute = self.connection.execute
        execute(f"DECLARE moving CURSOR FOR SELECT {table.quoted_columns} FROM {_place(table)}")
        while found := execute(f"FETCH {_FETCH_ROWS} FROM moving").fetchall():
            yield from found
        execute("CLOSE moving")

    def close(self) -> None:
        self.connection.close()


class PostgresSource(_Copied):
    """The database in force, read in one transaction."""

    def __init__(self, dsn: str, schema: str) -> None:
        """Raises SchemaTooNew, SchemaOlder, SchemaDiffers or NotInForce as well."""
        super().__init__(dsn, schema)
        try:
            self._check()
            self.connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        there = [one for one in SCHEMAS[self.schema] if _is_there(self.connection, one)]
        if self.schema not in there:
            raise CannotMove(f"PostgreSQL has no schema {self.schema}: nothing to move")
        refuse_marked(self.connection, self.schema)
        self.schemas = tuple(there)
        for schema in there:
            check_current(f"schema {schema}", _applied(self.connection, schema), _known(schema))
        if self.schema == "journal" and waiting(self.connection):
            raise CannotMove("the site still owes records of a former journal: start it once")

    def set_aside(self, move: str) -> list[str]:
        """The files are in force: the schemas are kept under other names."""
        execute = self.connection.execute
        if self.connection.in_transaction:
            execute("ROLLBACK")
        name = f"moved_{move.replace('-', '_')}_"
        execute("BEGIN")
        # One that was being filled: the site begins it anew.
        execute("DROP SCHEMA IF EXISTS incoming CASCADE")
        for schema in self.schemas:
            execute(f"ALTER SCHEMA {schema} RENAME TO {name}{schema}")
        execute("COMMIT")
        return [f"{name}{schema}" for schema in self.schemas]


class PostgresTarget(_Copied):
    """A database that is being filled, in one transaction."""

    def begin(self, schemas: tuple[str, ...]) -> None:
        """Raises CannotMove, or SchemaTooNew, where it holds more than a move that was not
        put in force.
        """
        execute = self.connection.execute
        execute("BEGIN")
        is_left = marked(self.connection, self.schema) is not None
        for schema in (*SCHEMAS[self.schema], "incoming"):
            if schema == "incoming" and self.schema != "journal":
                continue
            if not is_left:
                self._check_empty(schema)
            execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        self.schemas = schemas
        for schema in schemas:
            migrate(self.connection, schema)
        self._later = [found for schema in schemas for found in take_away(self.connection, schema)]

    def _check_empty(self, schema: str) -> None:
        tables = [row[0] for row in self.connection.execute(_TABLES, (schema,)).fetchall()]
        if not tables:
            return
        if "schema_migration" not in tables:
            raise CannotMove(f"the target has a schema {schema} that is not papercutd's")
        numbers = _applied(self.connection, schema)
        of = "replica" if schema == "incoming" else schema
        newest = _known(of)[-1][0]
        if max(numbers, default=0) > newest:
            raise SchemaTooNew(f"schema {schema} of the target", max(numbers), newest)
        for name in tables:
            if name in _FIRST_ROWS:
                continue
            found = self.connection.execute(f'SELECT 1 FROM {schema}."{name}" LIMIT 1')
            if found.fetchone() is not None:
                raise CannotMove(
                    f"the target is not empty: {schema}.{name} has rows. Name an empty database,"
                    f" or have PostgreSQL drop its schema {schema} if nobody needs it"
                )

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        place = _place(table)
        # The triggers note what a server writes.
        self.connection.execute(f"ALTER TABLE {place} DISABLE TRIGGER USER; TRUNCATE {place}")
        feed = _Feed(rows)
        # Frozen: nobody sees them before the commit, and no vacuum has to write them once more.
        sql = f"COPY {place} ({table.quoted_columns}) FROM STDIN WITH (FREEZE true)"
        with self.connection.raw.cursor() as cursor:
            try:
                cursor.copy_expert(sql, feed, _PIECE)
            except psycopg2.Error as error:
                if feed.failed is not None:
                    raise feed.failed from error
                raise explained(error, self.connection.raw) from error
        self.connection.execute(f"ALTER TABLE {place} ENABLE TRIGGER USER")

    def finish(self, told: Callable[[int, int], None]) -> None:
        for done, statement in enumerate(self._later):
            told(done, len(self._later))
            self.connection.execute(statement)
        for schema in self.schemas:
            go_on_counting(self.connection, schema)
        tables = ", ".join(map(_place, self.tables()))
        self.connection.execute(f"ANALYZE {tables}")

    def commit(self, move: str) -> None:
        """It is there, and not in force."""
        mark(self.connection, self.schema, move)
        self.connection.execute("COMMIT")

    def put_in_force(self) -> None:
        """What was in force before was set aside."""
        unmark(self.connection, self.schema)

    def forget(self) -> None:
        """Nothing of it is left."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")


def take_away(connection: PostgresConnection, schema: str) -> Iterator[str]:
    """Keys and indexes, which are made faster of whole tables; how to make them, in order."""
    execute = connection.execute
    indexes = execute(
        "SELECT format('%I.%I', ?, c.relname), pg_get_indexdef(indexrelid) FROM pg_index"
        " JOIN pg_class AS c ON c.oid = indexrelid WHERE c.relnamespace = to_regnamespace(?)"
        " AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid"
        " AND contype IN ('p', 'u', 'x'))",
        (schema, schema),
    ).fetchall()
    rules = execute(
        "SELECT format('%I.%I', ?, c.relname), quote_ident(conname),"
        " pg_get_constraintdef(pg_constraint.oid) FROM pg_constraint"
        " JOIN pg_class AS c ON c.oid = conrelid"
        " WHERE contype IN ('p', 'u', 'f') AND connamespace = to_regnamespace(?)"
        # What foreign keys refer to comes before them.
        " ORDER BY contype = 'f', contype",
        (schema, schema),
    ).fetchall()
    drops = [f"ALTER TABLE {table} DROP CONSTRAINT {name}" for table, name, _ in reversed(rules)]
    drops += [f"DROP INDEX {name}" for name, _ in indexes]
    if drops:
        execute("; ".join(drops))
    for table, name, definition in rules:
        yield f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"
    yield from (definition for _, definition in indexes)


def go_on_counting(connection: PostgresConnection, schema: str) -> None:
    """Ids that the database itself gives go on behind the highest."""
    found = connection.execute(
        "SELECT format('%I.%I', ?, relname), quote_ident(attname), attname::text"
        " FROM pg_attribute JOIN pg_class AS c ON c.oid = attrelid"
        " WHERE relnamespace = to_regnamespace(?) AND relkind = 'r' AND attidentity <> ''",
        (schema, schema),
    ).fetchall()
    for table, column, name in found:
        connection.execute(
            f"SELECT setval(pg_get_serial_sequence(?, ?), MAX({column})) FROM {table}"
            " HAVING COUNT(*) > 0",
            (table, name),
        )


def _is_there(connection: PostgresConnection, schema: str) -> bool:
    return connection.execute("SELECT to_regnamespace(?)::oid", (schema,)).fetchone()[0] is not None


def _known(schema: str) -> tuple[tuple[int, str, str], ...]:
    return migrations(schema)


def _applied(connection: PostgresConnection, schema: str) -> dict[int, str]:
    tables = [row[0] for row in connection.execute(_TABLES, (schema,))]
    if "schema_migration" not in tables:
        return {}
    return dict(connection.execute(f"SELECT number, checksum FROM {schema}.schema_migration"))


def _place(table: Table) -> str:
    return f'{table.schema}."{table.name}"'


class _Feed:
    """Rows as COPY takes them, a piece at a time."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._lines = map(_line, rows)
        #: What ended the rows before their end: psycopg2 keeps only its words.
        self.failed: BaseException | None = None

    def read(self, size: int) -> bytes:
        piece: list[str] = []
        length = 0
        try:
            for line in self._lines:
                piece.append(line)
                length += len(line)
                if length >= size // 4:
                    break
        except BaseException as error:
            self.failed = error
            raise
        return "".join(piece).encode()


def _line(row: Row) -> str:
    return "\t".join(map(_word, row)) + "\n"


def _word(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return value.translate(_ESCAPED) if not value.isalnum() else value
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    return repr(value)


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends a statement that is under way; COPY is none of those."""
    set_wait_callback(wait_select)
    try:
        yield
    finally:
        set_wait_callback(None)
