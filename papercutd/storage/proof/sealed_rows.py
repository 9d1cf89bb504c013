"""The rows of the ledger against their seals, a page of the change log at a time.

The last seal of a row is what it has to be. Most rows were written once, or twice shortly
after one another, so the last seal that a page has of a row is compared with the row at once.
Only where they differ (the row was written again later, or is damaged) the seal is kept, in a
file of its own, until a later seal of that row fits, or the log is at its end. Accounts are
written again and again: their seals are all kept.

A row names the entry that brought it, so each row is met once in the page of that entry. When
as many were met as the table has, none is there without a seal; otherwise that table is
compared whole, in the order of its keys.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Annotated, Any

import attrs
import msgspec

from papercutd.storage.engine import Connection, among
from papercutd.storage.paging import read_log, rows_in_order
from papercutd.storage.replication.replicated import digest_as_stored

#: Seals of one page, at least one entry; what of them is in memory at once.
PAGE_SEALS = 20_000
#: Rows of one question.
_QUESTION_ROWS = 1_000
_KEPT = (
    "CREATE TABLE kept (tbl TEXT NOT NULL, key NOT NULL, digest TEXT, PRIMARY KEY (tbl, key))"
    " WITHOUT ROWID"
)
#: What 64 bits hold.
_Number = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_DECODE = msgspec.json.Decoder(
    tuple[int, float, list[tuple[str, _Number | str, str | None]]]
).decode
Key = int | bytes
Row = tuple[Any, ...]
#: Digests of rows by key; None: the row was deleted.
Seals = dict[Key, str | None]
#: Seals by table.
Page = dict[str, Seals]
#: Entries done, of all.
Told = Callable[[int, int], None]


@attrs.define
class Table:
    """A table of the ledger, and what is known of it so far."""

    name: str
    key: str
    #: Digests that a row had before a newer release added columns to it.
    earlier: Callable[[Row], Iterator[str]]
    key_place: int
    #: Where a row names the entry that brought it; None: it does not.
    number_place: int | None
    met: int = 0
    has_kept: bool = False
    is_whole: bool = True

    def fits(self, row: Row, digest: str | None) -> bool:
        return digest is not None and (
            digest_as_stored(row) == digest or digest in self.earlier(row)
        )


class LedgerComparison:
    """One run. Texts are read as the bytes they are (``as_stored``)."""

    def __init__(
        self, connection: Connection, tables: Sequence[Table], since: int, told: Told
    ) -> None:
        """``since``: the entry that sealed all rows of before."""
        self._connection = connection
        self._tables = {table.name: table for table in tables}
        self._since = since
        self._told = told

    def problems(self, named_max: int) -> list[str]:
        """Rows that are not what was written, by table and key."""
        # A file that is gone when it is closed, of which a few MB are in memory.
        with closing(sqlite3.connect("", isolation_level=None)) as self._kept:
            self._kept.execute(_KEPT)
            self._kept.execute("BEGIN")
            for first, last, page in self._pages():
                for name, seals in page.items():
                    self._compare_page(self._tables[name], first, last, seals)
            for table in self._tables.values():
                table.is_whole = self._is_whole(table)
            self._keep_all([t.name for t in self._tables.values() if not t.is_whole])
            found: list[str] = []
            for table in self._tables.values():
                if table.number_place is not None and table.is_whole:
                    found += self._compare_kept(table, named_max)
                else:
                    found += self._compare_whole(table, named_max)
            return found

    def _pages(self) -> Iterator[tuple[int, int, Page]]:
        """The last seals of entries ``first`` to ``last``: at most PAGE_SEALS, or one entry."""
        page = self._empty()
        size = first = last = 0
        for number, seals in self._entries():
            if size and size + len(seals) > PAGE_SEALS:
                yield first, last, _stored(page)
                page, size = self._empty(), 0
            if not size:
                first = number
            last = number
            size += len(seals)
            for table, key, digest in seals:
                if table in page:
                    page[table][key] = digest
        if size:
            yield first, last, _stored(page)

    def _empty(self) -> dict[str, dict[Any, str | None]]:
        return {name: {} for name in self._tables}

    def _entries(self) -> Iterator[tuple[int, list[tuple[str, int | str, str | None]]]]:
        (head,) = self._connection.execute("SELECT MAX(number) FROM change_log").fetchone()
        for number, seal in read_log(self._connection, "seal"):
            self._told(number, head)
            if not seal:
                continue
            try:
                _, _, seals = _DECODE(seal)
            except ValueError:
                # The chain of the log says so.
                continue
            yield number, seals

    def _compare_page(self, table: Table, first: int, last: int, seals: Seals) -> None:
        place = table.number_place
        if place is None:
            self._keep(table, seals)
            return
        keys = list(seals)
        for start in range(0, len(keys), _QUESTION_ROWS):
            part = {key: seals[key] for key in keys[start : start + _QUESTION_ROWS]}
            rows = self._rows(table, part)
            table.met += _count(rows, place, first, last, self._since)
            found = {row[table.key_place]: digest_as_stored(row) for row in rows}
            if found == part and not table.has_kept:
                continue
            fitting = [
                row[table.key_place] for row in rows if table.fits(row, part[row[table.key_place]])
            ]
            for key in fitting:
                del part[key]
            if table.has_kept:
                self._kept.executemany(
                    "DELETE FROM kept WHERE tbl = ? AND key = ?", [(table.name, k) for k in fitting]
                )
            self._keep(table, part)

    def _keep(self, table: Table, seals: Seals) -> None:
        if not seals:
            return
        table.has_kept = True
        self._kept.executemany(
            "INSERT INTO kept VALUES (?, ?, ?)"
            " ON CONFLICT (tbl, key) DO UPDATE SET digest = excluded.digest",
            [(table.name, key, digest) for key, digest in sorted(seals.items())],
        )

    def _rows(self, table: Table, seals: Seals) -> list[Row]:
        """Those rows of ``table`` that have these keys."""
        connection = self._connection
        keys = [key if isinstance(key, int) else key.decode() for key in seals]
        # As many places as keys: of most questions the statement is the same.
        condition, values = among(connection, table.key, keys)
        return connection.execute(
            f"SELECT * FROM {table.name} WHERE {condition}", values
        ).fetchall()

    def _is_whole(self, table: Table) -> bool:
        if table.number_place is None:
            return True
        (count,) = self._connection.execute(f"SELECT COUNT(*) FROM {table.name}").fetchone()
        return bool(count == table.met)

    def _keep_all(self, names: list[str]) -> None:
        """Have the last seals of all rows of these tables."""
        if not names:
            return
        for name in names:
            self._kept.execute("DELETE FROM kept WHERE tbl = ?", (name,))
        for _, _, page in self._pages():
            for name in names:
                self._keep(self._tables[name], page.get(name, {}))

    def _seals(self, table: Table) -> Iterator[tuple[Key, str]]:
        return self._kept.execute(
            "SELECT key, digest FROM kept WHERE tbl = ? AND digest IS NOT NULL ORDER BY key",
            (table.name,),
        )

    def _compare_kept(self, table: Table, named_max: int) -> list[str]:
        """Of the rows whose last seal fitted none that was there then."""
        problems: list[str] = []
        kept = self._kept.execute(
            "SELECT key, digest FROM kept WHERE tbl = ? ORDER BY key", (table.name,)
        )
        while len(problems) < named_max:
            seals: Seals = dict(kept.fetchmany(_QUESTION_ROWS))
            if not seals:
                break
            rows = {row[table.key_place]: row for row in self._rows(table, seals)}
            for key, digest in seals.items():
                row = rows.get(key)
                if digest is None:
                    if row is not None:
                        problems.append(not_written(table.name, key))
                elif row is None:
                    problems.append(missing(table.name, key))
                elif not table.fits(row, digest):
                    problems.append(changed(table.name, key))
        return problems[:named_max]

    def _compare_whole(self, table: Table, named_max: int) -> list[str]:
        rows = rows_in_order(self._connection, table.name, table.key)
        return compare(table, rows, self._seals(table), named_max)


def _stored(page: dict[str, dict[Any, str | None]]) -> Page:
    """With the keys as they are read."""
    return {
        table: {key.encode() if isinstance(key, str) else key: d for key, d in seals.items()}
        for table, seals in page.items()
        if seals
    }


def _count(rows: list[Row], place: int, first: int, last: int, since: int) -> int:
    """How many of ``rows`` were brought by the entries ``first`` to ``last``."""
    numbers = [row[place] for row in rows]
    if numbers and first <= min(numbers) and max(numbers) <= last:
        return len(numbers)
    return sum(first <= max(number, since) <= last for number in numbers)


def compare(
    table: Table,
    rows: Iterator[Row],
    sealed: Iterator[tuple[Key, str]],
    named_max: int,
    unsealed_too: bool = True,
) -> list[str]:
    """Differences of ``rows`` from what is ``sealed``, both in the order of their keys.

    ``unsealed_too``: a row without a seal is one.
    """
    problems: list[str] = []
    place = table.key_place
    found, seal = next(rows, None), next(sealed, None)
    while (found is not None or seal is not None) and len(problems) < named_max:
        if found is None or (seal is not None and _order(seal[0]) < _order(found[place])):
            assert seal is not None
            problems.append(missing(table.name, seal[0]))
            seal = next(sealed, None)
            continue
        if seal is None or _order(found[place]) < _order(seal[0]):
            if unsealed_too:
                problems.append(not_written(table.name, found[place]))
        else:
            if not table.fits(found, seal[1]):
                problems.append(changed(table.name, found[place]))
            seal = next(sealed, None)
        found = next(rows, None)
    return problems


def missing(table: str, key: Key) -> str:
    return f"{table}: row {_shown(key)} is missing"


def not_written(table: str, key: Key) -> str:
    return f"{table}: row {_shown(key)} was not written by this server"


def changed(table: str, key: Key) -> str:
    return f"{table}: row {_shown(key)} is not what was written"


def _order(key: Key) -> tuple[bool, Key]:
    """As SQLite orders keys: numbers before texts."""
    return isinstance(key, bytes), key


def _shown(key: Key) -> str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else str(key)
