"""Purses beside the personal account: at the application server and at a cut site alike."""

from __future__ import annotations

import attrs
from hypothesis import HealthCheck, given, settings

from papercutd.domain.decision import Reason, Verdict
from papercutd.domain.schedule import Rule, credit_of, parse_due
from papercutd.errors import AlreadyExists, InvalidValue, NotFound
from papercutd.services.adjust_operations import AdjustOperations
from papercutd.services.purse_operations import PurseOperations
from papercutd.services.refund_operations import RefundOperations
from papercutd.services.transaction_operations import TransactionOperations
from papercutd.storage.money.schedules import Schedule
from tests.contract.test_allowances import Strict
from tests.contract.test_money_acts import MoneyBase
from tests.contract.test_quotas import OPS, Quotas
from tests.support.engines import on_every_engine
from tests.support.quotas import DAILY, OPENING_E4
from tests.support.stores import completion, request


class PurseBase(MoneyBase):
    """anna has 10.00 in cash; there is a quota, spent first, and a gift, spent last."""

    def setUp(self) -> None:
        super().setUp()
        store = self.centre.store
        self.turner.result(store.purses.add("quota", None, True, True))
        self.turner.result(store.purses.add("gift", 3, True, False))

    def operations(self):
        store = self.centre.store

        class All:
            def all(self):
                return {
                    **PurseOperations(store).all(),
                    **RefundOperations(store).all(),
                    **AdjustOperations(store).all(),
                    **TransactionOperations(store).all(),
                }

        return All()

    def fill(self, purse: str, amount_e4: int, name: str = "anna") -> None:
        self.call("adjust", name, amount_e4, "filled", purse)

    def print(self, number: int, count: int, printed: int | None = None) -> str:
        """A charge, 0.05 a page; its key."""
        asked = request(number, count)
        decision = self.authorize(asked)
        self.assertTrue(decision.allowed)
        done = completion(asked, decision, count if printed is None else printed)
        self.call("complete", self.centre.provider(), done)
        return asked.key

    def purses(self, name: str = "anna") -> dict[str, int]:
        return {one["name"]: one["balance_e4"] for one in self.call("user", name)["purses"]}

    def assertPurses(self, name: str = "anna", **expected: int) -> None:
        self.assertEqual(self.purses(name), expected)
        self.assertEqual(self.balance_e4(name), sum(expected.values()))
        self.assertBooksStand()
        self.branch.follow(self.centre)
        self.assertReplicaIsCentre()

    def assertRefused(self, said, act, *arguments, error=InvalidValue, **given):
        with self.assertRaises(error) as caught:
            act(*arguments, **given)
        self.assertIn(said, str(caught.exception))


