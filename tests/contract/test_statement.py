"""Statements: open until everybody has reported, closed and standing from then on."""

from __future__ import annotations

from typing import Any

from papercutd.domain.chain import MARK_START
from papercutd.domain.job import SessionRef
from papercutd.domain.policy import Rule
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import Branch, Centre, Turner, completion, job_id, request


class StatementContract:
    """One outage of a site that prints through it."""

    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        self.centre.user(balance_e4=1_000_000)
        result = self.turner.result
        result(self.centre.store.add_device("desk", "lp1", "north"))
        self.branch = Branch(self.turner, engine=self.engine)
        self.branch.load_snapshot(self.centre)
        self.session = self.centre.site(self.branch.stream)
        self.provider = self.branch.provider()
        self.jobs = 0

    def print_at_site(self, pages: int = 1) -> None:
        self.jobs += 1
        asked = request(self.jobs, pages)
        decision = self.turner.result(self.branch.store.decide(self.provider, asked))
        self.turner.result(self.branch.store.complete(self.provider, completion(asked, decision)))

    def cut(self) -> None:
        self.turner.result(self.centre.store.end_session(self.session))
        self.turner.clock.advance(100)

    def heal(self) -> None:
        """The link is back: a handshake with the site's mark, and the list of open keys."""
        mark = self.turner.result(self.branch.store.identity()).mark
        welcome = self.turner.result(
            self.centre.store.begin_site("north", self.branch.stream, mark, None, "")
        )
        self.session = SessionRef("site", "north", self.branch.stream, welcome.session)
        self.turner.result(self.centre.store.report(self.session))

    def forward(self, records_max: int = 100) -> int:
        return self.branch.forward(self.centre, self.session, records_max)

    def statement(self, **span: float) -> dict[str, Any]:
        since, until = span.get("since"), span.get("until")
        return self.turner.run(self.centre.store.statement(since, until))

    def test_nothing_has_happened(self) -> None:
        found = self.statement()
        self.assertEqual((found["state"], found["jobs"], found["missing"]), ("closed", 0, []))

    def test_alarms(self) -> None:
        """What the policy calls unusual is listed once, as it was when all was told."""
        rules = [Rule("alarm-age", "99"), Rule("alarm-total", "pages:2")]
        self.turner.result(self.centre.store.rules.change_rules(set=rules))
        self.cut()
        self.print_at_site(2)
        self.heal()
        self.forward()
        self.assertEqual(self.alarms(), [("alarm-replica-age", 1_000)])
        self.turner.result(self.centre.store.rules.change_rules(set=[Rule("alarm-age", "never")]))
        self.assertEqual(self.alarms(), [("alarm-replica-age", 1_000)])
        self.cut()
        self.print_at_site(3)
        self.heal()
        self.forward()
        self.assertEqual(self.alarms(), [("alarm-site-total", 1_500)])

    def alarms(self) -> list[tuple[str, int]]:
        items = self.statement()["items"]
        return [(i["kind"], i["amount_e4"]) for i in items if i["kind"].startswith("alarm")]

    def test_open_until_all_is_forwarded(self) -> None:
        """Its figures only grow, and stand once it is closed."""
        self.cut()
        for _ in range(5):
            self.print_at_site(2)
        self.assertEqual((self.statement()["state"], self.statement()["jobs"]), ("open", 0))
        self.heal()
        seen = []
        for _ in range(5):
            self.assertEqual(self.statement()["missing"], ["site:north"])
            self.forward(1)
            seen.append(self.statement()["jobs"])
        self.assertEqual(seen, [1, 2, 3, 4, 5])
        closed = self.statement()
        self.assertEqual((closed["state"], closed["pages"], closed["missing"]), ("closed", 10, []))
        self.assertEqual(closed["by_decider"][0]["site"], "north")
        self.assertEqual(closed["by_decider"][0]["policy"], "capped")
        self.print_at_site()
        self.forward()
        self.assertEqual(self.statement(), closed)
        self.assertGreater(closed["until"], closed["since"])

    def test_the_policy_that_rules_say(self) -> None:
        """Of a span too, whatever was said of the site when it was made."""
        self.assertEqual(self.policy_told(), "capped")
        self.turner.result(
            self.centre.store.rules.change_rules(set=[Rule("policy", "strict", site=1)])
        )
        self.assertEqual(self.policy_told(), "strict")

    def policy_told(self) -> str:
        self.cut()
        self.print_at_site()
        self.heal()
        self.forward()
        return str(self.statement(since=0.0)["by_decider"][0]["policy"])

    def test_a_device_that_has_not_come_back(self) -> None:
        result = self.turner.result
        seen = result(self.branch.store.begin_device("desk", job_id(0xD1), MARK_START, ""))
        device = SessionRef("device", "desk", job_id(0xD1), seen.session)
        self.cut()
        self.print_at_site()
        asked = request(77, 5, step="run-1", provider="device:desk")
        self.assertTrue(result(self.branch.store.decide(device, asked)).allowed)
        result(self.branch.store.end_session(device))
        result(self.branch.store.end_session(self.provider))
        self.heal()
        self.forward()
        self.assertEqual(self.statement()["missing"], ["device:desk", "provider:p1 at north"])
        self.provider = self.branch.provider()
        result(self.branch.store.open_keys(self.provider, []))
        self.forward()
        self.assertEqual(self.statement()["missing"], ["device:desk"])
        # A device reports to whichever server it reaches.
        seen = result(self.centre.store.begin_device("desk", job_id(0xD1), MARK_START, ""))
        device = SessionRef("device", "desk", job_id(0xD1), seen.session)
        result(self.centre.store.report(device))
        self.assertEqual(self.statement()["state"], "closed")

    def test_a_device_that_was_switched_off_is_not_missed(self) -> None:
        """Nothing was reserved for it: it has nothing to tell."""
        result = self.turner.result
        seen = result(self.branch.store.begin_device("desk", job_id(0xD1), MARK_START, ""))
        device = SessionRef("device", "desk", job_id(0xD1), seen.session)
        self.cut()
        result(self.branch.store.end_session(device))
        self.heal()
        self.forward()
        self.assertEqual(self.statement()["state"], "closed")

    def test_a_device_that_went_to_the_application_server_is_not_missed(self) -> None:
        result = self.turner.result
        seen = result(self.branch.store.begin_device("desk", job_id(0xD1), MARK_START, ""))
        device = SessionRef("device", "desk", job_id(0xD1), seen.session)
        self.cut()
        asked = request(77, 5, step="run-1", provider="device:desk")
        self.assertTrue(result(self.branch.store.decide(device, asked)).allowed)
        result(self.branch.store.end_session(device))
        result(self.centre.store.begin_device("desk", job_id(0xD1), MARK_START, ""))
        self.heal()
        self.forward()
        self.assertEqual(self.statement()["missing"], [])

    def test_a_device_that_went_to_its_site_is_not_missed(self) -> None:
        """Each server hears of it after it was switched on; then its site serves it."""
        result = self.turner.result
        seen = result(self.centre.store.begin_device("desk", job_id(0xD1), MARK_START, ""))
        device = SessionRef("device", "desk", job_id(0xD1), seen.session)
        result(self.centre.store.report(device))
        result(self.centre.store.end_session(device))
        self.cut()
        self.heal()
        self.forward()
        self.assertEqual((self.statement()["missing"], self.statement()["state"]), ([], "closed"))
        self.assertEqual(self.statement(since=0.0)["missing"], [])

    def test_a_device_that_left_in_the_midst_of_a_run_is_missed(self) -> None:
        result = self.turner.result
        seen = result(self.centre.store.begin_device("desk", job_id(0xD1), MARK_START, ""))
        device = SessionRef("device", "desk", job_id(0xD1), seen.session)
        asked = request(1, 1, step="run-1", provider="device:desk")
        decision = result(self.centre.store.authorize(device, asked))
        result(self.centre.store.end_session(device))
        self.cut()
        self.heal()
        self.forward()
        self.assertEqual(self.statement()["missing"], ["device:desk"])
        seen = result(self.centre.store.begin_device("desk", job_id(0xD1), MARK_START, ""))
        device = SessionRef("device", "desk", job_id(0xD1), seen.session)
        result(self.centre.store.complete(device, completion(asked, decision)))
        result(self.centre.store.report(device))
        self.assertEqual(self.statement()["state"], "closed")

    def test_a_device_that_tells_its_site_how_a_run_ended_is_not_missed(self) -> None:
        """It is served there from now on, and comes back to us when it has to."""
        result = self.turner.result
        seen = result(self.branch.store.begin_device("desk", job_id(0xD1), MARK_START, ""))
        at_site = SessionRef("device", "desk", job_id(0xD1), seen.session)
        result(self.branch.store.open_keys(at_site, []))
        seen = result(self.centre.store.begin_device("desk", job_id(0xD1), MARK_START, ""))
        device = SessionRef("device", "desk", job_id(0xD1), seen.session)
        asked, other = (
            request(number, 1, step="run-1", provider="device:desk") for number in (1, 2)
        )
        decision, another = (
            result(self.centre.store.authorize(device, one)) for one in (asked, other)
        )
        self.forward()
        self.cut()
        result(self.centre.store.end_session(device))
        self.heal()
        result(self.branch.store.complete(at_site, completion(asked, decision)))
        self.forward()
        self.assertEqual(self.statement()["missing"], ["device:desk"])
        result(self.branch.store.complete(at_site, completion(other, another)))
        self.forward()
        self.assertEqual(self.statement()["state"], "closed")

    def test_a_site_that_was_taken_away_is_not_waited_for(self) -> None:
        self.cut()
        self.assertEqual(self.statement()["missing"], ["site:north"])
        self.turner.result(self.centre.store.remove_site("north"))
        self.assertEqual(self.statement()["state"], "closed")

    def test_what_it_tells(self) -> None:
        """Prints, copies, releases; by whom, on what account, where, and who decided."""
        result = self.turner.result
        asker = self.centre.provider()
        for number, step in ((1, "submit-1"), (2, "release-1"), (3, "submit-1")):
            asked = request(number, 2, step=step)
            decision = result(self.centre.store.authorize(asker, asked))
            result(
                self.centre.store.complete(asker, completion(asked, decision, assumed=number == 3))
            )
        found = self.statement(since=0.0)
        self.assertEqual((found["jobs"], found["pages"], found["amount_e4"]), (3, 6, 3_000))
        self.assertEqual((found["prints"]["jobs"], found["copies"]["jobs"]), (3, 0))
        self.assertEqual(found["released"], {"jobs": 1, "pages": 2, "amount_e4": 1_000})
        self.assertEqual(found["by_account"][0]["name"], "anna")
        self.assertEqual(found["by_printer"][0]["name"], "lp1")
        self.assertEqual(found["by_decider"][0]["decider"], "application")
        self.assertEqual([item["kind"] for item in found["items"]], ["assumed"])
        self.assertEqual(self.statement(since=0.0, until=1.0)["jobs"], 3)
        self.assertEqual(self.statement(since=1.0)["jobs"], 0)


on_every_engine(globals())
