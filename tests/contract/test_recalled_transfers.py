"""A transfer between users is not refused while sites hold the giver's money: design 4.10."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from papercutd.errors import InvalidValue
from papercutd.services.adjust_operations import AdjustOperations
from papercutd.storage.money.allowances import Shortage
from tests.contract.test_allowances import Strict
from tests.support.engines import on_every_engine


class RecalledTransferContract(Strict):
    def setUp(self) -> None:
        super().setUp()
        self.centre.user("ben", 0)
        self.recalled: list[Shortage] = []
        self.operations = AdjustOperations(self.centre.store, self.recall)

    async def recall(self, shortage: Shortage) -> bool:
        """The site gives back what is missing, and its journal comes in."""
        self.recalled.append(shortage)
        number = await self.branch.store.give_back(list(shortage.users), shortage.missing_e4)
        while self.branch.forward(self.centre, self.site):
            pass
        return bool(number)

    def transfer(self, amount: str, id: str = "t1", operations=None):
        given = {"id": id, "name": "anna", "to": "ben", "amount": amount, "reason": "lent"}
        run = (operations or self.operations).transfer(given, lambda figures: None)
        return self.result(Deferred.fromCoroutine(run))

    def spendable_e4(self) -> int:
        ((credits_e4, debits_e4),) = self.centre.query(
            "SELECT credits_e4, debits_e4 FROM account WHERE name = 'anna'"
        )
        return credits_e4 - debits_e4

    def test_what_sites_hold_is_asked_back_first(self) -> None:
        self.print_online()
        all_e4, here_e4 = self.balance_e4(), self.spendable_e4()
        self.assertLess(here_e4, all_e4)
        amount = f"{all_e4 // 10_000}"
        found = self.transfer(amount)
        self.assertFalse(found["repeated"])
        ((missing_e4, sites),) = [(one.missing_e4, one.sites) for one in self.recalled]
        self.assertEqual((missing_e4, sites), (int(amount) * 10_000 - here_e4, ("site:north",)))
        self.assertEqual(self.balance_e4(), all_e4 - int(amount) * 10_000)
        # Said again it is done, and nobody is asked for anything.
        self.assertTrue(self.transfer(amount)["repeated"])
        self.assertEqual(len(self.recalled), 1)
        self.heal()
        self.assertExact()

    def test_nobody_is_asked_for_what_there_is(self) -> None:
        self.print_online()
        self.transfer("1.00")
        self.assertEqual(self.recalled, [])

    def test_more_than_all_of_it(self) -> None:
        self.print_online()
        with self.assertRaises(InvalidValue):
            self.transfer("99.00")
        # Refused with everything back at the centre, and once.
        self.assertEqual(len(self.recalled), 1)
        with self.assertRaises(InvalidValue):
            self.transfer("99.00")
        self.heal()
        self.assertExact()

    def test_without_sites_to_ask(self) -> None:
        self.print_online()
        with self.assertRaises(InvalidValue):
            self.transfer("9.00", operations=AdjustOperations(self.centre.store))
        self.assertEqual(self.recalled, [])


on_every_engine(globals())
