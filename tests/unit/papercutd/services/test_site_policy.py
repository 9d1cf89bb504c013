"""States, passwords and alarms of a site, as its policy has them."""

from __future__ import annotations

from typing import Any

import attrs

from papercutd.domain.chain import CHAIN_START, Position
from papercutd.domain.policy import Rule
from papercutd.errors import Rejected
from papercutd.services.administration import SiteOperations
from papercutd.services.devices import Credentials
from papercutd.services.policy_operations import site_alarms
from papercutd.services.site_server import SiteServer
from tests.support.stores import WALL_S
from tests.unit.papercutd.services.test_runs import CARD, RunCase

HERE = Position(1, 0, CHAIN_START)
DAY_S = 86_400.0


class Always:
    """Everybody's password is ``right``."""

    async def matches(self, verifier: str, secret: str) -> bool:
        return secret == "right"

    async def make(self, secret: str) -> str:
        return secret


@attrs.define
class FakeLink:
    suspect: bool = True
    session: Any = None
    refusal = speaks = None


class SitePolicyCase(RunCase):
    def setUp(self) -> None:
        super().setUp()
        result = self.turner.result
        self.rules = self.centre.store.rules
        self.group = result(self.rules.add_group("students"))
        result(self.rules.change_group("students", add=["anna"]))
        self.centre.user("ben", 10_000)
        result(
            self.centre.store.add_device("panel", "lp1", "north", logins="card card-pin password")
        )
        self.branch.follow(self.centre)
        env = self.turner.environment()
        self.site = SiteServer(env, self.branch.store, None, verifiers=Always())  # type: ignore[arg-type]
        self.link = self.site.link = FakeLink()  # type: ignore[assignment]
        self.turner.run(self.site.uplink.start())
        self.turner.run(self.site.policy.refresh())
        self.site.freshness.told(HERE, WALL_S, HERE)
        device = result(self.branch.store.device("panel"))
        assert device is not None
        self.device = device
        self.operations = SiteOperations(self.site).all()

    def set(self, *rules: Rule) -> None:
        before = self.turner.result(self.branch.store.identity()).position
        assert before is not None
        self.turner.result(self.rules.change_rules(set=rules))
        changes = self.turner.result(self.centre.store.changes_after(before.number, 9, 10**9))
        self.branch.follow(self.centre)
        self.site._applied([row for change in changes for row in change.rows])
        self.turner.settle()

    def log_in(self, shown: Credentials) -> str:
        """``in``, or the code of the refusal."""
        try:
            self.turner.run(self.site.devices.login(self.device, shown, lambda *a: None))
        except Rejected as rejected:
            return rejected.code
        return "in"

    def password(self, name: str = "anna", password: str = "right") -> str:
        return self.log_in(Credentials("password", user_name=name, password=password))

    def status(self) -> dict[str, Any]:
        found: Any = self.turner.run(self.operations["status"]({}, lambda figures: None))
        return found

    def health(self) -> dict[str, Any]:
        found: Any = self.turner.run(SiteOperations(self.site).health())
        return {check["name"]: (check["ok"], check["detail"]) for check in found["checks"]}


class StateTests(SitePolicyCase):
    def test_by_the_limit_of_the_site(self) -> None:
        self.set(Rule("stale-after", "60"))
        self.assertEqual(self.site.state, "cut")
        self.turner.clock.advance(61)
        self.assertEqual(self.site.state, "cut-and-stale")
        self.assertEqual(self.status()["state"], "cut-and-stale")
        self.assertEqual(self.health()["application server"], (False, "cut-and-stale"))
        self.link.suspect, self.link.session = False, object()
        self.assertEqual(self.site.state, "online")
        self.assertEqual(self.health()["application server"], (True, "online"))

    def test_seven_days_unless_said_otherwise(self) -> None:
        self.turner.clock.advance(7 * DAY_S)
        self.assertEqual(self.site.state, "cut")
        self.turner.clock.advance(1)
        self.assertEqual(self.site.state, "cut-and-stale")
        self.set(Rule("stale-after", "never"))
        self.assertEqual(self.site.state, "cut")

    def test_the_status(self) -> None:
        self.turner.clock.advance(30)
        status = self.status()
        self.assertEqual(status["stale_s"], 30.0)
        self.assertEqual(status["stale_after_s"], 7 * DAY_S)
        self.assertEqual((status["policy"], status["alarms"]), ("capped", []))

    def test_what_holds_here(self) -> None:
        self.set(Rule("cap", "pages:3", group=self.group))
        for user, expected in ((None, 100_000), ("anna", 1_500), ("ben", 100_000)):
            shown: Any = self.turner.run(
                self.operations["policy.show"]({"user": user}, lambda figures: None)
            )
            self.assertEqual(shown["cap_e4"], expected)


