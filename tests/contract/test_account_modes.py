"""Modes of account selection: set at the centre, applied there and at a cut site alike."""

from __future__ import annotations

from papercutd.domain.capabilities import ACCOUNT_MODES
from papercutd.domain.decision import Reason, Verdict
from papercutd.domain.policy import Knob, Rule
from papercutd.errors import InvalidValue, NotFound
from tests.contract.test_people import PeopleBase
from tests.support.engines import on_every_engine
from tests.support.stores import completion, request


class ModesContract(PeopleBase):
    def setUp(self) -> None:
        super().setUp()
        self.physics = self.turner.result(
            self.centre.store.shared.add("Physics", 0, {"restricted": False})
        )
        self.chemistry = self.turner.result(
            self.centre.store.shared.add("Chemistry", 0, {"restricted": False})
        )
        self.number = 0

    def mode(self, text: str, name: str = "anna") -> None:
        self.turner.result(self.centre.store.people.set_user(name, {"account_mode": text}))

    def rule(self, knob: Knob, value: str, group: int = 0, needs: str = "") -> None:
        rule = Rule(knob.value, value, group=group, needs=needs)
        self.turner.result(self.centre.store.rules.change_rules(set=[rule]))

    def both(self, step: str = "submit-1", **fields):
        """The same question at the centre and at the cut site."""
        self.branch.follow(self.centre)
        self.number += 2
        here = self.authorize(request(self.number, step=step, **fields))
        there = self.decide(request(self.number + 1, step=step, **fields))
        return here, there

    def assertBoth(self, verdict, reason, pays=None, ask=None, **fields) -> None:
        for decision in self.both(**fields):
            self.assertEqual(
                (decision.verdict, decision.reason, decision.ask), (verdict, reason, ask)
            )
            if pays is not None:
                self.assertEqual(decision.account, pays)

    def assertAllowed(self, pays=None, **fields) -> None:
        personal = self.centre.query("SELECT account FROM user WHERE name = 'anna'")[0][0]
        self.assertBoth(Verdict.ALLOW, Reason.NONE, pays or personal, **fields)

    # Few tests, for each makes two databases on each engine.

    def test_who_is_asked(self) -> None:
        self.check_asked()
        self.check_chosen()
        self.check_status()

    def test_who_is_not_asked(self) -> None:
        self.check_bad_words()
        self.check_personal()
        self.check_shared()
        self.check_closed()
        self.check_newer()

    def test_nobody_answers(self) -> None:
        self.check_unanswered()
        self.check_unanswered_by_group()

    def test_defaults_and_groups(self) -> None:
        self.check_timeout()
        self.check_default()
        self.check_group()

    def test_what_is_charged(self) -> None:
        self.check_tracked()
        self.check_comment()

    def check_personal(self) -> None:
        self.assertAllowed()
        self.mode("personal")
        self.assertAllowed()

    def check_shared(self) -> None:
        self.mode("shared:Physics")
        for step in ("submit-1", "release-2"):
            self.assertAllowed(self.physics, step=step)
        self.assertAllowed(self.chemistry, account=self.chemistry)

    def check_asked(self) -> None:
        self.mode("popup")
        self.assertBoth(Verdict.HOLD, Reason.ACCOUNT, ask=False)
        self.assertEqual(self.centre.account()["pending_e4"], 0)
        # That it waits is no news for the job log.
        self.assertEqual(self.centre.query("SELECT COUNT(*) FROM job_log"), [(0,)])
        self.mode("personal+confirm")
        self.assertBoth(Verdict.HOLD, Reason.CONFIRM, ask=False)

    def check_chosen(self) -> None:
        self.mode("popup")
        for step in ("release-2", "submit-3"):
            self.assertAllowed(self.physics, step=step, account=self.physics, chosen=True)
            self.assertAllowed(step=step, chosen=True)
        # Whoever stands at the printer has chosen.
        self.assertAllowed(step="release-2")

    def check_unanswered(self) -> None:
        self.mode("advanced")
        self.assertAllowed(unanswered=True)
        self.rule(Knob.ACCOUNT, f"shared:{self.chemistry}")
        self.assertAllowed(self.chemistry, unanswered=True)
        self.rule(Knob.ACCOUNT, "hold")
        self.assertBoth(Verdict.HOLD, Reason.ACCOUNT, unanswered=True)
        self.rule(Knob.ACCOUNT, "deny")
        self.assertBoth(Verdict.DENY, Reason.ACCOUNT, unanswered=True)
        self.assertEqual(self.centre.query("SELECT COUNT(*) FROM job_log"), [(2,)])
        # Somebody who is not asked is not concerned.
        self.mode("personal")
        self.assertAllowed()

    def check_unanswered_by_group(self) -> None:
        self.mode("popup")
        students = self.turner.result(self.centre.store.rules.add_group("students"))
        self.rule(Knob.ACCOUNT, "deny")
        self.rule(Knob.ACCOUNT, f"shared:{self.physics}", group=students)
        self.assertBoth(Verdict.DENY, Reason.ACCOUNT, unanswered=True)
        self.turner.result(self.centre.store.rules.change_group("students", add=["anna"]))
        self.assertAllowed(self.physics, unanswered=True)

    def check_default(self) -> None:
        self.rule(Knob.ACCOUNT_MODE, "popup", needs=ACCOUNT_MODES)
        self.assertBoth(Verdict.HOLD, Reason.ACCOUNT, ask=False)
        students = self.turner.result(self.centre.store.rules.add_group("students"))
        self.turner.result(self.centre.store.rules.change_group("students", add=["anna"]))
        self.rule(Knob.ACCOUNT_MODE, f"shared:{self.physics}", group=students)
        self.assertAllowed(self.physics)
        self.mode("personal")
        self.assertAllowed()
        self.mode("default")
        self.assertAllowed(self.physics)

    def check_group(self) -> None:
        people, rules = self.centre.store.people, self.centre.store.rules
        self.centre.user("ben")
        self.turner.result(rules.add_group("pupils"))
        self.turner.result(rules.add_group("first year"))
        self.turner.result(rules.change_group("first year", add=["anna"]))
        self.turner.result(rules.change_group("pupils", add=["ben"]))
        self.turner.result(rules.change_nested("pupils", add=["first year"]))
        changed = self.turner.result(people.set_account_modes("pupils", "shared:Physics"))
        self.assertEqual(changed, (2, None))
        again = self.turner.result(people.set_account_modes("pupils", "shared:Physics"))
        self.assertEqual(again, (0, None))
        for name in ("anna", "ben"):
            self.assertEqual(self.call("user", name)["account_mode"], "shared:Physics")
        with self.assertRaises(NotFound):
            self.turner.result(people.set_account_modes("nobody", "popup"))

    def check_comment(self) -> None:
        self.mode("advanced")
        self.branch.follow(self.centre)
        said = {"account": self.physics, "chosen": True}
        here, there = (request(number, step="release-2", **said) for number in (11, 12))
        record = completion(here, self.authorize(here), 1, comment="for Eva")
        for _ in range(2):
            self.call("complete", self.centre.provider(), record)
        record = completion(there, self.decide(there), 1, comment="for Adam")
        self.turner.result(self.branch.store.complete(self.asker, record))
        self.branch.forward(self.centre, self.site)
        found = [self.call("explain", key.key)[0]["comment"] for key in (here, there)]
        self.assertEqual(found, ["for Eva", "for Adam"])

    def check_tracked(self) -> None:
        self.mode("shared:Physics")
        self.tracked(1, "anna", "")
        self.mode("popup")
        self.tracked(2, "anna", "")
        found = self.centre.query("SELECT account FROM charge ORDER BY key")
        ((personal,),) = self.centre.query("SELECT account FROM user WHERE name = 'anna'")
        self.assertEqual(found, [(self.physics,), (personal,)])

    def check_bad_words(self) -> None:
        for text in ("", "Popup", "shared:Biology", "shared:", "popup+confirm", "x" * 1000, "\0"):
            with self.assertRaises(InvalidValue):
                self.mode(text)
        self.assertEqual(self.call("user", "anna")["account_mode"], "default")

    def check_closed(self) -> None:
        self.mode("shared:Physics")
        self.centre_closes(self.physics)
        for decision in self.both():
            self.assertEqual((decision.allowed, decision.reason), (False, Reason.CLOSED))

    def centre_closes(self, account: int) -> None:
        """No command closes a shared account yet: as one would be."""

        def close(connection) -> None:
            connection.execute("UPDATE account SET closed = 1 WHERE id = ?", (account,))
            self.centre.store.log.touch("account", account)

        self.turner.result(self.centre.store.write(close))

    def check_newer(self) -> None:
        def newer(connection) -> None:
            connection.execute(
                "UPDATE user SET account_mode = 'auction', needs = 'auctions' WHERE name = 'anna'"
            )
            self.centre.store.log.touch("user", self.user)

        self.turner.result(self.centre.store.write(newer))
        self.assertBoth(Verdict.HOLD, Reason.CAPABILITY)

    def check_status(self) -> None:
        self.mode("popup")
        (row,) = [
            row
            for row in self.turner.result(self.centre.store.lacking([], 2))
            if row["table"] == "user"
        ]
        self.assertEqual((row["key"], row["needs"]), (self.user, ACCOUNT_MODES))

    def check_timeout(self) -> None:
        self.branch.follow(self.centre)
        self.assertEqual(self.waits(), [300, 300])
        self.rule(Knob.ACCOUNT_CHOICE_TIMEOUT, "60")
        self.branch.follow(self.centre)
        self.assertEqual(self.waits(), [60, 60])

    def waits(self) -> list[int]:
        return [
            self.turner.result(store.provider_settings("p1")).account_choice_timeout_s
            for store in (self.centre.store, self.branch.store)
        ]


on_every_engine(globals())
