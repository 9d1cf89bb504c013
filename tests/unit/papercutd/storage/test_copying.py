"""Sums of tables, and keys that SQLite keeps as what they are."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papercutd.storage.copying import (
    ANY_KEYS,
    SCHEMAS,
    Summing,
    Table,
    TableSum,
    any_key_as_kept,
    any_key_as_text,
)
from papercutd.storage.sqlite.migrate import open_database


def sum_of(*rows: tuple[object, ...]) -> TableSum:
    summing = Summing()
    assert list(summing.through(rows)) == list(rows)
    return summing.result


class SumTests(SynchronousTestCase):
    def test_in_any_order(self) -> None:
        self.assertEqual(sum_of((1, "a"), (2, None)), sum_of((2, None), (1, "a")))

    def test_one_that_differs(self) -> None:
        whole = sum_of((1, "a"), (2, "b"))
        for rows in (
            ((1, "a"),),
            ((1, "a"), (1, "a")),
            ((1, "a"), (2, "B")),
            # A number is no text, and an integer no other number.
            ((1, "a"), ("2", "b")),
            ((1, "a"), (2.0, "b")),
        ):
            self.assertNotEqual(sum_of(*rows), whole)
        # Twice is not never.
        self.assertNotEqual(sum_of((1,), (1,)).digest, sum_of().digest)

    def test_rows_are_told(self) -> None:
        told: list[int] = []
        list(Summing(told.append).through((number,) for number in range(2_500)))
        self.assertEqual(told, [1_000, 1_000, 500])


class KeyTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        table = Table("replica", "seal", ("tbl", "key", "digest", "number"))
        rows = [("user", 7, "a", 0), ("card", "0077", "b", 1), ("secret", "grant-key", "c", 2)]
        texts = list(any_key_as_text(table, rows))
        self.assertEqual([row[1] for row in texts], ["7", "0077", "grant-key"])
        self.assertEqual(list(any_key_as_kept(table, texts)), rows)

    def test_all_are_known(self) -> None:
        found = {}
        for schema in (name for names in SCHEMAS.values() for name in names):
            connection = open_database(":memory:", schema)
            self.addCleanup(connection.close)
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (table,) in tables.fetchall():
                for _, column, kind, *_ in connection.execute(f"PRAGMA table_info({table})"):
                    if kind == "ANY":
                        found[table] = column
        self.assertEqual(found, ANY_KEYS)
