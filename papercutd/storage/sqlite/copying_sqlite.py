"""A role's database in files of SQLite: read as it lies there, or made beside its place."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from papercutd.errors import StorageFull
from papercutd.points import passing
from papercutd.storage.copying import (
    OWN,
    SCHEMAS,
    CannotMove,
    Row,
    Table,
    any_key_as_kept,
    any_key_as_text,
)
from papercutd.storage.sqlite import bulk_load
from papercutd.storage.sqlite.migrate import (
    Damaged,
    check_current,
    migrations,
    open_database,
    set_durable,
)
from papercutd.syncing import sync

#: What a file is called while it is being filled.
_INCOMING = "moving-"


class _Files:
    """Both sides of a move: tables of the main database, and of one attached as ``replica``."""

    connection: sqlite3.Connection
    schemas: tuple[str, ...]

    def _at(self, schema: str) -> tuple[sqlite3.Connection, str]:
        """The connection that has ``schema``, and what it is called there."""
        return self.connection, "replica" if schema == "replica" else "main"

    def tables(self) -> list[Table]:
        """All that have rows of the role."""
        found = []
        for schema in self.schemas:
            connection, place = self._at(schema)
            for (name,) in connection.execute(
                f"SELECT name FROM {place}.sqlite_master WHERE type = 'table'"
                " AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY name"
            ).fetchall():
                if name not in OWN:
                    columns = connection.execute(f'PRAGMA {place}.table_info("{name}")')
                    found.append(Table(schema, name, tuple(row[1] for row in columns)))
        return found

    def count(self, table: Table) -> int:
        connection, place = self._at(table.schema)
        (count,) = connection.execute(f'SELECT COUNT(*) FROM {place}."{table.name}"').fetchone()
        return int(count)

    def rows(self, table: Table) -> Iterator[Row]:
        """Raises CannotMove where a text cannot be read."""
        connection, place = self._at(table.schema)
        rows = connection.execute(f'SELECT {table.quoted_columns} FROM {place}."{table.name}"')
        try:
            yield from any_key_as_text(table, rows)
        except sqlite3.OperationalError as error:
            raise CannotMove(f"table {table}: {error}") from error


class SqliteSource(_Files):
    """The database in force, read in one transaction and never written."""

    def __init__(self, path: Path, schema: str) -> None:
        """Raises Damaged, SchemaTooNew, SchemaOlder or SchemaDiffers."""
        self.connection = sqlite3.connect(_read_only(path), uri=True, isolation_level=None)
        try:
            self.schemas = (schema,)
            self._check(path, schema)
            if len(SCHEMAS[schema]) > 1:
                self._attach_replica(path)
            self.connection.execute("BEGIN")
        except sqlite3.DatabaseError as error:
            self.connection.close()
            raise Damaged(str(path), str(error)) from error
        except BaseException:
            self.connection.close()
            raise

    def _check(self, path: Path, schema: str) -> None:
        _, place = self._at(schema)
        if self.connection.execute(f"PRAGMA {place}.quick_check(1)").fetchone()[0] != "ok":
            raise Damaged(str(path), "quick_check")
        applied = dict(
            self.connection.execute(f"SELECT number, checksum FROM {place}.schema_migration")
        )
        check_current(str(path), applied, migrations(schema))

    def _attach_replica(self, path: Path) -> None:
        found = self.connection.execute("SELECT replica FROM identity").fetchone()
        replica = path.with_name(f"replica-{found[0] if found else 0}.db")
        if replica.exists():
            self.connection.execute("ATTACH DATABASE ? AS replica", (_read_only(replica),))
            self.schemas = ("journal", "replica")
            self._check(replica, "replica")

    def close(self) -> None:
        self.connection.close()


def _read_only(path: Path) -> str:
    return f"file:{quote(str(path.absolute()))}?mode=ro"


class SqliteTarget(_Files):
    """Files beside the place of ``path``, which get their names when they are whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.schemas = ()
        self._open: dict[str, sqlite3.Connection] = {}
        self._indexes: dict[str, list[str]] = {}

    def _at(self, schema: str) -> tuple[sqlite3.Connection, str]:
        if schema in self._open:
            return self._open[schema], "main"
        return super()._at(schema)

    def _incoming(self, schema: str) -> Path:
        return self._path.with_name(f"{_INCOMING}{schema}.db")

    def begin(self, schemas: tuple[str, ...]) -> None:
        if self._path.exists():
            raise CannotMove(f"{self._path} is there already")
        self.forget()
        self.schemas = schemas
        for schema in schemas:
            incoming = self._incoming(schema)
            os.close(os.open(incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            with _explained():
                made = self._open[schema] = open_database(str(incoming), schema)
                tables = [row[0] for row in made.execute(_TABLES)]
                self._indexes[schema] = bulk_load.prepare(made, tables)
        self.connection = self._open[schemas[0]]

    def fill(self, table: Table, rows: Iterable[Row]) -> None:
        connection = self._open[table.schema]
        places = ", ".join("?" * len(table.columns))
        with _explained():
            connection.execute("BEGIN")
            # What a migration has put there.
            connection.execute(f'DELETE FROM "{table.name}"')
            connection.executemany(
                f'INSERT INTO "{table.name}" ({table.quoted_columns}) VALUES ({places})',
                any_key_as_kept(table, rows),
            )
            connection.execute("COMMIT")

    def finish(self, told: Callable[[int, int], None]) -> None:
        of, done = sum(map(len, self._indexes.values())), 0
        with _explained():
            for schema, statements in self._indexes.items():
                connection = self._open[schema]
                for statement in statements:
                    told(done, of)
                    connection.execute(statement)
                    done += 1
                broken = connection.execute("PRAGMA foreign_key_check").fetchone()
                if broken is not None:
                    raise CannotMove(f"table {schema}.{broken[0]}: row {broken[1]} names none")
                bulk_load.finish(connection)
            if "replica" in self.schemas:
                self._open.pop("replica").close()
                self.connection.execute(
                    "ATTACH DATABASE ? AS replica", (str(self._incoming("replica")),)
                )
                set_durable(self.connection, "replica")

    def place(self) -> None:
        """The files are in force from now on: the last rename says so."""
        replica = 0
        if "replica" in self.schemas:
            (replica,) = self.connection.execute("SELECT replica FROM identity").fetchone()
        with _explained():
            for schema in self.schemas:
                connection, place = self._at(schema)
                connection.execute(f"PRAGMA {place}.wal_checkpoint(TRUNCATE)")
        self.close()
        for schema in self.schemas:
            with open(self._incoming(schema), "rb") as file:
                os.fsync(file.fileno())
        sync(self._path.parent)
        if "replica" in self.schemas:
            in_force = self._path.with_name(f"replica-{replica}.db")
            _remove(in_force)
            os.replace(self._incoming("replica"), in_force)
            sync(self._path.parent)
        passing("store-written")
        _remove(self._path, ("-wal", "-shm"))
        os.replace(self._incoming(self.schemas[0]), self._path)
        sync(self._path.parent)

    def forget(self) -> None:
        """Nothing of it is left."""
        self.close()
        for schema in ("application", "journal", "replica"):
            _remove(self._incoming(schema))

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()
        self._open.clear()


_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table'"


def _remove(path: Path, endings: tuple[str, ...] = ("", "-wal", "-shm", "-journal")) -> None:
    for ending in endings:
        path.with_name(path.name + ending).unlink(missing_ok=True)


@contextmanager
def _explained() -> Iterator[None]:
    """Raises StorageFull, or CannotMove with SQLite's words."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            raise StorageFull from error
        raise CannotMove(f"SQLite: {error}") from error
