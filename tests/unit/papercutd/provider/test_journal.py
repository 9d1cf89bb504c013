"""The provider's memory: every record chained, every table of the same transaction."""

from __future__ import annotations

import os
import shutil
import sqlite3
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.decision import Decision, Reason, Verdict
from papercutd.domain.document import Document, PageGroup
from papercutd.domain.job import Completion
from papercutd.domain.pricing import PriceLine
from papercutd.provider.journal import Job, ProviderJournal
from papercutd.storage.history.retention import RETENTION_S
from papercutd.storage.replication.asker_journal import (
    create_journal,
    read_identity,
    verify_journal,
)
from papercutd.storage.sqlite.migrate import open_database
from papercutd.storage.sqlite.writer import InlineWriter
from tests.support.stores import Turner, job_id
from tests.unit.papercutd.provider.rig import JOURNAL, OTHER_STREAM, STREAM, Crash

DOCUMENT = Document((PageGroup("A4", 2, 1),), 3, True)


def decision(decider: str = "application", verdict: Verdict = Verdict.ALLOW) -> Decision:
    reason = Reason.NONE if verdict is Verdict.ALLOW else Reason.FUNDS
    lines = (PriceLine("A4 grey", 3, 500),)
    return Decision(verdict, reason, decider, 1, 4, 1, 3, lines, "1.10")


def job(number: int = 1, **fields: Any) -> Job:
    return Job(
        **{
            "job": job_id(number),
            "state": "received",
            "step": 1,
            "printer": 1,
            "user_name": "anna",
            "title": "report",
            "host": "desk",
            "copies": 3,
            "duplex": True,
            "format": "application/pdf",
            "path": f"spool/{number}",
            "digest": "00",
            "size": 10,
            "submitted_at": 5.0,
            **fields,
        }
    )


def completion(of: Job, taken: Decision | None) -> Completion:
    return Completion(of.job, of.step_name, "p1", 1, "anna", DOCUMENT, taken, 6)


class JournalCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.turner = Turner()
        self.wall_s = 1000.0
        self.path = os.path.join(self.mktemp(), "provider.db")
        os.mkdir(os.path.dirname(self.path))
        self.connection = open_database(self.path, "provider")
        self.addCleanup(lambda: self.connection.close())
        create_journal(self.connection, "p1", JOURNAL)
        self.crash: str = ""
        self.open()

    def open(self) -> None:
        self.writer = InlineWriter(
            self.connection,
            self.turner.clock,
            before_commit=lambda: self.die("before"),
            after_commit=lambda: self.die("after"),
        )
        self.journal = ProviderJournal(self.writer, lambda: self.wall_s)

    def die(self, when: str) -> None:
        if self.crash == when:
            self.crash = ""
            raise Crash

    def do(self, write: Any) -> Any:
        return self.turner.result(write)

    def rows(self, sql: str) -> list[Any]:
        return self.connection.execute(sql).fetchall()

    def taken(self, number: int = 1, decider: str = STREAM) -> Job:
        """A job that ``decider`` allowed."""
        one = job(number)
        self.do(self.journal.received(one))
        self.do(self.journal.analysed(one.job, DOCUMENT))
        self.do(self.journal.asked(one.job, "submit", 1))
        self.do(self.journal.decided(one, decision(decider), decider))
        return attrs.evolve(one, decider=decider, decision=decision(decider))

    def ended(self, number: int = 1, decider: str = STREAM) -> Job:
        """A job that ``decider`` allowed and that came out."""
        one = self.taken(number, decider)
        self.do(self.journal.printing(one.job, 1.0))
        self.do(self.journal.ended(one, completion(one, one.decision), decider, "completed"))
        return one

    def owed(self, target: str) -> list[str]:
        return [one.key for one in self.do(self.journal.owed_to(target, 100))]


