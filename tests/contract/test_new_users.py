"""New users begin as their groups' rules say, once; unknown ones become what is set."""

from __future__ import annotations

from typing import Any

from papercutd.domain.decision import Reason, Verdict
from papercutd.domain.import_formats import ImportedUser
from papercutd.domain.policy import UnknownUsers
from papercutd.errors import InvalidValue, NotFound
from papercutd.storage.people.imports import ImportSettings, WaitingLine
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import Centre, Turner, completion, request


class Newcomers:
    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.result = self.turner.result
        self.centre = Centre(self.turner, self.engine)
        self.store = self.centre.store
        self.asker = self.centre.provider()

    def tearDown(self) -> None:
        self.assertEqual(self.result(self.store.verify()), [])

    def rule(self, group: str | None = None, **says: Any) -> None:
        self.result(self.store.new_users.set_rule(group, says))

    def groups(self, *names: str) -> None:
        for name in names:
            self.result(self.store.rules.add_group(name))

    def begun(self, name: str) -> tuple[int, int, int]:
        """Balance, restricted, overdraft."""
        ((balance_e4, restricted, floor_e4),) = self.centre.query(
            "SELECT credits_e4 - debits_e4, restricted, floor_e4 FROM account WHERE name = ?", name
        )
        return balance_e4, restricted, -floor_e4

    def credits(self, name: str) -> list[tuple[int, str]]:
        return self.centre.query(
            "SELECT amount_e4, reason FROM transfer JOIN account ON account.id = credit"
            " WHERE name = ? ORDER BY transfer.id",
            name,
        )


