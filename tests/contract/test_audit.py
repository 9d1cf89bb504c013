"""Every administrative act has its entry, in the transaction of the act and unchangeable."""

from __future__ import annotations

import json
from typing import Any

from papercutd.errors import InvalidValue, NotFound, PapercutError
from papercutd.services import audit_operations
from papercutd.services.administration import StoreOperations
from papercutd.services.auditing import CALLER, READS, Caller, audited
from papercutd.storage.administration import audit
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import Centre, Turner


class AuditContract:
    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        self.centre.user("anna", 50_000)
        env = self.turner.environment()
        plain = StoreOperations(self.centre.store).all()
        self.operations = audited(plain, self.centre.store, env)

    def do(self, operation: str, /, **arguments: Any) -> Any:
        return self.turner.run(self.operations[operation](arguments, lambda told: None))

    def entries(self, **asked: Any) -> list[dict[str, Any]]:
        return self.do("audit", **asked)["entries"]

    def test_before_and_after_in_one_change(self) -> None:
        before = self.turner.result(self.centre.store.head()).number
        self.do("user.adjust", name="anna", amount="2.50", reason="a gift")
        (entry,) = self.entries()
        self.assertEqual(
            (entry["who"], entry["operation"], entry["outcome"]),
            ("administrator", "user.adjust", "done"),
        )
        self.assertEqual(entry["arguments"], {"name": "anna", "amount": "2.50", "reason": "a gift"})
        (was,), (became,) = entry["was"].values(), entry["became"].values()
        self.assertEqual(
            (was["account.balance_e4"], became["account.balance_e4"]), (50_000, 75_000)
        )
        self.assertEqual(self.turner.result(self.centre.store.head()).number, before + 1)

    def test_a_new_one_has_no_before_and_a_rename_is_the_same_row(self) -> None:
        self.do("user.add", name="ben", balance="1")
        self.do("user.rename", name="ben", new_name="benno")
        renamed, added = self.entries()
        self.assertEqual(list(added["was"].values()), [{}])
        self.assertEqual(next(iter(added["became"].values()))["name"], "ben")
        self.assertEqual(next(iter(renamed["became"].values()))["name"], "benno")

    def test_refused(self) -> None:
        with self.assertRaises(NotFound):
            self.do("user.adjust", name="nobody", amount="1")
        for bad in ({"name": "anna"}, {"name": "a\0b\ud800"}, {"name": "x" * 9_000}, {"name": 1}):
            with self.assertRaises(PapercutError):
                self.do("user.adjust", **bad, amount="much")
        with self.assertRaises(InvalidValue):
            self.do("user.delete", **{str(n): "x" * 9_000 for n in range(100)})
        self.assertEqual(
            sorted((e["outcome"], len(e["became"])) for e in self.entries()),
            [*[("invalid-value", 0)] * 5, ("not-found", 0)],
        )

    def test_policies_and_other_rows(self) -> None:
        self.do("policy.set", settings={"policy": "closed"}, site="north")
        self.do("site.set", name="north", host="branch.example", device_port=9999)
        self.do("printer.set", name="lp1", release="secure")
        rows = [entry["became"] for entry in self.entries()]
        self.assertEqual(next(iter(rows[0].values()))["release"], "secure")
        self.assertIn({"host": "branch.example", "device_port": 9999}, rows[1].values())
        self.assertIn({"policy": "closed"}, rows[2].values())

    def change(self, operation: str, /, **arguments: Any) -> tuple[Any, Any]:
        """What the entry of that act shows before and after, of the one thing it is about."""
        self.do(operation, **arguments)
        entry = self.entries()[0]
        self.assertEqual(entry["operation"], operation)
        (was,), (became,) = entry["was"].values(), entry["became"].values()
        return was, became

    def test_what_is_no_row_of_one_table(self) -> None:
        change = self.change
        _, made = change("price.set", prices={"*": ["0.10", "0.40"]})
        self.assertEqual(made["version"], 2)
        self.do("purse.add", name="quota")
        self.assertEqual(
            change("purse.order", names=["cash", "quota"]),
            ({"order": ["quota", "cash"]}, {"order": ["cash", "quota"]}),
        )
        self.assertEqual(
            change("new-user-rule.set", credit="5.00")[1],
            {"credit_e4": 50_000, "restricted": None, "overdraft_e4": None}
            | {"account_selection": None},
        )
        self.assertEqual(
            change("new-user-rule.set", credit="6.00"),
            ({"credit_e4": 50_000}, {"credit_e4": 60_000}),
        )
        self.assertEqual(
            change("unknown-users.set", what="create"),
            ({}, {"all others": "create"}),
        )
        self.do("group.add", name="staff")
        self.do("group.add-users", name="staff", users=["anna"])
        self.assertEqual(
            change("user.set", group="staff", account_mode="popup"),
            ({"default": 1}, {"popup": 1}),
        )
        self.do("account.add", name="Physics")
        self.assertEqual(change("account.add", name="Laser", parent="Physics")[0], {})

    def test_both_sides_of_a_transfer(self) -> None:
        self.centre.user("ben", 10_000)
        self.do(
            "user.transfer", id="t1", name="anna", to="ben", amount="1.00", reason="a shared poster"
        )
        became = self.entries()[0]["became"].values()
        self.assertEqual([row["account.balance_e4"] for row in became], [40_000, 20_000])

    def test_no_secret(self) -> None:
        self.turner.result(self.centre.store.ensure_secret("card-key", "6b" * 32))
        self.do("user.card", name="anna", number="CARD12345")
        uri = "ipp://me:word@printer/x"
        self.do("printer.add", name="lp3", provider="p1", uri=uri)
        said = json.dumps(self.centre.query("SELECT arguments, was, became FROM audit"))
        for secret in ("CARD12345", "word@", "me:"):
            self.assertNotIn(secret, said)
        self.assertIn("lp3", said)

    def test_what_is_new_is_audited(self) -> None:
        """An operation that only reads is named as one: no other is left out."""
        words = {name.rpartition(".")[2] for name in READS}
        changing = {"add", "set", "delete", "remove", "merge", "rename", "adjust", "import", "run"}
        self.assertEqual(words & changing, set())
        kept = {n for n, one in self.operations.items() if not hasattr(one, "__wrapped__")}
        self.assertEqual(kept, set(self.operations) & READS)

    def test_an_act_without_a_transaction(self) -> None:
        async def nothing(arguments: Any, progress: Any) -> Any:
            return None

        store, env = self.centre.store, self.turner.environment()
        operation = audited({"job.release": nothing}, store, env, Caller("eve", "a page"))
        self.turner.run(operation["job.release"]({"job": "x"}, lambda told: None))
        (entry,) = self.entries()
        self.assertEqual(
            (entry["who"], entry["place"], entry["outcome"]), ("eve", "a page", "done")
        )

    def test_reading_has_none(self) -> None:
        self.do("user.show", name="anna")
        self.do("site.list")
        self.assertEqual(self.entries(), [])

    def test_who_and_pages(self) -> None:
        self.patch(audit_operations, "PAGE_ROWS", 3)
        self.patch(audit.read_entries, "__defaults__", (3,))
        for number in range(7):
            self.turner.clock.advance(1.0)
            self.operate_as("carl" if number % 2 else "dora", number)
        found, more = [], {}
        while True:
            page = self.do("audit", **more)
            found += [entry["arguments"]["amount"] for entry in page["entries"]]
            if page["next"] is None:
                break
            more = {"before": page["next"]}
        self.assertEqual(found, [str(n) for n in (7, 6, 5, 4, 3, 2, 1)])
        self.assertEqual({e["who"] for e in self.entries(who="carl")}, {"carl"})
        self.assertEqual(len(self.entries(who="carl", operation="user.adjust")), 3)
        self.assertEqual(self.entries(operation="user.add"), [])
        self.assertEqual(self.entries(since="2100-01-01"), [])

    def operate_as(self, who: str, number: int) -> None:
        token = CALLER.set(Caller(who, "a test"))
        try:
            self.do("user.adjust", name="anna", amount=str(number + 1))
        finally:
            CALLER.reset(token)

    def test_verify_finds_nothing_and_nothing_can_be_changed(self) -> None:
        self.do("user.delete", name="anna")
        self.assertEqual(self.do("verify")["problems"], [])
        for change in ("UPDATE audit SET who = 'x'", "DELETE FROM audit"):
            with self.assertRaises(self.centre.refused):
                self.centre.query(change)


on_every_engine(globals())
