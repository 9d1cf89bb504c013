"""Whose answer is taken, and when the other server is asked: design 4.1 and 4.5."""

from __future__ import annotations

import random
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.decision import Decision, Reason, Verdict
from papercutd.environment import Environment
from papercutd.provider.asking import Answer, Asking, Outcome, Server
from papercutd.services import wire
from protocols.codes import Code
from protocols.errors import Refusal, SessionLost
from tests.support.stores import request


def decision(verdict: Verdict, reason: Reason = Reason.NONE, decider: str = "a") -> Decision:
    return Decision(verdict, reason, decider, 1, 4, 1, 1, ())


ALLOW = decision(Verdict.ALLOW)
FUNDS = decision(Verdict.DENY, Reason.FUNDS)
HARD = decision(Verdict.DENY, Reason.REFUSED)


@attrs.define(eq=False)
class FakeLink:
    """A link whose answers a test gives by hand."""

    session: Any = "open"
    suspect: bool = False
    sent: list[Any] = attrs.field(factory=list)
    waiting: list[Deferred[Any]] = attrs.field(factory=list)

    def request(self, message: Any) -> Deferred[Any]:
        if self.session is None:
            return fail(SessionLost("none"))
        self.sent.append(message)
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def answer(self, given: Decision) -> None:
        self.waiting.pop(0).callback(wire.decision_out(given))

    def refuse(self, code: Code) -> None:
        self.waiting.pop(0).errback(Failure(Refusal(code)))

    def lose(self) -> None:
        self.session = None
        for waiting in self.waiting:
            waiting.errback(Failure(SessionLost("cut")))
        self.waiting.clear()


class AskingCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.first, self.second = FakeLink(), FakeLink()
        self.others: list[tuple[str, Decision]] = []
        self.answers: list[Answer] = []

    def ask(self) -> None:
        env = Environment(self.clock, lambda: 0.0, random.Random(1))
        asking = Asking(
            env,
            Server(self.first, lambda: "application"),
            Server(self.second, lambda: "stream"),
            request(1),
            lambda giver, given: self.others.append((giver, given)),
        )
        asking.run().addCallback(self.answers.append)

    def taken(self) -> tuple[Outcome, str]:
        self.assertEqual(len(self.answers), 1)
        return self.answers[0].outcome, self.answers[0].giver


