"""Prices with rules, lists and multipliers: a site and the application server come to the same."""

from __future__ import annotations

from typing import Any

import attrs

from papercutd.commands.price import explanation_text
from papercutd.domain.document import Document, PageGroup
from papercutd.domain.price_draft import parse_draft
from papercutd.domain.pricing import (
    Multiplier,
    OwnList,
    PagePrice,
    PriceLine,
    PriceTable,
    Rules,
)
from papercutd.errors import InvalidValue, NotFound, Rejected
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import PRICES, Branch, Centre, Turner, completion, request


class PriceModelContract:
    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        for name in ("anna", "berta"):
            self.centre.user(name)
        self.group = self.result(self.centre.store.rules.add_group("students"))
        self.result(self.centre.store.rules.change_group("students", ["anna"], []))
        self.version = self.result(self.centre.store.add_prices(self.prices()))
        self.branch = Branch(self.turner, engine=self.engine)
        self.site = self.centre.site(self.branch.stream)
        self.branch.load_snapshot(self.centre)
        self.askers = self.centre.provider(), self.branch.provider()

    def prices(self) -> Any:
        dear = PriceTable((), PagePrice("*", 7_000, 7_000))
        return attrs.evolve(
            PRICES,
            rules=Rules((), 1_000, 0, 100, 3_000),
            lists=(OwnList("plotter", dear, (2,)),),
            multipliers=(Multiplier(self.group, 3_333),),
        )

    def result(self, work: Any) -> Any:
        return self.turner.result(work)

    def asked(self, number: int, user: str, pages: int, **more: Any) -> Any:
        document = Document((PageGroup("A4", pages, 1),), duplex=more.pop("duplex", False))
        return attrs.evolve(request(number, user=user, **more), document=document)

    def test_both_decide_alike_and_the_sites_record_is_what_the_list_gives(self) -> None:
        cases = [("anna", 2), ("anna", 40), ("berta", 1), ("berta", 9), ("nobody", 3)]
        for number, (user, pages) in enumerate(cases, 1):
            for duplex in (False, True):
                asked = self.asked(2 * number + duplex, user, pages, duplex=duplex)
                here = self.result(self.branch.store.decide(self.askers[1], asked))
                again = attrs.evolve(asked, job=asked.job[:-1] + "9")
                there = self.result(self.centre.store.authorize(self.askers[0], again))
                self.assertEqual(here.lines, there.lines)
                if not here.allowed:
                    continue
                done = completion(asked, here, pages - 1)
                told = self.result(self.branch.store.complete(self.askers[1], done))
                self.branch.forward(self.centre, self.site)
                (booked,) = self.centre.query(
                    "SELECT amount_e4, pages FROM charge WHERE key = ?", asked.key
                )
                self.assertEqual(tuple(booked), (told.amount_e4, pages - 1))
        self.assertEqual(self.centre.listed(), [])

    def test_a_site_quotes_and_explains_what_it_decided(self) -> None:
        asked = self.asked(1, "anna", 9)
        store = self.branch.store
        quotes = [
            self.result(one.quote(asked.document, "anna", "lp1"))
            for one in (store, self.centre.store)
        ]
        self.assertEqual(*quotes)
        decision = self.result(store.decide(self.askers[1], asked))
        self.assertEqual(decision.amount_e4, quotes[0]["amount_e4"])
        (found,) = self.result(store.explain(asked.key))
        self.assertEqual((found["amount_e4"], found["pages"]), (decision.amount_e4, 9))
        told = self.result(store.complete(self.askers[1], completion(asked, decision, 7)))
        (found,) = self.result(store.explain(asked.job))
        self.assertEqual((found["amount_e4"], found["pages"]), (told.amount_e4, 7))
        self.assertEqual(sum(line["amount_e4"] for line in found["lines"]), told.amount_e4)
        self.assertEqual((found["user"], found["printer"]), ("anna", "lp1"))
        self.assertEqual(found["corrections"], ["9 sides were decided, 7 were printed"])
        self.assertIn("this site", found["decided_by"])
        self.assertIn("9 sides", explanation_text([found]))
        for user, printer in (("x", ""), ("", "x")):
            with self.assertRaises(NotFound):
                self.result(store.quote(asked.document, user, printer))
        with self.assertRaises(NotFound):
            self.result(store.explain("x"))

    def test_the_least(self) -> None:
        decision = self.result(
            self.centre.store.authorize(self.askers[0], self.asked(1, "anna", 2))
        )
        lines = (
            *(PriceLine("A4 grey", 1, 166), PriceLine("A4 colour", 1, 666)),
            *(PriceLine("first page", 1, 33), PriceLine("minimum charge", 1, 2_135)),
        )
        self.assertEqual((decision.lines, decision.amount_e4), (lines, 3_000))
        quote = self.result(self.centre.store.quote(self.asked(1, "anna", 2).document, "anna", ""))
        self.assertEqual(quote["amount_e4"], 3_000)

    def test_a_printers_own_list(self) -> None:
        asker = self.centre.provider("p2")
        asked = self.asked(1, "berta", 2, provider="p2", printer=2)
        decision = self.result(self.centre.store.authorize(asker, asked))
        self.assertEqual([line.unit_e4 for line in decision.lines], [7_000, 7_000])

    def test_fees_that_no_list_can_give_are_refused(self) -> None:
        asked = self.asked(1, "berta", 1)
        honest = self.result(self.branch.store.decide(self.askers[1], asked))
        side, fee = PriceLine("A4 grey", 1, 500), PriceLine("minimum charge", 1, 3_000)
        dear = attrs.evolve(fee, unit_e4=3_001)
        for lines in ((side, dear), (side, fee, fee), (fee,), (attrs.evolve(fee, quantity=9),)):
            forged = attrs.evolve(honest, lines=lines)
            with self.assertRaises(Rejected):
                self.result(
                    self.centre.store.complete(self.askers[0], completion(asked, forged, 1))
                )
        self.assertEqual(self.centre.query("SELECT * FROM charge"), [])

    def test_nothing_of_a_bad_list_is_taken(self) -> None:
        bad = attrs.evolve(PRICES, multipliers=(Multiplier(self.group, 0),))
        with self.assertRaises(InvalidValue):
            self.result(self.centre.store.add_prices(bad))
        self.assertEqual(len(self.result(self.centre.store.prices())), 2)

    def test_imported_by_names_and_exported(self) -> None:
        store = self.centre.store
        self.result(store.rules.add_group("young"))
        self.result(store.rules.change_nested("students", ["young"], []))
        self.result(store.rules.change_group("young", ["berta"], []))
        line = ["0.07", "0.70"]
        own = {"name": "a", "printers": ["lp2"], "groups": [], "lines": {"*": line}}
        document = {
            **{"currency": "EUR", "effective_from": 0.0, "lines": {"A4": line, "*": line}},
            **{"multipliers": {"students": "0.50"}, "lists": [own]},
        }
        draft = parse_draft(document)
        self.assertEqual(self.result(store.import_prices(draft, False)), 0)
        self.assertEqual(len(self.result(store.prices())), 2)
        version = self.result(store.import_prices(draft, True))
        self.assertEqual(self.result(store.export_prices(version)), draft)
        # Of a group within the group too, at a site that knows nothing of groups within groups.
        self.branch.follow(self.centre)
        here = self.result(self.branch.store.decide(self.askers[1], self.asked(1, "berta", 1)))
        self.assertEqual((here.price_version, here.amount_e4), (version, 3_500))

    def test_versions_and_how_they_stand(self) -> None:
        store = self.centre.store
        now = self.centre.store._wall_s()
        for since in (now + 100, 0.0):
            draft = parse_draft({"effective_from": since, "lines": {"*": ["1", "1"]}})
            waiting = self.result(store.waiting_prices(since))
            version = self.result(store.import_prices(draft, True))
        self.assertEqual(waiting, [(version - 1, now + 100)])
        shown = self.result(store.prices())
        self.assertEqual(
            [(row["version"], row["standing"]) for row in shown],
            [(4, "in force"), (3, "never in force"), (2, "over"), (1, "over")],
        )
        self.assertEqual([shown[0][k] for k in ("currency", "lines", "lists")], ["EUR", 1, 1])
        self.assertEqual([row["version"] for row in self.result(store.prices(3))], [2, 1])

    def test_what_is_named_wrongly_changes_nothing(self) -> None:
        line = {"lines": {"*": ["1", "1"]}}
        own = {"name": "a", "printers": ["lp1"], **line}
        for more in (
            {"multipliers": {"nobody": "1"}},
            {"multipliers": {"students": "1", "Students": "2"}},
            {"currency": "USD"},
            {"lists": [{**own, "printers": ["nowhere"]}]},
            {"lists": [own, {**own, "name": "b"}]},
            {"lists": [own, {**own, "printers": ["lp2"]}]},
        ):
            asked = self.asked(1, "anna", 1)
            self.result(self.centre.store.authorize(self.askers[0], asked))
            for is_real in (False, True):
                with self.assertRaises((InvalidValue, NotFound)):
                    draft = parse_draft({**line, **more})
                    self.result(self.centre.store.import_prices(draft, is_real))
        self.assertEqual(len(self.result(self.centre.store.prices())), 2)

    def test_a_release_that_does_not_know_it_holds(self) -> None:
        lacking = self.result(self.centre.store.lacking(["duplex-prices"], 2))
        needs = [row["needs"] for row in lacking if row["table"] == "price"]
        self.assertEqual(needs, ["price-models"])


on_every_engine(globals())
