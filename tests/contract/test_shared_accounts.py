"""Shared accounts as a tree: who may charge them and what they add, alike at both servers."""

from __future__ import annotations

from typing import Any

import attrs

from papercutd.commands.price import quote_text
from papercutd.domain.decision import Reason, Verdict
from papercutd.domain.document import Document
from papercutd.domain.policy import ANY, Knob, Rule, needed_for
from papercutd.domain.pricing import PriceLine
from papercutd.errors import AlreadyExists, InvalidValue, NameKept, NotFound, Rejected
from papercutd.storage.money.shared_accounts import FOREVER_S, Access
from papercutd.storage.people.people import CARD_KEY
from papercutd.storage.replication import replicated
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import WALL_S, Branch, Centre, Turner, completion, request


class Base:
    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        self.users = {name: self.centre.user(name) for name in ("anna", "berta", "carl")}
        self.store, self.rules = self.centre.store, self.centre.store.rules
        self.shared = self.store.shared
        self.result(self.store.ensure_secret(CARD_KEY, "0" * 64))
        for name in ("staff", "lab"):
            self.result(self.rules.add_group(name))
        self.result(self.rules.change_nested("staff", ["lab"]))
        self.result(self.rules.change_group("lab", ["anna"]))
        self.ids = {
            name: self.add(name, 1_000_000)
            for name in ("Physics", "Physics\\Laser", "Physics\\Laser\\Diode", "Law")
        }
        self.branch = Branch(self.turner, engine=self.engine)
        self.site = self.centre.site(self.branch.stream)
        self.branch.load_snapshot(self.centre)
        self.askers = self.centre.provider(), self.branch.provider()
        self.number = 0

    def result(self, work: Any) -> Any:
        return self.turner.result(work)

    def add(self, name: str, balance_e4: int = 0, **settings: Any) -> int:
        return self.result(self.shared.add(name, balance_e4, settings))

    def set(self, name: str, **settings: Any) -> None:
        self.result(self.shared.set(name, settings))

    def ask(self, user: str, account: str, **more: Any) -> tuple[Any, Any]:
        """The application server's answer and that of a cut site, by its replica."""
        self.branch.follow(self.centre)
        self.number += 2
        fields = {"user": user, "account": self.ids[account], **more}
        there = self.result(self.store.authorize(self.askers[0], request(self.number, **fields)))
        asked = request(self.number + 1, **fields)
        here = self.result(self.branch.store.decide(self.askers[1], asked))
        return there, here

    def reasons(self, user: str, account: str) -> set[Reason]:
        return {one.reason for one in self.ask(user, account)}

    def listed(self, user: str, find: str = "") -> list[str]:
        found = []
        self.branch.follow(self.centre)
        for store in (self.store, self.branch.store):
            pages = self.result(store.shared_accounts(self.users[user], find, "", 20))
            found.append([one.name for one in pages])
        self.assertEqual(*found)
        return found[0]


