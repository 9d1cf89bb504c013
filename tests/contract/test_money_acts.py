"""Many accounts adjusted at once, and transfers between users: whole, and once by their id."""

from __future__ import annotations

import tempfile

from twisted.internet.defer import Deferred

from papercutd.errors import InvalidValue, NotFound
from papercutd.services.adjust_operations import AdjustOperations
from papercutd.storage.money.money_acts import PIECE_ROWS
from tests.contract.test_people import PeopleBase
from tests.support.engines import on_every_engine
from tests.support.stores import request


class MoneyBase(PeopleBase):
    def operations(self):
        return AdjustOperations(self.centre.store)

    def run_operation(self, _operation, **given):
        operation = self.operations().all()[_operation]
        return self.turner.result(Deferred.fromCoroutine(operation(given, lambda figures: None)))

    def assertBooksStand(self):
        self.assertEqual(self.call("verify"), [])


class AdjustManyContract(MoneyBase):
    def many(self, text=None, **given):
        given = {"id": "a1", "reason": "new term", **given}
        if text is None:
            return self.run_operation("user.adjust-many", **given)
        with tempfile.NamedTemporaryFile() as file:
            file.write(text.encode())
            file.flush()
            return self.run_operation("user.adjust-many", path=file.name, **given)

    def acts(self):
        return self.centre.query("SELECT id, state FROM money_act ORDER BY id")

    def test_a_group_once(self) -> None:
        rules = self.centre.store.rules
        self.centre.user("ben", 0)
        self.centre.user("eva", 0)
        self.turner.result(rules.add_group("class"))
        self.turner.result(rules.change_group("class", add=["anna", "ben"]))
        given = {"group": "class", "amount": "5.00"}
        self.assertTrue(self.many(check=True, **given)["changed_nothing"])
        self.assertEqual(self.acts(), [])
        found = self.many(**given)
        self.assertEqual((found["users"], found["total"], found["repeated"]), (2, "10.00", False))
        # As it was begun, whoever is in the group by now.
        self.turner.result(rules.change_group("class", add=["eva"]))
        self.assertEqual((found := self.many(**given))["users"], 2)
        self.assertTrue(found["repeated"])
        self.assertEqual([self.balance_e4(n) for n in ("anna", "ben", "eva")], [150_000, 50_000, 0])
        with self.assertRaises(InvalidValue):
            self.many(**{**given, "amount": "6.00"})
        with self.assertRaises(NotFound):
            self.many(id="a2", group="nobody", amount="1")
        self.assertEqual(self.acts(), [("a1", "done")])
        self.assertBooksStand()
        self.branch.follow(self.centre)
        self.assertReplicaIsCentre()

    def test_a_file_with_own_amounts(self) -> None:
        self.centre.user("ben", 0)
        found = self.many("ANNA\n\nben\t-2.50\n", amount="1")
        self.assertEqual((found["users"], found["total_e4"]), (2, -15_000))
        self.assertEqual((self.balance_e4(), self.balance_e4("ben")), (110_000, -25_000))
        self.assertBooksStand()

    def test_a_wrong_line_changes_nothing(self) -> None:
        text = "anna\nnobody\nAnna\nanna\t1,5\nanna\t€5\nanna\t1e3\nanna\t" + "1" * 20 + "\n\t4\n"
        found = self.many(text, amount="1")
        self.assertFalse(found["ok"])
        self.assertEqual([one["line"] for one in found["rejected"]], [4, 5, 6, 7, 8, 2, 3])
        said = {one["line"]: one["reason"] for one in found["rejected"]}
        for line, words in {
            2: "no user 'nobody'",
            3: "same user as line 1",
            4: "holds a comma",
            5: "holds a currency",
            6: "with an exponent",
            7: "more than eleven digits",
            8: "names nobody",
        }.items():
            self.assertIn(words, said[line])
        self.assertEqual((self.balance_e4(), self.acts()), (100_000, []))
        for bad in ({"amount": "0"}, {"amount": "1", "reason": " "}, {"amount": "1", "id": "a b"}):
            with self.assertRaises(InvalidValue):
                self.many("anna\n", **bad)
        self.assertEqual(self.acts(), [])

    def test_what_was_begun_is_finished_and_what_was_not_is_forgotten(self) -> None:
        names = [f"u{n}" for n in range(PIECE_ROWS + 1)]
        self.call("import_users", [{"name": name} for name in names])
        money = self.centre.store.money
        apply, calls = money.apply_act, []

        def interrupted(id):
            if calls:
                raise SystemError("interrupted")
            calls.append(id)
            return apply(id)

        money.apply_act = interrupted
        text = "".join(f"{name}\n" for name in names)
        with self.assertRaises(SystemError):
            self.many(text, amount="1.00")
        money.apply_act = apply
        self.assertEqual(self.acts(), [("a1", "applying")])
        self.turner.result(Deferred.fromCoroutine(self.operations().resume()))
        self.assertEqual(self.acts(), [("a1", "done")])
        found = self.many(text, amount="1.00")
        self.assertEqual((found["users"], found["repeated"]), (len(names), True))
        self.assertEqual({self.balance_e4(name) for name in names[-3:] + names[:3]}, {10_000})
        self.assertBooksStand()

    def test_a_server_that_starts_meanwhile_forgets_it(self) -> None:
        """Of several on one database: it cannot tell that another is at it."""
        money = self.centre.store.money
        begin = money.begin_applying_act

        def forgotten(id, users):
            self.turner.result(Deferred.fromCoroutine(self.operations().resume()))
            return begin(id, users)

        money.begin_applying_act = forgotten
        with self.assertRaises(InvalidValue) as caught:
            self.many("anna\n", amount="1")
        self.assertIn("repeat it", str(caught.exception))
        money.begin_applying_act = begin
        self.assertEqual((self.balance_e4(), self.acts()), (100_000, []))
        self.assertEqual(self.many("anna\n", amount="1")["users"], 1)

    def test_an_account_that_holds_no_more_is_left_out(self) -> None:
        self.centre.user("ben", 99_500_000_000 * 10_000)
        found = self.many("anna\nben\t900000000\n", amount="2")
        self.assertEqual((found["ok"], found["users"], found["left_out"]), (False, 1, 1))
        self.assertEqual(self.balance_e4(), 120_000)

    def test_one_that_holds_no_more_is_refused_in_words(self) -> None:
        self.centre.user("ben", 99_999_999_900 * 10_000)
        with self.assertRaisesRegex(InvalidValue, "to the limit of any amount"):
            self.call("adjust", "ben", 900_000, "too much")
        self.assertBooksStand()