class RecordTests(JournalCase):
    def steps(self) -> list[Any]:
        one, other = job(1), job(2)
        whole = completion(one, decision(STREAM))
        journal = self.journal
        return [
            lambda: journal.received(one),
            lambda: journal.analysed(one.job, DOCUMENT),
            lambda: journal.asked(one.job, "submit", 1),
            lambda: journal.cancel(one.key, "application", "superseded"),
            lambda: journal.decided(one, decision(STREAM), STREAM),
            lambda: journal.printing(one.job, 12.5),
            lambda: journal.ended(one, whole, STREAM, "completed"),
            lambda: journal.received(other),
            lambda: journal.asked(other.job, "submit", 2),
            lambda: journal.held(other, "funds"),
            lambda: journal.saw_stream("north", STREAM),
            lambda: journal.saw_stream("north", OTHER_STREAM),
            lambda: journal.retired([OTHER_STREAM]),
            lambda: journal.keep_setting("config", {"a": 1}),
            lambda: journal.take_new_journal(job_id(77)),
        ]

    def test_reopened_after_every_record_it_is_what_it_was(self) -> None:
        tables = (
            "identity",
            "record",
            "job",
            "taken",
            "cancel",
            "known_stream",
            "setting",
            "release",
        )
        for step in self.steps():
            self.do(step())
            copy = f"{self.path}.copy"
            for name in (self.path, f"{self.path}-wal"):
                shutil.copyfile(name, name.replace(self.path, copy))
            reopened = open_database(copy, "provider")
            for table in tables:
                sql = f"SELECT * FROM {table} ORDER BY 1"
                self.assertEqual(reopened.execute(sql).fetchall(), self.rows(sql))
            self.assertEqual(verify_journal(reopened), [])
            reopened.close()
            for name in (copy, f"{copy}-wal", f"{copy}-shm"):
                if os.path.exists(name):
                    os.remove(name)
        numbers = [row[0] for row in self.rows("SELECT number FROM record ORDER BY number")]
        self.assertEqual(numbers, list(range(1, len(self.steps()) + 1)))

    def test_torn_before_the_commit_nothing_of_it_is_there(self) -> None:
        for index in range(len(self.steps())):
            self.setUp()
            for step in self.steps()[:index]:
                self.do(step())
            before = self.everything()
            self.crash = "before"
            heard: list[Any] = []
            self.steps()[index]().addBoth(heard.append)
            self.assertRaises(Crash, self.turner.settle)
            self.assertEqual(heard, [])
            self.assertEqual(self.everything(), before)
            # The next process goes on from there.
            self.open()
            self.do(self.steps()[index]())
            self.assertEqual(verify_journal(self.connection), [])

    def test_two_at_once_are_the_same_as_one_after_the_other(self) -> None:
        for at_once in (False, True):
            self.setUp()
            one = job()
            self.do(self.journal.received(one))
            allowed = decision()
            if at_once:
                self.do(self.journal.analysed_and_asked(one.job, DOCUMENT, "submit", 1))
                written = self.journal.decided_and_printing(one, allowed, "application", 7.0)
                self.do(written)
            else:
                self.do(self.journal.analysed(one.job, DOCUMENT))
                self.do(self.journal.asked(one.job, "submit", 1))
                self.do(self.journal.decided(one, allowed, "application"))
                self.do(self.journal.printing(one.job, 7.0))
                expected = self.everything()
            self.assertEqual(self.everything(), expected)
            self.assertEqual(self.do(self.journal.job(one.job)).state, "printing")
            self.assertEqual(verify_journal(self.connection), [])

    def test_torn_after_the_commit_all_of_it_is_there_and_nobody_was_told(self) -> None:
        self.crash = "after"
        heard: list[Any] = []
        self.journal.received(job()).addBoth(heard.append)
        self.assertRaises(Crash, self.turner.settle)
        self.assertEqual(heard, [])
        self.open()
        self.assertEqual(self.do(self.journal.job(job_id(1))), job())

    def everything(self) -> list[Any]:
        tables = (
            "identity",
            "record",
            "job",
            "taken",
            "cancel",
            "known_stream",
            "setting",
            "release",
        )
        return [self.rows(f"SELECT * FROM {table} ORDER BY 1") for table in tables]

    def test_an_edited_record_is_found(self) -> None:
        self.taken()
        self.connection.execute("UPDATE record SET body = '{}' WHERE number = 2")
        self.assertEqual(
            verify_journal(self.connection), ["journal: record 2 is not what was written"]
        )

    def test_a_job_reads_back_whole(self) -> None:
        one = self.ended()
        found = self.do(self.journal.job(one.job))
        self.assertEqual(found.document, DOCUMENT)
        self.assertEqual(found.decision, decision(STREAM))
        self.assertEqual((found.state, found.decider, found.pages), ("ended", STREAM, 6))

    def test_a_release_is_answered_however_its_job_ends(self) -> None:
        """Canceled before it was decided: who asks again under that id hears so."""
        for number, (reason, answer) in enumerate((("", "unknown-job"), ("no-document",) * 2), 1):
            one = job(number)
            self.do(self.journal.received(one))
            self.do(self.journal.analysed(one.job, DOCUMENT))
            self.do(self.journal.held(one, "release"))
            release = f"00000000-0000-7000-8000-0000000000{number:02}"
            begun = self.do(self.journal.claim(release, one.job, 2)).job
            self.do(self.journal.asked(one.job, begun.phase, begun.step, grey=True))
            read = self.do(self.journal.job(one.job))
            self.assertEqual((read.grey, read.to_be_printed.groups[0].colour), (True, 0))
            self.assertEqual(read.document, DOCUMENT)
            self.do(self.journal.abandoned(begun, "canceled", reason))
            self.assertEqual(self.do(self.journal.claimed(release, one.job, 2)).answer, answer)

    def test_grey_no_more_when_it_is_held_again(self) -> None:
        one = job(1)
        self.do(self.journal.received(one))
        self.do(self.journal.analysed(one.job, DOCUMENT))
        self.do(self.journal.held(one, "release"))
        begun = self.do(self.journal.claim("00000000-0000-7000-8000-000000000001", one.job, 2)).job
        self.do(self.journal.asked(one.job, begun.phase, begun.step, grey=True))
        self.do(self.journal.held(begun, "release", "refused"))
        read = self.do(self.journal.job(one.job))
        self.assertEqual((read.grey, read.to_be_printed), (False, DOCUMENT))

    def test_chain_at(self) -> None:
        self.do(self.journal.received(job()))
        mark = read_identity(self.connection).mark
        self.assertEqual(mark.number, 1)
        self.assertEqual(self.do(self.journal.chain_at(1)), mark.chain)
        self.assertIsNone(self.do(self.journal.chain_at(2)))

    def test_new_journal_id_voids_nothing(self) -> None:
        self.taken()
        self.do(self.journal.take_new_journal(job_id(77)))
        identity = self.do(self.journal.identity())
        self.assertEqual((identity.journal, identity.replaces), (job_id(77), JOURNAL))
        self.assertEqual(self.do(self.journal.open_keys(STREAM)), [f"{job_id(1)}/submit-1"])


