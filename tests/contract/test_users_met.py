"""Unknown people at cut sites: made users there, and one user each at the application server."""

from __future__ import annotations

from typing import Any

import attrs

from papercutd.domain.capabilities import USERS_MET
from papercutd.domain.decision import Reason, Verdict
from papercutd.domain.job import SessionRef
from papercutd.domain.policy import Rule
from papercutd.storage.jobs import unknown_users
from papercutd.storage.site import users_met_here
from tests.support.engines import Engine, on_every_engine
from tests.support.stores import Branch, Centre, Turner, completion, job_id, request

ALLOW = (Verdict.ALLOW, Reason.NONE)
FUNDS = (Verdict.HOLD, Reason.FUNDS)
UNKNOWN = (Verdict.HOLD, Reason.UNKNOWN_USER)
#: A grey page costs 500.
CREDIT_E4 = 5_000


class MetContract:
    engine: Engine

    def setUp(self) -> None:
        self.turner = Turner()
        self.result = self.turner.result
        self.centre = Centre(self.turner, self.engine)
        self.store = self.centre.store
        self.number = 0
        self.branches: list[Branch] = []
        self.sessions: dict[str, SessionRef] = {}
        self.rule(credit_e4=CREDIT_E4)

    def tearDown(self) -> None:
        for store in (self.store, *(branch.store for branch in self.branches)):
            self.assertEqual(self.result(store.verify()), [])

    def rule(self, **says: Any) -> None:
        self.result(self.store.new_users.set_rule(None, says))

    def site(self, name: str = "north", *rules: Rule) -> Branch:
        create = Rule("unknown-users", "create", needs=USERS_MET)
        self.result(self.store.rules.change_rules(set=(create, *rules)))
        branch = Branch(self.turner, name, job_id(900 + len(self.branches)), self.engine)
        branch.load_snapshot(self.centre)
        self.branches.append(branch)
        self.askers = {
            one.name: one.provider("p1" if one.name == "north" else "p2") for one in self.branches
        }
        return branch

    def decide(self, branch: Branch, name: str = "new", count: int = 1) -> Any:
        self.number += 1
        place = {} if branch.name == "north" else {"provider": "p2", "printer": 2}
        self.asked = request(self.number, count, name, **place)
        return self.result(branch.store.decide(self.askers[branch.name], self.asked))

    def answer(self, branch: Branch, name: str = "new", count: int = 1) -> tuple[Any, Any]:
        decision = self.decide(branch, name, count)
        return decision.verdict, decision.reason

    def print(self, branch: Branch, name: str = "new", count: int = 1) -> None:
        decision = self.decide(branch, name, count)
        self.assertTrue(decision.allowed)
        done = completion(self.asked, decision)
        self.result(branch.store.complete(self.askers[branch.name], done))

    def heal(self, branch: Branch, follow: bool = True) -> None:
        session = self.sessions.get(branch.stream)
        if session is None:
            session = self.sessions[branch.stream] = self.centre.site(branch.stream, branch.name)
        while branch.forward(self.centre, session):
            pass
        if follow:
            branch.follow(self.centre)

    def users(self) -> list[tuple[Any, ...]]:
        """(name, balance) of all."""
        return self.centre.query(
            "SELECT user.name, credits_e4 - debits_e4 FROM user JOIN account"
            " ON account.id = user.account ORDER BY user.id"
        )

    def test_from_the_first_job_to_the_heal(self) -> None:
        branch = self.site()
        self.print(branch, "CORP\\New", 3)
        self.print(branch, "new", 4)
        # Three of their ten pages are left.
        self.assertEqual(self.answer(branch, "NEW", 4), FUNDS)
        self.assertEqual(branch.query("SELECT folded, name FROM user_met"), [("new", "New")])
        self.heal(branch, follow=False)
        self.assertEqual(self.users(), [("New", CREDIT_E4 - 3_500)])
        self.assertEqual(self.centre.listed(), [])
        (met,) = self.result(self.store.new_users.met())
        self.assertEqual((met["name"], met["met_by"]), ("New", "site:north"))
        branch.follow(self.centre)
        self.assertEqual(self.answer(branch, "new", 4), FUNDS)
        self.assertTrue(self.decide(branch, "new", 3).user)

    def test_the_overlay_has_what_they_printed_as_nobody(self) -> None:
        branch = self.site()
        self.print(branch, count=2)
        open_ = self.decide(branch, count=1)
        self.assertTrue(open_.allowed)
        user = self.result(self.store.add_user("new", balance_e4=20_000))
        branch.follow(self.centre)
        ((account,),) = self.centre.query("SELECT account FROM user WHERE id = ?", user)
        overlay = self.result(branch.store.overlay(account))
        self.assertEqual(overlay.unsettled_e4, 1_500)
        self.assertEqual(overlay.funds.spendable_e4, 18_500)
        self.heal(branch)
        overlay = self.result(branch.store.overlay(account))
        self.assertEqual((overlay.unsettled_e4, overlay.funds.spendable_e4), (500, 18_500))

    def shared(self, mode: str, **settings: Any) -> int:
        """New users begin in that mode; the account's id."""
        settings = {"restricted": True, **settings}
        account = self.result(self.store.shared.add("School", 5_000, settings))
        self.rule(account_selection=mode)
        return int(account)

    def balance_e4(self, account: int) -> int:
        query = "SELECT credits_e4 - debits_e4 FROM account WHERE id = ?"
        return self.centre.query(query, account)[0][0]

    def test_a_shared_account_pays_for_them(self) -> None:
        account = self.shared("shared:School", markup_e4=0)
        branch = self.site()
        self.print(branch, "new", 4)
        self.assertEqual(self.answer(branch, "NEW", 7), FUNDS)
        self.print(branch, "new", 3)
        self.heal(branch, follow=False)
        self.assertEqual(self.users(), [("new", CREDIT_E4)])
        self.assertEqual((self.balance_e4(account), self.centre.listed()), (1_500, []))
        owners = self.centre.query(
            "SELECT user.name FROM charge JOIN user ON user.id = charge.user"
        )
        self.assertEqual(owners, [("new",), ("new",)])
        branch.follow(self.centre)
        # As a user that the replica knows, in the same mode.
        decision = self.decide(branch, "new", 3)
        self.assertTrue(decision.allowed and decision.user)
        self.assertEqual(decision.account, account)

    def test_what_a_shared_account_paid_is_not_theirs(self) -> None:
        self.shared("shared:School")
        branch = self.site()
        self.print(branch, "new", 4)
        self.rule(account_selection=None)
        branch.follow(self.centre)
        # All of their own ten pages are left.
        self.print(branch, "new", 10)
        self.assertEqual(self.answer(branch, "new", 1), FUNDS)
        user = self.result(self.store.add_user("new", balance_e4=20_000))
        branch.follow(self.centre)
        ((own,),) = self.centre.query("SELECT account FROM user WHERE id = ?", user)
        self.assertEqual(self.result(branch.store.overlay(own)).unsettled_e4, 5_000)
        self.heal(branch)

    def test_who_is_to_be_asked_waits(self) -> None:
        """Nobody unknown has a client here: the wait ends at once, the policy decides."""
        self.shared("popup")
        branch = self.site()
        decision = self.decide(branch)
        found = (decision.verdict, decision.reason, decision.ask)
        self.assertEqual(found, (Verdict.HOLD, Reason.ACCOUNT, False))
        self.assertEqual(branch.query("SELECT COUNT(*) FROM journal"), [(0,)])
        self.asked = attrs.evolve(self.asked, step="submit-2", unanswered=True)
        decision = self.result(branch.store.decide(self.askers["north"], self.asked))
        self.assertTrue(decision.allowed)
        self.assertEqual((decision.user, decision.account), (None, None))

    def test_an_account_that_cannot_be_charged_is_nobody_elses_to_pay(self) -> None:
        self.shared("shared:School")
        self.result(self.store.shared.close("School"))
        branch = self.site()
        self.assertEqual(self.answer(branch), (Verdict.HOLD, Reason.CLOSED))
        self.number += 1
        self.asked = attrs.evolve(request(self.number, 1, "new"), account=1)
        decision = self.result(branch.store.decide(self.askers["north"], self.asked))
        self.assertEqual((decision.verdict, decision.reason), UNKNOWN)

    def test_two_sites_meet_the_same(self) -> None:
        north, south = self.site(), self.site("south")
        self.print(north, "new", 2)
        self.print(south, "New", 3)
        for branch in (north, south):
            self.heal(branch)
        self.assertEqual(self.users(), [("new", CREDIT_E4 - 2_500)])
        ((credits,),) = self.centre.query(
            "SELECT COUNT(*) FROM transfer WHERE reason = 'initial credit'"
        )
        self.assertEqual(credits, 1)

    def test_somebody_is_called_so_by_now(self) -> None:
        branch = self.site()
        self.print(branch, "new", 2)
        self.result(self.store.add_user("anna", balance_e4=9_000))
        self.result(self.store.rename_user("anna", "new"))
        self.heal(branch)
        self.assertEqual(self.users(), [("new", 8_000)])

    def test_the_cap_bounds_them(self) -> None:
        self.rule(credit_e4=10**7)
        branch = self.site("north", Rule("cap", "pages:5"))
        self.print(branch, count=4)
        self.assertEqual(self.answer(branch, count=2), FUNDS)
        self.assertEqual(self.answer(branch, count=1), ALLOW)

    def test_other_policies(self) -> None:
        for policy, restricted, found in (
            ("strict", True, FUNDS),
            ("strict", False, ALLOW),
            ("closed", False, (Verdict.HOLD, Reason.CLOSED)),
            ("capped", False, ALLOW),
        ):
            self.rule(restricted=restricted)
            branch = self.site("north", Rule("policy", policy))
            self.assertEqual(self.answer(branch, count=100), found)

    def test_names_and_numbers_are_bounded(self) -> None:
        self.patch(users_met_here, "PER_HOUR_AT_SITE", 3)
        branch = self.site()
        for name in (" ", "a\tb", "x" * 256):
            self.assertEqual(self.answer(branch, name), UNKNOWN)
        for number in range(3):
            self.assertEqual(self.answer(branch, f"name{number}"), ALLOW)
        self.assertEqual(self.answer(branch, "one more"), UNKNOWN)
        self.assertEqual(self.answer(branch, "name0"), ALLOW)
        self.turner.clock.advance(3_600)
        self.assertEqual(self.answer(branch, "one more"), ALLOW)

    def test_the_centre_has_a_bound_of_its_own(self) -> None:
        self.patch(unknown_users, "PER_HOUR_OF_SITE", 2)
        branch = self.site()
        for name in ("a", "b", "c"):
            self.print(branch, name)
        self.heal(branch)
        self.assertEqual([name for name, _ in self.users()], ["a", "b"])
        self.assertEqual(self.centre.listed(), ["unknown-users-many", "uncollected"])

    def test_where_jobs_wait_they_are_held(self) -> None:
        self.result(self.store.set_release("lp1", "secure", "", 86_400))
        self.assertEqual(self.answer(self.site()), UNKNOWN)

    def test_salvaged_records_make_nobody_twice(self) -> None:
        branch = self.site()
        self.print(branch)
        self.heal(branch)
        bodies = [body for (body,) in branch.query("SELECT body FROM journal ORDER BY number")]
        self.result(branch.store.salvage(bodies))
        self.heal(branch)
        self.assertEqual(self.users(), [("new", CREDIT_E4 - 500)])


on_every_engine(globals())
