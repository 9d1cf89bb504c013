"""A snapshot interrupted at each of its chunks: by a crash, by a cut, and with one in force."""

from __future__ import annotations

import sqlite3
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from papercutd.storage.replication import snapshot
from papercutd.storage.replication.replicated import TABLES
from papercutd.storage.site.site_store import SiteStore
from tests.simulation import core_nodes
from tests.simulation.core_nodes import APPLICATION, CoreInstallation
from tests.simulation.world import World

USERS = {f"user{number:04d}": 1_000 for number in range(500)}
SITE = "north"


class SnapshotTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(core_nodes, "USERS", USERS)
        self.patch(snapshot, "CHUNK_BYTES", 2_000)
        self.world = World(1)
        self.installation = CoreInstallation(self.world)
        for name in (APPLICATION, SITE):
            self.world.nodes[name].boot()

    def database(self, node: str, name: str) -> sqlite3.Connection:
        connection = self.world.nodes[node].disk.connection(name)
        assert connection is not None
        return connection

    def is_whole(self) -> bool:
        """The replica in force is at the head."""
        if self.world.nodes[SITE].disk.connection("journal.db") is None:
            return False
        try:
            found = self.database(SITE, "journal.db").execute(
                "SELECT number, complete FROM replica.position"
            )
            number, complete = found.fetchone()
        except sqlite3.OperationalError:
            return False
        head = self.database(APPLICATION, "application.db").execute("SELECT number FROM head")
        return bool(complete and number == head.fetchone()[0])

    def check_equal(self) -> None:
        """Every replicated table at the site is the centre's, filtered."""
        centre = self.database(APPLICATION, "application.db")
        site = self.database(SITE, "journal.db")
        for spec in TABLES.values():
            columns = ", ".join(spec.columns)
            ours = site.execute(f"SELECT {columns} FROM replica.{spec.table} ORDER BY 1")
            theirs = centre.execute(
                f"SELECT {columns} FROM {spec.source} WHERE {spec.condition} ORDER BY 1"
            )
            self.assertEqual(ours.fetchall(), theirs.fetchall(), spec.table)

    def interrupting(self, at: int, how: Any) -> Any:
        """Call ``how`` after the chunks of load ``at`` have been loaded, once."""
        load = SiteStore.load_chunk
        self.loaded: list[int] = []

        def load_chunk(store: SiteStore, snapshot: str, index: int, rows: Any) -> Any:
            self.loaded.append(index)
            if len(self.loaded) == at + 1:
                self.world.later(0.0005, how)
            return load(store, snapshot, index, rows)

        return mock.patch.object(SiteStore, "load_chunk", load_chunk)

    def crash(self) -> None:
        node = self.world.nodes[SITE]
        node.crash()
        self.world.later(1.0, node.boot)

    def reset(self) -> None:
        for end, other in self.world.network.connections(APPLICATION, SITE):
            self.world.network.reset(end, other)

    def until_whole(self) -> None:
        self.world.run_until(self.is_whole, self.world.now + 60.0)
        self.assertTrue(self.is_whole())
        self.check_equal()

    def test_at_each_chunk(self) -> None:
        with self.interrupting(10**6, lambda: None):
            self.until_whole()
        chunks = len(self.loaded)
        self.assertGreater(chunks, 4)
        for how in ("crash", "reset"):
            for at in range(chunks):
                self.setUp()
                with self.interrupting(at, getattr(self, how)):
                    self.until_whole()
                # Gone on with, not begun again.
                committed = self.loaded[at - 1] if at else -1
                self.assertGreater(min(self.loaded[at + 1 :], default=10**6), committed)

    def test_the_replica_in_force_serves_meanwhile(self) -> None:
        """The position is not in the history any more: a snapshot, over one that serves."""
        self.until_whole()
        # As after a restore: the site's position is of another history.
        self.database(SITE, "journal.db").execute("UPDATE replica.position SET chain = 'other'")
        seen: list[Any] = []

        def look() -> None:
            connection = self.database(SITE, "journal.db")
            seen.append(connection.execute("SELECT COUNT(*) FROM replica.user").fetchone()[0])
            self.crash()

        self.crash()
        with self.interrupting(2, look):
            self.world.run(self.world.now + 20.0)
        self.assertEqual(seen, [len(USERS) + 1])
        self.until_whole()
        self.assertGreater(
            self.database(SITE, "journal.db").execute("SELECT replica FROM identity").fetchone()[0],
            1,
        )
