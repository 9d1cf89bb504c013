"""A copy of all replicated rows at one position, in chunks of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import msgspec

from papercutd.domain.chain import Position
from papercutd.storage.engine import Connection
from papercutd.storage.replication.change_log import read_head
from papercutd.storage.replication.replicated import TABLES, Replicated
from papercutd.storage.replication.site_scopes import EVERYBODY, SiteScope, within

#: Bytes of a chunk's rows; with its envelope it stays below the protocol's bound.
CHUNK_BYTES = 15_000
_PAGE_ROWS = 500
_ENCODE = msgspec.json.Encoder().encode
#: A row as the database has it, as JSON.
_Encode = Callable[[tuple[Any, ...]], bytes]


@attrs.frozen
class SnapshotImage:
    """``chunks`` are JSON arrays, made in one read, and more while it goes on."""

    position: Position
    chunks: list[bytes]


def read_snapshot(
    connection: Connection,
    scope: SiteScope = EVERYBODY,
    grouped: bool = True,
    grew: Callable[[SnapshotImage], None] = lambda image: None,
) -> SnapshotImage:
    """All replicated rows within ``scope`` at the head, in one read transaction.

    ``grew`` is told the image before its first chunk, and after each.

    ``grouped``: those of one table together, ``[table, [column, ...], [[value, ...], ...]]``;
    else each by itself, ``[table, key, {column: value}]``, for who does not know the other way.
    """
    own = not connection.in_transaction
    if own:
        connection.execute("BEGIN")
    try:
        position = read_head(connection)
        specs = [within(spec, scope) for spec in TABLES.values()]
        rows = _together(connection, specs) if grouped else _alone(connection, specs)
        image = SnapshotImage(position, [])
        grew(image)
        for chunk in rows:
            image.chunks.append(chunk)
            grew(image)
        return image
    finally:
        if own:
            connection.execute("ROLLBACK")


def _alone(connection: Connection, specs: list[Replicated]) -> Iterator[bytes]:
    rows: list[bytes] = []
    size = 0
    for spec in specs:
        for row in _rows(connection, spec, _by_name(spec)):
            if rows and size + len(row) > CHUNK_BYTES:
                yield b"[%b]" % b",".join(rows)
                rows, size = [], 0
            rows.append(row)
            size += len(row) + 1
    yield b"[%b]" % b",".join(rows)


def _by_name(spec: Replicated) -> _Encode:
    return lambda row: _ENCODE((spec.table, row[0], dict(zip(spec.columns, row, strict=True))))


def _together(connection: Connection, specs: list[Replicated]) -> Iterator[bytes]:
    groups: list[bytes] = []
    size = 0
    for spec in specs:
        head = b"[%b,%b,[" % (_ENCODE(spec.table), _ENCODE(spec.columns))
        rows: list[bytes] = []
        size += len(head) + 3
        for row in _rows(connection, spec, _ENCODE):
            if (rows or groups) and size + len(row) > CHUNK_BYTES:
                if rows:
                    groups.append(b"%b%b]]" % (head, b",".join(rows)))
                yield b"[%b]" % b",".join(groups)
                groups, rows, size = [], [], len(head) + 3
            rows.append(row)
            size += len(row) + 1
        if rows:
            groups.append(b"%b%b]]" % (head, b",".join(rows)))
        else:
            size -= len(head) + 3
    yield b"[%b]" % b",".join(groups)


def _rows(connection: Connection, spec: Replicated, encode: _Encode) -> Iterator[bytes]:
    after: int | str = spec.first_key
    while True:
        page = connection.execute(spec.select_after, (after, _PAGE_ROWS)).fetchall()
        yield from map(encode, page)
        if len(page) < _PAGE_ROWS:
            return
        after = page[-1][0]
