"""Refunds never above what was paid, and charges that nobody is to pay."""

from __future__ import annotations

from papercutd.errors import AlreadyExists, InvalidValue, NotFound
from papercutd.services.refund_operations import RefundOperations
from tests.contract.test_money_acts import MoneyBase
from tests.support.engines import on_every_engine
from tests.support.stores import completion, request


class RefundContract(MoneyBase):
    def operations(self):
        return RefundOperations(self.centre.store)

    def print(self, number=1, count=10, user="anna"):
        """A charge, 0.05 a page; its key."""
        asked = request(number, count, user)
        decision = self.authorize(asked)
        self.call("complete", self.centre.provider(), completion(asked, decision, count))
        return asked.key

    def uncollected(self, number=2):
        """A charge of two pages that nobody pays."""
        self.call("rename_user", "anna", "eva")
        self.centre.user("anna", 0, now=True)
        return self.tracked(number, "anna", "")

    def ask(self, key, **given):
        return self.run_operation("refund.ask", key=key, **{"words": "paper jam", **given})

    def approve(self, id, **given):
        return self.run_operation("refund.approve", id=str(id), **given)

    def assertRefused(self, said, act, *arguments, error=InvalidValue, **given):
        with self.assertRaises(error) as caught:
            act(*arguments, **given)
        self.assertIn(said, str(caught.exception))

    def test_asked_and_approved_in_parts_up_to_the_charge(self) -> None:
        key = self.print()
        self.assertEqual(self.balance_e4(), 95_000)
        asked = self.ask(key, amount="0.30", by="anna")
        self.assertEqual((asked["state"], asked["asked_by"]), ("asked", "anna"))
        self.assertRefused("not answered yet", self.ask, key, error=AlreadyExists)
        self.assertRefused("than was asked for: 0.30", self.approve, asked["id"], amount="0.31")
        done = self.approve(asked["id"], amount="0.20", words="two sheets")
        self.assertEqual((done["state"], done["granted_e4"]), ("approved", 2_000))
        self.assertEqual(self.balance_e4(), 97_000)
        self.assertRefused("was approved before", self.approve, asked["id"])
        self.assertRefused("to give back: 0.30", self.ask, key, amount="0.31")
        rest = self.ask(key)
        self.assertEqual(rest["amount_e4"], 3_000)
        self.approve(rest["id"])
        self.assertRefused("was given back before: 0.50", self.ask, key)
        self.assertEqual(self.balance_e4(), 100_000)
        reasons = self.centre.query("SELECT reason FROM transfer WHERE key LIKE '%:refund:%'")
        self.assertEqual(reasons, [("refund 1: two sheets",), ("refund 2: paper jam",)])
        self.assertBooksStand()
        self.branch.follow(self.centre)
        self.assertReplicaIsCentre()

    def test_rejected_with_words(self) -> None:
        key = self.print()
        id = self.ask(key)["id"]
        with self.assertRaises(InvalidValue):
            self.run_operation("refund.reject", id=str(id), words="")
        found = self.run_operation("refund.reject", id=str(id), words="it was read")
        self.assertEqual((found["state"], found["answer"]), ("rejected", "it was read"))
        self.assertRefused("was rejected before", self.approve, id)
        self.assertEqual(self.balance_e4(), 95_000)
        self.assertEqual(self.run_operation("refund.list"), [])
        self.assertEqual(len(self.run_operation("refund.list", state="all")), 1)
        # It may be asked for again, with better words.
        self.approve(self.ask(key)["id"])
        self.assertEqual(self.balance_e4(), 100_000)

    def test_bad_input(self) -> None:
        key = self.print()
        self.centre.user("ben", 0)
        self.assertRefused("no charge", self.ask, "nothing", error=NotFound)
        self.assertRefused("charge of that user", self.ask, key, by="ben", error=NotFound)
        for amount, words in {
            "0,20": "a comma",
            "€1": "a currency",
            "1e3": "an exponent",
            "1" * 20: "eleven digits",
            "0": "above zero",
            "-0.10": "above zero",
            "0.51": "to give back: 0.50",
        }.items():
            self.assertRefused(words, self.ask, key, amount=amount)
        self.assertRefused("number of a request", self.approve, "x")
        self.assertRefused("no request", self.approve, 9, error=NotFound)
        self.assertEqual(self.centre.query("SELECT id FROM refund"), [])
        self.assertEqual(self.balance_e4(), 95_000)

    def test_given_at_once_and_to_the_heir(self) -> None:
        key = self.print()
        self.centre.user("ben", 0)
        self.call("merge_users", "anna", "ben")
        given = {"key": key, "words": "jam"}
        found = self.run_operation("refund.give", amount="0.40", **given)
        self.assertEqual((found["granted_e4"], self.balance_e4("ben")), (4_000, 99_000))
        self.assertRefused(
            "to give back: 0.10", self.run_operation, "refund.give", amount="0.2", **given
        )
        self.assertEqual(self.ask(key, by="ben")["amount_e4"], 1_000)
        self.assertBooksStand()

    def test_a_forced_charge(self) -> None:
        """Below the floor it was paid all the same; never more than that."""
        self.call("adjust", "anna", -100_000, "")
        key = self.tracked(1, "anna", self.head().text, 10)
        self.assertEqual(self.balance_e4(), -5_000)
        self.assertRefused("to give back: 0.50", self.ask, key, amount="0.60")
        self.approve(self.ask(key)["id"])
        self.assertEqual(self.balance_e4(), 0)

    def test_what_nobody_paid_is_not_given_back_before_somebody_pays(self) -> None:
        key = self.uncollected()
        self.assertRefused("was paid by nobody", self.ask, key)
        self.call("assign", key, "eva")
        self.assertEqual(self.balance_e4("eva"), 99_000)
        self.approve(self.ask(key, by="eva")["id"])
        self.assertEqual(self.balance_e4("eva"), 100_000)
        self.assertBooksStand()

    def write_off(self, *keys, reason="nobody known"):
        return self.run_operation("uncollected.write-off", keys=list(keys), reason=reason)

    def test_written_off_once(self) -> None:
        paid, key = self.print(), self.uncollected()
        self.assertRefused("somebody paid it", self.write_off, key, paid)
        self.assertRefused("no charge", self.write_off, key, "nothing", error=NotFound)
        self.assertRefused("is needed", self.write_off, key, reason="")
        self.assertEqual(len(self.call("uncollected")), 1)
        self.assertEqual(self.write_off(key), {"written_off": 1, "total_e4": 1_000})
        self.assertEqual(self.call("uncollected"), [])
        (held,) = self.centre.query("SELECT credits_e4 - debits_e4 FROM account WHERE id = 3")
        self.assertEqual(held, (0,))
        self.assertRefused("a write-off of", self.write_off, key, error=AlreadyExists)
        self.assertRefused("a write-off of", self.call, "assign", key, "eva", error=AlreadyExists)
        self.assertRefused("was paid by nobody", self.ask, key)
        self.assertBooksStand()


on_every_engine(globals())
