"""Groups and the rules of cut sites, from the administrator's word to a cut site's answer."""

from __future__ import annotations

from papercutd.domain.decision import Reason, Verdict
from papercutd.domain.policy import Rule
from papercutd.errors import AlreadyExists, InvalidValue, NotFound
from papercutd.storage.replication.replicated import TABLES
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import Branch, Centre, Turner, completion, request

TABLE_NAMES = ("user_group", "group_member", "site_policy")


class Ruled:
    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.centre = Centre(self.turner, self.engine)
        self.rules = self.centre.store.rules
        self.anna = self.centre.user("anna", 10**7)
        self.ben = self.centre.user("ben", 10**7)
        self.students = self.result(self.rules.add_group("Students"))
        self.result(self.rules.change_group("students", add=["anna"]))
        self.branch = Branch(self.turner, engine=self.engine)
        self.branch.load_snapshot(self.centre)
        self.asker = self.branch.provider()
        self.north = self.result(self.centre.store.id_of("site", "north"))
        self.number = 0

    def tearDown(self) -> None:
        self.assertReplicaIsCentre()
        self.assertEqual(self.result(self.centre.store.verify()), [])
        self.assertEqual(self.result(self.branch.store.verify()), [])

    def result(self, deferred):
        return self.turner.result(deferred)

    def assertReplicaIsCentre(self) -> None:
        self.branch.follow(self.centre)
        for spec in (TABLES[name] for name in TABLE_NAMES):
            query = f"SELECT {', '.join(spec.columns)} FROM {{0}} ORDER BY {spec.key}"
            self.assertEqual(
                self.branch.query(query.format(f"replica.{spec.table}")),
                self.centre.query(query.format(f"{spec.source} WHERE {spec.condition}")),
            )

    def set(self, *rules: Rule, clear=()) -> None:
        self.result(self.rules.change_rules(set=rules, clear=clear))
        self.branch.follow(self.centre)

    def answer(self, count: int = 1, user: str = "anna", **more):
        """(verdict, reason) of a new job."""
        decision = self.decide(count, user, **more)
        return decision.verdict, decision.reason

    def decide(self, count: int = 1, user: str = "anna", **more):
        self.number += 1
        self.asked = request(self.number, count, user, **more)
        return self.result(self.branch.store.decide(self.asker, self.asked))


ALLOW = (Verdict.ALLOW, Reason.NONE)
HOLD_FUNDS = (Verdict.HOLD, Reason.FUNDS)


class GroupsContract(Ruled):
    def test_names(self) -> None:
        for name in ("Students", " STUDENTS "):
            with self.assertRaises(AlreadyExists):
                self.result(self.rules.add_group(name))
        for name in ("", " ", "x" * 64, "a\nb"):
            with self.assertRaises(InvalidValue):
                self.result(self.rules.add_group(name))
        with self.assertRaises(NotFound):
            self.result(self.rules.remove_group("staff"))

    def test_members(self) -> None:
        self.assertEqual(self.result(self.rules.change_group("Students", add=["anna", "BEN"])), 1)
        self.assertEqual(
            [row["name"] for row in self.result(self.rules.members("students"))], ["anna", "ben"]
        )
        self.assertEqual(
            [row["name"] for row in self.result(self.rules.members("students", "Anna"))], ["ben"]
        )
        self.assertReplicaIsCentre()
        self.assertEqual(self.result(self.rules.change_group("Students", remove=["anna"])), 1)
        (group,) = self.result(self.rules.groups())
        self.assertEqual((group["name"], group["users"]), ("Students", 1))

    def test_all_or_none(self) -> None:
        with self.assertRaises(NotFound):
            self.result(self.rules.change_group("students", add=["ben", "nobody"]))
        self.assertEqual(len(self.result(self.rules.members("students"))), 1)

    def test_the_merged_and_the_deleted_are_no_members(self) -> None:
        self.result(self.rules.change_group("students", add=["ben"]))
        self.result(self.centre.store.merge_users("ben", "anna"))
        self.assertEqual([r["name"] for r in self.result(self.rules.members("students"))], ["anna"])
        self.result(self.centre.store.delete_user("anna"))
        (group,) = self.result(self.rules.groups())
        self.assertEqual(group["users"], 0)

    def test_removed_with_its_rules(self) -> None:
        self.set(Rule("policy", "closed", group=self.students), Rule("cap", "e4:0"))
        self.assertEqual(self.result(self.rules.remove_group("students")), 1)
        self.branch.follow(self.centre)
        self.assertEqual(self.answer(), HOLD_FUNDS)
        self.assertEqual([rule.knob for rule in self.result(self.rules.view()).stored], ["cap"])
        # Its id is never another group's.
        self.assertGreater(self.result(self.rules.add_group("staff")), self.students)