class PasswordTests(SitePolicyCase):
    def test_until_stale(self) -> None:
        self.set(Rule("stale-after", "60"))
        self.assertEqual(self.password(), "in")
        self.turner.clock.advance(61)
        self.assertEqual(self.password(), "not-allowed")
        # Who does not know it learns nothing.
        self.assertEqual(self.password(password="wrong"), "bad-credentials")
        self.assertEqual(self.password(name="nobody"), "bad-credentials")
        self.assertEqual(self.log_in(Credentials("card", card=CARD)), "in")
        self.assertEqual(self.log_in(Credentials("card-pin", card=CARD, pin="right")), "in")

    def test_a_stale_site_goes_on_printing(self) -> None:
        from tests.support.stores import request

        self.set(Rule("stale-after", "0"))
        self.turner.clock.advance(DAY_S * 400)
        asker = self.branch.provider()
        decision = self.turner.result(self.branch.store.decide(asker, request(1, 5)))
        self.assertTrue(decision.allowed)

    def test_online_they_always_count(self) -> None:
        self.set(Rule("passwords", "never"), Rule("stale-after", "0"))
        self.link.suspect, self.link.session = False, object()
        self.assertEqual(self.password(), "in")

    def test_by_group(self) -> None:
        self.set(Rule("passwords", "never", group=self.group))
        self.assertEqual([self.password("anna"), self.password("ben")], ["not-allowed", "in"])
        self.set(
            Rule("passwords", "until-stale", group=self.group),
            Rule("stale-after", "60", group=self.group),
        )
        self.turner.clock.advance(61)
        self.assertEqual([self.password("anna"), self.password("ben")], ["not-allowed", "in"])
        # The site as a whole is not stale by the limit of a group.
        self.assertEqual(self.site.state, "cut")

    def test_a_rule_that_cannot_be_evaluated(self) -> None:
        self.set(Rule("passwords", "by-the-moon"))
        self.assertEqual(self.password(), "not-allowed")


class AlarmTests(SitePolicyCase):
    def test_by_age(self) -> None:
        self.turner.clock.advance(DAY_S + 1)
        self.assertEqual(self.status()["alarms"], ["replica-age"])
        self.assertEqual(self.health()["money while cut"], (False, "replica-age"))
        self.link.suspect, self.link.session = False, object()
        self.assertEqual(self.status()["alarms"], [])

    def test_by_the_total_of_the_site(self) -> None:
        from tests.support.stores import request

        self.set(Rule("alarm-total", "e4:2499"))
        asker = self.branch.provider()
        self.turner.result(self.branch.store.decide(asker, request(1, 4)))
        self.assertEqual(self.status()["alarms"], [])
        # It stops nobody.
        decision = self.turner.result(self.branch.store.decide(asker, request(2, 1, "ben")))
        self.assertTrue(decision.allowed)
        status = self.status()
        self.assertEqual((status["unsettled_e4"], status["alarms"]), (2_500, ["site-total"]))

    def test_at_the_application_server(self) -> None:
        """A site that is away for long, by its own policy."""
        never = Rule("alarm-age", "never", self.turner.result(self.south))
        self.turner.result(self.rules.change_rules(set=[never]))
        away_s = {"north": DAY_S + 1, "south": DAY_S + 1}
        found = self.turner.run(site_alarms(self.rules, away_s))
        self.assertEqual(found, {"north": ["replica-age"], "south": []})
        self.assertEqual(self.turner.run(site_alarms(self.rules, {"north": 5.0})), {"north": []})

    @property
    def south(self) -> Any:
        return self.centre.store.id_of("site", "south")

    def test_what_is_not_understood_is_said(self) -> None:
        self.set(Rule("a-later-knob", "x"), Rule("cap", "x", group=self.group))
        found = ["a-later-knob", "cap of group students"]
        self.assertEqual(self.status()["not_understood"], found)
        self.assertEqual(self.health()["policy understood"], (False, ", ".join(found)))
