"""How charges came about, and what documents would cost."""

from __future__ import annotations

from typing import Any

import attrs

from papercutd.commands.price import explanation_text
from papercutd.domain.document import Document, PageGroup
from papercutd.errors import InvalidValue, NotFound
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import Branch, Centre, Turner, completion, pages, request


class ExplainContract:
    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        self.centre.user()
        self.provider = self.centre.provider()

    def result(self, work: Any) -> Any:
        return self.turner.result(work)

    def explain(self, word: str) -> Any:
        return self.result(self.centre.store.explain(word))

    def test_what_was_decided_and_what_came_out(self) -> None:
        asked = attrs.evolve(request(1, title="Thesis"), document=pages(10, 3))
        decision = self.result(self.centre.store.authorize(self.provider, asked))
        done = attrs.evolve(completion(asked, decision, 8), title="Thesis")
        self.result(self.centre.store.complete(self.provider, done))
        (found,) = self.explain(asked.key)
        self.assertEqual(self.explain(asked.job), [found])
        self.assertEqual(self.explain(found["charge"]), [found])
        self.assertEqual(
            (found["user"], found["printer"], found["title"]), ("anna", "lp1", "Thesis")
        )
        lines = [(n["what"], n["quantity"], n["unit_e4"], n["amount_e4"]) for n in found["lines"]]
        self.assertEqual(lines, [("A4 grey", 7, 500, 3_500), ("A4 colour", 1, 2_000, 2_000)])
        self.assertEqual((found["amount_e4"], found["decided"]["amount_e4"]), (5_500, 9_500))
        self.assertEqual(found["decided_by"], "the application server")
        self.assertEqual(found["corrections"], ["10 sides were decided, 8 were printed"])
        moved = [(t["kind"], t["amount_e4"]) for t in found["transfers"]]
        self.assertEqual(moved, [("pending", 9_500), ("post", 5_500)])
        self.assertEqual((found["forced"], found["assumed"], found["listed"]), (False, False, []))
        self.assertEqual((found["price_version"], found["prices"]["currency"]), (1, "EUR"))

    def test_what_was_given_back_and_what_was_refused(self) -> None:
        asked = request(3)
        decision = self.result(self.centre.store.authorize(self.provider, asked))
        done = completion(asked, decision, 1)
        self.result(self.centre.store.complete(self.provider, done))
        self.result(self.centre.store.money.give_refund(asked.key, 200, "a jam"))
        (found,) = self.explain(asked.key)
        (refund,) = found["refunds"]
        self.assertEqual((refund["state"], refund["granted_e4"]), ("approved", 200))
        self.assertIn("given back: 0.02 by refund 1 (a jam)", explanation_text([found]))
        refused = attrs.evolve(request(4), user_name="nobody")
        self.result(self.centre.store.authorize(self.provider, refused))
        for word in (refused.job, refused.key):
            with self.assertRaisesRegex(InvalidValue, "cost nothing .deny, unknown-user"):
                self.explain(word)

    def test_a_trackers_charge_is_forced_and_says_why(self) -> None:
        asked = request(2)
        done = completion(asked, None, 1, price_version=1, assumed=True)
        self.result(self.centre.store.complete(self.provider, done))
        (found,) = self.explain(asked.key)
        self.assertIn("nobody", found["decided_by"])
        self.assertTrue(found["forced"] and found["assumed"])
        self.assertEqual([row["kind"] for row in found["listed"]], ["forced", "assumed"])
        self.assertEqual(len(found["corrections"]), 2)

    def test_a_sites_charge_names_the_site(self) -> None:
        branch = Branch(self.turner, engine=self.engine)
        site = self.centre.site(branch.stream)
        branch.load_snapshot(self.centre)
        asker, asked = branch.provider(), request(3)
        decision = self.result(branch.store.decide(asker, asked))
        self.result(branch.store.complete(asker, completion(asked, decision, 1)))
        branch.forward(self.centre, site)
        (found,) = self.explain(asked.key)
        self.assertTrue(found["decided_by"].startswith("site north"), found["decided_by"])

    def test_no_such_charge(self) -> None:
        for word in ("", "%", "x/submit-1", "a" * 10_000):
            with self.assertRaises(NotFound):
                self.explain(word)

    def test_a_quote_changes_nothing_and_is_what_is_decided(self) -> None:
        document = Document((PageGroup("A4", 10, 3), PageGroup("A3", 1)), copies=2, duplex=True)
        before = self.centre.account()
        quote = self.result(self.centre.store.quote(document, "anna", "lp1"))
        self.assertEqual(self.centre.account(), before)
        asked = attrs.evolve(request(4), document=document)
        decision = self.result(self.centre.store.authorize(self.provider, asked))
        self.assertEqual(quote["amount_e4"], decision.amount_e4)
        self.assertEqual((quote["pages"], quote["sheets"]), (22, 12))
        self.assertEqual(quote["spendable_e4"], 100_000)
        for user, printer in (("nobody", ""), ("", "nowhere")):
            with self.assertRaises(NotFound):
                self.result(self.centre.store.quote(document, user, printer))


on_every_engine(globals())
