"""Databases put in place of another: the former ones are kept, all of them."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands import placing


class PlaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="papercutd-placing-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.patch(placing.time, "time", lambda: 1_800_000_000.25)
        self.in_force = self.make("application.db", "first")

    def make(self, name: str, what: str) -> Path:
        path = self.folder / name
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE what (it TEXT)")
            connection.execute("INSERT INTO what VALUES (?)", (what,))
        return path

    def what(self, path: str | Path | None) -> str:
        assert path is not None
        with closing(sqlite3.connect(path)) as connection:
            return str(connection.execute("SELECT it FROM what").fetchone()[0])

    def test_twice_within_a_second(self) -> None:
        """Two administrators restored, one right after the other: nobody's is overwritten."""
        kept = [
            placing.place(self.make("restoring.db", what), self.in_force)
            for what in ("second", "third")
        ]
        self.assertEqual([self.what(path) for path in kept], ["first", "second"])
        self.assertEqual(self.what(self.in_force), "third")

    def test_again_after_it_was_killed(self) -> None:
        """What was kept before the kill is the one in force still: it is not kept twice."""
        incoming = self.make("restoring.db", "second")
        self.patch(placing, "passing", self.die)
        with self.assertRaises(KeyboardInterrupt):
            placing.place(incoming, self.in_force)
        self.patch(placing, "passing", lambda point: None)
        kept = placing.place(incoming, self.in_force)
        self.assertEqual((self.what(kept), self.what(self.in_force)), ("first", "second"))
        self.assertEqual(len(list(self.folder.glob("before-restore-*"))), 1)

    def die(self, point: str) -> None:
        raise KeyboardInterrupt

    def test_where_there_is_none(self) -> None:
        self.in_force.unlink()
        self.assertIsNone(placing.place(self.make("restoring.db", "second"), self.in_force))
        self.assertEqual(self.what(self.in_force), "second")
