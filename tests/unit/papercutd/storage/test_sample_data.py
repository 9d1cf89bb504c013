"""Sample data: what the server itself would have written, and verify agrees."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands.setup import FIRST_PRICES
from papercutd.domain.chain import MARK_START
from papercutd.domain.job import SessionRef
from papercutd.errors import InvalidValue
from papercutd.storage.administration.listings import read_user, read_users_after
from papercutd.storage.administration.sample_data import Plan, SampleData, why_not
from papercutd.storage.application_store import ApplicationStore, create_installation
from papercutd.storage.people.people import find_by_card, find_by_name
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.sqlite.bulk_load import SqliteLoad
from papercutd.storage.sqlite.migrate import open_database
from papercutd.storage.sqlite.writer import InlineReader, InlineWriter
from tests.support.stores import WALL_S, Branch, Turner, completion, request


class Loaded(SynchronousTestCase):
    """A small installation on the disk."""

    def setUp(self) -> None:
        self.turner = Turner(Clock())
        self.path = Path(self.mktemp())
        self.open()
        create_installation(self.connection, "test")
        self.result(self.store.add_prices(FIRST_PRICES))
        self.connection.close()
        self.connection = open_database(str(self.path), "application")
        self.said: list[tuple[str, int, int]] = []
        self.load(Plan(users=300, jobs=2_000, sites=2, printers=5, years=1))

    def load(self, plan: Plan) -> None:
        def say(*words: Any) -> None:
            self.said.append(words)

        SampleData(SqliteLoad(self.connection), plan, Random(1), WALL_S, say).fill("ab" * 32)
        self.connection.close()
        self.open()

    def open(self) -> None:
        self.connection = open_database(str(self.path), "application")
        self.addCleanup(self.connection.close)
        log = ChangeLog(lambda: WALL_S)
        writer = InlineWriter(self.connection, self.turner.clock, log)
        self.store = ApplicationStore(writer, InlineReader(writer), log, lambda: WALL_S)

    def result(self, work: Deferred[Any]) -> Any:
        return self.turner.result(work)

    def count(self, table: str) -> int:
        return int(self.connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])


class SampleDataTests(Loaded):
    def test_verify_finds_nothing(self) -> None:
        self.assertEqual(self.result(self.store.verify()), [])
        self.assertEqual(self.connection.execute("PRAGMA foreign_key_check").fetchall(), [])
        for table, count in (("user", 300), ("charge", 2_000), ("card", 300), ("printer", 5)):
            self.assertEqual(self.count(table), count)
        rolled = self.result(self.store.monthly.rolled())
        self.assertTrue(rolled.is_whole)

    def test_verify_finds_a_changed_row(self) -> None:
        for table in ("charge", "decision", "account"):
            key = "id" if table == "account" else "key"
            self.connection.execute(
                f"UPDATE {table} SET number = number + 1 WHERE user = 17"
                if table != "account"
                else "UPDATE account SET closed = 1 WHERE user = 17"
            )
            (found,) = self.connection.execute(
                f"SELECT MIN({key}) FROM {table} WHERE user = 17"
            ).fetchone()
            problem = f"{table}: row {found} is not what was written"
            self.assertIn(problem, self.result(self.store.verify()))

    def test_has_the_indexes_of_an_empty_installation(self) -> None:
        query = (
            "SELECT name, sql FROM sqlite_master WHERE tbl_name NOT LIKE 'sqlite_stat%' ORDER BY 1"
        )
        empty = open_database(":memory:", "application")
        self.addCleanup(empty.close)
        self.assertEqual(self.connection.execute(query).fetchall(), empty.execute(query).fetchall())
        self.assertEqual(self.connection.execute("PRAGMA journal_mode").fetchone(), ("wal",))

    def test_same_seed_same_data(self) -> None:
        head = self.connection.execute("SELECT number, chain FROM head").fetchone()
        self.setUp()
        self.assertEqual(self.connection.execute("SELECT number, chain FROM head").fetchone(), head)

    def test_people_log_in_print_and_are_found(self) -> None:
        person = find_by_card(self.connection, "", "C000000007")
        assert person is not None
        self.assertEqual(person, find_by_name(self.connection, "", "Sample00000007"))
        row = read_user(self.connection, person.user)
        self.assertGreaterEqual(row["balance_e4"], 0)
        self.assertEqual(
            read_users_after(self.connection, "sample00000006")[0]["name"], person.name
        )
        seen = self.result(self.store.begin_provider("print-server-001", "j", MARK_START, ""))
        asker = SessionRef("provider", "print-server-001", "j", seen.session)
        asked = request(1, 3, person.name, provider="print-server-001", printer=1)
        decision = self.result(self.store.authorize(asker, asked))
        self.assertTrue(decision.allowed)
        self.result(self.store.complete(asker, completion(asked, decision)))
        self.assertEqual(self.result(self.store.verify()), [])
        # It may not be taken for an empty one, nor have its history written beside somebody's.
        self.assertIn("connected", why_not(self.connection, True))

    def test_a_site_takes_its_snapshot(self) -> None:
        branch = Branch(self.turner, "site-001")
        branch.load_snapshot(self)
        person = self.result(branch.store.login_by_card("C000000007"))
        self.assertEqual(person.name, "sample00000007")

    def test_tells_how_far_it_is(self) -> None:
        done = {doing: (of, at) for doing, at, of in self.said}
        self.assertEqual(done["users"], (300, 300))
        self.assertEqual(done["jobs"], (2_000, 2_000))

    def test_twice_is_refused(self) -> None:
        self.assertIn("already", why_not(self.connection, True))

    def test_bounds(self) -> None:
        for fields in ({"users": 0}, {"jobs": -1}, {"years": 0}, {"printers": 0}, {"sites": 501}):
            with self.assertRaises(InvalidValue):
                Plan(**{"users": 1, "jobs": 1, **fields}).check()
