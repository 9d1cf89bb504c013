"""The ledger compared page by page finds what a comparison of everything at once finds."""

from __future__ import annotations

import random
import sqlite3
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from papercutd.storage.proof import sealed_rows
from papercutd.storage.proof.seals import LEDGER, legible, verify_ledger
from papercutd.storage.proof.verifying import verify_books
from papercutd.storage.replication.replicated import digest_of
from tests.support.stores import Centre, Turner, completion, request


def plainly(connection: sqlite3.Connection) -> set[str]:
    """What is wrong, with everything in memory."""
    sealed: dict[tuple[str, Any], str | None] = {}
    for (seal,) in connection.execute(
        "SELECT seal FROM change_log WHERE seal <> x'' ORDER BY number"
    ):
        for table, key, digest in msgspec.json.decode(seal)[2]:
            sealed[table, key] = digest
    problems = set()
    for table, key in LEDGER.items():
        cursor = connection.execute(f"SELECT * FROM {table}")
        place = [column[0] for column in cursor.description].index(key)
        for row in cursor:
            digest = sealed.pop((table, row[place]), None)
            if digest is None:
                problems.add(f"{table}: row {row[place]} was not written by this server")
            elif digest != digest_of(row):
                problems.add(f"{table}: row {row[place]} is not what was written")
    return problems | {
        f"{table}: row {key} is missing" for (table, key), digest in sealed.items() if digest
    }


class SealedRowsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner)
        for name in ("anna", "bert"):
            self.centre.user(name, balance_e4=1_000_000)
        self.rng = random.Random(11)
        self.asker = self.centre.provider("p2")
        asked = []
        for number in range(40):
            one = request(number, 1, self.rng.choice(("anna", "bert")), provider="p2", printer=2)
            asked.append((one, self.turner.result(self.centre.store.authorize(self.asker, one))))
        #: As they were before they were settled.
        self.former = self.copy()
        self.rng.shuffle(asked)
        for one, decision in asked[:30]:
            self.turner.result(self.centre.store.complete(self.asker, completion(one, decision)))

    def copy(self) -> sqlite3.Connection:
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.deserialize(self.centre.store._writer.connection.serialize())
        connection.execute("DROP TRIGGER transfer_no_update")
        connection.execute("DROP TRIGGER transfer_no_delete")
        connection.execute("PRAGMA foreign_keys = OFF")
        return connection

    def damage(self, connection: sqlite3.Connection) -> None:
        table = self.rng.choice(("account", "charge", "decision", "transfer"))
        key = LEDGER[table]
        keys = [row[0] for row in connection.execute(f"SELECT {key} FROM {table} ORDER BY 1")]
        chosen = self.rng.choice(keys)
        how = self.rng.randrange(4)
        if how == 0:
            connection.execute(f"DELETE FROM {table} WHERE {key} = ?", (chosen,))
        elif how == 1:
            former = self.former.execute(f"SELECT * FROM {table} WHERE {key} = ?", (chosen,))
            row = former.fetchone()
            if row is not None:
                places = ", ".join("?" * len(row))
                connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({places})", row)
        elif how == 2:
            found = connection.execute(f"SELECT * FROM {table} WHERE {key} = ?", (chosen,))
            row = list(found.fetchone())
            row[[column[0] for column in found.description].index(key)] = (
                10**6 if isinstance(chosen, int) else f"more/{chosen}"
            )
            places = ", ".join("?" * len(row))
            connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({places})", row)
        elif table != "account":
            other = self.rng.randrange(90)
            connection.execute(f"UPDATE {table} SET number = ? WHERE {key} = ?", (other, chosen))

    def found(self, connection: sqlite3.Connection) -> list[str]:
        with legible(connection):
            return verify_ledger(connection)

    def test_pages_of_any_size(self) -> None:
        for size in (1, 3, 10, 50, 10_000):
            self.patch(sealed_rows, "PAGE_SEALS", size)
            self.patch(sealed_rows, "_QUESTION_ROWS", max(size // 3, 1))
            self.assertEqual(self.found(self.copy()), [])
            for _ in range(25):
                connection = self.copy()
                for _ in range(self.rng.randint(1, 3)):
                    self.damage(connection)
                found = self.found(connection)
                self.assertEqual(set(found), plainly(connection))
                self.assertEqual(len(set(found)), len(found))

    def test_a_row_as_it_was_before_is_not_what_was_written(self) -> None:
        """An older page of the file came back: each of its rows has a seal, but not the last."""
        self.patch(sealed_rows, "PAGE_SEALS", 5)
        connection = self.copy()
        (key,) = connection.execute("SELECT MIN(key) FROM decision WHERE state = 'settled'")
        row = self.former.execute("SELECT * FROM decision WHERE key = ?", key).fetchone()
        places = ", ".join("?" * len(row))
        connection.execute(f"INSERT OR REPLACE INTO decision VALUES ({places})", row)
        self.assertEqual(
            self.found(connection), [f"decision: row {key[0]} is not what was written"]
        )

    def test_all_rows_sealed_at_once(self) -> None:
        """A database of before there were seals: its first entry seals all, however many."""
        self.patch(sealed_rows, "PAGE_SEALS", 4)
        self.centre.query("DELETE FROM sealing")
        self.centre.query("UPDATE change_log SET seal = x''")
        self.centre.user("carl")
        connection = self.copy()
        self.assertEqual(self.found(connection), [])
        connection.execute("DELETE FROM decision WHERE key = (SELECT MIN(key) FROM decision)")
        connection.execute("UPDATE charge SET title = title || 'x'")
        self.assertEqual(set(self.found(connection)), plainly(connection))

    def test_says_how_far_it_is(self) -> None:
        said: list[dict[str, Any]] = []
        self.assertEqual(verify_books(self.copy(), said.append), [])
        percents = [one["percent"] for one in said]
        self.assertEqual(percents, sorted(percents))
        self.assertEqual(percents[0], 0)
        self.assertLess(percents[-1], 100)
        self.assertEqual(len({one["doing"] for one in said}), 7)

    def test_what_a_seal_cannot_say(self) -> None:
        """A damaged seal is passed over: the chain names its entry, and its rows have none."""
        connection = self.copy()
        connection.execute(
            "UPDATE change_log SET seal = CAST(replace(CAST(seal AS TEXT), '\"transfer\",',"
            " '\"transfer\",9999999999999999999') AS BLOB)"
        )
        self.assertTrue(any("transfer: row" in problem for problem in self.found(connection)))
