"""The rows of a snapshot, many with one statement; sealing.py seals them when it is in force.

A chunk has rows that travel alone, ``[table, key, {column: value}]``, and rows of one table
together, ``[table, [column, ...], [[value, ...], ...]]``. What has all our columns is written at
once; any other goes the way of a row that came alone (``applying.apply_rows``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

from papercutd.errors import BadRows
from papercutd.storage.engine import Connection, is_sqlite
from papercutd.storage.replication.replicated import TABLES, Replicated
from papercutd.storage.site.applying import apply_rows, conflict_of, fitting_rows

#: Values of one statement to PostgreSQL.
_VALUES_MAX = 5_000
_key_of = itemgetter(0)
Key = int | str
#: Rows of one table by their keys.
_Rows = dict[Key, Sequence[Any]]


def load_rows(connection: Connection, database: str, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows of a snapshot into the replica attached as ``database``.

    Raises BadRows as ``apply_rows`` does; then the transaction has to be undone.
    """
    plain: dict[str, _Rows] = {}
    others: list[Sequence[Any]] = []
    with fitting_rows():
        for row in rows:
            table, key, found = row
            spec = TABLES.get(table)
            if type(found) is list:
                _take_group(spec, key, found, plain, others)
            elif spec is None or found is None or type(key) is not type(spec.first_key):
                others.append(row)
            else:
                try:
                    values = _values_of(spec.columns)(found)
                except KeyError:
                    others.append(row)
                    continue
                if values[0] == key:
                    plain.setdefault(table, {})[key] = values
                else:
                    others.append(row)
        for table, written in plain.items():
            _write(connection, database, TABLES[table], written)
    if others:
        apply_rows(connection, database, others, None)


@cache
def _values_of(columns: tuple[str, ...]) -> itemgetter[Any]:
    return itemgetter(*columns)


def _take_group(
    spec: Replicated | None,
    columns: Any,
    found: list[Any],
    plain: dict[str, _Rows],
    others: list[Sequence[Any]],
) -> None:
    """Rows of one table that came together."""
    if spec is None:
        # Of a newer release, whatever it is.
        return
    are_lists = type(columns) is list and {list}.issuperset(map(type, found))
    if not are_lists or not {len(columns)}.issuperset(map(len, found)):
        raise BadRows("rows of one table are no rows")
    if tuple(columns) != spec.columns:
        others += _alone(spec, columns, found)
        return
    into = plain.setdefault(spec.table, {})
    if not {type(spec.first_key)}.issuperset(map(type, map(_key_of, found))):
        # No key at all would be given one.
        raise BadRows(f"a row of {spec.table} has no key of that table")
    into.update(zip(map(_key_of, found), found, strict=True))


def _alone(
    spec: Replicated, columns: Sequence[str], found: list[Any]
) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for values in found:
        row = dict(zip(columns, values, strict=True))
        yield spec.table, row[spec.key], row


def _write(connection: Connection, database: str, spec: Replicated, rows: _Rows) -> None:
    into = f"{database}.{spec.table} ({', '.join(spec.columns)})"
    insert_many(connection, into, conflict_of(spec, spec.columns), list(rows.values()))


def insert_many(
    connection: Connection, into: str, conflict: str, rows: Sequence[Sequence[Any]]
) -> None:
    """Rows of equal length ``into`` a table and its columns; ``conflict``: what of keys there."""
    if not rows:
        return
    width = len(rows[0])
    one = f"({', '.join('?' * width)})"
    if is_sqlite(connection):
        connection.executemany(f"INSERT INTO {into} VALUES {one} {conflict}", rows)
        return
    # A statement is a journey to the server.
    at_once = max(1, _VALUES_MAX // width)
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        connection.execute(
            f"INSERT INTO {into} VALUES {', '.join([one] * len(part))} {conflict}",
            [value for row in part for value in row],
        )
