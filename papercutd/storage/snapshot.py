"""A copy of all replicated rows at one position, in chunks of bounded size."""

from __future__ import annotations

import attrs
import msgspec

from papercutd.domain.chain import Position
from papercutd.storage.change_log import read_head
from papercutd.storage.engine import Connection
from papercutd.storage.replicated import TABLES
from papercutd.storage.site_scopes import EVERYBODY, SiteScope, within

#: Bytes of a chunk's rows; with its envelope it stays below the protocol's bound.
CHUNK_BYTES = 15_000
_PAGE_ROWS = 500


@attrs.frozen
class SnapshotImage:
    """``chunks`` are JSON arrays of ``[table, key, columns]``, made in one read."""

    position: Position
    chunks: list[bytes]


def read_snapshot(connection: Connection, scope: SiteScope = EVERYBODY) -> SnapshotImage:
    """All replicated rows within ``scope`` at the head, in one read transaction."""
    own = not connection.in_transaction
    if own:
        connection.execute("BEGIN")
    try:
        position = read_head(connection)
        chunks: list[bytes] = []
        rows: list[bytes] = []
        size = 0
        for spec in (within(spec, scope) for spec in TABLES.values()):
            after: int | str = spec.first_key
            while True:
                page = connection.execute(spec.select_after, (after, _PAGE_ROWS)).fetchall()
                for found in page:
                    columns = dict(zip(spec.columns, found, strict=True))
                    row = msgspec.json.encode((spec.table, found[0], columns))
                    if rows and size + len(row) > CHUNK_BYTES:
                        chunks.append(b"[" + b",".join(rows) + b"]")
                        rows, size = [], 0
                    rows.append(row)
                    size += len(row) + 1
                if len(page) < _PAGE_ROWS:
                    break
                after = page[-1][0]
        chunks.append(b"[" + b",".join(rows) + b"]")
        return SnapshotImage(position, chunks)
    finally:
        if own:
            connection.execute("ROLLBACK")