class OwedTests(JournalCase):
    def test_open_from_the_answer_to_the_acknowledgement(self) -> None:
        one = self.taken()
        self.assertEqual(self.do(self.journal.open_keys(STREAM)), [one.key])
        self.assertEqual(self.owed(STREAM), [])
        self.do(self.journal.ended(one, completion(one, one.decision), STREAM, "completed"))
        self.assertEqual(self.do(self.journal.open_keys(STREAM)), [one.key])
        (owed,) = self.do(self.journal.owed_to(STREAM, 10))
        self.do(self.journal.acknowledged(owed))
        self.assertEqual(self.do(self.journal.open_keys(STREAM)), [])
        self.assertEqual(self.owed(STREAM), [])

    def test_nobody_else_is_owed_it(self) -> None:
        self.ended(decider=STREAM)
        self.assertEqual(self.owed("application"), [])

    def test_cancels_are_owed_until_acknowledged(self) -> None:
        key = f"{job_id(1)}/submit-1"
        self.do(self.journal.cancel(key, "application", "superseded"))
        (owed,) = self.do(self.journal.owed_to("application", 10))
        self.assertEqual((owed.key, owed.reason), (key, "superseded"))
        self.do(self.journal.acknowledged(owed))
        self.assertEqual(self.owed("application"), [])

    def test_paper_is_owed_whatever_was_acknowledged_before(self) -> None:
        """Its server knew of a cancellation: a voided key's completion still posts."""
        one = self.taken()
        self.do(self.journal.cancel(one.key, STREAM, "superseded"))
        (owed,) = self.do(self.journal.owed_to(STREAM, 10))
        self.do(self.journal.acknowledged(owed))
        self.do(self.journal.ended(one, completion(one, one.decision), STREAM, "completed"))
        self.assertEqual(self.owed(STREAM), [one.key])

    def test_oldest_first(self) -> None:
        for number in (3, 1, 2):
            self.ended(number)
        keys = [f"{job_id(number)}/submit-1" for number in (3, 1, 2)]
        self.assertEqual(self.owed(STREAM), keys)

    def test_another_stream_turns_all_that_is_retained(self) -> None:
        """Acknowledged or not, the application server gets them, and posts those it lacks."""
        self.do(self.journal.saw_stream("north", STREAM))
        first, second = self.ended(1), self.ended(2)
        self.do(self.journal.acknowledged(self.do(self.journal.owed_to(STREAM, 1))[0]))
        self.assertEqual(self.do(self.journal.saw_stream("north", STREAM)), 0)
        self.assertEqual(self.do(self.journal.saw_stream("north", OTHER_STREAM)), 2)
        self.assertEqual(self.owed("application"), [first.key, second.key])
        self.assertEqual(self.owed(STREAM), [])

    def test_a_retired_stream_turns_them_too(self) -> None:
        one = self.ended()
        self.assertEqual(self.do(self.journal.retired([STREAM])), 1)
        self.assertEqual(self.owed("application"), [one.key])

    def test_turned_while_it_prints(self) -> None:
        self.do(self.journal.saw_stream("north", STREAM))
        one = self.taken()
        self.do(self.journal.saw_stream("north", OTHER_STREAM))
        self.do(self.journal.ended(one, completion(one, one.decision), STREAM, "completed"))
        self.assertEqual(self.owed("application"), [one.key])
        self.assertEqual(self.owed(STREAM), [])

    def test_a_late_answer_of_a_stream_that_is_gone_settles_nothing_else(self) -> None:
        """The one that was taken is another server's, and its paper is still to be charged."""
        self.do(self.journal.saw_stream("north", STREAM))
        self.do(self.journal.saw_stream("north", OTHER_STREAM))
        one = self.taken(decider="application")
        self.do(self.journal.cancel(one.key, STREAM, "superseded"))
        self.assertEqual(self.do(self.journal.open_keys("application")), [one.key])
        self.do(self.journal.ended(one, completion(one, one.decision), "application", "completed"))
        self.assertEqual(self.owed("application"), [one.key])

    def test_given_up_before_its_stream_went(self) -> None:
        """It was turned to the application server, and stood open there for ever."""
        self.do(self.journal.saw_stream("north", STREAM))
        first, second = self.taken(1), self.taken(2)
        self.do(self.journal.abandoned(first, "aborted"))
        (owed,) = self.do(self.journal.owed_to(STREAM, 1))
        self.do(self.journal.acknowledged(owed))
        self.do(self.journal.abandoned(second, "aborted"))
        self.assertEqual(self.do(self.journal.saw_stream("north", OTHER_STREAM)), 0)
        self.assertEqual(self.do(self.journal.open_keys("application")), [])
        self.assertEqual(self.rows("SELECT * FROM taken WHERE acked = 0"), [])
        self.assertEqual(self.rows("SELECT * FROM cancel WHERE acked = 0"), [])

    def test_given_up_after_its_stream_was_retired_and_is_shown_still(self) -> None:
        """It reserved, and nobody told it that nothing came of it."""
        self.do(self.journal.saw_stream("north", STREAM))
        first, second = self.taken(1), self.taken(2)
        self.do(self.journal.abandoned(first, "canceled"))
        self.do(self.journal.retired([STREAM]))
        self.assertEqual(self.do(self.journal.open_keys(STREAM)), [first.key, second.key])
        self.do(self.journal.abandoned(second, "canceled"))
        third = self.taken(3)
        self.do(self.journal.abandoned(third, "canceled"))
        self.assertEqual(self.owed(STREAM), [first.key, second.key, third.key])
        self.assertEqual(self.owed("application"), [second.key, third.key])
        for target in (STREAM, "application"):
            for owed in self.do(self.journal.owed_to(target, 10)):
                self.do(self.journal.acknowledged(owed))
        self.assertEqual(self.rows("SELECT * FROM taken WHERE acked = 0"), [])
        self.assertEqual(self.rows("SELECT * FROM cancel WHERE acked = 0"), [])

    def test_given_up_after_its_stream_came_back(self) -> None:
        """A copy of the site had shown another."""
        for stream in (STREAM, OTHER_STREAM, STREAM):
            self.do(self.journal.saw_stream("north", stream))
        one = self.taken()
        self.do(self.journal.cancel(job(2).key, STREAM, "superseded"))
        self.do(self.journal.cancel(job(2).key, OTHER_STREAM, "superseded"))
        self.assertEqual(self.do(self.journal.open_keys(STREAM)), [one.key])
        self.do(self.journal.abandoned(one, "aborted"))
        self.assertEqual(self.owed(STREAM), [job(2).key, one.key])
        self.assertEqual(self.owed("application"), [one.key])
        self.assertEqual(self.owed(OTHER_STREAM), [])

    def test_acknowledged_by_the_old_server_after_it_was_turned(self) -> None:
        self.do(self.journal.saw_stream("north", STREAM))
        one = self.ended()
        (owed,) = self.do(self.journal.owed_to(STREAM, 1))
        self.do(self.journal.saw_stream("north", OTHER_STREAM))
        self.do(self.journal.acknowledged(owed))
        self.assertEqual(self.owed("application"), [one.key])


