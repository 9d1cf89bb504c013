"""Jobs that wait for their person to say who pays: asked, answered, left alone, and restarts."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from protocols.provider import messages
from tests.unit.papercutd.provider.rig import STREAM, WALL_S, Crash, FakeServer, Rig, config

SHARED = 31
SECURE = messages.PrinterSetting(2, "lp2", "fake://two", release="secure")
PRINTERS = [messages.PrinterSetting(1, "lp1", "fake://one"), SECURE]


def release_id(number: int) -> str:
    return f"00000000-0000-7000-8000-{number:012x}"


class ChoiceCase(SynchronousTestCase):
    """Both servers have the person asked, and allow what was answered."""

    timeout_s = 12

    def setUp(self) -> None:
        self.rig = Rig()
        self.application, self.site = self.rig.application, self.rig.site
        #: What is decided for whom nobody asked, or who has not answered.
        self.policy = ("allow", "")
        self.reason = "account"
        for server, ask in ((self.application, True), (self.site, True)):
            fields = {"printers": PRINTERS, "account_choice_timeout_s": self.timeout_s}
            server.config = config(**fields)
            self.answers(server, ask)
        self.rig.start()

    def answers(self, server: FakeServer, ask: bool) -> None:
        def answer(message: messages.Authorize) -> Any:
            if message.chosen or message.step.startswith("release"):
                return server.decision("allow")
            if message.unanswered:
                return server.decision(*self.policy)
            return attrs.evolve(server.decision("hold", self.reason), ask=ask)

        server.say[messages.Authorize] = answer

    def submit(self, **fields: Any) -> str:
        (job,) = self.submitted(**fields)
        return job

    def submitted(self, **fields: Any) -> list[str]:
        accepted = self.rig.submit(**fields)
        self.rig.run(1.0)
        return accepted

    def choose(self, job: str, account: int | None = None, number: int = 1, **fields: Any) -> None:
        server = fields.pop("server", self.application)
        server.send(
            messages.Release(
                release_id(number), job, 1, "anna", account=account, chosen=True, **fields
            )
        )

    def asked(self, server: FakeServer | None = None) -> list[tuple[Any, ...]]:
        """(step, account, chosen, unanswered) of each question."""
        heard = (server or self.application).all(messages.Authorize)
        return [(m.step, m.account, m.chosen, m.unanswered) for m in heard]

    def told(self, server: FakeServer | None = None) -> list[str]:
        return [m.answer for m in (server or self.application).all(messages.Released)]


class AnsweredTests(ChoiceCase):
    def test_held_and_told_of(self) -> None:
        job = self.submit(title="Minutes")
        self.assertEqual(self.rig.state(job)[:4], ("held", 1, "application", "account"))
        for server in (self.application, self.site):
            (held,) = server.all(messages.HeldChanged)[-1].jobs
            self.assertEqual((held.job, held.reason, held.user), (job, "account", 1))
            self.assertEqual((held.printer_name, held.amount_e4), ("lp1", 1000))
            left_s = held.choice_due_at - WALL_S - self.rig.clock.seconds()
            self.assertTrue(self.timeout_s - 2 < left_s <= self.timeout_s)

    def test_what_was_chosen_pays(self) -> None:
        """An account, or none, which is an answer too."""
        for number, account in enumerate((SHARED, None), 1):
            job = self.submit()
            self.choose(job, account, number, comment=f"number {number}")
            self.rig.run(2.0)
            self.assertEqual(self.told()[-1], "released")
            self.assertEqual(
                self.application.all(messages.Complete)[-1].comment, f"number {number}"
            )
            self.assertEqual(self.asked()[-1], ("release-2", account, True, False))
            self.assertEqual(self.rig.state(job)[4], "completed")
        self.rig.run(self.timeout_s)
        self.assertEqual(len(self.asked()), 4)
        self.assertEqual(len(self.rig.paper.printed), 2)

    def test_the_same_answer_twice_and_another(self) -> None:
        job = self.submit()
        self.choose(job, SHARED)
        self.choose(job, SHARED)
        self.choose(job, None, 2)
        self.rig.run(2.0)
        self.assertEqual(sorted(self.told()), ["already-released", "released", "released"])
        self.assertEqual(len(self.rig.paper.printed), 1)
        (complete,) = self.application.all(messages.Complete)
        self.assertEqual(complete.step, "release-2")

    def test_answered_at_the_last_moment(self) -> None:
        """Whichever comes first, the job goes on once."""
        for number, early_s in enumerate((0.25, 0.0, -0.25), 1):
            job = self.submit()
            self.rig.run(self.timeout_s - 1.0 - early_s)
            self.choose(job, SHARED, number)
            self.rig.run(3.0)
            self.assertEqual(self.rig.state(job)[4], "completed")
            self.assertEqual(len(self.rig.paper.printed), number)

    def test_not_to_be_printed(self) -> None:
        job = self.submit()
        self.application.send(messages.Discard(release_id(1), job, "anna"))
        self.rig.run(1.0)
        self.assertEqual(self.rig.state(job)[4], "discarded")
        self.rig.run(self.timeout_s)
        self.assertEqual((self.rig.paper.printed, len(self.asked())), ([], 1))

    def test_a_release_at_a_printer_is_no_answer_that_stands(self) -> None:
        job = self.submit()
        usual = self.application.say[messages.Authorize]
        self.application.answer("hold", "funds")
        self.application.send(messages.Release(release_id(1), job, 1, "anna", account=SHARED))
        self.rig.run(1.0)
        self.application.say[messages.Authorize] = usual
        self.assertTrue(self.rig.provider.retry(job))
        self.rig.run(1.0)
        self.assertEqual(
            self.asked()[-2:],
            [
                ("release-2", SHARED, False, False),
                ("submit-3", None, False, False),
            ],
        )

    def test_held_for_funds_the_answer_stands(self) -> None:
        job = self.submit()
        usual = self.application.say[messages.Authorize]
        self.application.answer("hold", "funds")
        self.choose(job, SHARED)
        self.rig.run(1.0)
        self.assertEqual((self.told(), self.rig.state(job)[3]), (["refused"], "funds"))
        self.rig.kill()
        self.rig.start(3.0)
        self.application.say[messages.Authorize] = usual
        self.rig.provider.retry(job)
        self.rig.run(2.0)
        self.assertEqual(self.asked()[-1], ("submit-3", SHARED, True, False))
        self.assertEqual(self.rig.state(job)[4], "completed")


class UnansweredTests(ChoiceCase):
    def test_the_policy_decides(self) -> None:
        job = self.submit()
        self.rig.run(self.timeout_s - 2.0)
        self.assertEqual(self.rig.state(job)[0], "held")
        self.rig.run(4.0)
        self.assertEqual(self.asked()[1:], [("submit-2", None, False, True)])
        self.assertEqual(self.rig.state(job)[4], "completed")
        self.choose(job, SHARED)
        self.rig.run(1.0)
        self.assertEqual(self.told(), ["unknown-job"])

    def test_or_denies(self) -> None:
        self.policy = ("deny", "account")
        job = self.submit()
        self.rig.run(self.timeout_s + 1.0)
        self.assertEqual(self.rig.state(job)[4], "denied")

    def test_or_holds_until_somebody_comes(self) -> None:
        self.policy = ("hold", "account")
        job = self.submit()
        self.rig.run(self.timeout_s + 1.0)
        self.assertEqual(self.rig.state(job)[:4], ("held", 2, "application", "account"))
        (held,) = self.application.all(messages.HeldChanged)[-1].jobs
        self.assertEqual(held.choice_due_at, held.held_at + 86_400)
        self.rig.run(3 * self.timeout_s)
        self.assertEqual(len(self.asked()), 2)
        self.choose(job, SHARED)
        self.rig.run(2.0)
        self.assertEqual(self.asked()[-1], ("release-3", SHARED, True, False))
        self.assertEqual(self.rig.state(job)[4], "completed")

    def test_the_time_goes_on_through_a_restart(self) -> None:
        job = self.submit()
        self.rig.run(self.timeout_s / 2)
        self.rig.kill()
        self.rig.start(3.0)
        (held,) = self.application.all(messages.Held)[-1].jobs
        self.assertEqual(held.job, job)
        self.rig.run(self.timeout_s / 2 - 6.0)
        self.assertEqual(self.rig.state(job)[0], "held")
        self.rig.run(6.0)
        self.assertEqual(self.asked()[1:], [("submit-2", None, False, True)])

    def test_over_while_nobody_was_here(self) -> None:
        job = self.submit()
        self.rig.kill()
        self.rig.run(self.timeout_s)
        self.rig.start(5.0)
        self.assertEqual(self.rig.state(job)[4], "completed")

    def test_what_was_confirmed_or_not(self) -> None:
        self.reason = "confirm"
        first, second = self.submit(), self.submit()
        self.choose(first)
        self.rig.run(self.timeout_s + 1.0)
        self.assertEqual(
            self.asked()[2:],
            [("release-2", None, True, False), ("submit-2", None, False, True)],
        )
        for job in (first, second):
            self.assertEqual(self.rig.state(job)[4], "completed")

    def test_no_server_answers_it_is_asked_again(self) -> None:
        """Being alone frees nothing; whoever comes back is asked at once."""
        job = self.submit()
        for server in (self.application, self.site):
            server.unplug()
        self.rig.run(self.timeout_s + 1.0)
        self.assertEqual((self.rig.state(job)[0], self.rig.paper.printed), ("held", []))
        self.application.plug()
        self.rig.run(3.0)
        self.assertTrue(self.asked()[-1][3])
        self.assertEqual(self.rig.state(job)[4], "completed")

    def test_no_server_answers_though_it_is_there(self) -> None:
        job = self.submit()
        usual = self.application.say[messages.Authorize], self.site.say[messages.Authorize]
        for server in (self.application, self.site):
            server.say[messages.Authorize] = None
        self.choose(job, SHARED)
        self.rig.run(4.0)
        self.assertEqual(self.told(), ["unanswered"])
        for server, say in zip((self.application, self.site), usual, strict=True):
            server.say[messages.Authorize] = say
        self.rig.run(40.0)
        self.assertEqual(self.rig.state(job)[4], "completed")
        self.assertEqual(self.asked()[-1][1:], (SHARED, True, False))


class CutTests(ChoiceCase):
    def setUp(self) -> None:
        super().setUp()
        self.application.unplug()
        self.rig.run(3.0)

    def test_nobody_in_reach_of_a_cut_site_the_policy_decides_at_once(self) -> None:
        self.answers(self.site, ask=False)
        job = self.submit()
        self.rig.run(1.0)
        self.assertEqual(
            self.asked(self.site),
            [("submit-1", None, False, False), ("submit-2", None, False, True)],
        )
        self.assertEqual(self.rig.state(job)[1:], (2, STREAM, "", "completed"))

    def test_somebody_in_reach_is_waited_for(self) -> None:
        job = self.submit()
        self.rig.run(self.timeout_s / 2)
        self.assertEqual(self.rig.state(job)[0], "held")
        self.choose(job, SHARED, server=self.site)
        self.rig.run(2.0)
        self.assertEqual(self.rig.state(job)[4], "completed")

    def test_back_online_the_application_server_asks_for_what_is_left(self) -> None:
        job = self.submit()
        self.rig.run(self.timeout_s / 2)
        self.application.plug()
        self.rig.run(5.0)
        self.assertEqual(self.rig.state(job)[:4], ("held", 2, "application", "account"))
        self.rig.run(self.timeout_s / 2)
        self.assertEqual(self.asked()[-1], ("submit-3", None, False, True))
        self.assertEqual(self.rig.state(job)[4], "completed")

    def test_what_the_policy_held_is_asked_anew(self) -> None:
        self.answers(self.site, ask=False)
        self.policy = ("hold", "account")
        job = self.submit()
        self.rig.run(1.0)
        self.assertEqual(self.rig.state(job)[:2], ("held", 2))
        self.application.plug()
        self.rig.run(5.0)
        self.assertEqual(self.asked()[-1], ("submit-3", None, False, False))
        self.choose(job, SHARED)
        self.rig.run(2.0)
        self.assertEqual(self.rig.state(job)[4], "completed")


class SecureTests(ChoiceCase):
    def test_at_its_own_printer_whatever_that_holds(self) -> None:
        job = self.submit(printer="lp2")
        message = messages.Release(release_id(1), job, 2, "anna", account=SHARED, chosen=True)
        self.application.send(message)
        self.rig.run(2.0)
        self.assertEqual(self.told(), ["released"])


class CrashTests(ChoiceCase):
    """Killed at each commit of its life, the job goes on once: by the answer, or the policy."""

    def live(self, crash_at: int, hook: str, chooses: bool) -> None:
        self.setUp()
        job = self.submit() if chooses else ""
        commits = 0

        def crash() -> None:
            nonlocal commits
            commits += 1
            if commits == crash_at:
                raise Crash

        setattr(self.rig, hook, crash)
        if chooses:
            self.choose(job, SHARED)
        else:
            accepted = self.rig.submit()
        try:
            self.rig.run(self.timeout_s + 2.0)
        except Crash:
            pass
        setattr(self.rig, hook, None)
        self.rig.kill()
        self.rig.start(3.0)
        if chooses:
            self.choose(job, SHARED)
        self.rig.run(40.0)
        jobs = [row[0] for row in self.rig.rows("SELECT job FROM job")]
        if not jobs:
            # It died before the job was its own.
            self.assertEqual((crash_at, accepted), (1, []))
            return
        (job,) = jobs
        where = (crash_at, hook, chooses)
        self.assertEqual(self.rig.state(job)[4], "completed", where)
        self.assertLessEqual(len(self.rig.paper.printed), 1)
        (step,) = {c.step for c in self.application.all(messages.Complete)}
        (asked,) = [question for question in self.asked() if question[0] == step][-1:]
        self.assertEqual(asked[1:], (SHARED, True, False) if chooses else (None, False, True))

    def test_an_answer(self) -> None:
        for hook in ("before_commit", "after_commit"):
            for crash_at in range(1, 6):
                self.live(crash_at, hook, chooses=True)
        self.flushLoggedErrors()

    def test_no_answer(self) -> None:
        for hook in ("before_commit", "after_commit"):
            for crash_at in range(1, 9):
                self.live(crash_at, hook, chooses=False)
        self.flushLoggedErrors()
