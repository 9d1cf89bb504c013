"""What fills purses beside quotas: vouchers and acts on many; and what the main one is called."""

from __future__ import annotations

from papercutd.domain.voucher import make_serial
from papercutd.errors import AlreadyExists, InvalidValue, NotFound
from papercutd.services.adjust_operations import AdjustOperations
from papercutd.services.purse_operations import PurseOperations
from papercutd.services.voucher_operations import VoucherOperations
from tests.contract import test_voucher_claims
from tests.contract.test_purses import PurseBase
from tests.support.engines import on_every_engine
from tests.support.stores import completion, request

AMOUNT_E4 = test_voucher_claims.AMOUNT_E4


class _Fill(PurseBase):
    def setUp(self) -> None:
        super().setUp()
        self.vouchers = VoucherOperations(self.centre.store, self.turner.environment(7))

    def operations(self):
        store = self.centre.store

        class All:
            def all(_):
                return {
                    **PurseOperations(store).all(),
                    **AdjustOperations(store).all(),
                    **self.vouchers.all(),
                }

        return All()

    def add(self, purse, name="may"):
        given = {"name": name, "amount": "5.00", "count": 2, "purse": purse}
        return self.run_operation("voucher.add", **given)

    def redeem(self, serial):
        return self.run_operation("voucher.redeem", voucher=serial, name="anna")


class FillContract(_Fill):
    def test_vouchers_of_a_purse(self) -> None:
        batch = self.add("quota")
        self.assertEqual(batch["purse"], "quota")
        found = self.redeem(batch["serials"][0])
        self.assertEqual((found["purse"], found["balance_e4"]), ("quota", 150_000))
        self.assertPurses(quota=50_000, cash=100_000)
        self.redeem(self.add("", "june")["serials"][0])
        self.assertPurses(quota=50_000, cash=150_000)
        listed = self.run_operation("voucher.list")
        self.assertEqual([row["purse"] for row in listed], ["quota", "cash"])

    def test_many_of_a_purse(self) -> None:
        rules = self.centre.store.rules
        self.centre.user("ben", 0)
        self.turner.result(rules.add_group("class"))
        self.turner.result(rules.change_group("class", add=["anna", "ben"]))
        many = {"group": "class", "reason": "new term", "purse": "quota"}
        found = self.run_operation("user.adjust-many", id="a1", amount="2.00", **many)
        self.assertEqual((found["users"], found["total"]), (2, "4.00"))
        self.assertPurses(quota=20_000, cash=100_000)
        self.assertPurses("ben", quota=20_000, cash=0)
        # Who has less than is taken keeps it, and is told of.
        self.call("adjust", "ben", -10_000, "taken", "quota")
        found = self.run_operation("user.adjust-many", id="a2", amount="-1.50", **many)
        self.assertEqual((found["ok"], found["users"], found["left_out"]), (False, 1, 1))
        self.assertPurses(quota=5_000, cash=100_000)
        self.assertPurses("ben", quota=10_000, cash=0)
        again = self.run_operation("user.adjust-many", id="a1", amount="2.00", **many)
        self.assertTrue(again["repeated"])
        other = {**many, "purse": "gift"}
        for id, error in (("a1", InvalidValue), ("a3", None)):
            act = (self.run_operation, "user.adjust-many")
            given = {"id": id, "amount": "2.00", "check": error is None, **other}
            if error is None:
                act[0](*act[1:], **given)
            else:
                self.assertRefused("another act", *act, **given)
        for check in (True, False):
            given = {"id": "a4", "amount": "1", "check": check, **many, "purse": "nothing"}
            self.assertRefused(
                "purse", self.run_operation, "user.adjust-many", error=NotFound, **given
            )
        self.assertEqual(self.centre.query("SELECT id FROM money_act WHERE id = 'a4'"), [])

    def test_the_main_purse_is_called_otherwise(self) -> None:
        self.fill("quota", 2_000)
        rename = (self.run_operation, "purse.rename")
        names = [row["name"] for row in rename[0](rename[1], name="cash", new_name="Euros")]
        self.assertEqual(names, ["quota", "Euros", "gift"])
        self.assertPurses(quota=2_000, Euros=100_000)
        account = self.branch.query("SELECT account FROM replica.user WHERE name = 'anna'")[0][0]
        shown = self.turner.result(self.branch.store.purse(account)).purses
        self.assertEqual(shown, (("quota", 2_000), ("Euros", 100_000)))
        self.fill("Euros", 500)
        self.assertEqual(self.add("Euros")["purse"], "Euros")
        self.run_operation("purse.order", names=["Euros", "quota", "gift"])
        self.print(1, 2)
        self.assertPurses(Euros=99_500, quota=2_000)
        self.run_operation("purse.add", name="new")
        names = [row["name"] for row in self.run_operation("purse.list")]
        self.assertEqual(names, ["new", "Euros", "quota", "gift"])
        self.assertRefused("no purse", self.fill, "cash", 500, error=NotFound)
        for name, new_name, error in (
            ("quota", "other", InvalidValue),
            ("Euros", "QUOTA", AlreadyExists),
            ("Euros", " x", InvalidValue),
            ("nothing", "x", NotFound),
        ):
            with self.assertRaises(error):
                rename[0](rename[1], name=name, new_name=new_name)
        self.assertRefused("main purse", self.run_operation, "purse.remove", name="Euros")
        rename[0](rename[1], name="Euros", new_name="euros")
        self.assertPurses(euros=99_500, quota=2_000)


