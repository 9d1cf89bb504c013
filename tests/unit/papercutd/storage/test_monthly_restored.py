"""A restored backup brings the sums of its own charges, wherever they had got to."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.chain import MARK_START
from papercutd.domain.job import SessionRef
from papercutd.services.reports import roll_all
from papercutd.storage.application_store import ApplicationStore, create_installation
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.timeline import restored
from papercutd.storage.sqlite.migrate import open_database
from papercutd.storage.sqlite.writer import InlineReader, InlineWriter
from tests.support.stores import PRICES, WALL_S, Turner, completion, request


class RestoredTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turner = Turner()
        self.jobs = 0

    def open(self, path: str) -> ApplicationStore:
        self.connection = open_database(path, "application")
        self.addCleanup(self.connection.close)
        create_installation(self.connection, "test")
        log = ChangeLog(lambda: WALL_S)
        writer = InlineWriter(self.connection, self.turner.clock, log)
        return ApplicationStore(writer, InlineReader(writer), log, lambda: WALL_S)

    def print(self, store: ApplicationStore, pages: int) -> None:
        self.jobs += 1
        seen = self.turner.result(store.begin_provider("p1", "j", MARK_START, ""))
        asker = SessionRef("provider", "p1", "j", seen.session)
        asked = request(self.jobs, pages)
        decision = self.turner.result(store.authorize(asker, asked))
        self.turner.result(store.complete(asker, completion(asked, decision)))

    def pages(self, store: ApplicationStore) -> int:
        (row,) = self.turner.result(store.monthly.report("month", "0001-01", "9999-12", "pages", 9))
        return int(row["pages"])

    def test_sums_before_and_behind_the_backup(self) -> None:
        for rolled_before in (False, True):
            folder = Path(self.mktemp())
            folder.mkdir()
            store = self.open(str(folder / "application.db"))
            self.turner.result(store.add_prices(PRICES))
            self.turner.result(store.add_user("anna", balance_e4=10**8))
            self.turner.result(store.add_provider("p1", None))
            self.turner.result(store.add_printer("lp1", "p1", "socket://127.0.0.1:9", "hold"))
            self.print(store, 1)
            self.turner.run(roll_all(store))
            self.print(store, 2)
            if rolled_before:
                self.turner.run(roll_all(store))
            self.connection.execute("VACUUM INTO ?", (str(folder / "backup.db"),))
            # What comes now is lost, and its numbers are given again.
            self.print(store, 4)
            self.turner.run(roll_all(store))
            self.assertEqual(self.pages(store), 7)
            store = self.open(str(folder / "backup.db"))
            restored(self.connection, WALL_S)
            self.print(store, 8)
            self.print(store, 16)
            self.assertEqual(self.pages(store), 27)
            self.turner.run(roll_all(store))
            self.assertEqual(self.pages(store), 27)
            self.assertEqual(self.turner.result(store.verify()), [])
