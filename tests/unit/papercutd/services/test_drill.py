"""A site rehearses that its link is cut: it decides by itself, and refuses nobody for that."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed

from papercutd.domain.decision import Decision, Verdict
from papercutd.domain.job import SessionRef
from papercutd.domain.policy import Rule
from papercutd.errors import InvalidValue, Rejected, StorageFull
from papercutd.services import wire
from papercutd.services.administration import SiteOperations
from papercutd.services.drill import MAX_MINUTES
from protocols.errors import Refusal, SessionLost
from tests.support.stores import completion, request
from tests.unit.papercutd.services.test_runs import RunCase


@attrs.define
class CentreLink:
    """A link whose other end is the application server's store."""

    case: DrillTests
    suspect: bool = False
    session: Any = "open"
    asked: list[Any] = attrs.field(factory=list)
    is_lost: bool = False

    def request(self, message: Any) -> Deferred[Any]:
        self.asked.append(message)
        if self.is_lost:
            return fail(SessionLost("lost"))
        asked = wire.request_in(message, message.provider)
        answer = self.case.turner.result(self.case.centre.store.authorize(self.case.asker, asked))
        return succeed(wire.decision_out(answer))


class DrillTests(RunCase):
    def setUp(self) -> None:
        super().setUp()
        # 0.07 for each person: one grey page, not two.
        rules = [Rule("cap", "e4:700")]
        self.turner.result(self.centre.store.rules.change_rules(set=rules))
        self.branch.follow(self.centre)
        self.link = self.site.link = CentreLink(self)  # type: ignore[assignment]
        self.asker = self.session
        self.provider = self.branch.provider()
        self.operations = SiteOperations(self.site).all()
        self.jobs = 0

    def call(self, name: str, **arguments: Any) -> Any:
        running = Deferred.fromCoroutine(self.operations[name](arguments, lambda figures: None))
        results: list[Any] = []
        running.addCallback(results.append)
        for _ in range(100):
            self.turner.settle()
            if results or running.called:
                break
            # What waits for the application server to hear of the journal.
            self.turner.clock.advance(0.05)
        if not results:
            return self.turner.result(running)
        return results[0]

    def ask(self, pages: int = 1) -> Decision:
        self.jobs += 1
        asked = request(500 + self.jobs, pages)
        running = Deferred.fromCoroutine(self.site.authorize(self.provider, asked))
        for _ in range(40):
            self.turner.settle()
            if running.called:
                break
            self.turner.clock.advance(0.05)
        decision = self.turner.result(running)
        if decision.allowed:
            done = self.site.complete(self.provider, completion(asked, decision))
            self.turner.run(done)
        return decision

    def forward(self) -> None:
        mark = self.branch.forward(self.centre, self.session)
        self.assertIsNotNone(mark)

    def kinds(self) -> list[str]:
        return [
            row[0]
            for row in self.branch.query(
                "SELECT json_extract(body, '$.kind') FROM journal ORDER BY number"
            )
        ]

    def test_it_decides_itself(self) -> None:
        self.call("drill.start", minutes=5)
        self.assertEqual(self.ask().decider, self.branch.stream)
        self.assertEqual(self.link.asked, [])
        self.assertEqual(self.kinds(), ["drill-begun", "completed"])
        self.assertEqual(self.site.state, "cut")

    def test_what_policy_would_refuse_is_asked(self) -> None:
        self.call("drill.start", minutes=5)
        self.ask()
        decision = self.ask()
        self.assertEqual((decision.verdict, decision.decider), (Verdict.ALLOW, "application"))
        self.assertEqual(len(self.link.asked), 1)
        self.assertEqual(self.call("drill.status")["asked_after_all"], 1)
        self.assertIn("drill-asked", self.kinds())

    def test_it_is_refused_by_whom_it_would_be(self) -> None:
        """The application server refuses too: that is no rehearsal."""
        self.call("drill.start", minutes=5)
        decision = self.ask(100)
        self.assertEqual((decision.verdict, decision.decider), (Verdict.DENY, "application"))

    def test_the_link_is_really_cut(self) -> None:
        self.call("drill.start", minutes=5)
        self.link.is_lost = True
        decision = self.ask(2)
        self.assertEqual((decision.verdict, decision.decider), (Verdict.HOLD, self.branch.stream))
        self.assertEqual(self.call("drill.status")["asked_after_all"], 0)

    def test_its_end(self) -> None:
        for reason, end in (
            ("time", lambda: self.turner.clock.advance(300)),
            ("stopped", lambda: self.call("drill.stop")),
            ("restart", lambda: self.turner.run(self.site.drill.recover())),
        ):
            self.call("drill.start", minutes=5)
            self.assertTrue(self.call("drill.status")["drill"])
            if reason == "restart":
                self.turner.run(self.site.drill.stop())
            end()
            self.turner.settle()
            found = self.call("drill.status")
            self.assertEqual((found["drill"], found["ended"]), (False, reason))
        self.assertEqual(self.kinds(), ["drill-begun", "drill-ended"] * 3)
        self.assertEqual(self.call("drill.stop"), {"was_on": False})
        self.assertEqual(self.ask().decider, "application")

    def test_a_full_disk_ends_it(self) -> None:
        self.call("drill.start", minutes=5)
        decide = self.branch.store.decide
        self.branch.store.decide = lambda *a, **k: fail(StorageFull("full"))
        with self.assertRaises(StorageFull):
            self.ask()
        self.branch.store.decide = decide
        self.turner.settle()
        self.assertEqual(self.call("drill.status")["ended"], "full-disk")

    def test_bad_input(self) -> None:
        for minutes in (0, -1, MAX_MINUTES + 1):
            with self.assertRaises(InvalidValue):
                self.call("drill.start", minutes=minutes)
        self.assertEqual(self.kinds(), [])
        self.call("drill.start")
        with self.assertRaises(Rejected):
            self.call("drill.start")

    def test_its_statement(self) -> None:
        """An outage marked drill, closed when all of it has come in."""
        self.call("drill.start", minutes=5)
        self.branch.forward(self.centre, self.session, 1)
        (found,) = self.turner.run(self.centre.store.outages(9))
        self.assertEqual((found["kind"], found["state"]), ("drill", "open"))
        (north, _) = self.turner.result(self.centre.store.site_states())
        self.assertEqual(north["drill"], 1)
        self.ask()
        self.ask()
        self.branch.forward(self.centre, self.session)
        self.assertEqual(self.turner.run(self.centre.store.outages(9))[0]["state"], "open")
        self.call("drill.stop")
        self.branch.forward(self.centre, self.session)
        stated = self.turner.run(self.centre.store.statement(None, None))
        self.assertEqual((stated["kind"], stated["state"], stated["jobs"]), ("drill", "closed", 2))
        items = {one["kind"]: one["detail"] for one in stated["items"]}
        self.assertEqual(items, {"drill-asked": "allow", "drill-ended": "stopped"})

    def test_a_journal_that_is_gone(self) -> None:
        """Its drill has no end there: the next stream is in none."""
        self.call("drill.start", minutes=5)
        self.branch.forward(self.centre, self.session)
        session = self.centre.site("another-stream")
        self.turner.result(self.centre.store.report(session))
        self.assertEqual(self.turner.run(self.centre.store.outages(9))[0]["state"], "closed")
        self.assertIsInstance(session, SessionRef)

    def test_relaying(self) -> None:
        self.call("drill.start", minutes=5)
        with self.assertRaises(Refusal):
            self.turner.run(self.site.relay(self.provider, completion(request(1), None)))
