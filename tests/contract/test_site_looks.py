"""What administrators look at at a site: its replica, and what was decided here since."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import attrs

from papercutd.domain.schedule import Rule
from papercutd.errors import NotFound
from papercutd.services.price_operations import PriceFileOperations
from papercutd.services.quota_operations import QuotaOperations
from papercutd.services.shared_account_operations import SharedAccountOperations
from papercutd.services.site_looks import SiteLookOperations
from papercutd.storage.money.schedules import Schedule
from papercutd.storage.money.shared_accounts import Access
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import Branch, Centre, Turner, completion, request


class SiteLooksContract:
    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        self.store = self.centre.store
        self.anna = self.centre.user(full_name="Anna A")
        self.result(self.store.rules.add_group("staff"))
        self.result(self.store.rules.change_group("staff", ["anna"]))
        self.law = self.result(self.store.shared.add("Law", 50_000, {"markup_e4": 1_000}))
        self.result(self.store.shared.add("Law\\Civil", 0))
        self.result(self.store.shared.change_access("Law", add=Access(("anna",), ("staff",))))
        self.result(self.store.add_quota(Schedule("weekly", 5_000, Rule("weekly", 1, 0), None)))
        self.branch = Branch(self.turner, engine=self.engine)
        self.branch.load_snapshot(self.centre)
        self.asker = self.branch.provider()
        self.site = self.centre.site(self.branch.stream)
        position = self.result(self.branch.store.identity()).position
        server = SimpleNamespace(store=self.branch.store, position=position, state="cut")
        self.here = SiteLookOperations(server).all()
        self.there = {
            **SharedAccountOperations(self.store, None).all(),
            **QuotaOperations(self.store).all(),
            **PriceFileOperations(self.store).all(),
        }

    def result(self, work: Any) -> Any:
        return self.turner.result(work)

    def look(self, name: str, /, **arguments: Any) -> Any:
        return self.turner.run(self.here[name](arguments, lambda figures: None))

    def print_here(self, number: int, count: int, **more: Any) -> None:
        asked = request(number, count, title="Thesis", **more)
        decision = self.result(self.branch.store.decide(self.asker, asked))
        self.assertTrue(decision.allowed, decision)
        done = attrs.evolve(completion(asked, decision, count), title="Thesis")
        self.result(self.branch.store.complete(self.asker, done))

    def test_a_user_as_of_the_copy_and_what_was_printed_here(self) -> None:
        self.print_here(1, 10)
        open_one = request(2, 4)
        self.result(self.branch.store.decide(self.asker, open_one))
        found = self.look("user.show", name="ANNA")
        self.assertEqual(
            [found[k] for k in ("name", "full_name", "balance_e4", "balance")],
            ["anna", "Anna A", 95_000, "9.50"],
        )
        self.assertEqual((found["spent_here_e4"], found["reserved_here_e4"]), (5_000, 2_000))
        self.assertEqual((found["groups"], found["account_mode"]), (["staff"], "default"))
        for flag in ("restricted", "disabled", "administrator"):
            self.assertIsInstance(found[flag], bool, flag)
        self.assertEqual((found["state"], found["until"]), ("cut", "never"))
        self.assertTrue(found["as_of"] and "elsewhere" in found["not_known_here"])
        (charge,) = found["charges_here"]
        self.assertEqual(
            (charge["title"], charge["pages"], charge["amount_e4"], charge["forwarded"]),
            ("Thesis", 10, 5_000, False),
        )
        self.branch.forward(self.centre, self.site)
        self.branch.follow(self.centre)
        found = self.look("user.show", name="anna")
        self.assertEqual((found["balance_e4"], found["spent_here_e4"]), (95_000, 0))
        self.assertTrue(found["charges_here"][0]["forwarded"])

    def test_somebody_the_site_is_not_sent(self) -> None:
        for name, argument in (("user.show", "x"), ("account.show", "x"), ("quota.show", "x")):
            with self.assertRaisesRegex(NotFound, "there is no .* at this site named"):
                self.look(name, name=argument)
        with self.assertRaises(NotFound):
            self.look("account.list", below="x")

    def test_shared_accounts(self) -> None:
        self.print_here(1, 10, account=self.law)
        listed = self.look("account.list")
        self.assertEqual([row["name"] for row in listed], ["Law", "Law\\Civil"])
        self.assertEqual(self.look("account.list", below="Law\\Civil"), listed[1:])
        self.assertEqual(self.look("account.list", after="Law"), listed[1:])
        law, civil = listed
        self.assertEqual((law["balance_e4"], law["spent_here_e4"]), (44_500, 5_500))
        self.assertEqual((civil["parent"], law["parent"]), ("Law", None))
        self.assertEqual((law["markup"], law["disabled"]), ("10 %", "no"))
        shown = self.look("account.show", name="law\\civil")
        self.assertEqual((shown["users"], shown["groups"]), (["anna"], ["staff"]))
        self.assertEqual((shown["access_by"], shown["closed"]), ("Law", False))
        there = self.turner.run(self.there["account.show"]({"name": "Law\\Civil"}, print))
        told = ("here_e4", "state", "as_of", "not_known_here")
        shared = {k: v for k, v in shown.items() if not k.endswith(told)}
        self.assertEqual(shared, {k: there[k] for k in shared})

    def test_prices_and_quotas_are_those_of_the_application_server(self) -> None:
        for name in ("price.show", "quota.list"):
            there = self.turner.run(self.there[name]({}, lambda figures: None))
            self.assertTrue(there, name)
            self.assertEqual(self.look(name), there)
        (quota,) = self.look("quota.list")
        shown = self.look("quota.show", name="weekly")
        self.assertEqual({k: shown[k] for k in quota}, quota)
        self.assertIn("not_known_here", shown)
        self.assertIs(quota["is_running"], False)

    def test_prices_of_a_newer_release(self) -> None:
        self.branch.query("UPDATE replica.price SET needs = 'by-area', body = '?'")
        (row,) = self.look("price.show")
        self.assertEqual((row["version"], row["lines"]), (1, None))

    def test_a_mode_of_a_newer_release_is_shown_as_it_is_kept(self) -> None:
        self.branch.query("UPDATE replica.user SET account_mode = 'raffle'")
        self.assertEqual(self.look("user.show", name="anna")["account_mode"], "raffle")
        self.branch.query("UPDATE replica.user SET account_mode = ?", f"shared:{self.law}+named")
        self.assertEqual(self.look("user.show", name="anna")["account_mode"], "shared:Law+named")


on_every_engine(globals())
