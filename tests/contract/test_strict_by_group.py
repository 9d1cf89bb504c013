"""STRICT for a group only: allowances go to those whom it concerns, and come back."""

from __future__ import annotations

from papercutd.domain.decision import Verdict
from papercutd.domain.policy import Rule
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import Branch, Centre, Turner, completion, request


class StrictGroupContract:
    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        self.result = self.turner.result
        for name in ("anna", "ben"):
            self.centre.user(name, 100_000)
        self.rules = self.centre.store.rules
        self.group = self.result(self.rules.add_group("students"))
        self.result(self.rules.change_group("students", add=["anna"]))
        self.strict = Rule("policy", "strict", group=self.group)
        self.result(self.rules.change_rules(set=[self.strict]))
        self.branch = Branch(self.turner, engine=self.engine)
        self.site = self.centre.site(self.branch.stream)
        self.branch.load_snapshot(self.centre)
        self.result(self.branch.store.tell_allowances())
        self.online, self.asker = self.centre.provider(), self.branch.provider()
        self.number = 0
        self.heal()

    def heal(self) -> None:
        while self.branch.forward(self.centre, self.site):
            pass
        self.branch.follow(self.centre)

    def asked(self, count: int, user: str):
        self.number += 1
        return request(self.number, count, user)

    def print_online(self, user: str) -> None:
        asked = self.asked(1, user)
        decision = self.result(self.centre.store.authorize(self.online, asked))
        self.result(self.centre.store.complete(self.online, completion(asked, decision)))
        self.branch.follow(self.centre)

    def escrow_e4(self) -> int:
        return sum(r["escrow_e4"] for r in self.result(self.centre.store.allowances_of_sites()))

    def verdict(self, count: int, user: str) -> Verdict:
        return self.result(self.branch.store.decide(self.asker, self.asked(count, user))).verdict

    def tearDown(self) -> None:
        self.assertEqual(self.result(self.centre.store.verify()), [])

    def test_only_they_are_granted_and_bounded_by_it(self) -> None:
        self.print_online("ben")
        self.assertEqual(self.escrow_e4(), 0)
        self.print_online("anna")
        self.assertEqual(self.escrow_e4(), 99_500 // 4)
        self.assertEqual(self.verdict(50, "anna"), Verdict.HOLD)
        self.assertEqual(self.verdict(49, "anna"), Verdict.ALLOW)
        self.assertEqual(self.verdict(150, "ben"), Verdict.ALLOW)

    def test_a_site_says_otherwise(self) -> None:
        north = self.result(self.centre.store.id_of("site", "north"))
        self.result(self.rules.change_rules(set=[Rule("policy", "capped", north, self.group)]))
        self.print_online("anna")
        self.assertEqual(self.escrow_e4(), 0)
        self.assertEqual(self.verdict(150, "anna"), Verdict.ALLOW)

    def test_what_is_needed_no_more_comes_back(self) -> None:
        for end in (
            lambda: self.rules.change_rules(clear=[self.strict]),
            lambda: self.rules.change_group("students", remove=["anna"]),
            lambda: self.rules.remove_group("students"),
        ):
            self.setUp()
            self.print_online("anna")
            self.result(end())
            self.branch.follow(self.centre)
            self.assertEqual(self.result(self.branch.store.give_back_unneeded()), 99_500 // 4)
            self.heal()
            self.assertEqual(self.escrow_e4(), 0)

    def test_a_whole_site_is_refilled(self) -> None:
        self.print_online("anna")
        self.result(self.centre.store.adjust("ben", 1, "nothing"))
        self.assertEqual(self.result(self.centre.store.refill_site("north", 0)), 1)
        self.assertIsNone(self.result(self.centre.store.refill_site("south", 0)))


on_every_engine(globals())
