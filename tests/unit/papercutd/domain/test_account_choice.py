"""Who pays a job: modes as they are kept and written, and the whole table of what is settled."""

from __future__ import annotations

import itertools
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.account_choice import Settled, settle
from papercutd.domain.account_mode import Kind, Mode, parse_mode, read_mode, show_mode
from papercutd.domain.capabilities import ACCOUNT_MODES, NAMED_ACCOUNTS
from papercutd.domain.decision import Reason, Verdict
from papercutd.domain.document import Document
from papercutd.domain.job import Request
from papercutd.domain.policy import ANY, Account, Knob, Payer, Rule, needed_for, resolve

SHARED = 7
CHOSEN = 8
OTHER = 9
MODES: dict[str, Mode | None] = {
    "unset": None,
    "personal": Mode(),
    "confirm": Mode(confirms=True),
    "shared": Mode(Kind.SHARED, SHARED),
    "shared confirm": Mode(Kind.SHARED, SHARED, True),
    "popup": Mode(Kind.POPUP),
    "advanced": Mode(Kind.ADVANCED),
}
RULES: dict[str, Account | None] = {
    "none": None,
    "personal": Account(),
    "shared": Account(Payer.SHARED, OTHER),
    "hold": Account(Payer.HOLD),
    "deny": Account(Payer.DENY),
}
ASK_ACCOUNT = Settled(None, Verdict.HOLD, Reason.ACCOUNT, asks=True)


def ask_to_confirm(shared: int | None) -> Settled:
    return Settled(shared, Verdict.HOLD, Reason.CONFIRM, asks=True)


def request(step: str, **fields: object) -> Request:
    return Request("job", step, "p1", 1, "anna", Document(()), **fields)  # type: ignore[arg-type]


def expected(mode: str, rule: str) -> Settled:
    """Of a ``submit`` step that names no account and was not asked about."""
    if mode in ("popup", "advanced"):
        return ASK_ACCOUNT
    if mode.endswith("confirm"):
        return ask_to_confirm(SHARED if mode.startswith("shared") else None)
    if mode == "unset":
        return {
            "hold": Settled(None, Verdict.HOLD, Reason.ACCOUNT),
            "deny": Settled(None, Verdict.DENY, Reason.ACCOUNT),
            "shared": Settled(OTHER),
        }.get(rule, Settled())
    return Settled(SHARED if mode == "shared" else None)


def expected_unanswered(mode: str, rule: str) -> Settled:
    if mode in ("unset", "personal", "shared"):
        return expected(mode, rule)
    pays = SHARED if mode.startswith("shared") else None
    reason = Reason.CONFIRM if mode.endswith("confirm") else Reason.ACCOUNT
    if rule in ("hold", "deny"):
        return Settled(pays, Verdict(rule), reason)
    if rule == "shared" and reason is Reason.ACCOUNT:
        return Settled(OTHER)
    return Settled(pays)


class SettleTests(SynchronousTestCase):
    def test_every_submission(self) -> None:
        for (mode, its), (rule, said) in itertools.product(MODES.items(), RULES.items()):
            found = settle(request("submit-1"), its, said)
            self.assertEqual(found, expected(mode, rule), (mode, rule))
            found = settle(request("submit-2", unanswered=True), its, said)
            self.assertEqual(found, expected_unanswered(mode, rule), (mode, rule))

    def test_what_a_person_chose_stands_at_every_step(self) -> None:
        for mode, rule in itertools.product(MODES.values(), RULES.values()):
            for step, unanswered in itertools.product(
                ("submit-3", "release-2", "run-1"), (False, True)
            ):
                fields = {"chosen": True, "unanswered": unanswered}
                found = settle(request(step, account=CHOSEN, **fields), mode, rule)
                self.assertEqual(found, Settled(CHOSEN))
                # Whoever is not asked who pays has said that it is to be printed.
                its = None if mode is None else mode.shared
                self.assertEqual(settle(request(step, **fields), mode, rule), Settled(its))

    def test_where_it_is_only_named_the_person_pays(self) -> None:
        for kind, rule, answer in itertools.product(
            ("personal", "shared:7", "popup", "shared:7+confirm"), RULES.values(), range(3)
        ):
            fields: dict[str, Any] = [{}, {"account": CHOSEN, "chosen": True}, {"chosen": True}][
                answer
            ]
            endings = kind.replace("+confirm", "")
            named = parse_mode(endings + "+named" + kind.removeprefix(endings))
            for step, unanswered in (("submit-1", False), ("submit-2", True), ("run-1", False)):
                asked = request(step, unanswered=unanswered, **fields)
                usual = settle(asked, parse_mode(kind), rule)
                found = settle(asked, named, rule)
                is_named = usual.shared is not None
                self.assertEqual(found, attrs.evolve(usual, named=is_named))
                self.assertIsNone(found.payer)
                self.assertEqual(usual.payer, usual.shared)

    def test_at_a_printer(self) -> None:
        """An account named there pays; none is the person's own, but who has but one pays it."""
        for (mode, its), rule in itertools.product(MODES.items(), RULES.values()):
            for step in ("release-2", "run-1"):
                pays = SHARED if mode.startswith("shared") else None
                self.assertEqual(settle(request(step), its, rule), Settled(pays))
                found = settle(request(step, account=CHOSEN), its, rule)
                self.assertEqual(found, Settled(CHOSEN))