class SpendContract(PurseBase):
    """Of PostgreSQL tests/integration/test_postgres_hot.py has the same books."""

    once = True

    def test_quota_first_then_cash_then_the_gift(self) -> None:
        self.fill("quota", 2_000)
        self.fill("gift", 3_000)
        self.assertPurses(quota=2_000, cash=100_000, gift=3_000)
        self.print(1, 2)
        self.assertPurses(quota=1_000, cash=100_000, gift=3_000)
        self.print(2, 10)
        self.assertPurses(quota=0, cash=96_000, gift=3_000)
        self.print(3, 195)
        self.assertPurses(quota=0, cash=0, gift=1_500)

    def test_what_is_in_purses_is_enough_for_a_reservation(self) -> None:
        self.fill("quota", 5_000)
        self.assertFalse(self.authorize(request(1, 211)).allowed)
        asked = request(2, 210)
        decision = self.authorize(asked)
        self.assertTrue(decision.allowed)
        # Reserved is not spent.
        self.assertPurses(quota=5_000, cash=100_000)
        self.call("complete", self.centre.provider(), completion(asked, decision, 210))
        self.assertPurses(quota=0, cash=0)
        self.assertNotIn("forced", self.centre.listed())

    def test_excess_and_what_nobody_was_asked_for(self) -> None:
        self.fill("quota", 5_000)
        self.print(1, 4, printed=6)
        self.assertPurses(quota=2_000, cash=100_000)
        self.tracked(2, "anna", "", 5)
        self.assertPurses(quota=0, cash=99_500)
        self.fill("gift", 1_000)
        self.tracked(3, "anna", "", 210)
        self.assertPurses(quota=0, cash=-4_500, gift=0)

    def test_explained_and_told_in_the_history(self) -> None:
        self.fill("quota", 2_000)
        key = self.print(1, 10)
        (found,) = self.call("explain", key)
        moved = [(t["kind"], t["debit"], t["amount_e4"], t["reason"]) for t in found["transfers"]]
        self.assertEqual(
            moved,
            [
                ("pending", "anna", 5_000, ""),
                ("direct", "quota", 2_000, "purse quota"),
                ("post", "anna", 3_000, ""),
            ],
        )
        page = self.run_operation("user.transactions", name="anna", purse="quota")
        self.assertEqual(
            [(t["amount_e4"], t["balance_e4"]) for t in page["transactions"]],
            [(-2_000, 0), (2_000, 2_000)],
        )
        page = self.run_operation("user.transactions", name="anna")
        self.assertEqual([t["balance_e4"] for t in page["transactions"]], [97_000, 100_000])
        page = self.run_operation("user.transactions", name="anna", purse="gift")
        self.assertEqual(page["transactions"], [])

    def test_many_in_one_batch(self) -> None:
        """On PostgreSQL they are worked on in memory, the purses with them."""
        self.fill("quota", 2_600)
        provider = self.centre.provider()
        asked = [request(number, 2) for number in range(1, 6)]
        store = self.centre.store
        waiting = [store.authorize(provider, one) for one in asked]
        decisions = [self.turner.result(one) for one in waiting]
        done = [completion(one, d, 2) for one, d in zip(asked, decisions, strict=True)]
        waiting = [store.complete(provider, one) for one in done]
        for one in waiting:
            self.turner.result(one)
        self.assertPurses(quota=0, cash=97_600)


class BackBase(PurseBase):
    def refund(self, key: str, amount: str | None = None, **given) -> None:
        given = given if amount is None else {**given, "amount": amount}
        self.run_operation("refund.give", key=key, words="jam", **given)


class BackContract(BackBase):
    def test_cash_comes_back_before_quota(self) -> None:
        self.fill("quota", 2_000)
        key = self.print(1, 10)
        self.assertPurses(quota=0, cash=97_000)
        self.refund(key, "0.20")
        self.assertPurses(quota=0, cash=99_000)
        self.refund(key, "0.20")
        self.assertPurses(quota=1_000, cash=100_000)
        self.refund(key)
        self.assertPurses(quota=2_000, cash=100_000)
        self.assertRefused("was given back before", self.refund, key)


class BackAtLengthContract(BackBase):
    once = True

    def test_what_may_not_be_refunded_stays_spent(self) -> None:
        self.turner.result(self.centre.store.purses.add("promo", 1, False, True))
        self.fill("promo", 2_000)
        key = self.print(1, 10)
        self.assertRefused("is left of it to give back: 0.30", self.refund, key, "0.50")
        self.refund(key)
        self.assertPurses(promo=0, cash=100_000)

    def test_of_somebody_merged_since(self) -> None:
        self.centre.user("ben", 20_000)
        self.fill("quota", 2_000)
        self.fill("gift", 700, "ben")
        key = self.print(1, 3)
        self.call("merge_users", "anna", "ben")
        self.assertPurses("ben", quota=500, cash=120_000, gift=700)
        self.refund(key)
        self.assertPurses("ben", quota=2_000, cash=120_000, gift=700)
        self.print(2, 3)


