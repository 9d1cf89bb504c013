"""What storage/proof/seals.py needs of PostgreSQL alone: which rows were written, and defaults.

Triggers of the schema note the keys in a table of the writer's session, as texts.
"""

from __future__ import annotations

from typing import Any

from papercutd.storage.engine import Connection, as_array

#: Rows of one question.
_PAGE_ROWS = 1_000
Key = int | str
#: The table of seals while they are compared.
SEALED = (
    'CREATE TEMP TABLE IF NOT EXISTS sealed (tbl TEXT COLLATE "C" NOT NULL,'
    ' key TEXT COLLATE "C" NOT NULL, digest TEXT, PRIMARY KEY (tbl, key))'
)


def as_texts(seals: list[tuple[str, int | bytes, Any]]) -> list[tuple[str, str, Any]]:
    """Seals with keys as ``sealed`` has them."""
    return [
        (table, key.decode() if isinstance(key, bytes) else str(key), digest)
        for table, key, digest in seals
    ]


def watch(connection: Connection) -> None:
    """Note from now on which ledger rows this session writes."""
    connection.execute(
        "CREATE TEMP TABLE IF NOT EXISTS written"
        ' (tbl TEXT COLLATE "C" NOT NULL, key TEXT COLLATE "C" NOT NULL, PRIMARY KEY (tbl, key))'
        " ON COMMIT DELETE ROWS"
    )


def take_written(connection: Connection, keys: dict[str, str]) -> list[tuple[str, Key]]:
    """(table, key) of the rows this transaction wrote; ``keys``: the tables' key columns."""
    found = connection.execute("DELETE FROM pg_temp.written RETURNING tbl, key").fetchall()
    return sorted(
        ((table, int(key) if keys[table] == "id" else key) for table, key in found), key=_order
    )


def _order(row: tuple[str, Key]) -> tuple[str, bool, Key]:
    return row[0], isinstance(row[1], str), row[1]


def read_rows(
    connection: Connection, table: str, key: str, wanted: list[Key]
) -> dict[Key, tuple[Any, ...]]:
    """Whole rows of ``table`` by key, many with one question."""
    found: dict[Key, tuple[Any, ...]] = {}
    for start in range(0, len(wanted), _PAGE_ROWS):
        rows = connection.execute(
            f"SELECT {key}, {table}.* FROM {table} WHERE {key} = ANY(?)",
            (as_array(wanted[start : start + _PAGE_ROWS]),),
        )
        for own, *row in rows:
            found[own.decode() if isinstance(own, bytes) else own] = tuple(row)
    return found


def defaults_of(connection: Connection, schema: str, table: str) -> dict[str, Any]:
    """What each column holds where nothing was said, in the order of the columns."""
    columns = connection.execute(
        "SELECT attname, CASE WHEN attidentity = '' THEN pg_get_expr(adbin, adrelid) END"
        " FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
        " WHERE attrelid = to_regclass(?) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (f'{schema}."{table}"',),
    ).fetchall()
    texts = [
        tuple(part.decode() if isinstance(part, bytes) else part for part in column)
        for column in columns
    ]
    return {
        name: connection.execute(f"SELECT {default or 'NULL'}").fetchone()[0]
        for name, default in texts
    }