class ModeTests(SynchronousTestCase):
    def test_kept_and_read(self) -> None:
        for mode in MODES.values():
            if mode is not None:
                self.assertEqual(parse_mode(mode.text), mode)
                self.assertEqual(mode.needs, "" if mode == Mode() else ACCOUNT_MODES)
                named = attrs.evolve(mode, names=True)
                self.assertEqual(parse_mode(named.text), named)

    def test_what_is_none(self) -> None:
        for text in (
            *("", "Personal", "shared", "shared:", "shared:0", "shared:-1", "shared:x"),
            *("popup+confirm", "advanced+confirm", "personal+confirm+confirm", "shared:1e3"),
            *("shared:99999999999999999", "personal ", "+confirm", "shared:٣"),
            *("popup+named+confirm", "personal+confirm+named", "popup+named+named", "+named"),
        ):
            with self.assertRaises(ValueError, msg=text):
                parse_mode(text)

    def test_what_a_site_must_know(self) -> None:
        self.assertEqual(parse_mode("popup+named").needs, f"{ACCOUNT_MODES} {NAMED_ACCOUNTS}")
        self.assertEqual(needed_for(Knob.ACCOUNT_MODE, "personal"), ACCOUNT_MODES)
        self.assertIn(NAMED_ACCOUNTS, needed_for(Knob.ACCOUNT_MODE, "shared:7+named+confirm"))
        self.assertEqual(needed_for(Knob.ACCOUNT, "deny"), "")

    def test_as_people_write_it(self) -> None:
        shared = {"Physics": 7, "A+confirm": 8, "A": 9, "B+named": 10}
        for text, mode in (
            ("personal+confirm", Mode(confirms=True)),
            ("popup", Mode(Kind.POPUP)),
            ("shared:Physics", Mode(Kind.SHARED, 7)),
            ("shared:Physics+confirm", Mode(Kind.SHARED, 7, True)),
            ("shared:A+confirm", Mode(Kind.SHARED, 8)),
            ("shared:A", Mode(Kind.SHARED, 9)),
            ("advanced+named", Mode(Kind.ADVANCED, names=True)),
            ("shared:A+named", Mode(Kind.SHARED, 9, names=True)),
            ("shared:Physics+named+confirm", Mode(Kind.SHARED, 7, True, True)),
            ("shared:B+named", Mode(Kind.SHARED, 10)),
            ("shared:B+named+named", Mode(Kind.SHARED, 10, names=True)),
        ):
            self.assertEqual(read_mode(text, shared), mode)
            names = {id: name for name, id in shared.items()}
            self.assertEqual(show_mode(mode.text, names), text)
        for text in ("shared:Chemistry", "shared:", "pop-up"):
            with self.assertRaises((ValueError, KeyError), msg=text):
                read_mode(text, shared)
        self.assertEqual(show_mode("shared:3", {}), "shared:3")
        self.assertEqual(show_mode("of-a-newer-release", {}), "of-a-newer-release")


class RuleTests(SynchronousTestCase):
    def test_the_default_is_a_rule(self) -> None:
        self.assertIsNone(resolve([], ANY, (), 500).account_mode)
        default = Rule(Knob.ACCOUNT_MODE.value, "popup", needs=ACCOUNT_MODES)
        found = resolve([default], 3, (), 500)
        self.assertEqual((found.account_mode, found.can_decide), (Mode(Kind.POPUP), True))
        of_group = Rule(Knob.ACCOUNT_MODE.value, "shared:7", group=5)
        self.assertEqual(
            resolve([default, of_group], 3, (5,), 500).account_mode, Mode(Kind.SHARED, 7)
        )

    def test_of_two_groups_who_may_be_asked_is(self) -> None:
        words = ["popup", "personal+confirm", "shared:7", "personal"]
        for more, less in itertools.combinations(words, 2):
            rules = [
                Rule(Knob.ACCOUNT_MODE.value, less, group=5),
                Rule(Knob.ACCOUNT_MODE.value, more, group=6),
            ]
            for one in (rules, rules[::-1]):
                found = resolve(one, 3, (5, 6), 500).account_mode
                self.assertEqual(found, parse_mode(more))

    def test_what_a_newer_release_says_holds(self) -> None:
        for rule in (
            Rule(Knob.ACCOUNT_MODE.value, "auction"),
            Rule(Knob.ACCOUNT_MODE.value, "popup", needs="telepathy"),
        ):
            self.assertFalse(resolve([rule], 3, (), 500).can_decide)

    def test_how_long_is_waited(self) -> None:
        knob = Knob.ACCOUNT_CHOICE_TIMEOUT.value
        self.assertEqual(resolve([], 3, (), 500).choice_timeout_s, 300)
        rules = [Rule(knob, "60"), Rule(knob, "600", site=3)]
        self.assertEqual(resolve(rules, 3, (), 500).choice_timeout_s, 600)
        self.assertEqual(resolve(rules, 4, (), 500).choice_timeout_s, 60)
        for text in ("9", "86401", "", "never", "1e2"):
            self.assertIn(knob, resolve([Rule(knob, text)], 3, (), 500).unevaluable)