class TransferContract(MoneyBase):
    def setUp(self) -> None:
        super().setUp()
        self.centre.user("ben", 0)

    def give(self, amount="4.00", name="anna", to="ben", **given):
        given = {"id": "t1", "reason": "lunch", **given}
        return self.run_operation("user.transfer", name=name, to=to, amount=amount, **given)

    def test_both_sides_once(self) -> None:
        self.assertFalse(self.give()["repeated"])
        self.assertTrue(self.give()["repeated"])
        self.assertEqual((self.balance_e4(), self.balance_e4("ben")), (60_000, 40_000))
        reasons = self.centre.query(
            "SELECT reason FROM transfer WHERE key = 'transfer:t1' ORDER BY id"
        )
        self.assertEqual(reasons, [("to ben: lunch",), ("from anna: lunch",)])
        with self.assertRaises(InvalidValue):
            self.give("5.00")
        self.assertBooksStand()

    def test_only_what_the_giver_may_spend(self) -> None:
        self.assertTrue(self.authorize(request(1, 100)).allowed)
        with self.assertRaises(InvalidValue) as caught:
            self.give("5.01")
        self.assertIn("more than anna may spend now: 5.00", str(caught.exception))
        self.give("5.00")
        self.turner.result(self.centre.store.people.set_user("ben", {"restricted": False}))
        with self.assertRaises(InvalidValue):
            self.give("5.01", name="ben", to="anna", id="t2")
        self.assertEqual((self.balance_e4(), self.balance_e4("ben")), (50_000, 50_000))

    def test_bad_input(self) -> None:
        for amount in ("0", "-1", "1,00", "$1", "1e2", "1" * 20, ""):
            with self.assertRaises(InvalidValue):
                self.give(amount)
        with self.assertRaises(InvalidValue):
            self.give(to="ANNA")
        with self.assertRaises(InvalidValue):
            self.give(reason="")
        with self.assertRaises(NotFound):
            self.give(to="nobody")
        self.call("delete_user", "ben")
        with self.assertRaises(NotFound):
            self.give()
        self.assertEqual(self.centre.query("SELECT id FROM money_act"), [])
        self.assertEqual(self.balance_e4(), 100_000)


on_every_engine(globals())