class RetentionTests(JournalCase):
    def test_what_is_acknowledged_is_kept_35_days(self) -> None:
        self.ended()
        (owed,) = self.do(self.journal.owed_to(STREAM, 1))
        self.do(self.journal.acknowledged(owed))
        self.wall_s += RETENTION_S - 1
        self.assertEqual(self.do(self.journal.prune()), 0)
        self.wall_s += 2
        self.assertEqual(self.do(self.journal.prune()), 1)
        self.assertEqual(self.rows("SELECT * FROM job"), [])

    def acknowledged(self, number: int) -> None:
        self.ended(number)
        (owed,) = self.do(self.journal.owed_to(STREAM, 1))
        self.do(self.journal.acknowledged(owed))

    def test_a_clock_that_jumps_makes_nothing_old(self) -> None:
        """Written in 1970 by a machine that nobody had told the time yet."""
        wall_s, self.wall_s = self.wall_s + 57 * 365 * 86_400.0, 300.0
        self.do(self.journal.prune())
        self.acknowledged(1)
        self.wall_s = wall_s
        self.assertEqual(self.do(self.journal.prune(86_400.0)), 0)
        self.acknowledged(2)
        for _ in range(34):
            self.wall_s += 86_400.0
            self.assertEqual(self.do(self.journal.prune(86_400.0)), 0)
        self.wall_s += 86_400.0
        self.assertEqual(self.do(self.journal.prune(86_400.0)), 1)
        self.wall_s += 86_400.0
        self.assertEqual(self.do(self.journal.prune(86_400.0)), 1)

    def test_a_clock_that_was_wrong_for_a_while(self) -> None:
        """Between two looks: the records tell."""
        wall_s = self.wall_s + 57 * 365 * 86_400.0
        self.wall_s = wall_s
        self.do(self.journal.prune())
        self.acknowledged(1)
        self.wall_s = 300.0
        self.acknowledged(2)
        self.wall_s = wall_s + 86_400.0
        self.assertEqual(self.do(self.journal.prune(86_400.0)), 0)
        self.assertEqual(len(self.rows("SELECT job FROM job")), 2)

    def test_a_clock_that_was_ahead_is_forgotten_too(self) -> None:
        """In time: what was stamped in 2099 does not stay until then."""
        wall_s = self.wall_s
        self.do(self.journal.prune())
        self.wall_s = 4_102_358_400.0
        self.acknowledged(1)
        self.assertEqual(self.do(self.journal.prune(1.0)), 0)
        self.wall_s = wall_s
        for _ in range(35):
            self.assertEqual(self.do(self.journal.prune(86_400.0)), 0)
            self.wall_s += 86_400.0
        self.assertEqual(self.do(self.journal.prune(86_400.0)), 1)

    def test_a_cancel_for_a_stream_that_is_gone_is_forgotten_with_its_record(self) -> None:
        """Its site may have been removed while it showed it."""
        self.do(self.journal.saw_stream("north", STREAM))
        self.do(self.journal.cancel(job(1).key, STREAM, "superseded"))
        self.do(self.journal.cancel(job(1).key, "application", "superseded"))
        self.do(self.journal.retired([STREAM]))
        self.do(self.journal.prune())
        self.assertEqual(self.owed(STREAM), [job(1).key])
        self.wall_s += RETENTION_S + 1
        self.do(self.journal.prune(RETENTION_S + 1))
        self.assertEqual(self.owed(STREAM), [])
        self.assertEqual(self.owed("application"), [job(1).key])

    def test_what_is_owed_is_kept_without_limit(self) -> None:
        one = self.ended()
        self.wall_s += 10 * RETENTION_S
        self.do(self.journal.prune())
        self.assertEqual(self.owed(STREAM), [one.key])


class RowTests(JournalCase):
    def test_a_state_that_does_not_exist_is_refused(self) -> None:
        self.taken()
        self.assertRaises(
            sqlite3.IntegrityError, self.connection.execute, "UPDATE job SET state = 'lost'"
        )