class RuleContract(Newcomers):
    def test_by_group_else_everybody_else_nothing(self) -> None:
        self.groups("Staff", "Students")
        self.result(self.store.add_user("before"))
        self.rule(credit_e4=50_000, overdraft_e4=10_000)
        self.rule("students", credit_e4=20_000)
        self.rule("Staff", restricted=False, credit_e4=0)
        for name, groups in (("anna", ()), ("ben", ("Students",)), ("cleo", ("staff",))):
            self.result(self.store.add_user(name, groups=groups))
        self.assertEqual(self.begun("before"), (0, 1, 0))
        self.assertEqual(self.begun("anna"), (50_000, 1, 10_000))
        self.assertEqual(self.begun("ben"), (20_000, 1, 10_000))
        self.assertEqual(self.begun("cleo"), (0, 0, 10_000))
        self.assertEqual(self.credits("anna"), [(50_000, "initial credit")])
        (member,) = self.result(self.store.rules.members("Students"))
        self.assertEqual(member["name"], "ben")

    def test_several_groups_the_most_generous(self) -> None:
        self.groups("a", "b", "outer")
        self.result(self.store.rules.change_nested("outer", add=["b"]))
        self.rule("a", credit_e4=10_000, restricted=True)
        self.rule("b", restricted=False)
        self.rule("outer", credit_e4=30_000, overdraft_e4=5_000)
        self.result(self.store.add_user("anna", groups=("a", "b")))
        self.assertEqual(self.begun("anna"), (30_000, 0, 5_000))

    def test_what_is_said_of_the_user_goes_before(self) -> None:
        self.rule(credit_e4=50_000, restricted=False, overdraft_e4=10_000)
        self.result(self.store.add_user("anna", balance_e4=0, restricted=True, overdraft_e4=0))
        self.assertEqual(self.begun("anna"), (0, 1, 0))

    def test_a_group_later_gives_nothing(self) -> None:
        self.groups("a")
        self.rule("a", credit_e4=10_000, restricted=False)
        self.result(self.store.add_user("anna"))
        self.result(self.store.rules.change_group("a", add=["anna"]))
        self.assertEqual(self.begun("anna"), (0, 1, 0))

    def test_a_rule_is_changed_in_part_and_taken_away(self) -> None:
        rules = self.store.new_users
        self.groups("a")
        self.rule("a", credit_e4=10_000)
        self.rule("a", restricted=False)
        (row,) = self.result(rules.rules())
        self.assertEqual((row["user_group"], row["credit_e4"]), ("a", 10_000))
        self.assertEqual(row["restricted"], 0)
        for bad in ({"credit_e4": -1}, {"overdraft_e4": 10**15}):
            with self.assertRaises(InvalidValue):
                self.rule(None, **bad)
        with self.assertRaises(InvalidValue):
            self.rule("a", credit_e4=None, restricted=None)
        with self.assertRaises(NotFound):
            self.rule("none", credit_e4=1)
        self.result(rules.remove_rule("a"))
        with self.assertRaises(NotFound):
            self.result(rules.remove_rule("a"))
        self.rule("a", credit_e4=10_000)
        self.result(self.store.rules.remove_group("a"))
        self.assertEqual(self.result(rules.rules()), [])

    def test_an_import(self) -> None:
        people = self.store.people
        self.groups("a")
        self.rule("a", credit_e4=10_000, overdraft_e4=2_000)
        lines = [
            WaitingLine(ImportedUser(1, "anna")),
            WaitingLine(ImportedUser(2, "ben", balance_e4=70_000)),
        ]
        self.result(people.begin_import("i", "users", ImportSettings(groups=("a",))))
        self.result(people.put_aside("i", lines))
        self.result(people.begin_applying("i"))
        while not self.result(people.apply_import("i")).is_done:
            pass
        self.assertEqual(self.begun("anna"), (10_000, 1, 2_000))
        self.assertEqual(self.begun("ben"), (70_000, 1, 2_000))
        self.assertEqual(self.credits("anna"), [(10_000, "initial credit")])
        self.assertEqual(self.credits("ben"), [(70_000, "import")])
        self.assertEqual(len(self.result(self.store.rules.members("a"))), 2)

    def test_who_pays_their_jobs(self) -> None:
        """As a group's rule says, for whoever is made one by one or by a file; written, and shown,
        with the account's name."""
        people = self.store.people
        self.groups("a", "b")
        account = self.result(self.store.shared.add("Physics"))
        self.rule(account_selection="popup")
        self.rule("a", account_selection="shared:Physics+confirm")
        self.rule("b", credit_e4=10_000)
        self.result(self.store.add_user("anna", groups=("a",)))
        self.result(self.store.add_user("ben", groups=("b",)))
        self.result(people.begin_import("i", "users", ImportSettings(groups=("a",))))
        self.result(people.put_aside("i", [WaitingLine(ImportedUser(1, "cleo"))]))
        self.result(people.begin_applying("i"))
        while not self.result(people.apply_import("i")).is_done:
            pass
        kept = f"shared:{account}+confirm"
        self.assertEqual(
            self.centre.query("SELECT name, account_mode, needs FROM user ORDER BY name"),
            [
                ("anna", kept, "account-modes"),
                ("ben", "popup", "account-modes"),
                ("cleo", kept, "account-modes"),
            ],
        )
        shown = [row["account_selection"] for row in self.result(self.store.new_users.rules())]
        self.assertEqual(shown, ["popup", "shared:Physics+confirm", None])
        self.rule(account_selection="default", credit_e4=1)
        self.result(self.store.add_user("dora"))
        self.assertEqual(
            self.centre.query("SELECT account_mode, needs FROM user WHERE name = 'dora'"),
            [("", "")],
        )
        for wrong in ("shared:Nowhere", "sometimes", "popup+confirm", "shared:7\x00"):
            with self.assertRaises(InvalidValue):
                self.rule(account_selection=wrong)

    def test_a_user_source(self) -> None:
        self.groups("a")
        self.rule("a", credit_e4=10_000)
        users = [{"name": "anna", "groups": ["a", "of the directory alone"]}]
        self.assertEqual(self.result(self.store.import_users(users)), 1)
        self.assertEqual(self.result(self.store.import_users(users)), 0)
        self.assertEqual(self.begun("anna"), (10_000, 1, 0))