class AdministeredContract(PurseBase):
    once = True

    def test_an_order_that_is_none_and_one_that_is(self) -> None:
        def order(*names: str):
            found = self.run_operation("purse.order", names=list(names))
            return [one["name"] for one in found]

        for names, words in (
            (("quota", "cash", "gold"), "there is no such purse"),
            (("quota", "cash", "cash", "gift"), "twice"),
            (("quota", "cash"), "lacks gift"),
        ):
            self.assertRefused(words, order, *names)
        self.assertEqual(order("gift", "cash", "quota"), ["gift", "cash", "quota"])
        self.fill("quota", 1_000)
        self.fill("gift", 1_000)
        self.print(1, 3)
        self.assertPurses(gift=0, cash=99_500, quota=1_000)

    def test_names_taken_and_too_many(self) -> None:
        self.assertRefused(
            "already", self.run_operation, "purse.add", name="Quota", error=AlreadyExists
        )
        self.assertRefused("is from 1", self.run_operation, "purse.add", name="x", rank=9)
        for number in range(17):
            self.run_operation("purse.add", name=f"more {number}")
        self.assertRefused("one too many", self.run_operation, "purse.add", name="x")
        self.branch.follow(self.centre)
        self.assertReplicaIsCentre()

    def test_removed_when_empty(self) -> None:
        self.fill("quota", 1_000)
        self.assertRefused("somebody's money", self.run_operation, "purse.remove", name="quota")
        self.assertRefused("everybody has it", self.run_operation, "purse.remove", name="cash")
        with self.assertRaises(NotFound):
            self.run_operation("purse.remove", name="gold")
        self.fill("quota", -1_000)
        found = self.run_operation("purse.remove", name="quota")
        self.assertEqual([one["name"] for one in found], ["cash", "gift"])
        # A purse of the same name is another one.
        self.run_operation("purse.add", name="quota")
        self.fill("quota", 500)
        self.print(1, 2)
        self.assertBooksStand()
        self.branch.follow(self.centre)
        self.assertReplicaIsCentre()

    def test_a_purse_is_never_taken_below_zero(self) -> None:
        self.fill("quota", 1_000)
        self.assertRefused("holds: 0.10", self.fill, "quota", -1_100)
        self.assertRefused("holds: 0.00", self.fill, "gift", -1)
        with self.assertRaises(NotFound):
            self.fill("gold", 100)
        # An administrator's word on the main one holds, as ever.
        self.call("adjust", "anna", -100_500, "")
        self.assertPurses(quota=1_000, cash=-500)

    def test_verify_says_what_is_wrong(self) -> None:
        self.fill("quota", 1_000)
        self.centre.query("UPDATE account SET purses_e4 = 999 WHERE kind = 'personal'")
        found = [one for one in self.call("verify") if "purses of account" in one]
        self.assertEqual(len(found), 1, found)
        self.centre.query("UPDATE account SET debits_e4 = 1001 WHERE kind = 'purse'")
        found = [one for one in self.call("verify") if "less than nothing" in one]
        self.assertEqual(len(found), 1, found)
        self.centre.query("UPDATE account SET purses_e4 = 1000 WHERE kind = 'personal'")
        self.centre.query("UPDATE account SET debits_e4 = 0 WHERE kind = 'purse'")

    def test_given_to_others_of_one_purse(self) -> None:
        self.centre.user("ben", 0)
        self.fill("quota", 3_000)
        self.fill("gift", 3_000)
        given = {"name": "anna", "to": "ben", "reason": "lent"}
        give = self.run_operation
        give("user.transfer", id="t1", amount="0.10", purse="quota", **given)
        self.assertTrue(give("user.transfer", id="t1", amount="0.10", purse="quota", **given))
        self.assertPurses("ben", quota=1_000, cash=0)
        self.assertRefused(
            "not to be given", give, "user.transfer", id="t2", amount="0.10", purse="gift", **given
        )
        self.assertRefused(
            "spend now: 0.20", give, "user.transfer", id="t3", amount="0.30", purse="quota", **given
        )
        self.assertRefused(
            "spend now: 10.00", give, "user.transfer", id="t4", amount="10.01", **given
        )
        # What is reserved is not given away.
        self.authorize(request(1, 200))
        self.assertRefused(
            "spend now: 0.50", give, "user.transfer", id="t5", amount="0.51", **given
        )


class QuotaBase(PurseBase):
    def quota(self, amount_e4: int = 2_000, cap_e4: int | None = 3_000, **more) -> None:
        schedule = Schedule("pages", amount_e4, Rule("daily"), cap_e4, purse="quota")
        self.call("add_quota", attrs.evolve(schedule, **more))
        self.branch.follow(self.centre)

    def run_days(self, days: int = 1) -> None:
        self.turner.clock.advance(days * 86_400)
        while self.call("run_quota") is not None:
            pass

    def call_remove(self) -> None:
        self.fill("quota", -3_000)
        self.run_operation("purse.remove", name="quota")

    def account_of(self, name: str) -> int:
        ((account,),) = self.centre.query("SELECT account FROM user WHERE name = ?", name)
        return int(account)

    def complete(self, asked, decision) -> None:
        done = completion(asked, decision)
        self.turner.result(self.branch.store.complete(self.branch.provider(), done))


