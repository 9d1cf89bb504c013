"""People at their clients: who they are, what they are asked and told; by simulated time."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.account_choice import Choice, Chosen
from papercutd.domain.decision import Decision, Reason, Verdict
from papercutd.domain.document import Document, PageGroup
from papercutd.domain.job import Completion, Receipt, Request
from papercutd.identity.client_tokens import TOKEN_LIFE_S, SignedTokens, mark_of
from papercutd.services.attempts import LockedOut
from papercutd.services.client_log_ins import ADDRESS_ATTEMPTS_MAX
from papercutd.services.clients import (
    BALANCE_S,
    BALANCES_S,
    PERSON_SESSIONS_MAX,
    QUESTIONS_MAX,
)
from papercutd.services.inboxes import KEPT_S, MESSAGES_MAX, PEOPLE_MAX
from papercutd.storage.values import Purse
from tests.unit.papercutd.client.people import (
    NOW_S,
    Screen,
    Server,
    code_of,
    login,
    member,
    question,
    result_of,
)


def request(number: int, user_name: str = "anna", step: str = "submit-1") -> Request:
    document = Document((PageGroup("A4", 2, 0),))
    return Request(f"job-{number}", step, "p1", 4, user_name, document, title=f"title {number}")


def decision(verdict: Verdict, reason: Reason, user: int = 7, **fields: Any) -> Decision:
    found = Decision(verdict, reason, "application", user, user * 10, 4, 1, ())
    return attrs.evolve(found, **fields)


class ClientCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.server = Server(self.clock)
        self.clients, self.store = self.server.clients, self.server.store
        self.addCleanup(self.clients.stop)

    def log_in(self, name: str = "anna", password: str = "horse", token: str = "") -> Any:
        """(session, screen)."""
        screen = Screen()
        work = self.clients.log_in(name, password, token, "10.0.0.1", screen)
        session, _ = result_of(self, work)
        return session, screen

    def code(self, name: str, password: str = "", token: str = "", address: str = "x") -> str:
        return code_of(self, self.clients.log_in(name, password, token, address, Screen()))


class LogInTests(ClientCase):
    def test_by_password_then_by_token(self) -> None:
        session, _ = self.log_in()
        proof = session.proof
        self.assertEqual(proof.token_ends_at, NOW_S + TOKEN_LIFE_S)
        again, _ = self.log_in(password="", token=proof.token)
        self.assertEqual((again.person.user, again.proof.token), (7, ""))
        self.assertEqual(self.clients.count, 2)
        self.assertTrue(self.clients.in_reach(7))
        self.assertFalse(self.clients.in_reach(8))
        for one in (session, again, again):
            self.clients.left(one)
        self.assertEqual((self.clients.count, self.clients.in_reach(7)), (0, False))

    def test_a_token_is_nobody_elses(self) -> None:
        token = self.log_in()[0].proof.token
        for name, shown in (("ben", token), ("nobody", token), ("anna", token[:-8] + "AAAAAAA=")):
            self.assertEqual(self.code(name, token=shown), "bad-credentials")
        body, _, signature = token.partition(".")
        for shown in (body, f"{body}.", f".{signature}", "x.y", "=", f"{body[4:]}.{signature}"):
            self.assertEqual(self.code("anna", token=shown), "bad-credentials")

    def test_a_token_ends(self) -> None:
        token = self.log_in()[0].proof.token
        self.clock.advance(TOKEN_LIFE_S - 1)
        self.log_in(token=token)
        self.clock.advance(1)
        self.assertEqual(self.code("anna", token=token), "bad-credentials")

    def test_with_the_password_and_when_logged_out(self) -> None:
        """Tokens end, and so do the sessions that live."""
        for end in (
            lambda: self.store.people.update(anna=login(7, "anna", "donkey")),
            lambda: self.store.log_out(7),
            lambda: self.store.people.update(anna=login(7, "anna", "")),
        ):
            session, screen = self.log_in(password=self.store.people["anna"].verifier)
            end()
            self.assertEqual(self.code("anna", token=session.proof.token), "bad-credentials")
            self.clients.changed([("user", 7, {})])
            self.assertEqual(screen.seen, [("end", "no-login")])
            self.clients.left(session)

    def test_who_is_disabled(self) -> None:
        session, screen = self.log_in()
        _, others = self.log_in("ben", "mule")
        anna = attrs.evolve(self.store.people["anna"], disabled=True)
        self.store.people["anna"] = anna
        self.assertEqual(self.code("anna", "horse"), "closed")
        self.assertEqual(self.code("anna", token=session.proof.token), "closed")
        # Somebody else's row says nothing; a new replica is told as a printer.
        self.clients.changed([("user", 9, {}), ("printer", 1, {})])
        self.assertEqual((screen.seen, others.seen), ([("end", "no-login")], []))

    def test_at_a_site_that_takes_no_passwords(self) -> None:
        session, _ = self.log_in()
        self.server.takes = False
        self.assertEqual(self.code("anna", "horse"), "not-allowed")
        self.assertEqual(self.code("anna", token=session.proof.token), "not-allowed")
        self.assertEqual(self.code("anna", "wrong"), "bad-credentials")

    def test_guesses_count_with_those_at_devices(self) -> None:
        for _ in range(4):
            self.assertEqual(self.code("anna", "wrong"), "bad-credentials")
        token = self.log_in("ben", "mule")[0].proof.token
        # The fifth, at whatever place.
        self.assertEqual(self.code("anna", "wrong", address="y"), "bad-credentials")
        self.assertEqual(self.store.locked, [7])
        locked = Deferred.fromCoroutine(self.clients.log_in("anna", "horse", "", "z", Screen()))
        self.failureResultOf(locked, LockedOut)
        self.log_in("ben", "", token)

    def test_guesses_from_one_address(self) -> None:
        """Of tokens too, and of names that nobody has."""
        for number in range(ADDRESS_ATTEMPTS_MAX):
            token = "x.y" if number % 2 else ""
            self.assertEqual(self.code(f"nobody{number}", "x", token), "bad-credentials")
        for token in ("", "x.y"):
            guess = self.clients.log_in("anna", "horse", token, "x", Screen())
            self.failureResultOf(Deferred.fromCoroutine(guess), LockedOut)
        self.log_in()

    def test_so_many_clients(self) -> None:
        for _ in range(PERSON_SESSIONS_MAX):
            session, _ = self.log_in()
        self.assertEqual(self.code("anna", "horse"), "busy")
        self.log_in("ben", "mule")
        self.clients.left(session)
        self.log_in()
        self.patch(self.clients, "_count", 10_000)
        self.assertEqual(self.code("ben", "mule"), "busy")


class SignerTests(ClientCase):
    """Whose tokens count where."""

    def tokens(self, role: str, name: str = "application", **options: Any) -> SignedTokens:
        credentials = member(role, name)
        return SignedTokens(lambda: credentials, lambda: NOW_S, **options)

    def counts(self, text: str, at: SignedTokens) -> bool:
        try:
            return at.read(text).user == 7
        except Exception as error:
            self.assertEqual(str(error), "bad-credentials")
            return False

    def test_by_who_gave_it_and_where(self) -> None:
        places = {
            "application": self.tokens("application"),
            "north": self.tokens("site", "north"),
            "south": self.tokens("site", "south"),
            "provider": self.tokens("provider", "north"),
            "device": self.tokens("device", "north"),
        }
        expected = {("application", where) for where in places} | {
            ("north", "north"),
            ("south", "south"),
            ("provider", "provider"),
            ("device", "device"),
        }
        found = {
            (giver, where)
            for giver, tokens in places.items()
            for where, at in places.items()
            if self.counts(tokens.give(7, "mark")[0], at)
        }
        self.assertEqual(found, expected)

    def test_of_another_installation(self) -> None:
        other = member("application", another=self.authority_of_another())
        tokens = SignedTokens(lambda: other, lambda: NOW_S)
        self.assertFalse(self.counts(tokens.give(7, "m")[0], self.tokens("application")))

    def authority_of_another(self) -> Any:
        from pathlib import Path

        return Path(self.mktemp())

    def test_of_a_revoked_certificate(self) -> None:
        text, _ = self.tokens("application").give(7, "mark")
        at = self.tokens("site", "north", is_revoked=lambda serial: True)
        self.assertFalse(self.counts(text, at))

    def test_the_mark_tells_nothing_of_the_verifier(self) -> None:
        self.assertEqual(mark_of("", "x"), "")
        self.assertEqual(len({mark_of("a", ""), mark_of("a", "1"), mark_of("b", "")}), 3)


class QuestionTests(ClientCase):
    def test_asked_and_answered(self) -> None:
        first, at_first = self.log_in()
        _, at_second = self.log_in()
        _, at_ben = self.log_in("ben", "mule")
        asked = question("job-1")
        self.server.questions.open.append(asked)
        self.assertTrue(self.clients.ask(asked))
        # Asked twice it is shown once.
        self.clients.ask(asked)
        choice = Choice(Chosen.SHARED, "id", shared=31)
        self.assertEqual(result_of(self, self.clients.answer(first, "job-1", choice)), "taken")
        self.assertEqual(self.server.questions.answers, [(7, "job-1", choice)])
        seen = [("question", "job-1", 300.0), ("withdrawn", "job-1", "answered")]
        self.assertEqual((at_first.seen, at_second.seen, at_ben.seen), (seen, seen, []))
        self.assertEqual(result_of(self, self.clients.answer(first, "job-1", choice)), "ended")

    def test_nobody_is_there(self) -> None:
        self.assertFalse(self.clients.ask(question("job-1")))
        self.clients.withdraw(7, "job-1", "ended")

    def test_anothers_job(self) -> None:
        session, _ = self.log_in("ben", "mule")
        self.server.questions.open.append(question("job-1"))
        work = self.clients.answer(session, "job-1", Choice(Chosen.CANCEL, "id"))
        self.assertEqual(code_of(self, work), "not-yours")
        self.assertEqual(len(self.server.questions.open), 1)

    def test_of_somebody_merged_into_them(self) -> None:
        self.store.people["anna"] = login(7, "anna", "horse", users=frozenset({7, 3}))
        session, screen = self.log_in()
        asked = question("job-1", user=3)
        self.assertTrue(self.clients.in_reach(3))
        self.server.questions.open.append(asked)
        result_of(self, self.clients.begin(session))
        self.assertEqual(screen.seen, [("question", "job-1", 300.0)])
        choice = Choice(Chosen.PERSONAL, "id")
        self.assertEqual(result_of(self, self.clients.answer(session, "job-1", choice)), "taken")
        self.clients.left(session)
        self.assertFalse(self.clients.in_reach(3))

    def test_asked_again_at_the_log_in(self) -> None:
        self.server.questions.open.append(question("job-1", deadline_s=NOW_S - 5))
        session, screen = self.log_in()
        result_of(self, self.clients.begin(session))
        self.assertEqual(screen.seen, [("question", "job-1", 0.0)])
        self.clients.withdraw(7, "job-1", "timed-out")
        self.assertEqual(screen.seen[-1], ("withdrawn", "job-1", "timed-out"))

    def test_so_many_at_once(self) -> None:
        session, screen = self.log_in()
        self.server.questions.open += [question(f"job-{n}") for n in range(QUESTIONS_MAX + 2)]
        result_of(self, self.clients.begin(session))
        self.assertEqual(len(screen.seen), QUESTIONS_MAX)
        choice = Choice(Chosen.PERSONAL, "id")
        result_of(self, self.clients.answer(session, "job-0", choice))
        last = f"job-{QUESTIONS_MAX}"
        self.assertEqual(
            screen.seen[-2:], [("withdrawn", "job-0", "answered"), ("question", last, 300.0)]
        )


class MessageTests(ClientCase):
    def test_what_people_hear(self) -> None:
        _, screen = self.log_in()
        hold, deny = Verdict.HOLD, Verdict.DENY
        for number, (verdict, reason, ask, step, expected) in enumerate(
            (
                (deny, Reason.FUNDS, None, "submit-1", "denied"),
                (deny, Reason.CLOSED, None, "release-1", "denied"),
                (hold, Reason.FUNDS, None, "submit-1", "held"),
                (hold, Reason.RELEASE, None, "submit-1", None),
                (hold, Reason.ACCOUNT, True, "submit-1", None),
                (hold, Reason.ACCOUNT, None, "submit-1", "held"),
                (Verdict.ALLOW, Reason.NONE, None, "submit-1", None),
                # At a device they read it there.
                (deny, Reason.FUNDS, None, "run-1", None),
            )
        ):
            screen.seen.clear()
            answer = decision(verdict, reason, ask=ask)
            for _ in range(2):
                # Asked again it is told once.
                self.clients.decided(request(number, step=step), answer)
            told = [("message", expected, reason.value, f"title {number}")] if expected else []
            self.assertEqual(screen.seen, told, (verdict, reason, ask, step))
        self.clients.decided(request(9), decision(deny, Reason.FUNDS, user=8))
        unknown = attrs.evolve(decision(deny, Reason.UNKNOWN_USER), user=None)
        self.clients.decided(request(10), unknown)

    def completion(self, number: int, user: int = 7) -> Completion:
        asked = request(number)
        answer = decision(Verdict.ALLOW, Reason.NONE, user)
        return Completion(
            *(asked.job, asked.step, "p1", 4, "anna", asked.document, answer, 2),
            title=asked.title,
        )

    def test_charged(self) -> None:
        self.clients.completed(self.completion(1), Receipt("posted", 1_000, 2))
        session, screen = self.log_in()
        self.assertEqual(self.clients.messages(session), [])
        self.clients.completed(self.completion(2), Receipt("posted", 1_000, 2))
        self.clients.completed(self.completion(2), Receipt("already", 1_000, 2))
        self.clients.completed(self.completion(3), Receipt("posted", 0, 0))
        self.assertEqual(screen.seen, [("message", "charged", "", "title 2")])
        (kept,) = self.clients.messages(session)
        self.assertEqual((kept.amount_e4, kept.text), (1_000, "Your job was charged."))

    def test_kept_until_acknowledged(self) -> None:
        for number in range(MESSAGES_MAX + 5):
            self.clients.decided(request(number), decision(Verdict.DENY, Reason.FUNDS))
        session, screen = self.log_in()
        result_of(self, self.clients.begin(session))
        self.assertEqual(len(screen.seen), MESSAGES_MAX)
        first, *_, last = self.clients.messages(session)
        other, _ = self.log_in("ben", "mule")
        self.clients.acknowledge(other, first.id)
        self.assertEqual(len(self.clients.messages(session)), MESSAGES_MAX)
        self.clients.acknowledge(session, first.id)
        self.clients.acknowledge(session, first.id)
        self.assertEqual(len(self.clients.messages(session)), MESSAGES_MAX - 1)
        self.assertEqual(last.title, f"title {MESSAGES_MAX + 4}")
        self.clock.advance(KEPT_S + 1)
        self.assertEqual(self.clients.messages(session), [])

    def test_so_many_people(self) -> None:
        for user in range(100, 101 + PEOPLE_MAX):
            answer = decision(Verdict.DENY, Reason.FUNDS, user)
            self.clients.decided(request(user), answer)
        self.assertEqual(len(self.clients._inboxes._of), PEOPLE_MAX)
        self.assertNotIn(100, self.clients._inboxes._of)


class ChangeTests(ClientCase):
    def test_balances(self) -> None:
        _, screen = self.log_in()
        _, others = self.log_in("ben", "mule")
        self.store.purses[70] = Purse(800, 700)
        for _ in range(3):
            self.clients.changed([("account", 70, {"user": 7})])
        self.clients.decided(request(1), decision(Verdict.ALLOW, Reason.NONE))
        self.clients.changed([("account", 71, None), ("account", 90, {"user": None})])
        self.clock.advance(BALANCE_S)
        self.assertEqual((screen.seen, others.seen), ([("balance", 800)], []))

    def test_what_others_charged(self) -> None:
        """Charges name nobody: everybody's balance is looked at within a minute."""
        _, screen = self.log_in()
        self.clients.changed([("charge", "job/step", {})])
        self.clock.pump([1.0] * int(BALANCES_S - 1))
        self.assertEqual(screen.seen, [])
        self.clock.advance(1.0)
        self.assertEqual(screen.seen, [("balance", 1_000)])
        self.clock.pump([1.0] * int(2 * BALANCES_S))
        self.assertEqual(len(screen.seen), 1)

    def test_how_the_server_stands(self) -> None:
        _, screen = self.log_in()
        for state in ("cut", "cut", "cut-and-stale", "online"):
            self.server.state = state
            self.clock.advance(1.0)
        states = [("state", state) for state in ("cut", "cut-and-stale", "online")]
        self.assertEqual(screen.seen, states)
        self.clients.stop()
        self.assertEqual(screen.seen[-1], ("end", "unavailable"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