class FillOnceContract(_Fill):
    """What no engine does otherwise."""

    once = True

    def test_a_purse_that_vouchers_do_not_fill(self) -> None:
        self.assertRefused("purse", self.add, "nothing", error=NotFound)
        self.run_operation("purse.add", name="state", fillable=False)
        self.assertRefused("state is not filled by vouchers", self.add, "state")
        self.assertEqual(self.run_operation("voucher.list"), [])
        # Administrators and quotas fill it all the same.
        self.fill("state", 1_000)
        self.assertPurses(state=1_000, cash=100_000)

    def test_a_purse_stays_while_vouchers_fill_it(self) -> None:
        self.add("quota")
        remove = (self.run_operation, "purse.remove")
        self.assertRefused("that nobody has redeemed", *remove, name="quota")
        self.run_operation("voucher.cancel", name="may")
        self.run_operation("purse.remove", name="quota")
        self.assertEqual(self.run_operation("voucher.list")[0]["purse"], "quota")


class ClaimedPurseContract(test_voucher_claims._Vouchers):
    """Vouchers that fill another purse than the main one, redeemed at sites."""

    once = True

    def setUp(self) -> None:
        super().setUp()
        self.result(self.centre.store.purses.add("quota", None, True, True))
        draw = self.turner.environment(9).rng.randrange
        self.serials = [make_serial(draw) for _ in range(2)]
        add = self.centre.store.money.add_vouchers
        self.result(add("june", AMOUNT_E4, self.serials, None, "quota"))
        self.heal()

    def in_quota_e4(self, name: str = "anna") -> int:
        query = "SELECT purses_e4 FROM account WHERE name = ?"
        self.assertEqual(self.result(self.centre.store.verify()), [])
        return self.centre.query(query, name)[0][0]

    def test_credited(self) -> None:
        _, found = self.redeem(self.north)
        self.assertEqual(found.purse, "quota")
        self.assertEqual(self.purse(self.north).cut_e4, 150_000)
        self.heal()
        self.assertEqual(self.in_quota_e4(), AMOUNT_E4)
        for branch in (self.north, self.south):
            shown = self.purse(branch).purses
            self.assertEqual(shown, (("quota", AMOUNT_E4), ("cash", 100_000)))

    def test_who_was_second_has_nothing_of_it(self) -> None:
        self.redeem(self.north)
        self.redeem(self.south, "bea")
        self.heal(self.north, self.south)
        self.assertEqual(self.centre.listed(), ["voucher-conflict"])
        self.assertEqual((self.in_quota_e4(), self.in_quota_e4("bea")), (AMOUNT_E4, 0))
        self.assertEqual(self.balance_e4("bea"), 100_000)

    def test_cancelled_and_the_purse_gone(self) -> None:
        self.redeem(self.north)
        self.result(self.centre.store.money.cancel_vouchers("june", None))
        self.result(self.centre.store.purses.remove("quota"))
        self.heal()
        self.assertEqual(self.centre.listed(), ["voucher-cancelled"])
        self.assertEqual((self.in_quota_e4(), self.balance_e4()), (0, 100_000))

    def test_spent_there_before_it_came_in(self) -> None:
        """The purse pays for what was printed by its grace."""
        self.result(self.centre.store.adjust("anna", -100_000, ""))
        self.heal()
        self.redeem(self.north)
        asker = self.north.provider()
        decision = self.result(self.north.store.decide(asker, request(1, 2)))
        self.assertTrue(decision.allowed)
        self.result(self.north.store.complete(asker, completion(request(1, 2), decision, 2)))
        self.heal()
        self.assertEqual(self.in_quota_e4(), AMOUNT_E4 - decision.amount_e4)
        self.assertEqual((self.balance_e4(), self.centre.listed()), (0, []))


on_every_engine(globals())