class AskingTests(AskingCase):
    def test_preferred_answers(self) -> None:
        self.ask()
        self.first.answer(ALLOW)
        self.assertEqual(self.taken(), (Outcome.DECIDED, "application"))
        self.clock.advance(5)
        self.assertEqual(self.second.sent, [])

    def test_suspect_is_asked_second(self) -> None:
        self.first.suspect = True
        self.ask()
        self.assertEqual((len(self.first.sent), len(self.second.sent)), (0, 1))
        self.assertFalse(self.second.sent[0].hedged)

    def test_other_is_asked_after_a_second(self) -> None:
        self.ask()
        self.clock.advance(0.99)
        self.assertEqual(self.second.sent, [])
        self.clock.advance(0.01)
        self.assertTrue(self.second.sent[0].hedged)
        self.second.answer(ALLOW)
        self.assertEqual(self.taken(), (Outcome.DECIDED, "stream"))

    def test_late_answer_is_handed_back(self) -> None:
        self.ask()
        self.clock.advance(1)
        self.second.answer(ALLOW)
        self.first.answer(ALLOW)
        self.assertEqual(self.taken(), (Outcome.DECIDED, "stream"))
        self.assertEqual(self.others, [("application", ALLOW)])

    def test_lost_session_asks_the_other_at_once(self) -> None:
        self.ask()
        self.first.lose()
        self.assertEqual(len(self.second.sent), 1)

    def test_busy_asks_the_other_at_once(self) -> None:
        for code in (Code.BUSY, Code.NOT_WRITER, Code.UNAVAILABLE, Code.STORAGE_FULL):
            self.setUp()
            self.ask()
            self.first.refuse(code)
            self.second.answer(ALLOW)
            self.assertEqual(self.taken(), (Outcome.DECIDED, "stream"))

    def test_soft_refusal_of_the_second_waits_for_the_first(self) -> None:
        self.ask()
        self.clock.advance(1)
        self.second.answer(FUNDS)
        self.clock.advance(0.5)
        self.assertEqual(self.answers, [])
        self.first.answer(ALLOW)
        self.assertEqual(self.taken(), (Outcome.DECIDED, "application"))
        self.assertEqual(self.others, [("stream", FUNDS)])

    def test_who_cannot_evaluate_a_rule_waits_for_who_can(self) -> None:
        """A second server of the release before holds; the first, of this one, is slow."""
        older = attrs.evolve(FUNDS, verdict=Verdict.HOLD, reason=Reason.CAPABILITY)
        self.ask()
        self.clock.advance(1)
        self.second.answer(older)
        self.assertEqual(self.answers, [])
        self.first.answer(ALLOW)
        self.assertEqual(self.taken(), (Outcome.DECIDED, "application"))
        self.assertEqual(self.others, [("stream", older)])

    def test_soft_refusal_is_final_at_1_6_s(self) -> None:
        self.ask()
        self.clock.advance(1)
        self.second.answer(FUNDS)
        self.clock.advance(0.6)
        self.assertEqual(self.taken(), (Outcome.DECIDED, "stream"))
        self.first.answer(ALLOW)
        self.assertEqual(self.others, [("application", ALLOW)])

    def test_soft_refusal_is_final_when_the_first_is_gone(self) -> None:
        self.ask()
        self.clock.advance(1)
        self.second.answer(FUNDS)
        self.first.lose()
        self.assertEqual(self.taken(), (Outcome.DECIDED, "stream"))

    def test_soft_refusal_of_the_first_is_taken(self) -> None:
        self.ask()
        self.first.answer(FUNDS)
        self.assertEqual(self.taken(), (Outcome.DECIDED, "application"))

    def test_hard_refusal_of_the_second_is_taken(self) -> None:
        self.ask()
        self.clock.advance(1)
        self.second.answer(HARD)
        self.assertEqual(self.taken(), (Outcome.DECIDED, "stream"))

    def test_nobody_answers(self) -> None:
        self.ask()
        self.clock.advance(1)
        self.clock.advance(0.99)
        self.assertEqual(self.answers, [])
        self.clock.advance(0.01)
        self.assertEqual(self.taken(), (Outcome.ALONE, ""))

    def test_nobody_is_there(self) -> None:
        self.first.session = self.second.session = None
        self.ask()
        self.assertEqual(self.taken(), (Outcome.ALONE, ""))

    def test_both_go(self) -> None:
        self.ask()
        self.first.lose()
        self.second.lose()
        self.assertEqual(self.taken(), (Outcome.ALONE, ""))

    def test_voided_and_settled(self) -> None:
        for code, outcome in ((Code.VOIDED, Outcome.VOIDED), (Code.SETTLED, Outcome.SETTLED)):
            self.setUp()
            self.ask()
            self.first.refuse(code)
            self.assertEqual(self.taken()[0], outcome)

    def test_refused_by_both(self) -> None:
        self.ask()
        self.first.refuse(Code.UNKNOWN_PRINTER)
        self.second.refuse(Code.UNKNOWN_PRINTER)
        self.assertEqual(self.answers[0], Answer(Outcome.REFUSED, code="unknown-printer"))


class AskingProperty(AskingCase):
    events = st.lists(
        st.tuples(
            st.sampled_from(("allow", "soft", "hard", "busy", "lose", "wait")),
            st.integers(0, 1),
            st.floats(0, 0.7),
        ),
        max_size=12,
    )

    @settings(max_examples=300, deadline=None)
    @given(events)
    def test_one_answer_is_taken_and_every_other_handed_back(self, events: Any) -> None:
        self.setUp()
        self.ask()
        given: list[tuple[str, Decision]] = []
        for what, which, wait_s in events:
            link = (self.first, self.second)[which]
            name = ("application", "stream")[which]
            if what == "wait":
                self.clock.advance(wait_s)
            elif what == "lose":
                link.lose()
            elif link.waiting and what == "busy":
                link.refuse(Code.BUSY)
            elif link.waiting:
                answer = {"allow": ALLOW, "soft": FUNDS, "hard": HARD}[what]
                link.answer(answer)
                given.append((name, answer))
        for _ in range(5):
            self.clock.advance(0.5)
        self.assertEqual(len(self.answers), 1)
        answer = self.answers[0]
        taken = [] if answer.decision is None else [(answer.giver, answer.decision)]
        self.assertEqual(sorted(map(str, taken + self.others)), sorted(map(str, given)))
