"""A replica made by an older release: it serves on, and is replaced by a whole new one."""

from __future__ import annotations

import sqlite3
from unittest import mock

import attrs
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.chain import Position
from papercutd.storage.proof.seals import verify_replica
from papercutd.storage.replication.replicated import TABLES
from papercutd.storage.site import applying, replica
from papercutd.storage.site.applying import apply_rows
from papercutd.storage.sqlite import migrate


class UpgradeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.files = replica.Memory(f"{self.id()}")
        self.addCleanup(self.files.remove, 1)
        self.connection = sqlite3.connect(":memory:", isolation_level=None, uri=True)
        self.addCleanup(self.connection.close)

    def attach_older(self, database: str) -> None:
        older = migrate.migrations("replica")[:1]
        with mock.patch.object(migrate, "migrations", return_value=older):
            replica.attach(self.connection, self.files, 1, database)
        self.connection.execute(
            f"UPDATE {database}.position SET number = 9, chain = 'aa', snapshot = 's', complete = 1"
        )
        self.connection.execute(f"DETACH DATABASE {database}")

    def test_in_force_it_goes_on_serving_but_cannot_be_resumed(self) -> None:
        self.attach_older(replica.IN_FORCE)
        replica.attach(self.connection, self.files, 1, replica.IN_FORCE)
        self.assertEqual(replica.read_position(self.connection), Position(0, 9, ""))

    def test_its_rows_are_as_they_were_written(self) -> None:
        """A column that was added since is no byte that somebody changed; a changed one is."""
        # Statements are made once for each table, and here it has other columns for a while.
        applying._statements.cache_clear()
        self.addCleanup(applying._statements.cache_clear)
        before = attrs.evolve(TABLES["revocation"], columns=("serial", "role", "name"), newer={})
        older = migrate.migrations("replica")
        older = [one for one in older if not one[1].startswith("0060")]
        row = ("revocation", "5", {"serial": "5", "role": "site", "name": "north"})
        with (
            mock.patch.object(migrate, "migrations", return_value=older),
            mock.patch.dict(TABLES, {"revocation": before}),
        ):
            replica.attach(self.connection, self.files, 1, replica.IN_FORCE)
            apply_rows(self.connection, replica.IN_FORCE, [row], 1)
        applying._statements.cache_clear()
        self.connection.execute("DETACH DATABASE replica")
        replica.attach(self.connection, self.files, 1, replica.IN_FORCE)
        self.assertEqual(verify_replica(self.connection, replica.IN_FORCE), [])
        named = ["replica: revocation: row 5 is not what was written"]
        for change in ("revoked_at = 1", "revoked_at = 0, name = 'south'"):
            self.connection.execute(f"UPDATE replica.revocation SET {change}")
            self.assertEqual(verify_replica(self.connection, replica.IN_FORCE), named)

    def test_half_filled_it_begins_anew(self) -> None:
        self.attach_older(replica.INCOMING)
        replica.attach(self.connection, self.files, 1, replica.INCOMING)
        self.assertEqual(replica.snapshot_progress(self.connection), ("", 0))

    def test_of_this_release_nothing_changes(self) -> None:
        replica.attach(self.connection, self.files, 1, replica.IN_FORCE)
        self.connection.execute(
            "UPDATE replica.position SET number = 9, chain = 'aa', complete = 1"
        )
        self.connection.execute("DETACH DATABASE replica")
        replica.attach(self.connection, self.files, 1, replica.IN_FORCE)
        self.assertEqual(replica.read_position(self.connection), Position(0, 9, "aa"))
