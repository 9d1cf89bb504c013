"""Travelled rows written into a replica, those of one table that come together at once.

What an import or a quota run changes comes by the hundred, to every site: row by row most of a
site's time goes into statements, and to PostgreSQL each is a journey.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from papercutd.domain.lost_edit import ADJUSTED, ADJUSTED_COLUMNS, TABLES_WATCHED
from papercutd.errors import BadRows
from papercutd.storage.engine import (
    REFUSALS,
    Connection,
    as_array,
    insert_rows,
    is_sqlite,
)
from papercutd.storage.replication.replicated import CHARGE, TABLES, Replicated, digest_of

Key = int | str
#: Rows of one group, by key: the values of the columns that were sent.
Rows = dict[Key, list[Any]]


def apply_rows(
    connection: Connection, database: str, rows: Iterable[Any], number: int | None
) -> None:
    """Write travelled rows into the replica attached as ``database``.

    ``number``: the change that they come by; None: a snapshot, with which no events come.
    Raises BadRows for what is no row of this release; its transaction has to be undone.
    """
    applying = _Applying(connection, database, number)
    with fitting_rows():
        for table, key, columns in rows:
            applying.take(table, key, columns)
        applying.flush()


@contextmanager
def fitting_rows() -> Iterator[None]:
    """What rows from elsewhere may raise of themselves is BadRows."""
    try:
        yield
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise BadRows(f"a row cannot be read: {type(error).__name__}") from error
    except (*REFUSALS, sqlite3.InterfaceError, sqlite3.ProgrammingError) as error:
        # A value of another type than its column.
        raise BadRows(f"a row does not fit: {error}") from error


class _Applying:
    """Rows in the order in which they came; those that follow each other and are alike wait."""

    def __init__(self, connection: Connection, database: str, number: int | None) -> None:
        self._connection = connection
        self._database = database
        self._number = number
        #: What the waiting rows are of: the table, and the columns that were sent.
        self._group: tuple[str, tuple[str, ...]] | None = None
        self._rows: Rows = {}

    def take(self, table: str, key: Key, columns: dict[str, Any] | None) -> None:
        """Tables and columns of a newer release are passed over: they travel with the
        capabilities they need. A column that an older release does not send has its default.
        """
        if table in (CHARGE, ADJUSTED) and self._number is not None:
            self.flush()
            self._note_event(table, key, columns)
            return
        spec = TABLES.get(table)
        if spec is None:
            return
        if columns is None:
            self.flush()
            self._remove(spec, key)
            return
        if columns[spec.key] != key:
            raise BadRows(f"a row of {table} has another key than it travels under")
        sent = tuple(name for name in spec.columns if name in columns or name not in spec.newer)
        if self._group != (table, sent) or key in self._rows:
            self.flush()
            self._group = (table, sent)
        self._rows[key] = [columns[name] for name in sent]

    def flush(self) -> None:
        """Write what waits."""
        if self._group is not None:
            (table, sent), rows = self._group, self._rows
            self._group, self._rows = None, {}
            if is_sqlite(self._connection):
                self._write(table, sent, rows)
            else:
                self._write_at_once(TABLES[table], sent, rows)

    def _write(self, table: str, sent: tuple[str, ...], rows: Rows) -> None:
        connection = self._connection
        insert, select, before, seal = _statements(self._database, table, sent)
        if before:
            connection.executemany(before, [(key,) for key in rows])
        connection.executemany(insert, rows.values())
        # As the columns stand: a REAL given as 5 is 5.0.
        stored = [(key, connection.execute(select, (key,)).fetchone()) for key in rows]
        number = self._number or 0
        connection.executemany(seal, [(table, key, digest_of(row), number) for key, row in stored])

    def _write_at_once(self, spec: Replicated, sent: tuple[str, ...], rows: Rows) -> None:
        """The same on PostgreSQL."""
        if any(_is_foreign(value) for row in rows.values() for value in row):
            raise BadRows(f"a row of {spec.table} does not fit")
        connection, table = self._connection, f"{self._database}.{spec.table}"
        keys = as_array([*rows])
        if len(sent) < len(spec.columns):
            connection.execute(f"DELETE FROM {table} WHERE {spec.key} = ANY(?)", (keys,))
        insert_rows(
            *(connection, f"{table} ({', '.join(sent)})", [*rows.values()], conflict_of(spec, sent))
        )
        stored = connection.execute(
            f"SELECT {', '.join(spec.columns)} FROM {table} WHERE {spec.key} = ANY(?)", (keys,)
        ).fetchall()
        number = self._number or 0
        insert_rows(
            connection,
            f"{self._database}.seal (tbl, key, digest, number)",
            [(spec.table, str(row[0]), digest_of(row), number) for row in stored],
            _SEAL_CONFLICT,
        )

    def _remove(self, spec: Replicated, key: Key) -> None:
        connection, database = self._connection, self._database
        sealed_as = key if is_sqlite(connection) else str(key)
        connection.execute(f"DELETE FROM {database}.{spec.table} WHERE {spec.key} = ?", (key,))
        connection.execute(
            f"DELETE FROM {database}.seal WHERE tbl = ? AND key = ?", (spec.table, sealed_as)
        )
        if self._number is not None and spec.table in TABLES_WATCHED:
            connection.execute(
                f"INSERT INTO {database}.gone VALUES (?, ?, ?)"
                " ON CONFLICT (tbl, key) DO UPDATE SET number = excluded.number",
                (spec.table, sealed_as, self._number),
            )

    def _note_event(self, event: str, key: Key, columns: Any) -> None:
        if event == CHARGE:
            self._connection.execute(
                f"INSERT INTO {self._database}.charged VALUES (?, ?) ON CONFLICT DO NOTHING",
                (key, self._number),
            )
            return
        self._connection.execute(
            f"INSERT INTO {self._database}.adjusted VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (number, transfer) DO UPDATE SET account = excluded.account,"
            " amount_e4 = excluded.amount_e4, reason = excluded.reason, at = excluded.at",
            (self._number, key, *(columns[name] for name in ADJUSTED_COLUMNS)),
        )


def _is_foreign(value: Any) -> bool:
    """PostgreSQL would take it for a text."""
    if isinstance(value, int):
        return isinstance(value, bool) or not -(2**63) <= value < 2**63
    return isinstance(value, list | dict)


_SEAL_CONFLICT = (
    " ON CONFLICT (tbl, key) DO UPDATE SET digest = excluded.digest, number = excluded.number"
)


def conflict_of(spec: Replicated, sent: tuple[str, ...]) -> str:
    """What becomes of a key that is there already: it takes what was ``sent``."""
    values = ", ".join(f"{name} = excluded.{name}" for name in sent if name != spec.key)
    return f" ON CONFLICT ({spec.key}) DO {f'UPDATE SET {values}' if values else 'NOTHING'}"


@lru_cache(maxsize=256)
def _statements(database: str, name: str, sent: tuple[str, ...]) -> tuple[str, str, str, str]:
    """How a row with the columns ``sent`` is written, and read as it stands; what goes before,
    and how its seal is written.

    What is not sent has its default: then the row is made anew.
    """
    spec, table = TABLES[name], f"{database}.{name}"
    return (
        f"INSERT INTO {table} ({', '.join(sent)}) VALUES ({', '.join('?' * len(sent))})"
        + conflict_of(spec, sent),
        f"SELECT {', '.join(spec.columns)} FROM {table} WHERE {spec.key} = ?",
        "" if len(sent) == len(spec.columns) else f"DELETE FROM {table} WHERE {spec.key} = ?",
        f"INSERT INTO {database}.seal VALUES (?, ?, ?, ?){_SEAL_CONFLICT}",
    )
