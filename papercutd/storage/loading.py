"""The rows of a snapshot, many with one statement.

What is plain is written so: a row of a table that we know, with all its columns, each of the
column's own type. Any other goes the way of a row that came alone (``replicated.apply_rows``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any

import attrs

from papercutd.storage.engine import Connection, is_sqlite
from papercutd.storage.replicated import (
    TABLES,
    Replicated,
    apply_rows,
    digest_as_stored,
    fitting_rows,
)

_TYPES = {
    **{"INTEGER": int, "TEXT": str, "REAL": float, "BLOB": bytes},
    **{"bigint": int, "text": str, "double precision": float, "bytea": bytes},
}
#: Values of one statement to PostgreSQL.
_VALUES_MAX = 5_000
_LOOKED_AT_MAX = 1_000
Key = int | str


@attrs.define
class _Kind:
    """How rows of one replicated table are written."""

    #: The columns of a row that travelled, in their order.
    values: Callable[[dict[str, Any]], tuple[Any, ...]]
    types: tuple[type, ...]
    text_places: tuple[int, ...]
    #: What of the types of a row has been looked at already.
    plain: dict[tuple[type, ...], bool] = attrs.field(factory=dict)

    def is_plain(self, row: tuple[Any, ...]) -> bool:
        given = tuple(map(type, row))
        found = self.plain.get(given)
        if found is None:
            if len(self.plain) >= _LOOKED_AT_MAX:
                self.plain.clear()
            found = self.plain[given] = all(
                one is wanted or one is type(None)
                for one, wanted in zip(given, self.types, strict=True)
            )
        return found

    def digest(self, row: tuple[Any, ...]) -> str:
        """``digest_of`` a plain row."""
        stored = list(row)
        for place in self.text_places:
            text = stored[place]
            if text is not None:
                stored[place] = text.encode()
        return digest_as_stored(stored)


def load_rows(connection: Connection, database: str, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows of a snapshot into the replica attached as ``database``.

    Raises BadRows as ``apply_rows`` does; then the transaction has to be undone.
    """
    plain: dict[str, dict[Key, tuple[Any, ...]]] = {}
    others: list[Sequence[Any]] = []
    with fitting_rows():
        kind, known, into = None, "", {}
        for row in rows:
            table, key, columns = row
            if table != known:
                # They come table by table.
                kind = _kind(connection, database, table) if table in TABLES else None
                known, into = table, plain.setdefault(table, {})
            if kind is None or columns is None:
                others.append(row)
                continue
            try:
                values = kind.values(columns)
            except KeyError:
                others.append(row)
                continue
            if key is not None and values[0] == key and kind.is_plain(values):
                into[values[0]] = values
            else:
                others.append(row)
        for table, found in plain.items():
            if found:
                _write(connection, database, TABLES[table], found)
    if others:
        apply_rows(connection, database, others, None)


_kinds: dict[tuple[bool, str], _Kind] = {}


def _kind(connection: Connection, database: str, table: str) -> _Kind:
    """The columns of a table are those of this release, in every replica that is being filled."""
    key = is_sqlite(connection), table
    found = _kinds.get(key)
    if found is None:
        spec = TABLES[table]
        if is_sqlite(connection):
            said = {
                name: kind
                for _, name, kind, *_ in connection.execute(
                    f"PRAGMA {database}.table_info({table})"
                )
            }
        else:
            said = dict(
                connection.execute(
                    "SELECT column_name, data_type FROM information_schema.columns"
                    " WHERE table_schema = ? AND table_name = ?",
                    (database, table),
                )
            )
        types = tuple(_TYPES[said[name]] for name in spec.columns)
        places = tuple(place for place, one in enumerate(types) if one is str)
        found = _kinds[key] = _Kind(itemgetter(*spec.columns), types, places)
    return found


def _write(
    connection: Connection, database: str, spec: Replicated, rows: dict[Key, tuple[Any, ...]]
) -> None:
    own, digest = is_sqlite(connection), _kind(connection, database, spec.table).digest
    updated = ", ".join(f"{name} = excluded.{name}" for name in spec.columns[1:])
    _insert(
        connection,
        f"{database}.{spec.table} ({', '.join(spec.columns)})",
        f"ON CONFLICT ({spec.key}) DO {f'UPDATE SET {updated}' if updated else 'NOTHING'}",
        list(rows.values()),
    )
    _insert(
        connection,
        f"{database}.seal (tbl, key, digest, number)",
        "ON CONFLICT (tbl, key) DO UPDATE SET digest = excluded.digest, number = excluded.number",
        [(spec.table, key if own else str(key), digest(values), 0) for key, values in rows.items()],
    )


def _insert(connection: Connection, into: str, conflict: str, rows: list[tuple[Any, ...]]) -> None:
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
