"""The writer's thread: an error of the disk at a commit ends it, and is not tried again."""

from __future__ import annotations

import errno
import sqlite3
import threading
from typing import Any

from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from papercutd.storage.sqlite import writer as writing
from papercutd.storage.sqlite.migrate import connect
from papercutd.storage.sqlite.writer import BARE, InlineWriter, ThreadWriter


class FatalTests(SynchronousTestCase):
    def test_input_output_error_at_a_commit(self) -> None:
        """F22: nobody is answered, nothing is committed, and whoever runs the process is told."""
        connection = connect(self.mktemp())
        connection.execute("CREATE TABLE one (n INTEGER)")
        tried: list[int] = []
        told: list[Failure] = []
        answers: list[Any] = []

        def fail() -> None:
            tried.append(1)
            raise OSError(errno.EIO, "input/output error")

        writer = ThreadWriter(
            connection, lambda call, *args: call(*args), told.append, before_commit=fail
        )
        writer.submit(lambda c: c.execute("INSERT INTO one VALUES (1)")).addBoth(answers.append)
        writer._thread.join(timeout=30)
        self.assertEqual((len(tried), answers), (1, []))
        self.assertEqual([failure.type for failure in told], [OSError])
        self.assertEqual(connection.execute("SELECT COUNT(*) FROM one").fetchone(), (0,))
        connection.close()


class CheckpointTests(SynchronousTestCase):
    """The log goes into the database while nobody waits for the writer."""

    def run_writer(self, operations: int) -> list[str]:
        """Statements of a writer's thread that is given so many operations at once."""
        self.patch(writing, "CHECKPOINT_AFTER", 3)
        connection = connect(self.mktemp())
        connection.execute("CREATE TABLE one (n INTEGER)")
        began = threading.Event()
        said: list[str] = []
        told: list[Failure] = []
        connection.set_trace_callback(said.append)
        writer = ThreadWriter(connection, lambda call, *args: call(*args), told.append, batch_max=1)
        # Nothing is done before all are there.
        writer.submit(lambda c: began.wait(30), BARE)
        for number in range(operations):
            writer.submit(lambda c, n=number: c.execute("INSERT INTO one VALUES (?)", (n,)))  # type: ignore[misc]
        began.set()
        writer.close()
        writer._thread.join(timeout=30)
        self.assertEqual(told, [])
        kept = ("COMMIT", "PRAGMA wal_checkpoint(PASSIVE)")
        return [statement for statement in said if statement in kept]

    def test_after_many_operations_and_when_none_waits(self) -> None:
        commits = ["COMMIT"] * 5
        self.assertEqual(self.run_writer(5), [*commits, "PRAGMA wal_checkpoint(PASSIVE)"])

    def test_not_after_few(self) -> None:
        self.assertEqual(self.run_writer(2), ["COMMIT"] * 2)

    def test_one_that_fails_ends_nothing(self) -> None:
        self.patch(writing, "CHECKPOINT_AFTER", 1)
        connection = connect(self.mktemp())
        connection.execute("CREATE TABLE one (n INTEGER)")
        connection.execute("INSERT INTO one VALUES (1), (2)")
        # A statement that is not at its end locks a checkpoint out.
        held = connection.execute("SELECT n FROM one")
        held.fetchone()
        with self.assertRaises(sqlite3.OperationalError):
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        told: list[Failure] = []
        answers: list[Any] = []
        writer = ThreadWriter(connection, lambda call, *args: call(*args), told.append)
        for number in range(2):
            done = threading.Event()
            work = writer.submit(lambda c, n=number: c.execute("INSERT INTO one VALUES (?)", (n,)))  # type: ignore[misc]
            work.addCallback(answers.append).addBoth(lambda none, done=done: done.set())  # type: ignore[misc]
            done.wait(30)
        held.close()
        writer.close()
        writer._thread.join(timeout=30)
        self.assertEqual((len(answers), told), (2, []))


class FailingTests(SynchronousTestCase):
    """An operation that fails is undone, alone in its transaction or one of several."""

    def setUp(self) -> None:
        self.connection = connect(":memory:")
        self.addCleanup(self.connection.close)
        self.connection.execute("CREATE TABLE one (n INTEGER)")
        self.clock = Clock()
        self.commits: list[int] = []
        #: Operations, each time that one is run.
        self.runs: list[int] = []
        self.writer = InlineWriter(
            self.connection, self.clock, after_commit=lambda: self.commits.append(1)
        )

    def insert(self, number: int, fails: bool = False, writes: bool = True) -> list[Any]:
        answers: list[Any] = []

        def operation(connection: Any) -> int:
            self.runs.append(number)
            if writes:
                connection.execute("INSERT INTO one VALUES (?)", (number,))
            if fails:
                raise ValueError(number)
            return number

        self.writer.submit(operation).addBoth(answers.append)
        return answers

    def turn(self) -> list[int]:
        self.clock.pump([0, 0, 0])
        return [row[0] for row in self.connection.execute("SELECT n FROM one")]

    def test_it_fails_and_nothing_is_committed(self) -> None:
        answers = self.insert(1, fails=True)
        self.assertEqual((self.turn(), self.commits), ([], []))
        self.assertTrue(answers[0].check(ValueError))
        later = self.insert(2)
        self.assertEqual((self.turn(), self.commits, later), ([2], [1], [2]))

    def test_one_of_several_fails_alone(self) -> None:
        answers = [self.insert(1), self.insert(2, fails=True), self.insert(3)]
        self.assertEqual((self.turn(), self.commits), ([1, 3], [1]))
        self.assertEqual((answers[0], answers[2]), ([1], [3]))
        self.assertTrue(answers[1][0].check(ValueError))

    def test_who_failed_before_writing_costs_the_others_nothing(self) -> None:
        answers = [self.insert(1), self.insert(2, fails=True, writes=False), self.insert(3)]
        self.assertEqual((self.turn(), self.commits, self.runs), ([1, 3], [1], [1, 2, 3]))
        self.assertEqual((answers[0], answers[2]), ([1], [3]))
        self.assertTrue(answers[1][0].check(ValueError))

    def test_who_failed_after_writing_has_the_batch_run_again(self) -> None:
        self.insert(1)
        self.insert(2, fails=True)
        self.insert(3)
        self.assertEqual((self.turn(), self.commits), ([1, 3], [1]))
        self.assertEqual(self.runs, [1, 2, 1, 2, 3])
