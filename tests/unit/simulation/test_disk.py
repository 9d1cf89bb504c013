"""Tests of simulated disks, with the real writer on them."""

from __future__ import annotations

import sqlite3
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.document import Document, PageGroup
from papercutd.errors import StorageFull
from papercutd.storage.sqlite.writer import InlineWriter
from tests.simulation.disk import Commit
from tests.simulation.spool import SimAnalyser, SpooledDocument
from tests.simulation.world import World


class DiskTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(1)
        self.node = self.world.add_node("n", "provider")
        self.disk = self.node.disk
        self.answers: list[Any] = []
        self.start()

    def start(self) -> None:
        clock = self.node.boot()
        self.connection = self.disk.open_database("a.db")
        self.connection.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER)")
        self.writer: InlineWriter = self.disk.writer("a.db", clock)

    def write(self, number: int) -> None:
        def insert(connection: sqlite3.Connection) -> int:
            connection.execute("INSERT INTO t VALUES (?)", (number,))
            return number

        self.writer.submit(insert).addBoth(self.answers.append)

    def write_and_run(self, number: int) -> None:
        self.write(number)
        self.run_for(0.1)

    def run_for(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    def stored(self) -> list[int]:
        connection = self.disk.connection("a.db")
        assert connection is not None
        return [row[0] for row in connection.execute("SELECT n FROM t ORDER BY n")]


class CrashTests(DiskTestCase):
    def test_what_is_committed_survives(self) -> None:
        self.write_and_run(1)
        self.assertEqual(self.answers, [1])
        self.write(2)
        self.node.crash()
        self.run_for(1)
        self.start()
        self.run_for(1)
        self.assertEqual((self.stored(), self.answers), ([1], [1]))

    def test_an_open_transaction_does_not(self) -> None:
        self.connection.execute("BEGIN")
        self.connection.execute("INSERT INTO t VALUES (1)")
        self.node.crash()
        self.start()
        self.assertEqual(self.stored(), [])

    def test_the_dead_cannot_write(self) -> None:
        old, writer = self.connection, self.writer
        self.node.crash()
        self.start()
        self.assertRaises(sqlite3.ProgrammingError, old.execute, "INSERT INTO t VALUES (1)")
        writer.submit(lambda c: c.execute("INSERT INTO t VALUES (2)")).addBoth(self.answers.append)
        self.run_for(1)
        self.assertEqual((self.stored(), self.answers), ([], []))

    def test_a_crash_before_the_commit(self) -> None:
        self.disk.crash_at_commit(after=2, before=True)
        self.write_and_run(1)
        self.write_and_run(2)
        self.assertFalse(self.node.is_up)
        self.assertEqual((self.stored(), self.answers), ([1], [1]))

    def test_a_crash_after_the_commit(self) -> None:
        self.disk.crash_at_commit(after=2)
        self.write_and_run(1)
        self.write_and_run(2)
        self.assertFalse(self.node.is_up)
        self.assertEqual((self.stored(), self.answers), ([1, 2], [1]))

    def test_a_crash_that_was_disarmed(self) -> None:
        disarm = self.disk.crash_at_commit()
        self.assertTrue(disarm())
        self.assertFalse(disarm())
        self.write_and_run(1)
        self.assertEqual(self.answers, [1])

    def test_of_one_database_only(self) -> None:
        self.disk.crash_at_commit(database="b.db")
        self.write_and_run(1)
        self.assertTrue(self.node.is_up)


class TroubleTests(DiskTestCase):
    def test_full_for_a_while(self) -> None:
        free = self.disk.fill()
        self.write_and_run(1)
        self.assertEqual([failure.type for failure in self.answers], [StorageFull])
        self.assertRaises(StorageFull, self.disk.write_file, "anchor", b"x")
        free()
        self.write_and_run(2)
        self.assertEqual(self.stored(), [2])
        self.assertEqual(self.disk.refused, 2)

    def test_slow_for_a_while(self) -> None:
        mend = self.disk.slow(2.0)
        self.write(1)
        self.run_for(0.09)
        self.assertEqual(self.answers, [])
        self.run_for(2)
        self.assertEqual(self.answers, [1])
        mend()
        self.write_and_run(2)
        self.assertEqual(self.answers, [1, 2])

    def test_commits_are_heard_of_before_the_answer(self) -> None:
        heard: list[tuple[Commit, int]] = []
        self.disk.on_commit.append(lambda commit: heard.append((commit, len(self.answers))))
        self.write_and_run(1)
        self.write(2)
        self.write_and_run(3)
        self.assertEqual(
            [(c.node, c.database, c.number) for c, _ in heard], [("n", "a.db", 1), ("n", "a.db", 2)]
        )
        self.assertEqual([answers for _, answers in heard], [0, 1])

    def test_a_crash_around_the_writing_of_a_file(self) -> None:
        self.disk.write_file("anchor", b"old")
        self.disk.crash_at_commit(before=True, database="file anchor")
        clock = self.node.clock
        assert clock is not None
        clock.callLater(0, self.disk.write_file, "anchor", b"new")
        self.run_for(1)
        self.assertFalse(self.node.is_up)
        self.assertEqual(self.disk.files, {"anchor": b"old"})


class ImageTests(DiskTestCase):
    def replica(self, number: int) -> sqlite3.Connection:
        return sqlite3.connect(self.disk.replicas.path(number), uri=True)

    def test_restored(self) -> None:
        replica = self.replica(1)
        replica.execute("CREATE TABLE r (n INTEGER)")
        replica.commit()
        self.disk.spool.add(SpooledDocument("/1", Document(()), 3, "aa"))
        self.disk.write_file("anchor", b"old")
        self.write_and_run(1)
        image = self.disk.save()

        self.write_and_run(2)
        replica.execute("INSERT INTO r VALUES (1)")
        replica.commit()
        replica.close()
        self.replica(2).close()
        self.disk.spool.remove("/1")
        self.disk.write_file("anchor", b"new")
        self.node.crash()
        self.run_for(0)
        self.disk.restore(image)
        self.start()
        self.assertEqual(self.stored(), [1])
        self.assertEqual(self.replica(1).execute("SELECT count(*) FROM r").fetchone(), (0,))
        self.assertEqual(list(self.disk.replicas.save()), [1])
        self.assertEqual((self.disk.spool.paths(), self.disk.files), (["/1"], {"anchor": b"old"}))
        self.write_and_run(5)
        self.assertEqual(self.stored(), [1, 5])

    def test_not_while_the_node_runs(self) -> None:
        self.assertRaises(AssertionError, self.disk.restore, self.disk.save())

    def test_lost(self) -> None:
        self.write_and_run(1)
        self.node.crash()
        self.run_for(0)
        self.disk.lose()
        self.start()
        self.assertEqual(self.stored(), [])

    def test_replicas_survive_a_crash_while_attached(self) -> None:
        self.connection.execute("ATTACH DATABASE ? AS r", (self.disk.replicas.path(1),))
        self.connection.execute("CREATE TABLE r.t2 (n INTEGER)")
        self.connection.execute("INSERT INTO r.t2 VALUES (7)")
        self.connection.execute("BEGIN")
        self.connection.execute("INSERT INTO r.t2 VALUES (8)")
        self.node.crash()
        self.start()
        self.connection.execute("ATTACH DATABASE ? AS r", (self.disk.replicas.path(1),))
        self.assertEqual(self.connection.execute("SELECT n FROM r.t2").fetchall(), [(7,)])
        self.connection.execute("INSERT INTO r.t2 VALUES (9)")

    def test_real_schemas_open_again(self) -> None:
        self.disk.open_database("p.db", "provider")
        self.node.crash()
        self.start()
        connection = self.disk.open_database("p.db", "provider")
        self.assertEqual(connection.execute("SELECT count(*) FROM job").fetchone(), (0,))


class SpoolTests(SynchronousTestCase):
    def test_the_analyser_reads_the_facts(self) -> None:
        spool = World(1).add_node("n", "provider").disk.spool
        spool.add(SpooledDocument("/1", Document((PageGroup("A4", 3, 1),)), 3, "aa"))
        analyser = SimAnalyser(spool)
        coroutine = analyser.analyse("/1", "application/pdf", 2, True)
        found = self.successResultOf(self.deferred(coroutine))
        self.assertEqual(found, Document((PageGroup("A4", 3, 1),), 2, True, "application/pdf"))
        unknown = self.successResultOf(self.deferred(analyser.analyse("/2", "x", 1, False)))
        self.assertFalse(unknown.analysed)

    @staticmethod
    def deferred(coroutine: Any) -> Any:
        return Deferred.fromCoroutine(coroutine)
