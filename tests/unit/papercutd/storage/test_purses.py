"""A database of before there were purses takes them, and stays what it was."""

from __future__ import annotations

import os
import sqlite3
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from papercutd.storage.application_store import create_installation
from papercutd.storage.sqlite import migrate


class UpgradeTests(SynchronousTestCase):
    def test_a_purse_where_there_was_none(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "application.db")
        known = migrate.migrations("application")
        before = tuple(one for one in known if one[0] < 94)
        with_patch = self.patch(migrate, "migrations", lambda schema: before)
        connection = migrate.open_database(path, "application")
        create_installation(connection, "test")
        with self.assertRaises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO account (id, kind, name) VALUES (9, 'purse', '')")
        connection.close()
        with_patch.restore()
        connection = migrate.open_database(path, "application")
        self.addCleanup(connection.close)
        connection.execute(
            "INSERT INTO account (id, kind, name, parent, purse) VALUES (9, 'purse', 'quota', 1, 2)"
        )
        with self.assertRaises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO account (id, kind, name) VALUES (10, 'gold', '')")
        with self.assertRaises(sqlite3.IntegrityError):
            connection.execute(
                "INSERT INTO account (id, kind, name, parent) VALUES (10, 'purse', '', 77)"
            )
        kinds = connection.execute("SELECT kind, purses_e4 FROM account ORDER BY id").fetchall()
        self.assertEqual(kinds[:3], [("revenue", 0), ("adjustment", 0), ("uncollected", 0)])
        self.assertEqual(connection.execute("PRAGMA integrity_check").fetchone(), ("ok",))