class RulesContract(Ruled):
    def test_by_group(self) -> None:
        self.set(Rule("cap", "pages:3", group=self.students))
        self.assertEqual([self.answer(n) for n in (3, 1)], [ALLOW, HOLD_FUNDS])
        self.assertEqual(self.answer(200, "ben"), ALLOW)
        self.set(Rule("beyond-cap", "deny", group=self.students))
        self.assertEqual(self.answer(), (Verdict.DENY, Reason.FUNDS))
        self.set(Rule("cap", "none", self.north, self.students))
        self.assertEqual(self.answer(1_000), ALLOW)

    def test_by_site(self) -> None:
        south = Branch(self.turner, "south", engine=self.engine)
        self.set(Rule("policy", "closed", self.north))
        south.load_snapshot(self.centre)
        self.assertEqual(self.answer(), (Verdict.HOLD, Reason.CLOSED))
        asked = request(77, 1, provider="p2", printer=2)
        found = self.result(south.store.decide(south.provider("p2"), asked))
        self.assertTrue(found.allowed)

    def test_site_set_is_a_rule_of_the_site(self) -> None:
        self.set(Rule("policy", "capped", group=self.students))
        self.result(self.centre.store.set_site("north", {"policy": "closed", "cap_user_e4": 0}))
        self.branch.follow(self.centre)
        self.assertEqual(self.answer(), (Verdict.HOLD, Reason.CLOSED))
        self.set(Rule("policy", "capped", self.north))
        self.assertEqual(self.answer(), HOLD_FUNDS)
        self.set(clear=[Rule("policy", "", self.north)])
        self.assertEqual(self.answer(), (Verdict.HOLD, Reason.CLOSED))

    def test_the_price_of_pages_is_the_sites(self) -> None:
        self.set(Rule("cap", "pages:3"))
        effective = self.result(self.branch.store.policy_of(None))
        self.assertEqual(effective.cap_user_e4, 1_500)

    def test_what_is_shown_is_what_is_allowed(self) -> None:
        ((account,),) = self.centre.query("SELECT account FROM user WHERE id = ?", self.anna)
        self.set(Rule("cap", "pages:3", group=self.students))
        self.assertEqual(self.result(self.branch.store.purse(account)).cut_e4, 1_500)
        self.set(Rule("a-later-knob", "x", group=self.students))
        self.assertEqual(self.result(self.branch.store.purse(account)).cut_e4, 0)

    def test_what_cannot_be_evaluated_is_held(self) -> None:
        for rule in (
            Rule("cap", "by-the-moon"),
            Rule("a-later-knob", "x"),
            Rule("policy", "capped", needs="later"),
        ):
            self.set(rule)
            self.assertEqual(self.answer(), (Verdict.HOLD, Reason.CAPABILITY))
            self.assertEqual(self.answer(user="nobody"), (Verdict.HOLD, Reason.CAPABILITY))
            self.set(clear=[rule])
        self.set(Rule("a-later-knob", "x", group=self.students))
        self.assertEqual([self.answer(), self.answer(user="ben")][1], ALLOW)
        self.set(clear=[Rule("a-later-knob", "", group=self.students)])
        self.assertEqual(self.answer(), ALLOW)

    def test_only_what_is_there_is_cleared(self) -> None:
        with self.assertRaises(NotFound):
            self.set(Rule("cap", "none"), clear=[Rule("policy", "")])
        self.assertEqual(self.result(self.rules.view()).stored, [])

    def test_rules_of_a_removed_site_are_none(self) -> None:
        self.set(Rule("cap", "none", self.north), Rule("cap", "none"))
        self.result(self.centre.store.remove_site("north"))
        view = self.result(self.rules.view())
        self.assertEqual([rule.site for rule in view.rules], [0])
        self.assertEqual(list(view.sites.values()), ["south"])

    def test_unsettled_total(self) -> None:
        self.decide(3)
        decision = self.decide(4, "ben")
        self.result(self.branch.store.complete(self.asker, completion(self.asked, decision)))
        self.assertEqual(self.result(self.branch.store.unsettled_total_e4()), 3_500)
        self.branch.forward(self.centre, self.centre.site(self.branch.stream))
        self.branch.follow(self.centre)
        self.assertEqual(self.result(self.branch.store.unsettled_total_e4()), 1_500)


