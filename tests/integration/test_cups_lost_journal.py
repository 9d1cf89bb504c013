"""A print server that has lost its disk, beside a CUPS that has not: nothing is charged twice."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

from papercutd.demo.processes import command
from tests.support.cups_case import CupsCase


class LostJournalTests(CupsCase):
    def setUp(self) -> None:
        super().setUp()
        self.printer = self.cups.ipp_printer("one")
        self.queue("q1", self.printer.uri, "everywhere")
        self.printer.behave("wait")
        self.number = self.cups.lp("q1", self.pdf())
        # Before that the backend may not have heard yet that it prints.
        self.until(lambda: self.printer.documents > 0, "a document at the printer")
        (self.lost,) = self.until_state("printing")

    def lose_the_journal(self) -> None:
        if self.provider.is_running():
            self.provider.kill()
        shutil.rmtree(self.provider.data)
        token = self.admin("provider", "token", "p1")["token"]
        server = f"127.0.0.1:{self.https}"
        command(self.provider.config, "join", "--token", token, "--server", server)

    def open_keys(self) -> list[str]:
        path = f"file:{self.app.data}/application.db?mode=ro"
        with closing(sqlite3.connect(path, uri=True)) as database:
            found = database.execute("SELECT key FROM decision WHERE state = 'open'").fetchall()
        return [row[0] for row in found]

    def test_what_cups_prints_to_its_end(self) -> None:
        """It is followed to its end, and charged as it was decided."""
        self.lose_the_journal()
        self.provider.start()
        self.until(lambda: self.provider.call("status")["adopt"], "the server says what is open")
        self.assertEqual((self.charges(), len(self.open_keys())), ([], 1))
        self.printer.behave("wait", False)
        self.assertEqual(self.until_charged(1), [("3 pages.pdf", 3, "completed")])
        self.until(lambda: not self.provider.call("status")["adopt"], "nothing is left")
        self.assertEqual(self.open_keys(), [])
        # Paper goes on, and a reprint is another job.
        self.cups.lp("q1", self.pdf())
        self.assertEqual(len(self.until_charged(2)), 2)
        self.assertEqual(self.printer.paper, [3, 3])
        self.assert_in_order()

    def test_what_cups_has_forgotten(self) -> None:
        """It is listed until somebody says what came of it."""
        self.provider.kill()
        self.printer.behave("wait", False)
        self.until(lambda: self.cups_state(self.number) == "completed", "it is printed")
        self.cups.run("cancel", "-a", "-x")
        self.lose_the_journal()
        self.provider.start()
        self.until(lambda: self.provider.call("status")["adopt"], "the server says what is open")
        (lost,) = self.admin("reserved", "list")
        (key,) = self.open_keys()
        self.assertEqual((lost["key"], lost["user"], lost["asker"]), (key, "anna", "provider:p1"))
        self.assertEqual(self.charges(), [])
        settled = self.admin("reserved", "settle", key)
        self.assertEqual((settled["key"], settled["pages"]), (key, 3))
        self.assertEqual((self.admin("reserved", "list"), self.open_keys()), ([], []))
        self.assertEqual([pages for _, pages, _ in self.charges()], [3])
        self.assert_in_order()
