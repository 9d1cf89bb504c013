"""Sealing the rows that came by a snapshot, once it is in force: some of them at a time.

A new site, or one after a restore, waits for its replica, and nobody waits for seals. Until all
its rows have one, the replica says so beside its position (``next_chunk`` is less than 0), across
restarts too; ``verify`` compares those that have.
"""

from __future__ import annotations

from typing import Any

import attrs

from papercutd.storage.engine import Connection, is_sqlite
from papercutd.storage.replication.replicated import TABLES, Replicated, digest_as_stored
from papercutd.storage.site.loading import insert_many

#: Rows sealed in one transaction.
SEALED_ROWS = 1_000
_IN_FORCE = "replica"
_TABLES = list(TABLES)
#: Of a row that is no change: a snapshot's.
_SNAPSHOT = 0


@attrs.frozen
class Place:
    """How far the replica of that number is sealed: the table, and a key of it."""

    replica: int
    table: str = _TABLES[0]
    after: int | str | None = None


def is_sealed(connection: Connection, database: str) -> bool:
    """Whether each row of the replica attached as ``database`` has a seal."""
    (next_chunk,) = connection.execute(f"SELECT next_chunk FROM {database}.position").fetchone()
    return int(next_chunk) >= 0


def seal_some(connection: Connection, place: Place | None) -> Place | None:
    """Seal some rows of the replica in force, from ``place`` on; None: all are.

    A row that a change has written since has its seal.
    """
    if is_sealed(connection, _IN_FORCE):
        return None
    (number,) = connection.execute("SELECT replica FROM identity").fetchone()
    if place is None or place.replica != number:
        place = Place(number)
    for table in _TABLES[_TABLES.index(place.table) :]:
        after = place.after if table == place.table else None
        last = seal_page(connection, _IN_FORCE, TABLES[table], after)
        if last is not None:
            return Place(number, table, last)
    connection.execute(f"UPDATE {_IN_FORCE}.position SET next_chunk = -1 - next_chunk")
    return None


def seal_page(
    connection: Connection, database: str, spec: Replicated, after: int | str | None
) -> int | str | None:
    """Seal a page of rows with keys beyond ``after``; the last key, None where no more follow."""
    own = is_sqlite(connection)
    before, connection.text_factory = connection.text_factory, bytes
    try:
        rows = connection.execute(
            f"SELECT {', '.join(spec.columns)} FROM {database}.{spec.table}"
            f" WHERE {'1 = 1' if after is None else f'{spec.key} > ?'}"
            f" ORDER BY {spec.key} LIMIT {SEALED_ROWS}",
            () if after is None else (after,),
        ).fetchall()
    finally:
        connection.text_factory = before
    seals: list[tuple[Any, ...]] = []
    last: int | str | None = None
    for row in rows:
        key = _legible(row[0])
        if key is not None:
            last = key
            sealed_as = key if own else str(key)
            seals.append((spec.table, sealed_as, digest_as_stored(row), _SNAPSHOT))
    insert_many(
        connection,
        f"{database}.seal (tbl, key, digest, number)",
        "ON CONFLICT (tbl, key) DO NOTHING",
        seals,
    )
    return last if len(rows) == SEALED_ROWS else None


def _legible(key: int | str | bytes) -> int | str | None:
    """None: damaged already, which ``verify`` says of a row without a seal."""
    if not isinstance(key, bytes):
        return key
    try:
        return key.decode()
    except UnicodeDecodeError:
        return None
