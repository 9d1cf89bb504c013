"""The device's memory: every record chained, every table of the same transaction."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papercutd.device import journal as module
from papercutd.device.journal import DeviceJournal, Run
from papercutd.domain.chain import CHAIN_START, Mark
from papercutd.errors import StorageFull
from papercutd.storage.history.retention import RETENTION_S
from papercutd.storage.replication.asker_journal import create_journal, verify_journal
from papercutd.storage.sqlite.migrate import open_database
from papercutd.storage.sqlite.writer import InlineWriter
from tests.support.stores import Turner, job_id
from tests.unit.papercutd.provider.rig import JOURNAL, Crash

TABLES = ("identity", "record", "run", "setting")


def key(number: int = 1) -> str:
    return f"{job_id(number)}/run-1"


def run(number: int = 1, **fields: Any) -> Run:
    return Run(
        **{
            "key": key(number),
            "grant_text": f"grant {number}",
            "function": "copy",
            "colour": False,
            "reserved": 10,
            "pages": 0,
            "unit_e4": 500,
            "user_name": "anna",
            **fields,
        }
    )


class JournalCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.turner = Turner()
        self.wall_s = 1000.0
        self.path = os.path.join(self.mktemp(), "device.db")
        os.mkdir(os.path.dirname(self.path))
        self.connection = open_database(self.path, "device")
        self.addCleanup(lambda: self.connection.close())
        create_journal(self.connection, "mfd", JOURNAL)
        self.crash = ""
        self.open()

    def open(self) -> None:
        self.writer = InlineWriter(
            self.connection,
            self.turner.clock,
            before_commit=lambda: self.die("before"),
            after_commit=lambda: self.die("after"),
        )
        self.journal = DeviceJournal(self.writer, lambda: self.wall_s)

    def die(self, when: str) -> None:
        if self.crash == when:
            self.crash = ""
            raise Crash
        if self.crash == "full" and when == "before":
            raise StorageFull

    def do(self, write: Deferred[Any]) -> Any:
        return self.turner.result(write)

    def everything(self) -> list[Any]:
        return [
            self.connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
            for table in TABLES
        ]

    def steps(self) -> list[Callable[[], Deferred[Any]]]:
        journal = self.journal
        return [
            lambda: journal.begun(run(1)),
            lambda: journal.counted(key(1), 1),
            lambda: journal.counted(key(1), 2),
            lambda: journal.begun(run(2)),
            lambda: journal.finished(key(1), 2, "completed"),
            lambda: journal.acknowledged(key(1), "posted", 1000),
            lambda: journal.finished(key(2), 0, "canceled"),
            lambda: journal.set_aside(key(2), "bad-grant"),
            lambda: journal.keep_setting("servers", ["north"]),
            lambda: journal.prune(),
            lambda: journal.take_new_journal(job_id(77)),
        ]


class CrashTests(JournalCase):
    def test_torn_before_a_commit_nothing_of_it_is_there(self) -> None:
        for index in range(len(self.steps())):
            self.setUp()
            for step in self.steps()[:index]:
                self.do(step())
            before = self.everything()
            self.crash = "before"
            heard: list[Any] = []
            self.steps()[index]().addBoth(heard.append)
            self.assertRaises(Crash, self.turner.settle)
            self.assertEqual((heard, self.everything()), ([], before))
            # The next process goes on from there.
            self.open()
            for step in self.steps()[index:]:
                self.do(step())
            self.assertEqual(verify_journal(self.connection), [])
            states = [one.state for one in self.do(self.journal.runs(10))]
            self.assertEqual(states, ["acknowledged", "aside"])

    def test_torn_after_a_commit_all_of_it_is_there_and_nobody_was_told(self) -> None:
        for index in range(len(self.steps())):
            self.setUp()
            for step in self.steps()[:index]:
                self.do(step())
            self.crash = "after"
            heard: list[Any] = []
            self.steps()[index]().addBoth(heard.append)
            self.assertRaises(Crash, self.turner.settle)
            self.assertEqual(heard, [])
            self.open()
            for step in self.steps()[index + 1 :]:
                self.do(step())
            (count,) = self.connection.execute("SELECT COUNT(*) FROM record").fetchone()
            self.assertEqual(count, len(self.steps()))
            self.assertEqual(verify_journal(self.connection), [])

    def test_on_a_full_disk_nothing_is_said_to_be_written(self) -> None:
        self.do(self.journal.begun(run()))
        head = self.journal.head
        self.crash = "full"
        self.assertRaises(StorageFull, self.do, self.journal.counted(key(), 1))
        self.assertEqual(self.journal.head, head)
        self.crash = ""
        self.do(self.journal.counted(key(), 1))
        self.assertEqual(self.do(self.journal.run(key())).pages, 1)
        self.assertEqual(verify_journal(self.connection), [])


class RunTests(JournalCase):
    def test_the_life_of_a_run(self) -> None:
        self.do(self.journal.begun(run()))
        self.do(self.journal.counted(key(), 3))
        self.assertEqual(self.do(self.journal.owed(8)), [])
        self.wall_s = 1010.0
        self.do(self.journal.finished(key(), 3, "completed"))
        (owed,) = self.do(self.journal.owed(8))
        self.assertEqual(
            (owed.grant_text, owed.pages, owed.outcome, owed.finished_at),
            ("grant 1", 3, "completed", 1010.0),
        )
        self.do(self.journal.acknowledged(key(), "journalled", 1500))
        self.assertEqual(self.do(self.journal.owed(8)), [])
        self.assertEqual(self.do(self.journal.kept()), [])
        found = self.do(self.journal.run(key()))
        # Its grant is of no use any more.
        self.assertEqual(
            (found.state, found.answer, found.amount_e4, found.grant_text),
            ("acknowledged", "journalled", 1500, ""),
        )

    def test_a_count_never_falls_and_an_end_is_one(self) -> None:
        self.do(self.journal.begun(run()))
        self.do(self.journal.counted(key(), 3))
        self.do(self.journal.counted(key(), 2))
        self.do(self.journal.finished(key(), 1, "aborted"))
        self.do(self.journal.finished(key(), 9, "completed"))
        found = self.do(self.journal.run(key()))
        self.assertEqual((found.pages, found.outcome), (3, "aborted"))

    def test_kept_until_acknowledged_and_aside_for_ever(self) -> None:
        for number in (1, 2, 3):
            self.do(self.journal.begun(run(number)))
        self.do(self.journal.finished(key(1), 1, "completed"))
        self.do(self.journal.finished(key(2), 1, "completed"))
        self.do(self.journal.set_aside(key(2), "not-yours"))
        self.assertEqual([one.key for one in self.do(self.journal.kept())], [key(1), key(3)])
        (aside,) = self.do(self.journal.aside())
        self.assertEqual((aside.answer, aside.grant_text), ("not-yours", "grant 2"))
        self.wall_s += RETENTION_S * 2
        self.do(self.journal.prune())
        self.assertEqual(len(self.do(self.journal.runs(10))), 3)

    def test_what_was_acknowledged_is_shown_for_a_while_and_bounded(self) -> None:
        self.patch(module, "SHOWN_MAX", 3)
        for number in range(1, 7):
            self.do(self.journal.begun(run(number)))
            self.do(self.journal.finished(key(number), 1, "completed"))
            self.do(self.journal.acknowledged(key(number), "posted", 500))
        self.do(self.journal.prune())
        left = [one.key for one in self.do(self.journal.runs(10))]
        self.assertEqual(left, [key(4), key(5), key(6)])
        self.wall_s += RETENTION_S + 1
        self.do(self.journal.prune(RETENTION_S + 1))
        self.assertEqual(self.do(self.journal.runs(10)), [])


class MarkTests(JournalCase):
    def test_a_place_of_this_journal(self) -> None:
        self.do(self.journal.begun(run()))
        head = self.journal.head
        assert head is not None
        self.assertTrue(self.do(self.journal.is_ours(head)))
        self.assertTrue(self.do(self.journal.is_ours(Mark(0, CHAIN_START))))
        self.assertFalse(self.do(self.journal.is_ours(Mark(head.number + 1, head.chain))))
        self.assertFalse(self.do(self.journal.is_ours(attrs.evolve(head, chain="11" * 32))))

    def test_a_new_journal_replaces_the_old_and_keeps_its_runs(self) -> None:
        self.do(self.journal.begun(run()))
        self.do(self.journal.take_new_journal(job_id(9)))
        identity = self.do(self.journal.identity())
        self.assertEqual((identity.journal, identity.replaces), (job_id(9), JOURNAL))
        self.assertEqual(len(self.do(self.journal.kept())), 1)

    def test_forgotten_records_speak_against_nobody(self) -> None:
        self.patch(module, "RECORDS_MAX", 5)
        marks = []
        self.do(self.journal.begun(run()))
        for pages in range(1, 20):
            self.do(self.journal.counted(key(), pages))
            marks.append(self.journal.head)
        self.do(self.journal.prune())
        (count,) = self.connection.execute("SELECT COUNT(*) FROM record").fetchone()
        self.assertLessEqual(count, 7)
        for mark in marks:
            assert mark is not None
            self.assertTrue(self.do(self.journal.is_ours(mark)))
        self.assertEqual(verify_journal(self.connection), [])