class UnknownContract(Newcomers):
    def set(self, what: str | None, site: str | None = None, per_hour: int | None = None) -> None:
        word = None if what is None else UnknownUsers(what)
        self.result(self.store.new_users.set_unknown(site, word, per_hour))

    def ask(self, number: int, name: str = "new", **more: object) -> Any:
        return self.result(self.store.authorize(self.asker, request(number, 1, name, **more)))

    def test_denied_held_created(self) -> None:
        seen = []
        for number, what in enumerate((None, "hold", "deny", "create"), 1):
            if what is not None:
                self.set(what)
            decision = self.ask(number)
            seen.append((decision.verdict, decision.reason, decision.user is None))
        self.assertEqual(
            seen,
            [
                (Verdict.DENY, Reason.UNKNOWN_USER, True),
                (Verdict.HOLD, Reason.UNKNOWN_USER, True),
                (Verdict.DENY, Reason.UNKNOWN_USER, True),
                # A user without credit.
                (Verdict.DENY, Reason.FUNDS, False),
            ],
        )

    def test_created_they_begin_as_new_users_and_pay(self) -> None:
        self.set("create")
        self.rule(credit_e4=10_000)
        asked = request(1, 4, "CORP\\New ")
        decision = self.result(self.store.authorize(self.asker, asked))
        self.assertEqual(decision.verdict, Verdict.ALLOW)
        self.assertEqual(self.result(self.store.authorize(self.asker, asked)), decision)
        self.result(self.store.complete(self.asker, completion(asked, decision)))
        self.assertEqual(self.begun("New"), (8_000, 1, 0))
        self.assertTrue(self.ask(2, "new").allowed)
        self.assertEqual(self.credits("New"), [(10_000, "initial credit")])
        (met,) = self.result(self.store.new_users.met())
        self.assertEqual((met["name"], met["met_by"]), ("New", "application"))

    def test_by_the_site_of_the_printer(self) -> None:
        self.set("create", site="north")
        self.set("hold")
        south = self.centre.provider("p2")
        asked = request(2, 1, "ben", provider="p2", printer=2)
        self.assertIsNotNone(self.ask(1).user)
        self.assertEqual(self.result(self.store.authorize(south, asked)).verdict, Verdict.HOLD)
        self.set(None, site="north")
        self.assertEqual(self.ask(3, "cleo").verdict, Verdict.HOLD)

    def test_names_that_are_none(self) -> None:
        self.set("create")
        for number, name in enumerate((" ", "x" * 256, "a\tb", "CORP\\"), 1):
            decision = self.ask(number, name)
            self.assertEqual((decision.verdict, decision.user), (Verdict.DENY, None), name)

    def test_accents_make_nobody_another(self) -> None:
        self.set("create")
        first = self.ask(1, "Ren\u00e9").user
        self.assertEqual(self.ask(2, "Rene\u0301").user, first)

    def test_somebody_who_left_is_not_unknown(self) -> None:
        self.set("create")
        self.result(self.store.add_user("old"))
        self.result(self.store.delete_user("old"))
        self.assertEqual(self.ask(1, "old").reason, Reason.CLOSED)
        self.assertEqual(self.result(self.store.new_users.met()), [])

    def test_too_many_in_an_hour_are_held_and_said_once(self) -> None:
        self.set("create", per_hour=3)
        for number in range(1, 8):
            decision = self.ask(number, f"name{number}")
            self.assertEqual(decision.user is None, number > 3)
        self.assertEqual((decision.verdict, decision.reason), (Verdict.HOLD, Reason.UNKNOWN_USER))
        self.assertEqual(self.centre.listed(), ["unknown-users-many"])
        self.assertTrue(self.result(self.store.new_users.unknown()).is_alarmed)
        self.turner.clock.advance(3_600)
        self.assertFalse(self.result(self.store.new_users.unknown()).is_alarmed)
        self.assertIsNotNone(self.ask(8, "name8").user)
        for bad in (0, 10_001):
            with self.assertRaises(InvalidValue):
                self.set(None, per_hour=bad)


on_every_engine(globals())