class SharedAccountContract(Base):
    def test_renamed_and_moved_with_what_is_below(self) -> None:
        self.assertEqual(
            self.result(self.shared.rename("Physics\\Laser", "Optics")), "Physics\\Optics"
        )
        name = self.result(self.shared.move("Physics\\Optics", "Law"))
        self.assertEqual(name, "Law\\Optics")
        self.assertEqual(
            self.listed("anna"), ["Law", "Law\\Optics", "Law\\Optics\\Diode", "Physics"]
        )
        # A former name finds it, and is not given to another for a while.
        shown = self.result(self.shared.show("Physics\\Laser\\Diode"))
        self.assertEqual(shown["name"], "Law\\Optics\\Diode")
        with self.assertRaises(NameKept):
            self.add("Physics\\Laser")
        self.result(self.shared.add("Physics\\Laser", now=True))
        self.result(self.shared.move("Law\\Optics", ""))
        self.assertEqual(self.result(self.shared.show("Optics\\Diode"))["parent"], "Optics")
        for own in ("a\\b", "", " x"):
            with self.assertRaises(InvalidValue):
                self.result(self.shared.rename("Law", own))
        below = self.result(self.shared.page("", "Optics"))
        self.assertEqual([row["name"] for row in below], ["Optics", "Optics\\Diode"])

    def test_access_is_inherited_unless_it_has_its_own(self) -> None:
        self.result(self.shared.change_access("Physics", add=Access(("berta",), ("staff",))))
        everybody = {Reason.NONE}
        self.assertEqual(self.reasons("anna", "Physics\\Laser\\Diode"), everybody)
        self.assertEqual(self.reasons("berta", "Physics\\Laser"), everybody)
        self.assertEqual(self.reasons("carl", "Physics\\Laser"), {Reason.ACCOUNT})
        self.assertEqual(self.listed("carl"), ["Law"])
        self.assertEqual(self.listed("anna", "laser"), ["Physics\\Laser", "Physics\\Laser\\Diode"])
        self.set("Physics\\Laser", access="everybody")
        self.assertEqual(self.reasons("carl", "Physics\\Laser\\Diode"), everybody)
        self.assertEqual(self.reasons("carl", "Physics"), {Reason.ACCOUNT})
        self.result(self.shared.change_access("Physics\\Laser\\Diode", add=Access(("carl",))))
        self.assertEqual(self.reasons("anna", "Physics\\Laser\\Diode"), {Reason.ACCOUNT})
        self.set("Physics\\Laser\\Diode", access="inherit")
        self.set("Physics\\Laser", access="inherit")
        self.assertEqual(self.reasons("carl", "Physics\\Laser\\Diode"), {Reason.ACCOUNT})
        shown = self.result(self.shared.show("Physics\\Laser\\Diode"))
        self.assertEqual(
            (shown["access"], shown["access_by"], shown["users"], shown["groups"]),
            ("inherit", "Physics", ["berta"], ["staff"]),
        )
        self.result(self.shared.move("Physics\\Laser", "Law"))
        self.assertEqual(self.reasons("carl", "Physics\\Laser\\Diode"), everybody)

    def test_groups_come_and_go(self) -> None:
        self.result(self.shared.change_access("Law", add=Access((), ("staff",))))
        self.assertEqual(self.reasons("anna", "Law"), {Reason.NONE})
        self.result(self.rules.change_nested("staff", remove=["lab"]))
        self.assertEqual(self.reasons("anna", "Law"), {Reason.ACCOUNT})
        self.result(self.rules.change_group("staff", ["carl"]))
        self.assertEqual(self.reasons("carl", "Law"), {Reason.NONE})
        self.result(self.rules.change_nested("staff", ["lab"]))
        self.assertEqual(self.reasons("anna", "Law"), {Reason.NONE})
        self.result(self.rules.remove_group("staff"))
        self.assertEqual(self.reasons("carl", "Law"), {Reason.ACCOUNT})
        self.assertEqual(self.centre.query("SELECT * FROM account_access"), [])
        for named in (Access(("nobody",)), Access((), ("nobody",))):
            with self.assertRaises(NotFound):
                self.result(self.shared.change_access("Law", add=named))

    def test_a_mark_up_is_a_line_of_its_own_at_both(self) -> None:
        self.set("Law", markup_e4=1_250)
        there, here = self.ask("anna", "Law", count=3)
        lines = (PriceLine("A4 grey", 3, 500), PriceLine("mark-up 12.5 %", 1, 187))
        self.assertEqual((there.lines, here.lines), (lines, lines))
        document = request(1, 3).document
        quotes = [
            self.result(one.quote(document, "anna", "lp1", "Law"))
            for one in (self.branch.store, self.store)
        ]
        self.assertEqual(*quotes)
        self.assertEqual((quotes[0]["amount_e4"], quotes[0]["refused"]), (1_687, ""))
        asked = request(self.number + 1, 3, user="anna", account=self.ids["Law"])
        told = self.result(self.branch.store.complete(self.askers[1], completion(asked, here, 2)))
        self.branch.forward(self.centre, self.site)
        (row,) = self.centre.query("SELECT amount_e4, pages FROM charge WHERE key = ?", asked.key)
        self.assertEqual((tuple(row), told.amount_e4), ((1_125, 2), 1_125))
        self.assertEqual(self.centre.listed(), [])
        (explained,) = self.result(self.store.explain(asked.key))
        self.assertEqual(
            [(line["what"], line["amount_e4"]) for line in explained["lines"]],
            [("A4 grey", 1_000), ("mark-up 12.5 %", 125)],
        )
        self.assertEqual(explained["account"], "Law")

    def test_an_account_that_is_only_named_adds_no_mark_up_to_a_quote(self) -> None:
        self.set("Law", markup_e4=1_250)
        self.result(self.store.people.set_user("anna", {"account_mode": "popup+named"}))
        self.branch.follow(self.centre)
        document = request(1, 3).document
        for store in (self.branch.store, self.store):
            quote = self.result(store.quote(document, "anna", "lp1", "Law"))
            alone = self.result(store.quote(document, "anna", "lp1"))
            self.assertEqual((quote["amount_e4"], quote["named"]), (1_500, True))
            # Their own purses pay.
            self.assertEqual(quote["spendable_e4"], alone["spendable_e4"])
            self.assertIn("named for the account Law", quote_text(quote))
            other = self.result(store.quote(document, "carl", "lp1", "Law"))
            self.assertEqual((other["amount_e4"], other["named"]), (1_687, False))
        there, here = self.ask("anna", "Law", count=3)
        self.assertEqual((there.amount_e4, here.amount_e4), (1_500, 1_500))

    def test_a_quote_for_who_always_charges_a_shared_account(self) -> None:
        self.set("Law", markup_e4=1_250)
        self.result(self.store.people.set_user("anna", {"account_mode": "shared:Law"}))
        self.branch.follow(self.centre)
        for store in (self.branch.store, self.store):
            quote = self.result(store.quote(request(1, 3).document, "anna", "lp1"))
            chosen = self.result(store.quote(request(1, 3).document, "anna", "lp1", "Law"))
            self.assertEqual((quote["amount_e4"], quote["account"]), (1_687, "Law"))
            self.assertEqual(quote, chosen)

    def test_only_named_by_everybodys_mode(self) -> None:
        self.set("Law", markup_e4=1_250)
        knob, mode = Knob.ACCOUNT_MODE, "popup+named"
        rule = Rule(knob.value, mode, ANY, ANY, needed_for(knob, mode))
        self.result(self.rules.change_rules(set=[rule]))
        self.branch.follow(self.centre)
        for store in (self.branch.store, self.store):
            quote = self.result(store.quote(request(1, 3).document, "anna", "lp1", "Law"))
            self.assertEqual((quote["amount_e4"], quote["named"]), (1_500, True))

    def test_a_quote_for_a_mode_of_a_newer_release(self) -> None:
        self.branch.query("UPDATE replica.user SET account_mode = 'raffle'")
        self.centre.query("UPDATE user SET account_mode = 'raffle'")
        for store in (self.branch.store, self.store):
            quote = self.result(store.quote(request(1, 3).document, "anna", "lp1", "Law"))
            self.assertEqual(quote["refused"], "capability")

    def test_made_with_all_its_settings_or_not_at_all(self) -> None:
        """Who may charge it is one of them: in between everybody could."""
        add = self.shared.add
        with self.assertRaises(InvalidValue):
            self.result(add("New", 1_000, {"access": "whoever"}))
        self.assertNotIn("New", [row["name"] for row in self.result(self.shared.page())])
        (before,) = self.centre.query("SELECT number FROM head")
        self.result(add("New", 1_000, {"access": "listed", "notes": "n"}))
        self.assertEqual(self.centre.query("SELECT number FROM head"), [(before[0] + 1,)])
        self.assertEqual(self.result(self.shared.show("New"))["access"], "listed")

    def test_found_by_its_pin_at_both(self) -> None:
        self.set("Physics\\Laser", pin="12-34 ab")
        self.branch.follow(self.centre)
        for store in (self.store, self.branch.store):
            for pin, names in (("1234AB", ["Physics\\Laser"]), ("1234", []), ("34AB", [])):
                found = self.result(store.account_by_pin(self.users["anna"], pin))
                self.assertEqual([one.name for one in found], names)
            with self.assertRaises(InvalidValue):
                self.result(store.account_by_pin(self.users["anna"], "!"))
        self.result(self.shared.change_access("Physics", add=Access(("carl",))))
        self.branch.follow(self.centre)
        for store in (self.store, self.branch.store):
            self.assertEqual(self.result(store.account_by_pin(self.users["anna"], "1234AB")), [])

    def test_an_older_site_is_told_it_is_closed(self) -> None:
        def told(name: str) -> Any:
            found = self.centre.store.read(
                lambda c: c.execute(
                    f"SELECT closed, shut FROM {replicated.TABLES['account'].source} WHERE id = ?",
                    (self.ids[name],),
                ).fetchone()
            )
            return tuple(self.result(found))

        self.assertEqual(told("Law"), (0, 0))
        self.set("Law", markup_e4=1)
        self.assertEqual(told("Law"), (1, 0))
        self.set("Law", markup_e4=0)
        self.assertEqual(told("Law"), (0, 0))
        self.assertNotIn("access", replicated.TABLES["account"].columns_at(1))