class QuotaContract(QuotaBase):
    def test_it_fills_its_purse_up_to_the_cap(self) -> None:
        self.centre.user("staff", 0, restricted=False)
        self.quota()
        self.run_days()
        self.assertPurses(quota=2_000, cash=100_000)
        self.run_days(3)
        self.assertPurses(quota=3_000, cash=100_000)
        self.assertEqual(self.purses("staff"), {})
        self.print(1, 4)
        self.run_days()
        self.assertPurses(quota=3_000, cash=100_000)
        self.assertEqual(self.call("quota", "pages")["purse"], "quota")
        self.assertRefused("filled by a quota", self.call_remove)


class QuotaAtLengthContract(QuotaBase):
    once = True

    def test_a_cap_below_the_amount(self) -> None:
        self.assertRefused("less than the amount", self.quota, 2_000, 1_999)
        with self.assertRaises(NotFound):
            self.quota(purse="gold")

    def test_a_charge_of_before_has_back_what_was_withheld_from_its_purse(self) -> None:
        self.quota()
        self.run_days(2)
        asked = request(1, 8)
        decision = self.authorize(asked)
        self.run_days()
        self.assertPurses(quota=3_000, cash=100_000)
        self.call("complete", self.centre.provider(), completion(asked, decision, 8))
        # As if it had been printed before the run: 0 and 99_000, and then 2_000 more.
        self.assertPurses(quota=2_000, cash=99_000)

    def test_a_cut_site_counts_what_its_purse_will_be_given(self) -> None:
        self.call("adjust", "anna", -100_000, "")
        self.quota()
        self.run_days()
        self.branch.follow(self.centre)
        account = self.account_of("anna")
        asked = request(1, 3)
        decision = self.decide(asked)
        self.assertTrue(decision.allowed)
        self.complete(asked, decision)
        found = self.turner.result(self.branch.store.purse(account))
        self.assertEqual(found.purses, (("quota", 500), ("cash", 0)))
        self.branch.store.go_by(self.turner.environment().wall_s)
        self.turner.clock.advance(86_400)
        found = self.turner.result(self.branch.store.purse(account))
        self.assertEqual((found.balance_e4, found.promised_e4), (500, 2_000))
        self.turner.clock.advance(86_400)
        found = self.turner.result(self.branch.store.purse(account))
        self.assertEqual((found.balance_e4, found.promised_e4), (500, 2_500))


class CutContract(PurseBase):
    once = True

    def test_a_cut_site_decides_by_the_total(self) -> None:
        self.call("adjust", "anna", -100_000, "")
        self.fill("quota", 2_500)
        self.branch.follow(self.centre)
        asked = request(1, 3)
        decision = self.decide(asked)
        self.assertTrue(decision.allowed)
        refused = self.decide(request(2, 6))
        self.assertEqual((refused.verdict, refused.reason), (Verdict.HOLD, Reason.FUNDS))
        done = completion(asked, decision)
        self.turner.result(self.branch.store.complete(self.branch.provider(), done))
        self.branch.forward(self.centre, self.centre.site(self.branch.stream))
        self.assertPurses(quota=1_000, cash=0)


class StrictBase(Strict):
    """What a site is granted was in purses: it comes out the same."""

    def begin(self, balance_e4: int) -> None:
        super().begin(balance_e4)
        self.result(self.centre.store.purses.add("quota", None, True, True))
        self.fill(4_000)

    def fill(self, amount_e4: int) -> None:
        self.result(self.centre.store.adjust("anna", amount_e4, "", "quota"))
        self.branch.follow(self.centre)

    def shown(self) -> dict[str, int]:
        purses = self.result(self.centre.store.user("anna"))["purses"]
        return {one["name"]: one["balance_e4"] for one in purses}

    def in_purse(self) -> int:
        query = "SELECT credits_e4 - debits_e4 FROM account WHERE kind = 'purse'"
        return int(self.centre.query(query)[0][0])


