"""Transactions of an account: each balance is exact, on whatever page it stands."""

from __future__ import annotations

from typing import Any

from papercutd.errors import InvalidValue, NotFound
from papercutd.services.transaction_operations import TransactionOperations
from papercutd.storage.money import transactions
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import Centre, Turner, completion, request


class TransactionsContract:
    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        self.centre.user("anna", 50_000)
        self.centre.user("ben", 1_000)
        self.operations = TransactionOperations(self.centre.store).all()
        self.result = self.turner.result

    def call(self, operation: str, **arguments: Any) -> Any:
        return self.turner.run(self.operations[operation](arguments, lambda told: None))

    def work(self) -> None:
        store, asker = self.centre.store, self.centre.provider()
        for number in range(1, 5):
            asked = request(number, number)
            decision = self.result(store.authorize(asker, asked))
            if number == 2:
                self.result(store.cancel(asker, asked.key, "canceled"))
                continue
            # The third prints more than was reserved: two transfers.
            count = 5 if number == 3 else None
            self.result(store.complete(asker, completion(asked, decision, count)))
            self.result(store.adjust("anna", (-1) ** number * 700, f"number {number}"))
        asked = request(9, 3)
        self.result(store.authorize(asker, asked))

    def balance_e4(self, name: str) -> int:
        account = self.centre.account(name)
        return account["credits_e4"] - account["debits_e4"]

    def test_each_balance_on_pages_of_any_size(self) -> None:
        self.work()
        whole = self.call("user.transactions", name="anna")
        rows = whole["transactions"]
        self.assertIsNone(whole["next"])
        self.assertEqual(rows[0]["balance_e4"], self.balance_e4("anna"))
        # From the oldest on: what it was before, and what was moved.
        sum_e4 = 0
        for row in reversed(rows):
            sum_e4 += row["amount_e4"]
            self.assertEqual(row["balance_e4"], sum_e4)
        self.assertIn("number 4", [row["reason"] for row in rows])
        for size in (1, 2, len(rows)):
            self.patch(transactions.read_page, "__defaults__", (size,))
            found: list[Any] = []
            page = self.call("user.transactions", name="anna")
            while True:
                found += page["transactions"]
                if page["next"] is None:
                    break
                page = self.call("user.transactions", name="anna", before=page["next"])
            self.assertEqual(found, rows)

    def test_what_comes_between_two_pages_changes_neither(self) -> None:
        self.work()
        rows = self.call("user.transactions", name="anna")["transactions"]
        self.patch(transactions.read_page, "__defaults__", (2,))
        first = self.call("user.transactions", name="anna")
        self.result(self.centre.store.adjust("anna", 123, "meanwhile"))
        second = self.call("user.transactions", name="anna", before=first["next"])
        self.assertEqual(first["transactions"] + second["transactions"], rows[:4])

    def test_shared_accounts_and_merged_people(self) -> None:
        self.result(self.centre.store.shared.add("Physics", 9_000))
        (row,) = self.call("account.transactions", name="Physics")["transactions"]
        self.assertEqual((row["amount_e4"], row["balance_e4"]), (9_000, 9_000))
        self.result(self.centre.store.merge_users("ben", "anna"))
        rows = self.call("user.transactions", name="ben")["transactions"]
        self.assertEqual([row["balance_e4"] for row in rows], [51_000, 50_000])

    def test_bad_input(self) -> None:
        for operation in self.operations:
            with self.assertRaises(NotFound):
                self.call(operation, name="nobody")
            for bad in ("x", "1", "1 2 3", "-1 0", f"{2**62} 0", f"1 {10**15}", "1.5 0"):
                with self.assertRaises(InvalidValue):
                    self.call(operation, name="anna", before=bad)


on_every_engine(globals())
