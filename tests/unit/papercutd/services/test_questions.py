"""What people are asked, from the index of held jobs; and what becomes of their answers."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.account_choice import Choice, Chosen, Question
from papercutd.domain.decision import Decision, Reason, Verdict
from papercutd.errors import Rejected
from papercutd.services.held_jobs import HeldJobs
from papercutd.services.questions import Questions
from papercutd.services.sessions import Sessions
from protocols.provider import messages
from tests.support.stores import WALL_S, Turner, job_id

ANNA, BEN = 7, 8


class FakeClients:
    def __init__(self) -> None:
        self.there: set[int] = set()
        self.asked: list[Question] = []
        self.withdrawn: list[tuple[int, str, str]] = []
        self.fails = False

    def in_reach(self, user: int) -> bool:
        return user in self.there

    def ask(self, question: Question) -> None:
        if self.fails:
            raise RuntimeError("a client went away")
        self.asked.append(question)

    def withdraw(self, user: int, job: str, reason: str) -> None:
        self.withdrawn.append((user, job, reason))


class FakeOwner:
    """A print provider's session."""

    is_open = True

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def notify(self, event: Any) -> None:
        self.heard.append(event)

    def end(self, *rest: object) -> None:
        self.is_open = False


def held(number: int = 1, **fields: Any) -> messages.HeldJob:
    job = messages.HeldJob(
        job=job_id(number),
        printer=4,
        user_name="anna",
        reason="account",
        user=ANNA,
        title="Minutes",
        pages=3,
        amount_e4=1_500,
        held_at=WALL_S + number,
        printer_name="lp1",
        choice_due_at=WALL_S + 300,
    )
    return attrs.evolve(job, **fields)


def choice(chosen: Chosen = Chosen.PERSONAL, shared: int | None = None, number: int = 99) -> Choice:
    return Choice(chosen, job_id(number), shared)


class QuestionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turner = Turner()
        env = self.turner.environment()
        sessions = Sessions(env)
        self.owner = FakeOwner()
        sessions.enter("provider:p1", self.owner)  # type: ignore[arg-type]
        self.held = HeldJobs(env, sessions)
        self.clients = FakeClients()
        self.questions = Questions(env, self.held, self.clients)

    def change(self, *jobs: messages.HeldJob, gone: tuple[str, ...] = ()) -> None:
        self.held.changed("p1", messages.HeldChanged(list(jobs), list(gone)))

    def of(self, user: int = ANNA) -> list[str]:
        found: list[Question] = self.turner.run(self.questions.questions_of(user))  # type: ignore[assignment]
        return [question.job for question in found]

    # Asking.

    def test_asked_when_the_owner_tells_of_it(self) -> None:
        self.clients.there.add(ANNA)
        self.change(held())
        (question,) = self.clients.asked
        self.assertEqual(
            question,
            Question(
                *(job_id(1), 4, "lp1", ANNA, "Minutes", 3, 1_500, "account", True),
                deadline_s=WALL_S + 300,
            ),
        )
        # Told again, as after a reconnection, it is the same question.
        self.held.page("p1", messages.Held(0, True, [held()]))
        self.change(held())
        self.assertEqual(len(self.clients.asked), 1)

    def test_only_whom_it_concerns(self) -> None:
        self.clients.there.add(BEN)
        self.change(held(), held(2, reason="funds", user=BEN), held(3, user=None))
        self.assertEqual((self.clients.asked, self.of(), self.of(BEN)), ([], [job_id(1)], []))

    def test_who_comes_later_is_asked_then_oldest_first(self) -> None:
        self.change(held(2), held(1), held(3, reason="confirm"))
        self.assertEqual(self.of(), [job_id(1), job_id(2), job_id(3)])

    def test_no_more_than_a_hundred(self) -> None:
        self.held.page("p1", messages.Held(0, False, [held(n) for n in range(1, 101)]))
        self.held.page("p1", messages.Held(1, True, [held(n) for n in range(101, 121)]))
        self.assertEqual(len(self.of()), 100)

    def test_withdrawn_when_it_is_over(self) -> None:
        self.clients.there.add(ANNA)
        self.change(held())
        self.change(gone=(job_id(1),))
        self.change(held(2))
        self.turner.clock.advance(301)
        self.change(held(2, reason="funds", choice_due_at=0.0))
        self.assertEqual(
            self.clients.withdrawn,
            [(ANNA, job_id(1), "ended"), (ANNA, job_id(2), "timed-out")],
        )

    def test_gone_with_its_owner(self) -> None:
        self.change(held(), held(2))
        self.assertEqual(self.of(), [job_id(1), job_id(2)])
        self.held.page("p1", messages.Held(0, True, [held(2)]))
        self.assertEqual(self.of(), [job_id(2)])
        self.held.forget("p1")
        self.assertEqual(self.of(), [])

    def test_a_client_that_fails_is_nothing_to_the_owner(self) -> None:
        self.clients.there.add(ANNA)
        self.clients.fails = True
        self.change(held())
        self.assertEqual(self.of(), [job_id(1)])
        self.flushLoggedErrors(RuntimeError)

    def test_what_an_answer_says_of_it(self) -> None:
        decision = Decision(Verdict.HOLD, Reason.ACCOUNT, "application", ANNA, 1, 4, 1, ())
        self.assertIsNone(self.questions.asking(decision))
        asked = attrs.evolve(decision, ask=False)
        self.assertIs(self.questions.asking(asked), False)
        self.clients.there.add(ANNA)
        self.assertIs(self.questions.asking(asked), True)
        self.clients.there.clear()
        # Another server has somebody in reach.
        self.assertIs(self.questions.asking(attrs.evolve(decision, ask=True)), True)

    # Answers.

    def answer(self, said: Choice, user: int = ANNA, answer: str = "released") -> str:
        done = Deferred.fromCoroutine(self.questions.answer_question(user, job_id(1), said))
        if self.owner.heard:
            event = self.owner.heard[-1]
            self.held.released(messages.Released(event.release, event.job, answer))
        return self.turner.result(done)

    def test_an_account_or_none(self) -> None:
        self.change(held())
        said = attrs.evolve(choice(Chosen.SHARED, 31), comment="for Eva")
        self.assertEqual(self.answer(said), "taken")
        self.assertEqual(
            self.owner.heard[-1],
            messages.Release(
                *(job_id(99), job_id(1), 4, "anna"), account=31, chosen=True, comment="for Eva"
            ),
        )
        self.change(gone=(job_id(1),))
        # The same answer again: the owner says the same.
        self.assertEqual(self.answer(choice(Chosen.SHARED, 31)), "taken")
        self.change(held())
        self.assertEqual(self.answer(choice(number=98)), "taken")
        self.assertEqual((self.owner.heard[-1].account, self.owner.heard[-1].chosen), (None, True))

    def test_not_to_be_printed(self) -> None:
        self.change(held())
        self.assertEqual(self.answer(choice(Chosen.CANCEL), answer="discarded"), "taken")
        self.assertEqual(self.owner.heard, [messages.Discard(job_id(99), job_id(1), "anna")])

    def test_too_late(self) -> None:
        self.assertEqual(self.answer(choice()), "ended")
        self.change(held())
        for said, state in (
            ("already-released", "already"),
            ("unknown-job", "ended"),
            ("no-document", "ended"),
            ("refused", "taken"),
        ):
            self.assertEqual(self.answer(choice(), answer=said), state)
        self.change(held(reason="funds"))
        self.assertEqual(self.answer(choice()), "already")

    def test_somebody_else_pays_after_all(self) -> None:
        """The account that was named has no money, or is closed: another, or nobody."""
        for reason in ("funds", "closed"):
            self.change(held(reason=reason, chosen=True))
            self.assertEqual(self.answer(choice(Chosen.SHARED, 31), answer="refused"), "taken")
            self.assertEqual(self.answer(choice(number=98)), "taken")
            self.assertTrue(self.owner.heard[-1].chosen)
            said = choice(Chosen.CANCEL, number=97)
            self.assertEqual(self.answer(said, answer="discarded"), "taken")
        for waits in (held(reason="release", chosen=True), held(reason="funds")):
            heard = len(self.owner.heard)
            self.change(waits)
            self.assertEqual(self.answer(choice(number=96)), "already")
            self.assertEqual(len(self.owner.heard), heard)

    def test_not_theirs_and_out_of_reach(self) -> None:
        self.change(held())
        for said, user, code in (
            (choice(), BEN, "not-yours"),
            (choice(Chosen.SHARED), ANNA, "bad-fields"),
            (choice(shared=31), ANNA, "bad-fields"),
        ):
            self.assertRejected(code, said, user)
        self.assertEqual(self.owner.heard, [])
        self.assertRejected("unavailable", choice(), ANNA, "unanswered")
        self.owner.is_open = False
        self.assertRejected("unreachable", choice(number=97), ANNA)

    def assertRejected(self, code: str, said: Choice, user: int, answer: str = "released") -> None:
        with self.assertRaises(Rejected) as caught:
            self.answer(said, user, answer)
        self.assertEqual(caught.exception.code, code)