class StrictContract(StrictBase):
    def test_granted_spent_and_returned(self) -> None:
        self.print_online()
        # Of 104_000 a grant of 25 %: what is left of the quota, and cash.
        self.assertEqual(self.in_purse(), 0)
        self.assertEqual(self.shown(), {"quota": 3_500, "cash": 100_000})
        held_e4 = self.held_e4()
        self.assertGreater(held_e4, 3_500)
        # What the site spends is the quota first.
        self.print_cut(4)
        self.heal()
        self.assertEqual(self.shown(), {"quota": 1_500, "cash": 100_000})
        self.assertExact()
        # What comes back is cash first: the quota stays with the site.
        users = [self.user]
        self.result(self.branch.store.give_back(users, held_e4 - 2_000 - 1_500))
        self.heal()
        self.assertEqual((self.in_purse(), self.held_e4()), (0, 1_500))
        self.assertEqual(self.shown(), {"quota": 1_500, "cash": 100_000})
        self.result(self.branch.store.give_back(users, 1_500))
        self.heal()
        self.assertEqual(self.in_purse(), 1_500)
        self.assertEqual(self.shown(), {"quota": 1_500, "cash": 100_000})
        self.assertExact()


class StrictAtLengthContract(StrictBase):
    once = True

    def test_a_charge_paid_by_a_site_is_refunded_to_the_quota(self) -> None:
        self.print_online()
        asked, decision = self.decide(2)
        self.complete(asked, decision)
        self.heal()
        self.assertEqual(self.shown(), {"quota": 2_500, "cash": 100_000})
        self.result(self.centre.store.money.give_refund(asked.key, None, "jam"))
        self.heal()
        self.assertEqual(self.shown(), {"quota": 3_500, "cash": 100_000})
        self.assertExact()

    def test_what_was_lent_counts_for_the_cap(self) -> None:
        quota = Schedule("pages", 2_000, Rule("daily"), 4_500, purse="quota")
        self.result(self.centre.store.add_quota(quota))
        self.print_online()
        self.turner.clock.advance(86_400)
        while self.result(self.centre.store.run_quota()) is not None:
            pass
        self.assertEqual(self.shown(), {"quota": 4_500, "cash": 100_000})
        self.heal()
        self.assertExact()


class AnyOrderContract(Quotas):
    once = True

    @settings(
        max_examples=12,
        deadline=None,
        suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
    )
    @given(OPS)
    def test_the_sum_is_out_by_what_came_late_at_the_most(self, ops) -> None:
        """A late charge may be paid by another purse, whose cap then admits more, or less."""
        world = self.world(attrs.evolve(DAILY, purse="quota"))
        for what, *with_what in ops:
            if what == "advance":
                world.advance(*with_what)
            elif what == "run":
                world.run(*with_what)
            elif what == "ask":
                world.ask(*with_what)
            elif what == "complete" and world.open:
                world.complete(*with_what)
            elif what == "forward":
                world.branch.forward(world.centre, world.site)
            elif what == "follow":
                world.branch.follow(world.centre)
        world.heal()
        for name in ("anna", "ben", "cleo"):
            found = self.result(world.centre.store.user(name))["balance_e4"]
            charged_e4 = sum(c.decision.amount_e4 for c in world.all if c.user == name)
            self.assertLessEqual(abs(found - self.expected(world, name)), charged_e4, name)
        self.assertEqual(self.result(world.centre.store.verify()), [])

    def expected(self, world, name: str) -> int:
        """Runs and charges in the order of their decisions, the quota spent first."""
        mine = [one for one in world.all if one.user == name]
        left = [(parse_due(one.decision.promise), one.decision.amount_e4) for one in mine]
        quota_e4, cash_e4 = 0, OPENING_E4
        for due, schedule in [*world.due(), (None, None)]:
            for named, amount_e4 in list(left):
                if due is None or named < due:
                    left.remove((named, amount_e4))
                    part_e4 = min(quota_e4, amount_e4)
                    quota_e4, cash_e4 = quota_e4 - part_e4, cash_e4 - (amount_e4 - part_e4)
            if due is not None:
                quota_e4 += credit_of(schedule.amount_e4, schedule.cap_e4, quota_e4).credit_e4
        return quota_e4 + cash_e4


on_every_engine(globals())
