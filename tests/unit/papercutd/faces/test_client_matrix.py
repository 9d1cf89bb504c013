"""Client by verb by object: what somebody logged in may do to whose objects, enumerated in full."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.decision import Decision, Reason, Verdict
from papercutd.domain.document import Document
from papercutd.domain.job import Request
from papercutd.faces.client import ClientFace
from papercutd.faces.links import LINKS, VERBS
from protocols.client import messages
from protocols.client.spec import CLIENT
from protocols.device.spec import DEVICE
from protocols.errors import Refusal
from protocols.provider.messages import Bye, Done, HeldChanged, HeldJob
from tests.unit.papercutd.client.people import Server, question

CLIENT_VERBS = {"LOGIN", "BALANCE", "ACCOUNTS", "JOBS", "ANSWER", "MESSAGES", "ACKNOWLEDGE", "PING"}
JOBS = {user: f"01960a2e-9900-7000-8000-0000000000d{user}" for user in (7, 8)}
ID = "01960a2e-9a00-7000-8000-0000000000e1"


class Line:
    """A session that is open and takes what it is told."""

    is_open, is_over, version, transport = True, False, 2, None

    def __init__(self) -> None:
        self.told: list[Any] = []

    def notify(self, event: Any) -> None:
        self.told.append(event)

    def end(self, code: Any) -> None:
        self.is_over = True


class VerbTests(SynchronousTestCase):
    def test_verbs(self) -> None:
        words = {cls.VERB for cls in CLIENT.client_requests}  # type: ignore[attr-defined]
        self.assertEqual(words, CLIENT_VERBS)
        self.assertEqual((CLIENT.server_requests, CLIENT.client_events), ((), (Bye,)))
        # Nor is it admitted at another port.
        self.assertNotIn("client", VERBS)
        others = set(LINKS.client_requests) | set(DEVICE.client_requests)
        shared = {cls.VERB for cls in others & set(CLIENT.client_requests)}  # type: ignore[attr-defined]
        self.assertEqual(shared, {"PING"})

    def test_the_page_has_each(self) -> None:
        """docs/security.md: what a client may do of its own person, and of another."""
        page = (Path(__file__).parents[4] / "docs" / "security.md").read_text()
        table = page.split("| a client may |", 1)[1].split("\n\n", 1)[0]
        found = {word for line in table.splitlines() for word in re.findall("`([A-Z]+)`", line)}
        self.assertEqual(found, CLIENT_VERBS - {"LOGIN", "PING"})

    def test_no_request_names_a_person(self) -> None:
        """Whose it is follows from the log-in alone."""
        fields = {
            attribute.name
            for cls in CLIENT.client_requests
            if cls is not messages.Login
            for attribute in attrs.fields(cls)
        }
        named = {"account", "after", "choice", "comment", "find", "id", "job", "message"}
        named |= {"invoice", "pin"}
        self.assertEqual(fields - {"clock", "position"}, named)


class ObjectTests(SynchronousTestCase):
    """Anna (7) and ben (8) have a held job, a question and a message each."""

    def setUp(self) -> None:
        self.server = Server(Clock())
        self.addCleanup(self.server.clients.stop)
        service: Any = self.server
        self.face = ClientFace(self.server.env, service, "application", lambda: b"")
        for user, job in JOBS.items():
            held = HeldJob(job, 4, "", "account", user, f"of {user}", 2)
            self.server.held.changed("p1", HeldChanged([held], []))
            self.server.questions.open.append(question(job, user))
            request = Request(job, "submit-1", "p1", 4, "", Document(()), title=f"of {user}")
            denied = Decision(
                *(Verdict.DENY, Reason.FUNDS, "application", user, user * 10, 4, 1, ())
            )
            self.server.clients.decided(request, denied)
        self.anna, self.ben = self.log_in("anna", "horse"), self.log_in("ben", "mule")

    def log_in(self, name: str, password: str) -> Line:
        line = Line()
        session: Any = line
        self.face.opened(session)
        self.ask(line, messages.Login(name, password))
        self.server.clock.advance(0)
        return line

    def ask(self, line: Any, message: Any) -> Any:
        async def asking() -> Any:
            return await self.face.request(line, message)

        return self.successResultOf(Deferred.fromCoroutine(asking()))

    def refused(self, line: Any, message: Any) -> str:
        async def asking() -> Any:
            return await self.face.request(line, message)

        failure = self.failureResultOf(Deferred.fromCoroutine(asking()), Refusal)
        return str(failure.value.code.value)

    def test_what_each_reads(self) -> None:
        for line, user, balance_e4 in ((self.anna, 7, 1_000), (self.ben, 8, 50)):
            self.assertEqual(self.ask(line, messages.Balance()).balance_e4, balance_e4)
            (job,) = self.ask(line, messages.Jobs()).jobs
            (message,) = self.ask(line, messages.Messages()).messages
            self.assertEqual({job.title, message.title}, {f"of {user}"})
            self.assertEqual({job.job, message.job}, {JOBS[user]})
            # A page of what is another's begins where one's own does.
            others = messages.Jobs(after=JOBS[15 - user])
            self.assertEqual([one.job for one in self.ask(line, others).jobs], [JOBS[user]])
            told = {type(one): one.job for one in line.told if hasattr(one, "job")}
            expected = {messages.Message: JOBS[user], messages.Question: JOBS[user]}
            self.assertEqual(told, expected)

    def test_what_each_answers(self) -> None:
        for choice in ("personal", "shared", "cancel"):
            account = 31 if choice == "shared" else None
            answer = messages.Answer(JOBS[7], choice, ID, account)
            self.assertEqual(self.refused(self.ben, answer), "not-yours")
        self.assertEqual(self.server.questions.answers, [])
        taken = self.ask(self.anna, messages.Answer(JOBS[7], "personal", ID))
        self.assertEqual(taken.state, "taken")
        # He does not even hear of it.
        self.assertFalse(any(isinstance(one, messages.Withdrawn) for one in self.ben.told))
        self.assertEqual([user for user, _, _ in self.server.questions.answers], [7])

    def test_what_each_acknowledges(self) -> None:
        (message,) = self.ask(self.anna, messages.Messages()).messages
        acknowledge = messages.Acknowledge(message.id)
        self.assertEqual(self.ask(self.ben, acknowledge), Done())
        self.assertEqual(len(self.ask(self.anna, messages.Messages()).messages), 1)
        self.ask(self.anna, acknowledge)
        self.assertEqual(self.ask(self.anna, messages.Messages()).messages, [])

    def test_nobody(self) -> None:
        """Whoever is not logged in has nothing."""
        line: Any = Line()
        self.face.opened(line)
        own = messages.Answer(JOBS[7], "cancel", ID)
        for message in (messages.Balance(), messages.Jobs(), messages.Messages(), own):
            self.assertEqual(self.refused(line, message), "no-login")

    def test_a_session_that_is_over(self) -> None:
        """Its person is not in reach by it any more."""
        session: Any = self.anna
        self.face.closed(session, "lost")
        self.face.closed(session, "lost")
        self.assertFalse(self.server.clients.in_reach(7))
        self.assertTrue(self.server.clients.in_reach(8))
