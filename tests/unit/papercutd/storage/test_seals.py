"""One byte changed behind the servers' back is found, and its table and row are named."""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.signed import Signature
from papercutd.storage.administration.acts import Act
from papercutd.storage.application_store import create_installation
from papercutd.storage.proof.seals import LEDGER, legible, verify_ledger, verify_replica
from papercutd.storage.replication import asker_journal
from papercutd.storage.replication.change_log import verify_chain
from papercutd.storage.replication.replicated import TABLES
from papercutd.storage.site import site_journal
from papercutd.storage.sqlite.migrate import open_database
from tests.support.stores import WALL_S, Branch, Centre, Turner, completion, request

Check = Callable[[sqlite3.Connection], list[str]]
#: Bytes changed of each table; every column has its turn.
FLIPS = 40


def verify_application(connection: sqlite3.Connection) -> list[str]:
    with legible(connection):
        return [*verify_chain(connection), *verify_ledger(connection)]


def flip(rng: random.Random, value: Any) -> Any:
    """``value`` with one byte changed, of the same type; None has no bytes."""
    if isinstance(value, int):
        return value ^ (1 << rng.randrange(40))
    if isinstance(value, float):
        return value + rng.choice((-1.0, 1.0, 0.125))
    data = bytearray(value if isinstance(value, bytes) else value.encode())
    if not data:
        return None
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


class Tamper:
    """Changes single bytes of one table of a copy, and asks ``check``."""

    def __init__(self, connection: sqlite3.Connection, table: str, key: str) -> None:
        self.connection, self.table, self.key = connection, table, key
        database, _, name = table.rpartition(".")
        database = database or "main"
        cursor = connection.execute(f"SELECT * FROM {database}.{name}")
        self.columns = [column[0] for column in cursor.description]
        self.rows = cursor.fetchall()
        # Neither constraints nor triggers stand in the way of a damaged disk.
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("PRAGMA ignore_check_constraints = ON")

    def each(self, rng: random.Random, columns: list[str]) -> Any:
        """Yields (column, key) while one byte of it is another."""
        done = 0
        for column in itertools.cycle(columns):
            if done >= FLIPS:
                return
            done += 1
            row = rng.choice(self.rows)
            old = row[self.columns.index(column)]
            new = None if old is None else flip(rng, old)
            if new is None:
                continue
            cast = "CAST(? AS TEXT)" if isinstance(old, str) else "?"
            self.connection.execute("SAVEPOINT flip")
            try:
                self.connection.execute(
                    f"UPDATE {self.table} SET {column} = {cast} WHERE {self.key} = ?",
                    (new, row[self.columns.index(self.key)]),
                )
                yield column, row[self.columns.index(self.key)]
            except sqlite3.IntegrityError:
                pass
            finally:
                self.connection.execute("ROLLBACK TO flip")
                self.connection.execute("RELEASE flip")


class SealTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turner = Turner()
        self.rng = random.Random(7)
        self.centre = Centre(self.turner)
        self.centre.user(balance_e4=1_000_000)
        self.centre.user("bert", balance_e4=500)
        result = self.turner.result
        result(self.centre.store.add_device("desk", "lp1", "north"))
        result(self.centre.store.ensure_secret("card-key", "6b" * 32))
        self.branch = Branch(self.turner)
        self.branch.load_snapshot(self.centre)
        asker = self.centre.provider("p2")
        for number in range(1, 9):
            user = "anna" if number % 3 else "bert"
            asked = request(number, number, user=user, provider="p2", printer=2)
            decision = result(self.centre.store.authorize(asker, asked))
            if decision.allowed and number != 8:
                result(self.centre.store.complete(asker, completion(asked, decision)))
        session = self.centre.site(self.branch.stream)
        result(self.centre.store.end_session(session))
        result(self.centre.store.report(self.centre.site(self.branch.stream)))
        result(self.centre.store.settle_outages(lambda body: Signature("ab", "a certificate")))
        act = Act("an-act", WALL_S, "carl", "a test", "user.adjust", "{}")
        result(self.centre.store.audit.add(act, "done"))
        self.branch.follow(self.centre)
        local = self.branch.provider()
        for number in range(20, 24):
            asked = request(number, 2)
            decision = result(self.branch.store.decide(local, asked))
            result(self.branch.store.complete(local, completion(asked, decision)))

    def test_columns_that_an_upgrade_adds(self) -> None:
        """Rows sealed before are as they were written; another value than the default is not."""
        connection = self.application()
        self.assertEqual(verify_application(connection), [])
        for table in LEDGER:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN later TEXT NOT NULL DEFAULT 'no'")
            connection.execute(f"ALTER TABLE {table} ADD COLUMN later_still INTEGER DEFAULT 7")
        self.assertEqual(verify_application(connection), [])
        for change in ("later = 'x'", "later_still = NULL", "later = 'no', name = name || 'x'"):
            connection.execute("SAVEPOINT changed")
            connection.execute(f"UPDATE account SET {change} WHERE name = 'bert'")
            (problem,) = verify_application(connection)
            self.assertIn("account: row", problem)
            connection.execute("ROLLBACK TO changed")
        self.assertEqual(verify_application(connection), [])

    def tampered(
        self, connection: sqlite3.Connection, table: str, key: str, check: Check, **more: Any
    ) -> None:
        """Every column: untouched it is clean, changed it is named."""
        self.assertEqual(check(connection), [])
        tamper = Tamper(connection, table, key)
        self.assertTrue(tamper.rows, table)
        columns = [c for c in tamper.columns if c not in more.get("without", ())]
        tried = 0
        for column, row in tamper.each(self.rng, columns):
            tried += 1
            problems = check(connection)
            named = str(more.get("name", table.rpartition(".")[2]))
            about = [p for p in problems if named in p and (column == key or str(row) in p)]
            self.assertTrue(about, (table, column, row, problems))
        self.assertGreater(tried, 0, table)
        self.assertEqual(check(connection), [])

    def application(self) -> sqlite3.Connection:
        """A copy without the writer's triggers, in which transfers can be changed."""
        copy = sqlite3.connect(":memory:", isolation_level=None)
        copy.deserialize(self.centre.store._writer.connection.serialize())
        copy.execute("DROP TRIGGER transfer_no_update")
        copy.execute("DROP TRIGGER audit_no_update")
        return copy

    def test_ledger(self) -> None:
        for table, key in LEDGER.items():
            if table == "job_log":
                self.assertTrue(self.centre.query("SELECT 1 FROM job_log"))
            self.tampered(self.application(), table, key, verify_application)

    def test_a_row_that_is_gone_and_one_too_many(self) -> None:
        copy = self.application()
        copy.execute("DELETE FROM charge WHERE charge_id = (SELECT MIN(charge_id) FROM charge)")
        copy.execute("UPDATE job_log SET key = 'x' WHERE key = (SELECT MIN(key) FROM job_log)")
        words = " ".join(verify_application(copy))
        for expected in ("charge: row", "is missing", "job_log: row x was not written"):
            self.assertIn(expected, words)

    def test_change_log(self) -> None:
        self.tampered(
            self.application(), "change_log", "number", verify_application, name="change log"
        )

    def test_replica(self) -> None:
        connection = self.branch.store._writer.connection
        connection.execute("PRAGMA foreign_keys = OFF")
        for table, spec in TABLES.items():
            if not connection.execute(f"SELECT 1 FROM replica.{table}").fetchone():
                continue
            self.tampered(
                connection, f"replica.{table}", spec.key, lambda c: verify_replica(c, "replica")
            )

    def test_site_journal(self) -> None:
        self.tampered(
            self.branch.store._writer.connection,
            *("journal", "number", site_journal.verify_journal),
            name="record",
        )

    def test_journals_of_providers_and_devices(self) -> None:
        for schema in ("provider", "device"):
            connection = open_database(":memory:", schema)
            asker_journal.create_journal(connection, "p1", "j")
            for number in range(9):
                asker_journal.append(connection, "noted", {"number": number}, 5.0 + number)
            self.tampered(
                connection, "record", "number", asker_journal.verify_journal, name="record"
            )
            connection.execute("DELETE FROM record WHERE number = 9")
            self.assertIn("the head says 9", " ".join(asker_journal.verify_journal(connection)))

    def test_a_database_of_before_there_were_seals(self) -> None:
        """Its rows are sealed with the first that is written."""
        connection = open_database(":memory:", "application")
        create_installation(connection, "test")
        self.assertEqual(verify_application(connection), [])
        self.assertTrue(self.centre.query("SELECT since FROM sealing"))
        self.centre.query("DELETE FROM sealing")
        self.centre.query("UPDATE change_log SET seal = x''")
        self.centre.user("carl")
        sealed = self.centre.query("SELECT seal FROM change_log ORDER BY number DESC LIMIT 1")
        self.assertEqual(sealed[0][0].count(b'["account",'), 6)
