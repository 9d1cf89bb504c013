"""The life of a job, and what a crash at any point leaves of it (design 4.1, 4.6)."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from papercutd.errors import InvalidValue, NotFound, Starting
from papercutd.provider.provider import PrintProvider, Submission
from protocols.codes import Code
from protocols.errors import LocalProtocolError
from protocols.provider import messages
from tests.unit.papercutd.provider.rig import PRINTER, STREAM, Crash, Rig, config


class LifeCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.rig = Rig()
        self.application, self.site = self.rig.application, self.rig.site

    def submit(self, seconds: float = 2.0, **fields: Any) -> str:
        accepted = self.rig.submit(**fields)
        self.rig.run(seconds)
        self.assertEqual(len(accepted), 1)
        return accepted[0]

    def alone(self, when_alone: str) -> None:
        """A provider that knows its printer and reaches nobody."""
        printer = attrs.evolve(PRINTER, when_alone=when_alone)
        self.application.config = config(printers=[printer])
        self.site.config = None
        self.rig.start()
        self.application.unplug()
        self.site.unplug()
        self.rig.run(1.0)

    def told(self) -> list[messages.Complete]:
        """Every COMPLETE that either server has heard, also by way of the site."""
        heard = [*self.application.all(messages.Complete), *self.site.all(messages.Complete)]
        return heard + [relay.complete for relay in self.site.all(messages.Relay)]


class StartTests(LifeCase):
    def test_nothing_is_taken_before_the_journal_was_read(self) -> None:
        """Else the job is taken up twice: by its submission and from the journal."""
        document = Submission("lp1", "anna", "spool/1", "00", 10, "application/pdf")
        early = self.rig.make().submit(document)
        self.failureResultOf(Deferred.fromCoroutine(early), Starting)


class AllowedTests(LifeCase):
    def test_asked_printed_and_told(self) -> None:
        self.rig.start()
        job = self.submit()
        self.assertEqual(self.rig.state(job), ("ended", 1, "application", "", "completed"))
        self.assertEqual(self.rig.paper.printed, ["spool/1"])
        self.assertEqual(self.rig.removed, ["spool/1"])
        (complete,) = self.application.all(messages.Complete)
        self.assertEqual((complete.pages, complete.outcome), (None, "completed"))
        self.assertEqual(complete.decision, self.application.decision("allow"))

    def test_the_printers_count_is_told(self) -> None:
        self.rig.paper.pages = 1
        self.rig.start()
        self.submit()
        self.assertEqual(self.application.all(messages.Complete)[0].pages, 1)

    def test_printing_is_on_the_disk_before_paper_comes(self) -> None:
        self.rig.start()
        seen: list[tuple[str, int]] = []
        self.rig.after_commit = lambda: seen.append(
            (
                self.rig.rows("SELECT COALESCE(MAX(state), '') FROM job")[0][0],
                len(self.rig.paper.printed),
            )
        )
        self.submit()
        self.assertIn(("printing", 0), seen)
        self.assertNotIn(("decided", 1), seen)

    def test_the_wait_is_measured_to_the_fsync(self) -> None:
        waiting: Deferred[Any] = Deferred()
        self.application.say[messages.Authorize] = lambda message: waiting
        self.rig.start()
        accepted = self.rig.submit()
        self.rig.run(0.5)
        waiting.callback(self.application.decision("allow"))
        self.rig.run(1.5)
        (waited_ms,) = self.rig.rows("SELECT waited_ms FROM job WHERE job = ?", accepted[0])[0]
        self.assertGreater(waited_ms, 400)
        self.assertLess(waited_ms, 700)

    def test_one_at_a_time_in_order(self) -> None:
        self.rig.paper.print_s = 0.2
        self.rig.start()
        for _ in range(4):
            self.rig.submit()
        self.rig.run(4.0)
        self.assertEqual(self.rig.paper.printed, [f"spool/{n}" for n in range(1, 5)])

    def test_a_printer_that_is_off_is_waited_for(self) -> None:
        self.rig.paper.is_reachable = False
        self.rig.start()
        job = self.submit(20.0)
        self.assertEqual(self.rig.state(job)[0], "decided")
        self.rig.paper.is_reachable = True
        self.rig.run(60.0)
        self.assertEqual(self.rig.state(job)[0], "ended")
        self.assertEqual(self.rig.paper.printed, ["spool/1"])


class SubmissionTests(LifeCase):
    def refusal(self, **fields: Any) -> Exception:
        failed: list[Any] = []
        submission = self.rig.provider.submit(self.submission(**fields))
        Deferred.fromCoroutine(submission).addErrback(failed.append)
        self.rig.run(0.1)
        return failed[0].value  # type: ignore[no-any-return]

    def submission(self, **fields: Any) -> Any:
        from papercutd.provider.provider import Submission

        usual = {"printer": "lp1", "user_name": "anna", "path": "x", "digest": "00"}
        return Submission(**{**usual, "size": 1, "format": "application/pdf", **fields})

    def test_refused(self) -> None:
        self.rig.start()
        self.assertIsInstance(self.refusal(printer="nowhere"), NotFound)
        self.assertIsInstance(self.refusal(size=0), InvalidValue)
        self.assertIsInstance(self.refusal(copies=0), InvalidValue)
        self.assertEqual(self.rig.rows("SELECT * FROM job"), [])

    def test_the_id_is_answered_when_the_job_is_on_the_disk(self) -> None:
        self.rig.start()
        accepted = self.rig.submit()
        self.assertEqual(accepted, [])
        self.rig.run(0.05)
        self.assertEqual(self.rig.rows("SELECT job FROM job"), [(accepted[0],)])


class NotAllowedTests(LifeCase):
    def test_denied_it_ends_without_paper(self) -> None:
        self.application.answer("deny", "funds")
        self.rig.start()
        job = self.submit()
        self.assertEqual(self.rig.state(job), ("ended", 1, "application", "funds", "denied"))
        self.assertEqual(self.rig.removed, ["spool/1"])
        self.assertEqual(self.told(), [])

    def test_held_by_the_site_is_asked_again_at_the_application_server(self) -> None:
        for reason in ("funds", "closed", "unknown-user"):
            self.setUp()
            self.site.answer("hold", reason)
            self.rig.start()
            self.application.unplug()
            self.rig.run(1.0)
            job = self.submit()
            self.assertEqual(self.rig.state(job)[:4], ("held", 1, STREAM, reason))
            self.rig.run(30.0)
            self.assertEqual(self.rig.state(job)[0], "held")
            self.application.plug()
            self.rig.run(5.0)
            self.assertEqual(self.rig.state(job)[:3], ("ended", 2, "application"))
            self.assertEqual(self.application.keys(messages.Authorize), [f"{job}/submit-2"])

    def test_held_by_the_application_server_waits_for_a_person(self) -> None:
        self.application.answer("hold", "funds")
        self.rig.start()
        job = self.submit()
        self.application.unplug()
        self.rig.run(1.0)
        self.application.plug()
        self.rig.run(10.0)
        self.assertEqual(self.rig.state(job)[:2], ("held", 1))
        self.application.answer("allow")
        self.assertTrue(self.rig.provider.retry(job))
        self.assertFalse(self.rig.provider.retry(job))
        self.rig.run(2.0)
        self.assertEqual(self.rig.state(job)[:2], ("ended", 2))

    def test_settled_elsewhere_is_held_as_printed_before(self) -> None:
        self.application.say[messages.Authorize] = Code.SETTLED
        self.rig.start()
        job = self.submit()
        self.assertEqual(self.rig.state(job)[0], "held")
        self.assertEqual(self.rig.state(job)[3], "printed-before")

    def test_voided_opens_the_next_step(self) -> None:
        def voided(message: messages.Authorize) -> Any:
            self.application.say.clear()
            from protocols.errors import Refusal

            raise Refusal(Code.VOIDED)

        self.application.say[messages.Authorize] = voided
        self.rig.start()
        job = self.submit()
        self.assertEqual(self.rig.state(job)[:2], ("ended", 2))
        self.assertEqual(
            self.application.keys(messages.Authorize), [f"{job}/submit-1", f"{job}/submit-2"]
        )

    def test_nobody_can_decide(self) -> None:
        self.application.say[messages.Authorize] = Code.UNKNOWN_PRINTER
        self.site.say[messages.Authorize] = Code.UNKNOWN_PRINTER
        self.rig.start()
        job = self.submit()
        self.assertEqual(self.rig.state(job)[0], "held")
        self.assertEqual(self.rig.state(job)[3], "refused")


class AloneTests(LifeCase):
    def test_print_and_log_later(self) -> None:
        self.alone("print-and-log-later")
        job = self.submit()
        self.assertEqual(self.rig.state(job)[:3], ("ended", 1, "tracker"))
        self.application.plug()
        self.rig.run(3.0)
        (told,) = self.told()
        self.assertIsNone(told.decision)
        self.assertEqual((told.price_version, told.position), (3, "1.10"))

    def test_hold(self) -> None:
        self.alone("hold")
        job = self.submit()
        self.assertEqual(self.rig.state(job)[3], "unreachable")
        self.site.plug()
        self.rig.run(3.0)
        self.assertEqual(self.rig.state(job)[:3], ("ended", 2, STREAM))

    def test_print_unlogged(self) -> None:
        self.alone("print-unlogged")
        job = self.submit()
        self.assertEqual(self.rig.state(job)[0], "ended")
        self.application.plug()
        self.rig.run(3.0)
        self.assertEqual(self.told(), [])
        self.assertEqual(self.rig.paper.printed, ["spool/1"])

    def test_print_unlogged_is_warned_of(self) -> None:
        """When the setting comes, and at every start from the settings kept."""
        with capturedLogs() as logs:
            self.alone("print-unlogged")
            self.rig.kill()
            self.rig.start()
        said = [event for event in logs if "without any record" in event.get("log_format", "")]
        self.assertEqual(len(said), 2)

    def test_both_silent_costs_two_seconds(self) -> None:
        self.application.say[messages.Authorize] = self.site.say[messages.Authorize] = None
        self.rig.start()
        job = self.submit(4.0)
        self.assertEqual(self.rig.state(job)[:3], ("ended", 1, "tracker"))
        (waited_ms,) = self.rig.rows("SELECT waited_ms FROM job")[0]
        self.assertLess(waited_ms, 2_100)

    def test_held_by_somebody_is_not_freed_by_being_alone(self) -> None:
        self.site.answer("hold", "funds")
        self.rig.start()
        self.application.unplug()
        self.rig.run(1.0)
        job = self.submit()
        self.site.unplug()
        self.rig.run(1.0)
        self.rig.provider.retry(job)
        self.rig.run(3.0)
        self.assertEqual(self.rig.state(job)[0], "held")
        self.assertEqual(self.rig.paper.printed, [])


class RestartTests(LifeCase):
    """A process dies before and after each of its commits; the next one takes over."""

    def crash_at(self, number: int, when: str) -> bool:
        """Run one job with a crash at commit ``number`` after its submission; was there one?"""
        self.setUp()
        rig = self.rig
        rig.paper.print_s = 0.1
        rig.start()
        count = 0

        def commit() -> None:
            nonlocal count
            count += 1
            if count == number:
                raise Crash

        if when == "before":
            rig.before_commit = commit
        else:
            rig.after_commit = commit
        accepted = rig.submit()
        crashed = False
        try:
            rig.run(3.0)
        except Crash:
            crashed = True
        rig.before_commit = rig.after_commit = None
        if crashed:
            rig.kill()
            rig.start()
            rig.run(8.0)
        self.check(accepted, f"{when} commit {number}")
        return crashed

    def check(self, accepted: list[str], where: str) -> None:
        rig = self.rig
        jobs = rig.rows("SELECT job, state, step, assumed, outcome FROM job")
        if accepted:
            self.assertEqual([job[0] for job in jobs], accepted, where)
        told = {f"{one.job}/{one.step}" for one in self.told()}
        if not jobs:
            self.assertEqual((rig.paper.printed, told), ([], set()), where)
            return
        ((job, state, step, assumed, outcome),) = jobs
        self.assertEqual((state, outcome), ("ended", "completed"), where)
        self.assertEqual(told, {f"{job}/submit-{step}"}, where)
        self.assertLessEqual(len(rig.paper.printed), 1, where)
        if not assumed:
            self.assertEqual(rig.paper.printed, ["spool/1"], where)
        self.assertEqual(rig.rows("SELECT * FROM taken WHERE acked = 0"), [], where)
        for one in self.told():
            self.assertEqual(one.assumed, bool(assumed), where)

    def test_before_every_commit(self) -> None:
        number = 1
        while self.crash_at(number, "before"):
            number += 1
        self.assertGreater(number, 6)

    def test_after_every_commit(self) -> None:
        number = 1
        while self.crash_at(number, "after"):
            number += 1
        self.assertGreater(number, 6)

    def test_died_while_printing_is_assumed(self) -> None:
        self.rig.paper.print_s = 5.0
        self.rig.start()
        job = self.submit(1.0)
        self.assertEqual(self.rig.state(job)[0], "printing")
        self.rig.kill()
        self.rig.start()
        self.rig.run(3.0)
        (told,) = self.application.all(messages.Complete)
        self.assertEqual((told.assumed, told.pages, told.outcome), (True, None, "completed"))
        self.assertEqual(self.rig.paper.printed, [])

    def test_asked_again_with_the_same_key(self) -> None:
        self.application.say[messages.Authorize] = None
        self.rig.start()
        accepted = self.rig.submit()
        self.rig.run(0.5)
        self.rig.kill()
        del self.application.say[messages.Authorize]
        self.rig.start()
        self.rig.run(3.0)
        asked = self.application.keys(messages.Authorize)
        self.assertEqual(asked, [f"{accepted[0]}/submit-1"] * 2)
        self.assertEqual(self.rig.state(accepted[0])[:3], ("ended", 1, "application"))

    def test_decided_is_not_asked_again(self) -> None:
        self.rig.paper.is_reachable = False
        self.rig.start()
        job = self.submit(1.0)
        self.rig.kill()
        self.rig.paper.is_reachable = True
        self.rig.start()
        self.rig.run(10.0)
        self.assertEqual(self.application.keys(messages.Authorize), [f"{job}/submit-1"])
        self.assertEqual(self.rig.paper.printed, ["spool/1"])

    def test_held_stays_held(self) -> None:
        self.application.answer("hold", "funds")
        self.rig.start()
        job = self.submit()
        self.rig.kill()
        self.rig.start()
        self.rig.run(5.0)
        self.assertEqual(self.rig.state(job)[:4], ("held", 1, "application", "funds"))
        self.application.answer("allow")
        self.assertTrue(self.rig.provider.retry(job))
        self.rig.run(2.0)
        self.assertEqual(self.rig.state(job)[0], "ended")

    def test_denied_is_denied_wherever_it_dies(self) -> None:
        for number in range(1, 8):
            self.setUp()
            self.application.answer("deny", "funds")
            rig = self.rig
            rig.start()
            left = number

            def commit() -> None:
                nonlocal left
                left -= 1
                if left == 0:
                    raise Crash

            rig.after_commit = commit
            rig.submit()
            try:
                rig.run(3.0)
            except Crash:
                rig.after_commit = None
                rig.kill()
                rig.start()
                rig.run(5.0)
            states = rig.rows("SELECT state, outcome FROM job")
            self.assertEqual(states, [("ended", "denied")], f"after commit {number}")
            self.assertEqual(rig.paper.printed, [])

    def test_at_a_restart_the_servers_are_waited_for(self) -> None:
        """What is under way is not printed alone because no session is open yet."""
        self.application.say[messages.Authorize] = None
        self.rig.start()
        accepted = self.rig.submit()
        self.rig.run(0.1)
        self.rig.kill()
        del self.application.say[messages.Authorize]
        self.rig.start()
        self.rig.run(3.0)
        self.assertEqual(self.rig.state(accepted[0])[2], "application")


def cancel(provider: PrintProvider, job: str) -> bool:
    return provider.cancel(job)


class CancelTests(LifeCase):
    def test_allowed_and_waiting_for_its_printer(self) -> None:
        self.rig.paper.is_reachable = False
        self.rig.start()
        job = self.submit(1.0)
        self.assertTrue(cancel(self.rig.provider, job))
        self.rig.run(8.0)
        self.assertEqual(self.rig.state(job)[0], "ended")
        self.assertEqual(self.rig.state(job)[4], "canceled")
        (told,) = self.application.all(messages.Cancel)
        self.assertEqual((told.job, told.reason), (job, "canceled"))
        self.assertEqual(self.rig.rows("SELECT * FROM taken WHERE acked = 0"), [])
        self.assertEqual(self.rig.removed, ["spool/1"])
        self.assertEqual(self.told(), [])

    def test_behind_another_in_the_queue(self) -> None:
        self.rig.paper.print_s = 2.0
        self.rig.start()
        first = self.submit(0.1)
        second = self.submit(0.5)
        self.assertTrue(cancel(self.rig.provider, second))
        self.rig.run(8.0)
        self.assertEqual(self.rig.paper.printed, ["spool/1"])
        self.assertEqual(self.rig.state(first)[4], "completed")
        self.assertEqual(self.rig.state(second)[4], "canceled")

    def test_held(self) -> None:
        self.application.answer("hold", "funds")
        self.rig.start()
        job = self.submit()
        self.assertTrue(cancel(self.rig.provider, job))
        self.rig.run(1.0)
        self.assertEqual(self.rig.state(job)[0], "ended")
        self.assertEqual(self.application.all(messages.Cancel), [])

    def test_while_it_is_asked(self) -> None:
        waiting: Deferred[Any] = Deferred()
        self.application.say[messages.Authorize] = lambda message: waiting
        self.rig.start()
        job = self.submit(0.2)
        self.assertTrue(cancel(self.rig.provider, job))
        waiting.callback(self.application.decision("allow"))
        self.rig.run(3.0)
        self.assertEqual(self.rig.state(job)[4], "canceled")
        self.assertEqual(self.application.keys(messages.Cancel), [f"{job}/submit-1"])
        self.assertEqual(self.rig.paper.printed, [])

    def test_printing_or_over_is_too_late(self) -> None:
        self.rig.paper.print_s = 3.0
        self.rig.start()
        job = self.submit(1.0)
        self.assertFalse(cancel(self.rig.provider, job))
        self.rig.run(5.0)
        self.assertFalse(cancel(self.rig.provider, job))
        self.assertEqual(self.rig.state(job)[4], "completed")


class DefectTests(LifeCase):
    def test_a_title_no_server_would_read_is_made_one(self) -> None:
        self.rig.start()
        job = self.submit(title="\udcffa\nb" * 2000, user_name="an\x00na", host="h" * 300)
        self.assertEqual(self.rig.state(job)[0], "ended")
        (asked,) = self.application.all(messages.Authorize)
        self.assertEqual(asked.title, ("?a?b" * 2000)[:1024])
        self.assertEqual((asked.user_name, asked.host), ("an?na", "h" * 255))

    def test_a_question_that_cannot_be_put_is_held(self) -> None:
        self.rig.start()
        self.application.say[messages.Authorize] = self.site.say[messages.Authorize] = None
        job = self.submit(0.5, job_uuid="u" * 100)
        self.assertEqual((self.rig.state(job)[0], self.rig.state(job)[3]), ("held", "refused"))
        self.assertEqual(len(self.flushLoggedErrors(LocalProtocolError)), 1)

    def test_more_jobs_at_once_than_a_session_carries_requests(self) -> None:
        """None of them is printed alone for want of a tag."""
        self.application.say[messages.Authorize] = lambda message: deferLater(
            self.rig.clock, 0.3, self.application.decision, "allow"
        )
        self.rig.paper.print_s = 0.0
        self.rig.start()
        jobs = [self.rig.submit() for _ in range(80)]
        self.rig.run(15.0)
        deciders = {self.rig.state(accepted[0])[2] for accepted in jobs}
        self.assertEqual(deciders, {"application"})

    def test_a_document_that_is_gone_ends_its_job(self) -> None:
        async def gone(*arguments: Any) -> Any:
            raise FileNotFoundError("spool/1")

        self.rig.start()
        self.rig.adapter.print_document = gone  # type: ignore[method-assign]
        job = self.submit()
        self.assertEqual(self.rig.state(job)[0], "ended")
        self.assertEqual(self.rig.state(job)[4], "aborted")
        self.assertEqual(self.told(), [])
        self.assertEqual([one.reason for one in self.application.all(messages.Cancel)], ["aborted"])

    def test_a_defect_after_the_first_byte_is_assumed(self) -> None:
        async def broken(path: str, uri: str, started: Any, *options: Any) -> Any:
            await started()
            raise RuntimeError("a defect")

        self.rig.start()
        self.rig.adapter.print_document = broken  # type: ignore[method-assign]
        self.submit()
        (told,) = self.application.all(messages.Complete)
        self.assertTrue(told.assumed)
        self.flushLoggedErrors(RuntimeError)

    def test_a_defect_before_it_is_tried_again(self) -> None:
        right = type(self.rig.paper)

        async def broken(*arguments: Any) -> Any:
            raise RuntimeError("a defect")

        self.rig.start()
        adapter = self.rig.adapter
        adapter.print_document = broken  # type: ignore[method-assign]
        job = self.submit()
        self.assertEqual(self.rig.state(job)[0], "decided")
        del adapter.print_document
        self.rig.run(60.0)
        self.assertEqual(self.rig.state(job)[0], "ended")
        self.assertIsInstance(self.rig.paper, right)
        self.flushLoggedErrors(RuntimeError)
