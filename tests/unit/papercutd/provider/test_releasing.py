"""Held jobs: announced, released once, deleted, expired; and what a crash leaves (design 4.7)."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from protocols.codes import Code
from protocols.provider import messages
from tests.unit.papercutd.provider.rig import Crash, FakeServer, Rig, config

SECURE = messages.PrinterSetting(1, "lp1", "fake://one", "print-and-log-later", "secure")
FIND_ME = messages.PrinterSetting(2, "find-me", "fake://none", release="find-me", group="g")
IN_GROUP = messages.PrinterSetting(3, "lp3", "fake://three", release="secure", group="g")
OUTSIDE = messages.PrinterSetting(4, "lp4", "fake://four")
PRINTERS = [SECURE, FIND_ME, IN_GROUP, OUTSIDE]


def release_id(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012x}"


class ReleaseCase(SynchronousTestCase):
    """Both servers hold at submission and allow at release."""

    def setUp(self) -> None:
        self.rig = Rig()
        self.application, self.site = self.rig.application, self.rig.site
        for server in (self.application, self.site):
            server.config = config(printers=PRINTERS)
            self.at_release(server, "allow")
        self.rig.start()

    def at_release(self, server: FakeServer, verdict: str, reason: str = "") -> None:
        def answer(message: messages.Authorize) -> Any:
            if message.step.startswith("submit"):
                return server.decision("hold", "release")
            return attrs.evolve(server.decision(verdict, reason), printer=message.printer)

        server.say[messages.Authorize] = answer

    def submit(self, printer: str = "lp1", **fields: Any) -> str:
        accepted = self.rig.submit(printer=printer, **fields)
        self.rig.run(1.0)
        self.assertEqual(self.rig.state(accepted[0])[0], "held")
        return accepted[0]

    def release(
        self,
        job: str,
        number: int = 1,
        printer: int = 1,
        server: FakeServer | None = None,
        **f: Any,
    ) -> None:
        message = messages.Release(release_id(number), job, printer, f.pop("user", "anna"), **f)
        (server or self.application).send(message)

    def answers(self, server: FakeServer | None = None) -> list[tuple[str, int]]:
        heard = (server or self.application).all(messages.Released)
        return [(message.answer, message.printer) for message in heard]


class HeldTests(ReleaseCase):
    def test_a_secure_queue_holds_and_says_so_to_both(self) -> None:
        job = self.submit(title="Minutes", copies=2)
        self.assertEqual(self.rig.paper.printed, [])
        self.assertEqual(self.rig.state(job), ("held", 1, "application", "release", ""))
        for server in (self.application, self.site):
            (change,) = server.all(messages.HeldChanged)
            (held,) = change.jobs
            self.assertEqual((held.job, held.title, held.reason), (job, "Minutes", "release"))
            self.assertEqual((held.printer, held.user_name, held.pages), (1, "anna", 4))
            self.assertEqual((held.user, held.amount_e4), (1, 1000))
            self.assertGreater(held.held_at, 0)

    def test_nobody_answering_it_is_held_all_the_same(self) -> None:
        self.application.unplug()
        self.site.unplug()
        self.rig.run(1.0)
        job = self.submit()
        self.assertEqual(self.rig.state(job)[3], "release")
        self.application.plug()
        self.site.plug()
        self.rig.run(10.0)
        self.assertEqual(self.rig.paper.printed, [])

    def test_announced_again_whole_on_every_connection(self) -> None:
        jobs = [self.submit() for _ in range(3)]
        self.application.heard.clear()
        self.application.unplug()
        self.application.plug()
        self.rig.run(3.0)
        (page,) = self.application.all(messages.Held)
        self.assertEqual((page.page, page.last), (0, True))
        self.assertEqual([held.job for held in page.jobs], jobs)

    def test_paged_by_a_hundred(self) -> None:
        for _ in range(101):
            self.rig.submit()
        self.rig.run(5.0)
        self.site.heard.clear()
        self.site.unplug()
        self.site.plug()
        self.rig.run(3.0)
        pages = self.site.all(messages.Held)
        self.assertEqual(
            [(p.page, p.last, len(p.jobs)) for p in pages], [(0, False, 100), (1, True, 1)]
        )

    def test_held_through_a_restart(self) -> None:
        job = self.submit()
        self.rig.kill()
        self.rig.start(3.0)
        self.assertEqual(self.rig.state(job)[0], "held")
        self.assertEqual([held.job for held in self.site.all(messages.Held)[-1].jobs], [job])


class ReleasedTests(ReleaseCase):
    def test_printed_where_the_person_stands(self) -> None:
        job = self.submit()
        self.release(job)
        self.rig.run(2.0)
        self.assertEqual(self.answers(), [("released", 1)])
        (answer,) = self.application.all(messages.Released)
        self.assertEqual(answer.decision.verdict, "allow")
        self.assertEqual(self.rig.paper.printed, ["spool/1"])
        self.assertEqual(self.rig.state(job), ("ended", 2, "application", "", "completed"))
        (complete,) = self.application.all(messages.Complete)
        self.assertEqual((complete.step, complete.printer), ("release-2", 1))
        self.assertIn(job, self.application.all(messages.HeldChanged)[-1].gone)

    def test_the_server_that_sent_it_is_asked_first(self) -> None:
        job = self.submit()
        self.release(job, server=self.site)
        self.rig.run(2.0)
        self.assertEqual(self.answers(self.site), [("released", 1)])
        self.assertEqual(self.site.keys(messages.Authorize), [f"{job}/release-2"])
        self.assertEqual(self.application.keys(messages.Authorize), [f"{job}/submit-1"])

    def test_the_same_id_gets_the_same_answer_and_another_the_printer(self) -> None:
        job = self.submit()
        for _ in range(3):
            self.release(job)
        self.release(job, 2)
        self.rig.run(2.0)
        self.release(job)
        self.release(job, 3, server=self.site)
        self.rig.run(1.0)
        self.assertEqual(sorted(self.answers()), [("already-released", 1), *[("released", 1)] * 4])
        self.assertEqual(self.answers(self.site), [("already-released", 1)])
        self.assertEqual(self.rig.paper.printed, ["spool/1"])

    def test_find_me_prints_at_any_printer_of_its_group(self) -> None:
        job = self.submit("find-me")
        for number, printer in enumerate((1, 2, 4, 99), 1):
            self.release(job, number, printer)
        self.rig.run(1.0)
        self.assertEqual({answer for answer, _ in self.answers()}, {"wrong-printer"})
        self.release(job, 9, 3)
        self.rig.run(2.0)
        self.assertEqual(self.answers()[-1], ("released", 3))
        (complete,) = self.application.all(messages.Complete)
        self.assertEqual(complete.printer, 3)

    def test_what_the_person_changed(self) -> None:
        job = self.submit(copies=5)
        self.release(job, copies=1, duplex=True, account=31)
        self.rig.run(2.0)
        message = self.application.all(messages.Authorize)[-1]
        asked = message.document
        self.assertEqual((asked.copies, asked.duplex, message.account), (1, True, 31))
        (complete,) = self.application.all(messages.Complete)
        self.assertEqual(complete.document.copies, 1)

    def test_not_anothers(self) -> None:
        job = self.submit()
        self.release(job, user="ben")
        self.rig.run(1.0)
        self.release(release_id(77), 2)
        self.rig.run(1.0)
        self.assertEqual(self.answers(), [("not-yours", 1), ("unknown-job", 1)])
        self.assertEqual(self.rig.state(job)[0], "held")
        self.release(job, 3, user="DOMAIN\\Anna")
        self.rig.run(2.0)
        self.assertEqual(self.answers()[-1], ("released", 1))


class RefusedTests(ReleaseCase):
    def test_refused_it_is_held_again_and_can_be_released_later(self) -> None:
        self.at_release(self.application, "deny", "funds")
        job = self.submit(copies=3)
        self.release(job, copies=1, account=31)
        self.rig.run(2.0)
        (answer,) = self.application.all(messages.Released)
        self.assertEqual((answer.answer, answer.decision.reason), ("refused", "funds"))
        self.assertEqual(self.rig.state(job)[0], "held")
        # The same id: the same answer, whatever the server would say now.
        self.at_release(self.application, "allow")
        self.release(job)
        self.rig.run(1.0)
        self.assertEqual(self.answers(), [("refused", 1)] * 2)
        self.release(job, 2)
        self.rig.run(2.0)
        self.assertEqual(self.answers()[-1], ("released", 1))
        # As submitted, not as the refused release had it.
        self.assertEqual(self.application.all(messages.Complete)[0].document.copies, 3)
        self.assertIsNone(self.application.all(messages.Authorize)[-1].account)

    def test_unanswered_it_is_held_again(self) -> None:
        job = self.submit()
        for server in (self.application, self.site):
            server.say[messages.Authorize] = None
        self.release(job)
        self.rig.run(3.0)
        self.assertEqual(self.answers(), [("unanswered", 1)])
        self.assertEqual(self.rig.state(job)[0], "held")
        self.assertEqual(self.rig.paper.printed, [])

    def test_nothing_is_released_by_itself(self) -> None:
        """A hold for funds at a site is asked again; what waits for its person stays."""
        self.at_release(self.site, "hold", "funds")
        self.application.unplug()
        self.rig.run(1.0)
        job = self.submit()
        self.release(job, server=self.site)
        self.rig.run(3.0)
        self.assertEqual(self.answers(self.site), [("refused", 1)])
        self.application.plug()
        self.rig.run(10.0)
        self.assertEqual(self.rig.paper.printed, [])
        self.assertEqual(self.rig.state(job)[0], "held")

    def test_settled_elsewhere_an_administrator_looks_first(self) -> None:
        job = self.submit()
        self.application.say[messages.Authorize] = Code.SETTLED
        self.release(job)
        self.rig.run(2.0)
        self.assertEqual(self.answers(), [("refused", 1)])
        self.assertEqual(self.rig.state(job)[3], "printed-before")
        self.at_release(self.application, "allow")
        self.release(job, 2)
        self.rig.run(2.0)
        self.assertEqual(self.answers()[-1], ("refused", 1))
        self.assertEqual(self.rig.paper.printed, [])


class EndTests(ReleaseCase):
    def discard(self, job: str, number: int = 1, user: str = "anna") -> None:
        self.application.send(messages.Discard(release_id(number), job, user))
        self.rig.run(0.5)

    def test_deleted(self) -> None:
        job = self.submit()
        self.discard(job, 1, "ben")
        self.discard(job, 2)
        self.discard(job, 2)
        self.discard(job, 3)
        self.assertEqual(
            [answer for answer, _ in self.answers()],
            ["not-yours", "discarded", "discarded", "unknown-job"],
        )
        self.assertEqual(self.rig.state(job)[4], "discarded")
        self.assertEqual(self.rig.removed, ["spool/1"])
        self.release(job, 4)
        self.rig.run(1.0)
        self.assertEqual(self.answers()[-1], ("unknown-job", 1))

    def test_deleted_when_it_is_too_old(self) -> None:
        young = attrs.evolve(SECURE, held_max_s=600)
        self.application.config = config(printers=[young])
        self.rig.kill()
        self.rig.start(3.0)
        job = self.submit()
        self.rig.run(500)
        self.assertEqual(self.rig.state(job)[0], "held")
        self.rig.run(200)
        self.assertEqual(self.rig.state(job)[4], "expired")
        self.assertEqual(self.rig.removed, ["spool/1"])
        self.assertIn(job, self.site.all(messages.HeldChanged)[-1].gone)

    def test_canceled_at_the_print_server(self) -> None:
        job = self.submit()
        self.assertTrue(self.rig.provider.cancel(job))
        self.release(job)
        self.rig.run(1.0)
        self.assertEqual(self.answers(), [("unknown-job", 1)])
        self.assertEqual(self.rig.state(job)[4], "canceled")

    def test_by_an_administrator_at_the_print_server(self) -> None:
        job = self.submit()
        answer: list[Any] = []
        Deferred.fromCoroutine(self.rig.provider.release(job, "lp1")).addCallback(answer.append)
        self.rig.run(2.0)
        self.assertEqual(answer[0].answer, "released")
        other = self.submit()
        Deferred.fromCoroutine(self.rig.provider.discard(other)).addCallback(answer.append)
        self.rig.run(1.0)
        self.assertEqual(answer[1].answer, "discarded")


class CrashTests(ReleaseCase):
    def test_at_every_commit_it_prints_once_or_is_held(self) -> None:
        """The person asks again with the same id, as a device does."""
        seen = set()
        for crash_at in range(1, 12):
            self.setUp()
            job = self.submit()
            commits = 0

            def crash() -> None:
                nonlocal commits
                commits += 1
                if commits == crash_at:  # noqa: B023
                    raise Crash

            self.rig.after_commit = crash
            self.release(job)
            try:
                self.rig.run(2.0)
            except Crash:
                pass
            self.rig.after_commit = None
            self.rig.kill()
            self.rig.start(5.0)
            state = self.rig.state(job)
            seen.add(state[0])
            if state[0] == "held":
                self.assertEqual(self.rig.paper.printed, [])
                self.release(job)
                self.rig.run(3.0)
                self.assertEqual(self.answers()[-1], ("unanswered", 1))
                self.release(job, 2)
                self.rig.run(3.0)
            self.rig.run(5.0)
            self.assertEqual(self.rig.state(job)[0], "ended")
            self.assertLessEqual(len(self.rig.paper.printed), 1)
            self.assertEqual(len({c.step for c in self.application.all(messages.Complete)}), 1)
        self.assertEqual(seen, {"held", "ended"})
