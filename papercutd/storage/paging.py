"""Reading whole tables in the order of their keys, with a bounded part of them in memory.

SQLite gives rows as they are asked for. PostgreSQL's client receives the answer to a statement
whole, so there a table is read a page at a time, each from where the last one ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from papercutd.storage.engine import Connection, is_sqlite

#: Rows of one page; of the change log, whose entries may be long, fewer.
PAGE_ROWS = 2_000
PAGE_ENTRIES = 200
Row = tuple[Any, ...]


def rows_in_order(
    connection: Connection,
    table: str,
    key: str,
    columns: str = "*",
    condition: str = "1 = 1",
    page: int = PAGE_ROWS,
) -> Iterator[Row]:
    """``columns`` of the rows of ``table`` that meet ``condition``, in the order of ``key``.

    ``key`` is unique. The pages are of one moment within a transaction alone (``one_moment``).
    """
    if is_sqlite(connection):
        yield from connection.execute(
            f"SELECT {columns} FROM {table} WHERE {condition} ORDER BY {key}"
        )
        return
    select = f"SELECT {key}, {columns} FROM {table} WHERE {condition}"
    found = connection.execute(f"{select} ORDER BY {key} LIMIT ?", (page,)).fetchall()
    while found:
        for row in found:
            yield row[1:]
        if len(found) < page:
            return
        after = found[-1][0]
        found = connection.execute(
            f"{select} AND {key} > ? ORDER BY {key} LIMIT ?",
            (after.decode() if isinstance(after, bytes) else after, page),
        ).fetchall()


def read_log(connection: Connection, columns: str) -> Iterator[Row]:
    """(number, ``columns``) of the change log's entries, in their order."""
    return rows_in_order(
        connection, "change_log", "number", f"number, {columns}", page=PAGE_ENTRIES
    )
