"""``papercutd policy`` and ``group``: what is said to administrators."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands.main import parser, readable
from papercutd.domain.policy import Knob, check_value
from papercutd.domain.policy_words import WORDS, find_knob, parse_value, show_time, show_value
from papercutd.errors import InvalidValue, NotFound
from papercutd.services.administration import StoreOperations
from tests.support.stores import Centre, Turner


class OperationCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner)
        self.operations = StoreOperations(self.centre.store).all()
        self.centre.user("anna")
        self.centre.user("boss", restricted=False)
        self.run_it("group.add", name="Students")
        self.run_it("group.add-users", name="students", users=["anna"])

    def run_it(self, operation: str, **arguments: Any) -> Any:
        work = self.operations[operation](arguments, lambda figures: None)
        return self.turner.result(Deferred.fromCoroutine(work))

    def set(self, *settings: str, **place: str) -> Any:
        pairs = dict(setting.split("=") for setting in settings)
        return self.run_it("policy.set", settings=pairs, **place)


class GroupTests(OperationCase):
    def test_users_come_and_go(self) -> None:
        self.assertEqual(
            self.run_it("group.add-users", name="Students", users=["boss"])["added"], 1
        )
        self.assertEqual(len(self.run_it("group.members", name="Students")), 2)
        self.assertEqual(len(self.run_it("group.members", name="Students", after="anna")), 1)
        gone = self.run_it("group.remove-users", name="Students", users=["boss", "anna"])
        self.assertEqual(gone["removed"], 2)
        self.assertEqual(self.run_it("group.list")[0]["users"], 0)
        self.assertEqual(self.run_it("group.remove", name="Students")["users"], 0)

    def test_bad_input(self) -> None:
        for users in ([], [3], ["x"] * 1_001):
            with self.assertRaises(InvalidValue):
                self.run_it("group.add-users", name="Students", users=users)
        for users in ("anna", ["nobody"]):
            with self.assertRaises((InvalidValue, NotFound)):
                self.run_it("group.add-users", name="Students", users=users)


class PolicyTests(OperationCase):
    def test_defaults(self) -> None:
        shown = self.run_it("policy.show")
        self.assertEqual(shown["for"], "anybody in no group")
        self.assertEqual([row["site"] for row in shown["sites"]], ["north", "south"])
        self.assertEqual(shown["rules"], [])
        # 200 grey A4 pages at each of two sites.
        self.assertEqual(shown["overspend_bound"]["bound_e4"], 200_000)

    def test_by_group_and_user(self) -> None:
        self.set("cap=50pages", "passwords=never", group="students")
        self.set("policy=closed", site="south")
        for given in ({"group": "Students"}, {"user": "anna"}):
            shown = self.run_it("policy.show", **given)
            self.assertEqual(
                [(row["policy"], row["cap_e4"], row["passwords"]) for row in shown["sites"]],
                [("capped", 25_000, "never"), ("closed", 25_000, "never")],
            )
            self.assertEqual(shown["overspend_bound"]["bound_e4"], 25_000)
        shown = self.run_it("policy.show", user="boss", site="north")
        self.assertEqual((shown["restricted"], len(shown["sites"])), (False, 1))
        # Nobody stops who is not restricted.
        self.assertIsNone(shown["overspend_bound"]["bound_e4"])
        self.assertIn("not restricted", shown["overspend_bound"]["means"])
        self.assertEqual(len(self.run_it("policy.show")["rules"]), 3)
        self.assertIn("Students", readable(self.run_it("policy.show")))

    def test_widening_is_said(self) -> None:
        self.assertEqual(self.set("cap=10pages")["warnings"], [])
        (warning,) = self.set("cap=20.00", site="north")["warnings"]
        self.assertEqual(warning, "anybody may now overspend up to 20.50, 1.00 before")
        warnings = self.set("cap=none", group="students")["warnings"]
        # At north the rule of the site is more specific.
        self.assertEqual(
            warnings, ["group Students may now overspend without a bound, 20.50 before"]
        )
        warned = self.set("unknown-users=uncollected", "stale-after=never")["warnings"]
        self.assertEqual(len(warned), 2)
        cleared = self.run_it("policy.clear", knobs=["cap"], site="north")
        self.assertEqual(cleared["warnings"], [])

    def test_clear(self) -> None:
        self.set("cap=1pages", "policy=strict", "account=hold")
        gone = self.run_it("policy.clear", knobs=["cap"])["cleared"]
        self.assertEqual([(row["knob"], row["value"]) for row in gone], [("cap", "1pages")])
        with self.assertRaises(NotFound):
            self.run_it("policy.clear", knobs=["cap", "policy"])
        self.assertEqual(len(self.run_it("policy.clear")["cleared"]), 2)
        with self.assertRaises(NotFound):
            self.run_it("policy.clear", group="Students")

    def test_bad_input(self) -> None:
        for settings, place in (
            ({}, {}),
            ({"colour": "blue"}, {}),
            ({"cap": 5}, {}),
            ({"cap": "-1"}, {}),
            ({"unknown-users": "hold"}, {"group": "Students"}),
        ):
            with self.assertRaises(InvalidValue):
                self.run_it("policy.set", settings=settings, **place)
        for place in ({"site": "east"}, {"group": "staff"}):
            with self.assertRaises(NotFound):
                self.run_it("policy.set", settings={"cap": "none"}, **place)
        with self.assertRaises(InvalidValue):
            self.run_it("policy.show", user="anna", group="Students")
        with self.assertRaises(NotFound):
            self.run_it("policy.show", user="nobody")

    def test_shared_accounts_by_name(self) -> None:
        account = self.turner.result(self.centre.store.shared.add("project", 0))
        (row,) = self.set("account=shared:project")["set"]
        self.assertEqual(row["value"], "shared:project")
        self.assertEqual(self.run_it("policy.show")["sites"][0]["account"], "shared:project")
        view = self.turner.result(self.centre.store.rules.view())
        self.assertEqual(view.stored[0].value, f"shared:{account}")
        with self.assertRaises(InvalidValue):
            self.set("account=shared:nobody")


class AccountModeTests(OperationCase):
    def setUp(self) -> None:
        super().setUp()
        self.run_it("account.add", name="Physics", balance="0")

    def mode(self, name: str = "anna") -> str:
        return str(self.run_it("user.show", name=name)["account_mode"])

    def test_of_a_user(self) -> None:
        self.assertEqual(self.mode(), "default")
        for mode in ("popup", "shared:Physics+confirm", "personal", "default"):
            shown = self.run_it("user.set", name="anna", account_mode=mode)
            self.assertEqual((shown["account_mode"], self.mode()), (mode, mode))

    def test_of_a_group(self) -> None:
        done = self.run_it("user.set", group="students", account_mode="shared:Physics")
        self.assertEqual(done, {"group": "students", "changed": 1})
        self.assertEqual((self.mode(), self.mode("boss")), ("shared:Physics", "default"))

    def test_of_the_installation(self) -> None:
        self.set("account-mode=shared:Physics+confirm", group="students")
        self.set("account-mode=popup", "account-choice-timeout=2m")
        shown = {
            user: self.run_it("policy.show", user=user)["sites"][0] for user in ("anna", "boss")
        }
        self.assertEqual(shown["anna"]["account_mode"], "shared:Physics+confirm")
        self.assertEqual(shown["boss"]["account_mode"], "popup")
        self.assertEqual(shown["boss"]["account_choice_timeout"], "2m")
        self.assertEqual(
            sorted(rule["value"] for rule in self.run_it("policy.show")["rules"]),
            ["2m", "popup", "shared:Physics+confirm"],
        )

    def test_bad_input(self) -> None:
        for arguments in (
            {"name": "anna", "account_mode": "shared:Biology"},
            {"name": "anna", "account_mode": 3},
            {"group": "students"},
            {"group": "students", "account_mode": "popup", "name": "anna"},
            {"group": "students", "account_mode": "popup", "email": "a@b.c"},
        ):
            with self.assertRaises(InvalidValue, msg=str(arguments)):
                self.run_it("user.set", **arguments)
        with self.assertRaises(NotFound):
            self.run_it("user.set", group="nobody", account_mode="popup")
        for setting, place in (
            ("account-mode=popup", {"site": "north"}),
            ("account-mode=shared:Biology", {}),
            ("account-choice-timeout=5m", {"group": "students"}),
            ("account-choice-timeout=5s", {}),
            ("account-choice-timeout=never", {}),
        ):
            with self.assertRaises(InvalidValue, msg=setting):
                self.set(setting, **place)

    def test_command_line(self) -> None:
        words = ["user", "set", "--group", "students", "--account-mode", "popup"]
        options = parser().parse_args(words)
        self.assertEqual((options.name, options.group), (None, "students"))


class WordsTests(SynchronousTestCase):
    def test_each_way_of_writing(self) -> None:
        shared = {"project": 4}
        for knob, text, kept, shown in (
            ("policy", "strict", "strict", "strict"),
            ("cap", "200pages", "pages:200", "200pages"),
            ("cap", "1 page", "pages:1", "1pages"),
            ("cap", "7p", "pages:7", "7pages"),
            ("cap", "12.5", "e4:125000", "12.50"),
            ("cap", "none", "none", "none"),
            ("beyond-cap", "deny", "deny", "deny"),
            ("stale-after", "90m", "5400", "90m"),
            ("stale-after", "48h", "172800", "2d"),
            ("stale-after", "0s", "0", "0s"),
            ("stale-after", "never", "never", "never"),
            ("passwords", "until-stale", "until-stale", "until-stale"),
            ("account", "shared:project", "shared:4", "shared:project"),
            ("account", "personal", "personal", "personal"),
            ("unknown-users", "uncollected", "uncollected", "uncollected"),
            ("alarm-total", "500", "e4:5000000", "500.00"),
            ("alarm-age", "1d", "86400", "1d"),
        ):
            self.assertEqual(parse_value(find_knob(knob), text, shared), kept)
            check_value(knob, kept)
            self.assertEqual(show_value(knob, kept, {4: "project"}), shown)
            # What is shown can be written again.
            self.assertEqual(parse_value(find_knob(knob), shown, shared), kept)

    def test_nothing_else(self) -> None:
        self.assertEqual(set(WORDS), set(Knob))
        for knob in Knob:
            for text in ("", "x", "-1", "1e3", "9999999pages", "400d", "5 d", "1,5", "shared:"):
                with self.assertRaises(InvalidValue):
                    parse_value(knob, text, {})
        self.assertRaises(InvalidValue, find_knob, "")

    def test_what_a_later_release_wrote_is_shown_as_it_is(self) -> None:
        for knob, value in (("cap", "by-the-moon"), ("a-later-knob", "x"), ("account", "shared:x")):
            self.assertEqual(show_value(knob, value, {}), value)

    def test_times(self) -> None:
        for seconds, expected in ((None, "never"), (0, "0s"), (61, "61s"), (604_800.0, "7d")):
            self.assertEqual(show_time(seconds), expected)

    def test_command_line(self) -> None:
        options = parser().parse_args(["policy", "set", "cap=none", "--group", "g"])
        self.assertEqual((options.settings, options.group, options.site), (["cap=none"], "g", None))
        options = parser().parse_args(["group", "add-users", "g", "a", "b"])
        self.assertEqual((options.name, options.users), ("g", ["a", "b"]))
