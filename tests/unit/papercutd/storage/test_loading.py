"""Many rows with one statement are stored and sealed as one by one."""

from __future__ import annotations

import itertools
import random
import sqlite3
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.errors import BadRows
from papercutd.storage.proof.sealing import seal_page
from papercutd.storage.proof.seals import verify_replica
from papercutd.storage.replication.replicated import TABLES
from papercutd.storage.site import replica
from papercutd.storage.site.applying import apply_rows
from papercutd.storage.site.loading import load_rows
from papercutd.storage.site.site_store import create_site
from papercutd.storage.sqlite.migrate import open_database

ACCOUNT = {
    **{"id": 7, "kind": "personal", "name": "ünï", "user": 3, "restricted": 1, "floor_e4": 0},
    **{"credits_e4": 5, "debits_e4": 0, "pending_e4": 0, "closed": 0, "merged_into": None},
    **{"purses_e4": 0, "access": 0, "markup_e4": 0, "disabled_until": None, "shut": 0},
}


_names = itertools.count()


def filling() -> sqlite3.Connection:
    """A site's database with a replica that is being filled."""
    connection = open_database(":memory:", "journal")
    create_site(connection, "north", "stream")
    replica.attach(connection, replica.Memory(f"filling-{next(_names)}"), 1, replica.INCOMING)
    return connection


def load_and_seal(connection: sqlite3.Connection, database: str, rows: list[Any]) -> None:
    load_rows(connection, database, rows)
    for spec in TABLES.values():
        after = seal_page(connection, database, spec, None)
        while after is not None:
            after = seal_page(connection, database, spec, after)


def apply_alone(connection: sqlite3.Connection, database: str, rows: list[Any]) -> None:
    apply_rows(connection, database, rows, None)


def stored(connection: sqlite3.Connection) -> dict[str, list[Any]]:
    names = [*TABLES, "seal"]
    return {
        name: connection.execute(
            f"SELECT * FROM {replica.INCOMING}.{name} ORDER BY 1, 2"
        ).fetchall()
        for name in names
    }


def are_keys(rows: list[Any]) -> bool:
    """Whether each row is named by a key of its table, where that is ours."""
    return all(
        type(key) is type(TABLES[table].first_key) for table, key, _ in rows if table in TABLES
    )


class LoadingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.many, self.one = filling(), filling()

    def tearDown(self) -> None:
        self.many.close()
        self.one.close()

    def both(self, rows: list[Any], alone: list[Any] | None = None) -> tuple[Any, Any]:
        """What is stored by either way; the error where it is refused.

        ``alone``: the same rows as they come one by one.
        """
        alone = rows if alone is None else alone
        found: list[Any] = []
        for connection, apply, given in (
            (self.many, load_and_seal, rows),
            (self.one, apply_alone, alone),
        ):
            connection.execute("BEGIN")
            try:
                apply(connection, replica.INCOMING, given)
            except BadRows:
                found.append(BadRows)
            else:
                found.append(stored(connection))
                if are_keys(alone):
                    self.assertEqual(verify_replica(connection, replica.INCOMING), [])
                else:
                    # One that came as 5.0 is sealed as that, where 5 is stored.
                    del found[-1]["seal"]
            connection.execute("ROLLBACK")
        return found[0], found[1]

    def check(self, rows: list[Any], alone: list[Any] | None = None) -> Any:
        many, one = self.both(rows, alone)
        self.assertEqual(many, one)
        return many

    def test_plain_rows(self) -> None:
        rows = [["account", number, {**ACCOUNT, "id": number}] for number in range(1, 50)]
        self.assertEqual(len(self.check(rows)["account"]), 49)
        rows += [["secret", "card-key", {"name": "card-key", "value": "aa"}]]
        self.assertEqual(len(self.check(rows)["seal"]), 50)

    def test_a_row_again(self) -> None:
        rows = [["account", 7, ACCOUNT], ["account", 7, {**ACCOUNT, "name": "other"}]]
        self.assertEqual(len(self.check(rows)["account"]), 1)

    def test_rows_that_are_not_plain(self) -> None:
        odd: list[Any] = [
            *(None, True, 5, 5.0, -1, 2**70, "5", "x", "", [], {}, "a\x00b", float("inf")),
        ]
        rng = random.Random(3)
        for _ in range(300):
            columns = dict(ACCOUNT)
            for _ in range(rng.randint(1, 2)):
                columns[rng.choice([*ACCOUNT, "newer"])] = rng.choice(odd)
            if rng.random() < 0.2:
                del columns[rng.choice(list(columns))]
            key = columns.get("id", 7) if rng.random() < 0.9 else rng.choice(odd)
            self.check([["account", 8, {**ACCOUNT, "id": 8}], ["account", key, columns]])

    def test_removals_and_what_is_not_known(self) -> None:
        rows = [
            ["account", 7, ACCOUNT],
            ["account", 7, None],
            ["something newer", 1, {"id": 1}],
        ]
        self.assertEqual(self.check(rows)["account"], [])

    def test_rows_that_came_together(self) -> None:
        """As the same rows that came alone."""
        columns = list(TABLES["account"].columns)
        rows = [{**ACCOUNT, "id": number, "name": f"n{number}"} for number in range(1, 2_500)]
        alone = [["account", row["id"], row] for row in rows]
        # A newer release may send more, in an order of its own; or a table that we have not.
        more = [*reversed(columns), "newer"]
        for names in (columns, more):
            values = [[{**row, "newer": 1}[name] for name in names] for row in rows]
            newer = ["something newer", ["id"], [[1], [2]]]
            together = [["account", names, values[:9]], newer, ["account", names, values[9:]]]
            self.assertEqual(len(self.check(together, alone)["account"]), len(rows))

    def test_what_are_no_rows_together(self) -> None:
        names = list(TABLES["account"].columns)
        values = [ACCOUNT[name] for name in names]
        lacking = [name for name in names if name != "merged_into"]
        for columns, found in (
            ([*names, "id"], [values]),
            (names[:-1], [values]),
            (lacking, [[ACCOUNT[name] for name in lacking]]),
            (names, [values[:-1]]),
            (names, [[*values, 1]]),
            (names, [values, values[:-1]]),
            (names, [[None, *values[1:]]]),
            (names, [["7", *values[1:]]]),
            (names, [[]]),
            (names, [[values[0], [], *values[2:]]]),
            (names, ["12345678901"]),
            (names, [dict(ACCOUNT)]),
            (names, [5]),
            ("".join(names), [values]),
            (names[1:], [values[1:]]),
        ):
            with self.assertRaises(BadRows):
                load_rows(self.many, replica.INCOMING, [["account", columns, found]])

    def test_what_is_no_row(self) -> None:
        for row in ([], ["account", 7], ["account", 7, 5], [[], 7, {}], 5, ["account", 7, []]):
            self.assertIs(self.check([row]), BadRows)
