"""Seals: digests of stored rows, by which one changed byte is found and its row named.

Each entry of the change log carries the digests of the ledger rows that its transaction
wrote, and is chained with them. What wrote a row need not know: triggers of the writer's
connection note it. The rows of a replica have their digests beside them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from papercutd.storage.engine import Connection, is_sqlite
from papercutd.storage.paging import rows_in_order
from papercutd.storage.postgres import seals as postgres
from papercutd.storage.proof.sealed_rows import LedgerComparison, Table, compare
from papercutd.storage.proof.sealing import is_sealed
from papercutd.storage.replication.replicated import TABLES, Replicated, digest_as_stored, digest_of

#: Sealed tables of the application server, and their keys.
LEDGER = {
    "account": "id",
    "audit": "id",
    "charge": "charge_id",
    "decision": "key",
    "job_log": "key",
    "outage": "id",
    "transfer": "id",
}
#: Problems named one by one; a file that is damaged all over has more than anybody reads.
NAMED_MAX = 1_000
#: Of a replica: PostgreSQL sorts them for each page.
_PAGE_SEALS = 20_000
Key = int | str
#: (table, key, digest of the row; None: the row was deleted)
Seal = tuple[str, Key, str | None]


@contextmanager
def as_stored(connection: Connection) -> Iterator[None]:
    """Texts are read as the bytes they are: damaged ones may be no UTF-8."""
    before = connection.text_factory
    connection.text_factory = bytes
    try:
        yield
    finally:
        connection.text_factory = before


@contextmanager
def one_moment(connection: Connection) -> Iterator[None]:
    """What is read inside is of one moment."""
    own = not connection.in_transaction
    if own:
        connection.execute("BEGIN")
    try:
        yield
    finally:
        if own:
            connection.execute("ROLLBACK")


@contextmanager
def legible(connection: Connection) -> Iterator[None]:
    """Damaged texts are read as far as they can be; everything at one moment."""
    before = connection.text_factory
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    try:
        with one_moment(connection):
            yield
    finally:
        connection.text_factory = before


class Written:
    """Keys of the ledger rows that a transaction has written, by table, on a connection that
    nobody but its own thread waits for.

    In memory, not in a table of the connection: a savepoint that is undone leaves them, so
    who goes back to one says so (``undo``).
    """

    def __init__(self) -> None:
        self.keys: dict[str, dict[Key, None]] = {table: {} for table in LEDGER}
        self.gone: set[tuple[str, Key]] = set()

    def clear(self) -> None:
        for keys in self.keys.values():
            keys.clear()
        self.gone.clear()

    def mark(self) -> tuple[int, ...]:
        return tuple(map(len, self.keys.values()))

    def undo(self, mark: tuple[int, ...]) -> None:
        """Forget what came after ``mark``."""
        for keys, count in zip(self.keys.values(), mark, strict=True):
            while len(keys) > count:
                keys.popitem()

    def add_to(self, connection: sqlite3.Connection) -> None:
        """Give the triggers of ``connection`` the functions that they call."""
        for table, keys in self.keys.items():
            # No function of ours: the triggers call the dictionary's own.
            connection.create_function(f"note_{table}", 1, keys.setdefault)
        connection.create_function("note_gone", 2, self._note_gone)

    def _note_gone(self, table: str, key: Key) -> None:
        self.gone.add((table, key))


def written_of(connection: Connection) -> Written | None:
    """Where ``connection`` notes what it wrote; None: in a table of its own.

    A function that a trigger calls takes the interpreter's lock each time: where a thread writes
    beside the reactor's, a table is better.
    """
    return getattr(connection, "written", None)


def watch(connection: Connection) -> None:
    """Note from now on which ledger rows this connection writes."""
    if not is_sqlite(connection):
        postgres.watch(connection)
        return
    in_memory = written_of(connection) is not None
    if not in_memory:
        connection.execute(
            "CREATE TEMP TABLE IF NOT EXISTS written"
            " (tbl TEXT NOT NULL, key NOT NULL, PRIMARY KEY (tbl, key)) WITHOUT ROWID"
        )
    for table, key in LEDGER.items():
        for event, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
            note = f"INSERT OR IGNORE INTO written VALUES ('{table}', {row}.{key});"
            if in_memory:
                gone = f" SELECT note_gone('{table}', OLD.{key});" if event == "DELETE" else ""
                note = f"SELECT note_{table}({row}.{key});{gone}"
            connection.execute(
                f"CREATE TEMP TRIGGER IF NOT EXISTS written_{table}_{event}"
                f" AFTER {event} ON main.{table} BEGIN {note} END"
            )


def take_seals(connection: Connection, number: int) -> list[Seal]:
    """Seals of what this transaction wrote; empty when it wrote nothing of the ledger.

    The first seals of a database are those of all its rows.
    """
    keys = _written(connection)
    if not keys:
        return []
    if connection.execute("SELECT 1 FROM sealing").fetchone() is None:
        connection.execute("INSERT INTO sealing VALUES (1, ?)", (number,))
        keys = [
            (table, row[0])
            for table, key in LEDGER.items()
            for row in connection.execute(f"SELECT {key} FROM {table} ORDER BY {key}")
        ]
        if is_sqlite(connection) and written_of(connection) is None:
            rows = "INSERT OR IGNORE INTO written VALUES (?, ?)"
            connection.executemany(rows, keys)
    with as_stored(connection):
        if not is_sqlite(connection):
            return _seals_by_table(connection, keys)
        written = written_of(connection)
        if written is None:
            seals = _seals_of_written(connection, sorted({table for table, _ in keys}))
            connection.execute("DELETE FROM written")
            return seals
        return _seals_of_noted(connection, keys, written)


def _seals_of_written(connection: Connection, tables: list[str]) -> list[Seal]:
    """The seals of what the table of this connection names, with one question for each table."""
    seals: list[Seal] = []
    for table in tables:
        sealed = LEDGER[table]
        rows = connection.execute(
            f"SELECT written.key, sealed.* FROM written LEFT JOIN {table} AS sealed"
            f" ON sealed.{sealed} = written.key WHERE tbl = ? ORDER BY written.key",
            (table,),
        )
        for key, *row in rows:
            named = key.decode() if isinstance(key, bytes) else key
            # A key is never NULL: of what is gone every column is.
            is_gone = all(value is None for value in row)
            seals.append((table, named, None if is_gone else digest_as_stored(row)))
    return seals


def _seals_of_noted(
    connection: Connection, keys: list[tuple[str, Key]], written: Written
) -> list[Seal]:
    """The seals of what is noted in memory."""
    seals: list[Seal] = []
    for table, key in keys:
        row = connection.execute(
            f"SELECT * FROM {table} WHERE {LEDGER[table]} = ?", (key,)
        ).fetchone()
        # It may be what a statement that failed has left.
        if row is not None or (table, key) in written.gone:
            seals.append((table, key, None if row is None else digest_of(row)))
    return seals


def _written(connection: Connection) -> list[tuple[str, Key]]:
    if not is_sqlite(connection):
        return postgres.take_written(connection, LEDGER)
    written = written_of(connection)
    if written is None:
        return connection.execute("SELECT tbl, key FROM written").fetchall()
    return [(table, key) for table in sorted(LEDGER) for key in sorted(written.keys[table])]


def _seals_by_table(connection: Connection, keys: list[tuple[str, Key]]) -> list[Seal]:
    """The seals of these rows, with one question for each table."""
    rows = {
        table: postgres.read_rows(connection, table, key, [k for t, k in keys if t == table])
        for table, key in LEDGER.items()
        if any(found == table for found, _ in keys)
    }
    digests = ((table, key, rows[table].get(key)) for table, key in keys)
    return [(table, key, None if row is None else digest_of(row)) for table, key, row in digests]


def verify_ledger(
    connection: Connection, told: Callable[[int, int], None] = lambda done, of: None
) -> list[str]:
    """Rows of the ledger that are not what was written, by table and key.

    The log is to be verified by itself: its seals are believed. ``told``: entries done, of all.
    """
    found = connection.execute("SELECT since FROM sealing").fetchone()
    if found is None:
        return []
    tables = []
    for name, key in LEDGER.items():
        defaults = _defaults(connection, "main", name)
        columns = list(defaults)
        shorter = partial(_shorter, list(defaults.values()))
        number = columns.index("number") if "number" in columns else None
        tables.append(Table(name, key, shorter, columns.index(key), number))
    with as_stored(connection):
        return LedgerComparison(connection, tables, found[0], told).problems(NAMED_MAX)


def _defaults(connection: Connection, database: str, table: str) -> dict[str, Any]:
    """What each column holds where nothing was said, in the order of the columns, as stored."""
    with as_stored(connection):
        if not is_sqlite(connection):
            schema = "application" if database == "main" else database
            return postgres.defaults_of(connection, schema, table)
        columns = connection.execute(f"PRAGMA {database}.table_info({table})").fetchall()
        return {
            name.decode(): connection.execute(
                f"SELECT {default.decode() if default is not None else 'NULL'}"
            ).fetchone()[0]
            for _, name, _, _, default, _ in columns
        }


def _shorter(defaults: list[Any], row: tuple[Any, ...]) -> Iterator[str]:
    """Digests of ``row`` as it was before its last columns were added by a newer release.

    A column that was added holds its default until it is written; then all are sealed.
    """
    for length in range(len(row) - 1, 0, -1):
        if row[length] != defaults[length]:
            return
        yield digest_of(row[:length])


def _earlier(spec: Replicated, defaults: dict[str, Any], row: tuple[Any, ...]) -> Iterator[str]:
    """The same of a row of a replica, whose columns say which version brought them."""
    values = dict(zip(spec.columns, row, strict=True))
    for version in sorted({*spec.newer.values()}, reverse=True):
        kept = spec.columns_at(version - 1)
        if any(values[name] != defaults[name] for name in spec.columns if name not in kept):
            return
        yield digest_of(values[name] for name in kept)


def verify_seals(connection: Connection, table: str, columns: tuple[str, ...]) -> list[str]:
    """Records of a journal of which ``columns``, beside the chain, are not what was written."""
    names = ", ".join(("number", "seal", *columns))
    with as_stored(connection):
        return [
            f"journal: record {number} has another time or stream than was written"
            for number, seal, *values in rows_in_order(
                connection, table, "number", names, "seal <> ''"
            )
            if seal != digest_as_stored(values).encode()
        ][:NAMED_MAX]


def verify_replica(
    connection: Connection, database: str, told: Callable[[int, int], None] = lambda done, of: None
) -> list[str]:
    """Rows of the replica attached as ``database`` that are not what was stored.

    ``told``: tables done, of all. While it is being sealed, a row without a seal is no problem.
    """
    problems: list[str] = []
    sealed = is_sealed(connection, database)
    for number, spec in enumerate(TABLES.values()):
        told(number, len(TABLES))
        defaults = _defaults(connection, database, spec.table)
        table = Table(spec.table, spec.key, partial(_earlier, spec, defaults), 0, None)
        with as_stored(connection), one_moment(connection):
            rows = rows_in_order(
                connection, f"{database}.{spec.table}", spec.key, ", ".join(spec.columns)
            )
            seals = _seals_of(connection, database, spec)
            problems += compare(table, rows, seals, NAMED_MAX, unsealed_too=sealed)
    return [f"replica: {problem}" for problem in problems]


def _seals_of(
    connection: Connection, database: str, spec: Replicated
) -> Iterator[tuple[int | bytes, str]]:
    """(key, digest) of a replicated table, in the order of the keys."""
    key = "key"
    if isinstance(spec.first_key, int) and not is_sqlite(connection):
        # SQLite keeps the key as what it is, PostgreSQL as a text.
        key = "CAST(key AS BIGINT)"
    seals = rows_in_order(
        *(connection, f"{database}.seal", key, f"{key}, digest", f"tbl = '{spec.table}'"),
        page=_PAGE_SEALS,
    )
    return ((place, digest.decode()) for place, digest in seals)
