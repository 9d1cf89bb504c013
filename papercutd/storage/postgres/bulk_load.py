"""A load into a database of PostgreSQL (sqlite/bulk_load.py): one transaction, rows by COPY.

Whatever ends it before its COMMIT, PostgreSQL itself takes everything back. The tables that take
most are written anew from their first row: then nothing of them goes into the log of a server
whose ``wal_level`` is minimal, and no vacuum has to write them once more.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2

from papercutd.storage.postgres.connection import PostgresConnection, explained
from papercutd.storage.postgres.copying import go_on_counting, take_away
from papercutd.storage.sqlite.bulk_load import Told

#: A table that has more already is added to.
_REWRITTEN_BYTES = 64_000_000
#: Bytes of one piece of what is sent.
_PIECE = 1 << 18
_SCHEMA = "application"


class PostgresLoad:
    """Into the database itself, whose writer's lock ``connection`` holds."""

    def __init__(self, connection: PostgresConnection) -> None:
        self.connection = connection
        self._later: list[str] = []
        self._tables: Sequence[str] = ()
        self._frozen: set[str] = set()
        connection.execute("SET idle_in_transaction_session_timeout TO 0")
        connection.execute("SET maintenance_work_mem TO '256MB'")
        connection.execute("SET work_mem TO '256MB'")
        connection.execute("BEGIN")

    def begin(self, tables: Sequence[str]) -> None:
        self._later = list(take_away(self.connection, _SCHEMA))
        self._tables = tables
        for table in tables:
            # The triggers note what a server writes.
            self.connection.execute(f'ALTER TABLE "{table}" DISABLE TRIGGER USER')
            (size,) = self.connection.execute(
                "SELECT pg_relation_size(?)", (f'{_SCHEMA}."{table}"',)
            ).fetchone()
            if size <= _REWRITTEN_BYTES:
                self._rewrite(table)

    def _rewrite(self, table: str) -> None:
        with tempfile.TemporaryFile() as kept, self.connection.raw.cursor() as cursor:
            cursor.copy_expert(f'COPY "{table}" TO STDOUT WITH (FORMAT binary)', kept)
            kept.seek(0)
            self.connection.execute(f'TRUNCATE "{table}"')
            cursor.copy_expert(f'COPY "{table}" FROM STDIN WITH (FORMAT binary, FREEZE true)', kept)
        self._frozen.add(table)

    @contextmanager
    def piece(self) -> Iterator[None]:
        yield

    def insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        """What is loaded has no text that COPY would take for something else: see ``_lines``."""
        if not rows:
            return
        how = "NULL 'None'" + (", FREEZE true" if table in self._frozen else "")
        with self.connection.raw.cursor() as cursor:
            try:
                cursor.copy_expert(f'COPY "{table}" FROM STDIN WITH ({how})', _lines(rows), _PIECE)
            except psycopg2.Error as error:
                raise explained(error, self.connection.raw) from error

    def finish(self, told: Told) -> None:
        for number, sql in enumerate(self._later):
            told(number, len(self._later))
            self.connection.execute(sql)
        for table in self._tables:
            self.connection.execute(f'ALTER TABLE "{table}" ENABLE TRIGGER USER')
        go_on_counting(self.connection, _SCHEMA)
        names = ", ".join(f'"{table}"' for table in self._tables)
        self.connection.execute(f"ANALYZE {names}")
        self.connection.execute("COMMIT")


def _lines(rows: Sequence[Sequence[Any]]) -> io.BytesIO:
    """``rows`` as COPY takes them, None as its word: several times as fast as value by value.

    Raises ValueError of a text that would have to be written otherwise.
    """
    line = "\t".join(["%s"] * len(rows[0]))
    octets = [number for number, value in enumerate(rows[0]) if isinstance(value, bytes)]
    text = "\n".join([line % tuple(row) for row in _as_texts(rows, octets)])
    if (
        text.count("\t") != (len(rows[0]) - 1) * len(rows)
        or text.count("\n") != len(rows) - 1
        or text.count("\\") != 2 * len(octets) * len(rows)
    ):
        raise ValueError("a text with a tabulator, a line's end or a backslash")
    return io.BytesIO(text.encode())


def _as_texts(rows: Sequence[Sequence[Any]], octets: list[int]) -> Iterable[Sequence[Any]]:
    """Octets as PostgreSQL reads them; each row has them at the same places."""
    if not octets:
        return rows
    texts = [list(row) for row in rows]
    for row in texts:
        for place in octets:
            row[place] = "\\\\x" + row[place].hex()
    return texts