class UnknownUsersContract(Ruled):
    def test_held_by_default(self) -> None:
        self.assertEqual(self.answer(user="guest"), (Verdict.HOLD, Reason.UNKNOWN_USER))

    def test_denied(self) -> None:
        self.set(Rule("unknown-users", "deny"))
        self.assertEqual(self.answer(user="guest"), (Verdict.DENY, Reason.UNKNOWN_USER))

    def test_a_closed_site_is_closed_to_them_too(self) -> None:
        self.set(Rule("unknown-users", "uncollected"), Rule("policy", "closed"))
        self.assertEqual(self.answer(user="guest"), (Verdict.HOLD, Reason.CLOSED))

    def test_where_jobs_wait_they_are_held(self) -> None:
        self.result(self.centre.store.set_release("lp1", "secure", "", 86_400))
        self.set(Rule("unknown-users", "uncollected"))
        self.assertEqual(self.answer(user="guest"), (Verdict.HOLD, Reason.UNKNOWN_USER))

    def test_uncollected(self) -> None:
        """Printed; at the heal it is nobody's, unless the centre knows the person."""
        self.set(Rule("unknown-users", "uncollected"))
        self.result(self.centre.store.add_user("carl"))
        for user in ("guest", "carl"):
            decision = self.decide(2, user)
            self.assertEqual((decision.verdict, decision.account), (Verdict.ALLOW, None))
            self.result(self.branch.store.complete(self.asker, completion(self.asked, decision)))
        self.branch.forward(self.centre, self.centre.site(self.branch.stream))
        (row,) = self.result(self.centre.store.uncollected())
        self.assertEqual((row["user_name"], row["amount_e4"]), ("guest", 1_000))
        self.assertEqual(self.centre.account("carl")["debits_e4"], 1_000)
        self.assertIn("uncollected", self.centre.listed())


class AccountContract(Ruled):
    def setUp(self) -> None:
        super().setUp()
        self.project = self.result(self.centre.store.shared.add("project", 10**6))
        self.branch.follow(self.centre)

    def test_held_until_one_is_chosen(self) -> None:
        self.set(Rule("account", "hold", group=self.students))
        self.assertEqual(self.answer(), (Verdict.HOLD, Reason.ACCOUNT))
        self.assertEqual(self.answer(user="ben"), ALLOW)
        # Chosen when it was submitted; and at a printer, where it may be one's own.
        self.assertEqual(self.answer(account=self.project), ALLOW)
        self.assertEqual(self.answer(step="release-1"), ALLOW)

    def test_denied(self) -> None:
        self.set(Rule("account", "deny"))
        self.assertEqual(self.answer(), (Verdict.DENY, Reason.ACCOUNT))
        self.set(Rule("policy", "closed"))
        self.assertEqual(self.answer(), (Verdict.HOLD, Reason.CLOSED))

    def test_a_shared_one_pays(self) -> None:
        self.set(Rule("account", f"shared:{self.project}"))
        decision = self.decide()
        self.assertEqual((decision.user, decision.account), (self.anna, self.project))
        self.set(Rule("account", "shared:999"))
        self.assertEqual(self.answer(), (Verdict.HOLD, Reason.CLOSED))

    def test_queues_that_hold_ask_at_the_printer(self) -> None:
        self.result(self.centre.store.set_release("lp1", "secure", "", 86_400))
        self.set(Rule("account", "deny"))
        self.assertEqual(self.answer(), (Verdict.HOLD, Reason.RELEASE))


on_every_engine(globals())