class SharedRulesContract(Base):
    """What no engine does otherwise."""

    once = True

    def test_names_are_full_ones(self) -> None:
        shown = self.result(self.shared.show("physics\\laser\\DIODE"))
        self.assertEqual(
            (shown["name"], shown["parent"]), ("Physics\\Laser\\Diode", "Physics\\Laser")
        )
        for name, words in (
            ("\\Laser", "backslash at the wrong place"),
            ("Physics\\", "backslash at the wrong place"),
            ("Physics\\\\Laser", "backslash at the wrong place"),
            ("Physics\\ Optics", "backslash at the wrong place"),
            ("", "is empty"),
            ("x" * 256, "longer than 255"),
        ):
            with self.assertRaisesRegex(InvalidValue, words):
                self.add(name)
        with self.assertRaises(NotFound):
            self.add("Art\\Paint")
        with self.assertRaises(AlreadyExists):
            self.add("PHYSICS\\laser")

    def test_too_deep_in_a_circle_and_below_a_closed_one(self) -> None:
        name = "Law"
        for number in range(7):
            name = f"{name}\\{number}"
            self.add(name)
        with self.assertRaisesRegex(InvalidValue, "9 accounts below each other, more than 8"):
            self.add(f"{name}\\x")
        with self.assertRaisesRegex(InvalidValue, "no account can be below itself"):
            self.result(self.shared.move("Law", name))
        with self.assertRaisesRegex(InvalidValue, "is 'Law' itself"):
            self.result(self.shared.move("Law", "Law"))
        with self.assertRaisesRegex(InvalidValue, "more than 8"):
            self.result(self.shared.move("Law", "Physics"))
        self.assertEqual(self.result(self.shared.close("Physics\\Laser")), 2)
        with self.assertRaisesRegex(InvalidValue, "'Physics.Laser' is closed"):
            self.add("Physics\\Laser\\x")
        with self.assertRaisesRegex(InvalidValue, "is closed"):
            self.result(self.shared.reopen("Physics\\Laser\\Diode"))
        self.result(self.shared.reopen("Physics\\Laser"))
        self.result(self.shared.reopen("Physics\\Laser\\Diode"))
        self.assertEqual(self.reasons("anna", "Physics\\Laser\\Diode"), {Reason.NONE})

    def test_who_was_merged_brings_it_along(self) -> None:
        self.result(self.shared.change_access("Law", add=Access(("berta",))))
        self.result(self.store.merge_users("berta", "carl"))
        self.assertEqual(self.reasons("carl", "Law"), {Reason.NONE})
        self.assertEqual(self.listed("carl", "law"), ["Law"])
        self.assertEqual(self.result(self.shared.change_access("Law", remove=Access(("carl",)))), 1)
        self.assertEqual(self.reasons("carl", "Law"), {Reason.ACCOUNT})

    def test_what_was_brought_along_can_be_taken_away(self) -> None:
        """It is shown with the heir, and the heir is taken out of the group with it."""
        groups = self.rules
        self.result(groups.add_group("brought"))
        self.result(groups.change_group("brought", ["berta"]))
        self.result(self.shared.change_access("Law", add=Access((), ("brought",))))
        self.result(self.store.merge_users("berta", "carl"))
        self.branch.follow(self.centre)
        self.assertEqual(self.reasons("carl", "Law"), {Reason.NONE})
        shown = self.result(self.store.user("carl"))
        self.assertEqual(shown["groups_of_merged"], ["brought"])
        self.assertNotIn("brought", shown["groups"])
        self.assertEqual(self.result(groups.change_group("brought", remove=["carl"])), 1)
        self.branch.follow(self.centre)
        self.assertEqual(self.reasons("carl", "Law"), {Reason.ACCOUNT})
        self.assertEqual(self.result(self.store.user("carl"))["groups_of_merged"], [])

    def test_refused_at_the_centre_held_at_a_site_and_what_has_happened_posts(self) -> None:
        self.result(self.shared.change_access("Law", add=Access(("berta",))))
        there, here = self.ask("anna", "Law")
        self.assertEqual((there.verdict, there.account), (Verdict.DENY, None))
        self.assertEqual((here.verdict, here.account), (Verdict.HOLD, None))
        self.set("Law", access="everybody")
        self.branch.follow(self.centre)
        asked = request(90, user="anna", account=self.ids["Law"])
        decision = self.result(self.branch.store.decide(self.askers[1], asked))
        self.result(self.shared.change_access("Law", add=Access(("berta",))))
        self.result(self.branch.store.complete(self.askers[1], completion(asked, decision, 1)))
        self.branch.forward(self.centre, self.site)
        paid = self.centre.query("SELECT account, amount_e4 FROM charge WHERE key = ?", asked.key)
        self.assertEqual([tuple(row) for row in paid], [(self.ids["Law"], 500)])

    def test_disabled_until(self) -> None:
        self.set("Law", disabled_until=WALL_S + 50)
        self.assertEqual(self.reasons("anna", "Law"), {Reason.CLOSED})
        self.assertNotIn("Law", self.listed("anna"))
        self.turner.clock.advance(51)
        self.assertEqual(self.reasons("anna", "Law"), {Reason.NONE})
        self.assertIn("Law", self.listed("anna"))
        self.set("Law", disabled_until=FOREVER_S)
        self.assertEqual(self.reasons("anna", "Law"), {Reason.CLOSED})
        self.set("Law", disabled_until=None)
        self.assertEqual(self.reasons("anna", "Law"), {Reason.NONE})

    def test_what_a_site_took_more_or_less_is_listed(self) -> None:
        """It knew another mark-up: what it told its user is posted, and listed."""
        self.set("Law", markup_e4=1_000)
        _, here = self.ask("anna", "Law")
        self.set("Law", markup_e4=0)
        asked = request(self.number + 1, user="anna", account=self.ids["Law"])
        self.result(self.branch.store.complete(self.askers[1], completion(asked, here, 1)))
        self.branch.forward(self.centre, self.site)
        paid = self.centre.query("SELECT amount_e4 FROM charge WHERE key = ?", asked.key)
        self.assertEqual([tuple(row) for row in paid], [(550,)])
        self.assertEqual(self.centre.listed(), ["price-difference"])

    def test_forged_mark_ups_are_refused(self) -> None:
        self.set("Law", markup_e4=1_000)
        _, here = self.ask("anna", "Law")
        asked = request(self.number + 1, user="anna", account=self.ids["Law"])
        side = PriceLine("A4 grey", 1, 500)
        for more in (
            (PriceLine("mark-up 10.01 %", 1, 50),),
            (PriceLine("mark-up 10 %", 1, 51),),
            (PriceLine("mark-up 10 %", 2, 25),),
            (PriceLine("mark-up 10 %", 1, 50), PriceLine("mark-up 10 %", 1, 50)),
        ):
            forged = attrs.evolve(here, lines=(side, *more))
            with self.assertRaises(Rejected):
                done = completion(asked, forged, 1)
                self.result(self.store.complete(self.askers[0], done))
        self.assertEqual(self.centre.query("SELECT * FROM charge"), [])

    def test_a_counted_document_is_marked_up_too(self) -> None:
        self.set("Law", markup_e4=5_000)
        unknown = Document((), analysed=False, format="application/x-unknown")
        asked = request(77, user="anna", account=self.ids["Law"])
        asked = attrs.evolve(asked, document=unknown)
        decision = self.result(self.store.authorize(self.askers[0], asked))
        told = self.result(self.store.complete(self.askers[0], completion(asked, decision, 2)))
        self.assertEqual((told.amount_e4, told.pages), (1_500, 2))

    def test_bounds(self) -> None:
        for settings in (
            {"markup_e4": -1},
            {"markup_e4": 100_001},
            {"overdraft_e4": -1},
            {"invoice": "x"},
            {"comment": "x"},
            {"access": "x"},
            {"notes": "x" * 2_001},
            {"colour": 1},
        ):
            with self.assertRaises(InvalidValue):
                self.set("Law", **settings)

    def test_a_pin_is_one_accounts_alone(self) -> None:
        self.set("Physics", pin="77")
        with self.assertRaisesRegex(InvalidValue, "pin: is that of 'Physics' already"):
            self.set("Law", pin="7-7")
        with self.assertRaisesRegex(InvalidValue, "pin: is not 1 to 64 letters and digits"):
            self.set("Law", pin="ä")
        self.result(self.shared.close("Physics"))
        self.set("Law", pin="77")
        with self.assertRaisesRegex(InvalidValue, "is that of 'Law' already"):
            self.result(self.shared.reopen("Physics"))
        self.set("Law", pin="")
        self.result(self.shared.reopen("Physics"))
        self.assertTrue(self.result(self.shared.show("Physics"))["has_pin"])

    def test_rules_of_a_newer_release_are_held(self) -> None:
        self.branch.query("UPDATE replica.shared_account SET needs = 'gold'")
        asked = request(5, user="anna", account=self.ids["Law"])
        decision = self.result(self.branch.store.decide(self.askers[1], asked))
        self.assertEqual((decision.verdict, decision.reason), (Verdict.HOLD, Reason.CAPABILITY))

    def test_an_application_server_of_the_release_before_says_closed(self) -> None:
        for closed, reason in ((1, Reason.CLOSED), (0, Reason.NONE)):
            self.branch.query("UPDATE replica.account SET shut = NULL, closed = ?", closed)
            asked = request(8 + closed, user="anna", account=self.ids["Law"])
            decision = self.result(self.branch.store.decide(self.askers[1], asked))
            self.assertEqual(decision.reason, reason)


on_every_engine(globals())
