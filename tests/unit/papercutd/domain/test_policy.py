"""The rules of cut sites: every level, every knob, every answer."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.account_mode import Kind, Mode
from papercutd.domain.decision import (
    Funds,
    Policy,
    Reason,
    Verdict,
    available_cut_e4,
    decide_cut,
)
from papercutd.domain.policy import (
    ANY,
    SITE_ONLY,
    Account,
    Effective,
    Knob,
    Payer,
    Rule,
    UnknownUsers,
    alarms,
    bound_e4,
    check_value,
    resolve,
    site_rules,
)

GREY_E4 = 500
SITE, GROUP, OTHER_GROUP = 7, 3, 4
#: Of each knob its field and (value, what it reads as), the most cautious first.
VALUES: dict[Knob, tuple[str, list[tuple[str, object]]]] = {
    Knob.POLICY: (
        "policy",
        [("closed", Policy.CLOSED), ("strict", Policy.STRICT), ("capped", Policy.CAPPED)],
    ),
    Knob.CAP: ("cap_user_e4", [("pages:3", 1_500), ("e4:1501", 1_501), ("none", None)]),
    Knob.BEYOND_CAP: ("deny_beyond_cap", [("hold", False), ("deny", True)]),
    Knob.STALE_AFTER: ("stale_after_s", [("0", 0.0), ("60", 60.0), ("never", None)]),
    Knob.PASSWORDS: ("passwords", [("never", False), ("until-stale", True)]),
    Knob.ACCOUNT: (
        "account",
        [
            ("hold", Account(Payer.HOLD)),
            ("deny", Account(Payer.DENY)),
            ("shared:8", Account(Payer.SHARED, 8)),
            ("shared:9", Account(Payer.SHARED, 9)),
            ("personal", Account()),
        ],
    ),
    Knob.ACCOUNT_MODE: (
        "account_mode",
        [
            ("popup", Mode(Kind.POPUP)),
            ("personal+confirm", Mode(confirms=True)),
            ("shared:8", Mode(Kind.SHARED, 8)),
            ("personal", Mode()),
        ],
    ),
    Knob.ACCOUNT_CHOICE_TIMEOUT: ("choice_timeout_s", [("10", 10), ("86400", 86_400)]),
    Knob.UNKNOWN_USERS: (
        "unknown_users",
        [
            ("hold", UnknownUsers.HOLD),
            ("deny", UnknownUsers.DENY),
            ("uncollected", UnknownUsers.UNCOLLECTED),
        ],
    ),
    Knob.ALARM_TOTAL: ("alarm_total_e4", [("pages:3", 1_500), ("e4:1501", 1_501), ("none", None)]),
    Knob.ALARM_AGE: ("alarm_age_s", [("60", 60.0), ("never", None)]),
}
#: (site, group) from the least to the most specific.
LEVELS = [(ANY, ANY), (ANY, GROUP), (SITE, ANY), (SITE, GROUP)]


def at(rules: list[Rule], *groups: int, site: int = SITE) -> Effective:
    return resolve(rules, site, groups, GREY_E4)


class ResolutionTests(SynchronousTestCase):
    def test_defaults(self) -> None:
        self.assertEqual(
            at([]),
            Effective(cap_user_e4=100_000, alarm_total_e4=5_000_000, alarm_age_s=86_400.0),
        )

    def test_every_knob_is_tried(self) -> None:
        self.assertEqual(set(VALUES), set(Knob))

    def test_the_most_specific_wins(self) -> None:
        """Each knob, each set of levels that has a rule, whatever value each has."""
        for knob, (field, values) in VALUES.items():
            for count in range(1, len(LEVELS) + 1):
                for levels in itertools.combinations(LEVELS, count):
                    for given_values in itertools.product(values, repeat=count):
                        rules = [
                            Rule(knob.value, text, *level)
                            for level, (text, _) in zip(levels, given_values, strict=True)
                        ]
                        effective = at(rules, GROUP)
                        self.assertEqual(getattr(effective, field), given_values[-1][1])
                        self.assertEqual(effective.sources, {knob.value: rules[-1]})
                        self.assertEqual(at(rules[::-1], GROUP), effective)

    def test_rules_of_others_do_not_count(self) -> None:
        for knob, (_, values) in VALUES.items():
            rules = [Rule(knob.value, values[0][0], *level) for level in LEVELS[1:]]
            self.assertEqual(at(rules, OTHER_GROUP, site=8), at([], site=8))

    def test_several_groups_get_the_most_cautious(self) -> None:
        """Whatever order groups and rules come in; at both levels that groups have."""
        for knob, (field, values) in VALUES.items():
            for site in (ANY, SITE):
                for count in range(1, len(values) + 1):
                    for some in itertools.combinations(range(len(values)), count):
                        for order in itertools.permutations(some):
                            rules = [
                                Rule(knob.value, values[index][0], site, group)
                                for group, index in enumerate(order, 10)
                            ]
                            effective = at(rules, *(rule.group for rule in rules))
                            self.assertEqual(getattr(effective, field), values[some[0]][1])

    def test_what_cannot_be_evaluated(self) -> None:
        for knob, (_, values) in VALUES.items():
            good = values[0][0]
            for bad in ("", "bogus", "pages:x", "e4:-1", "shared:", "1" * 40, f"{good} "):
                rules = [Rule(knob.value, bad, ANY, GROUP)]
                self.assertRaises(ValueError, check_value, knob.value, bad)
                self.assertEqual(at(rules, GROUP).unevaluable, {knob.value}, bad)
                # It is nothing to whom it does not concern, or where another one wins.
                self.assertEqual(at(rules).unevaluable, frozenset())
                self.assertEqual(
                    at([*rules, Rule(knob.value, good, SITE)], GROUP).unevaluable, frozenset()
                )
                # Of two that are equally specific it might be the one.
                both = [*rules, Rule(knob.value, good, ANY, OTHER_GROUP)]
                self.assertEqual(at(both, GROUP, OTHER_GROUP).unevaluable, {knob.value})
            needy = Rule(knob.value, good, needs="by-moonlight")
            self.assertEqual(at([needy]).unevaluable, {knob.value})

    def test_who_is_held_by_what(self) -> None:
        """(may be decided, of unknown users, passwords are taken) by the knob not understood."""
        for knob, expected in {
            "policy": (False, False, True),
            "cap": (False, False, True),
            "beyond-cap": (False, False, True),
            "account": (False, False, True),
            "stale-after": (True, True, False),
            "passwords": (True, True, False),
            "unknown-users": (True, False, True),
            "alarm-total": (True, True, True),
            "alarm-age": (True, True, True),
            "of-a-later-release": (False, False, True),
        }.items():
            one = at([Rule(knob, "bogus")])
            found = (one.can_decide, one.can_decide_unknown, one.takes_passwords)
            self.assertEqual(found, expected, knob)

    def test_what_site_set_says(self) -> None:
        self.assertEqual(site_rules(SITE, "capped", None, False, []), [])
        said = site_rules(SITE, "closed", "none", True, [Rule("policy", "strict", ANY, GROUP)])
        one = at(said, GROUP)
        self.assertEqual(
            (one.policy, one.cap_user_e4, one.deny_beyond_cap), (Policy.CLOSED, None, True)
        )
        rules = [Rule("policy", "strict", SITE), Rule("cap", "e4:5", SITE, GROUP)]
        one = at(site_rules(SITE, "closed", "none", True, rules), GROUP)
        self.assertEqual((one.policy, one.cap_user_e4), (Policy.STRICT, 5))

    @given(
        st.lists(
            st.builds(
                Rule,
                st.one_of(st.sampled_from([knob.value for knob in Knob]), st.text(max_size=9)),
                st.one_of(
                    st.sampled_from([t for _, vs in VALUES.values() for t, _ in vs]),
                    st.text(max_size=9),
                ),
                st.sampled_from([ANY, SITE, 8]),
                st.sampled_from([ANY, GROUP, OTHER_GROUP]),
                st.sampled_from(["", "x"]),
            ),
            max_size=8,
        ),
        st.randoms(use_true_random=False),
    )
    def test_any_rules_in_any_order(self, rules: list[Rule], rng: object) -> None:
        unique = list({(r.knob, r.site, r.group): r for r in rules}.values())
        found = at(unique, GROUP, OTHER_GROUP)
        rng.shuffle(unique)  # type: ignore[attr-defined]
        self.assertEqual(at(unique, OTHER_GROUP, GROUP), found)


class BoundTests(SynchronousTestCase):
    def test_sum_of_caps(self) -> None:
        for effective, expected in (
            ([], 0),
            ([Effective(cap_user_e4=5), Effective(cap_user_e4=6)], 11),
            ([Effective(cap_user_e4=5), Effective(cap_user_e4=None)], None),
            ([Effective(Policy.STRICT, None), Effective(Policy.CLOSED, 9)], 0),
            ([Effective(cap_user_e4=None, unevaluable=frozenset({"cap"}))], 0),
        ):
            self.assertEqual(bound_e4(effective), expected)

    def test_alarms(self) -> None:
        effective = Effective(alarm_total_e4=10, alarm_age_s=60.0)
        for unsettled_e4, stale_s, expected in (
            (10, 60.0, []),
            (11, 60.0, ["site-total"]),
            (0, 60.5, ["replica-age"]),
            (99, 99.0, ["site-total", "replica-age"]),
        ):
            self.assertEqual(alarms(effective, unsettled_e4, stale_s), expected)
        self.assertEqual(alarms(Effective(), 10**12, 1e9), [])

    def test_site_knobs_are_no_groups(self) -> None:
        self.assertEqual(
            {knob.value for knob in SITE_ONLY},
            {"unknown-users", "alarm-total", "alarm-age", "account-choice-timeout"},
        )


class DecisionTests(SynchronousTestCase):
    """Every policy, restricted or not, hold or deny, caps and amounts at their edges."""

    def test_whole_table(self) -> None:
        count = 0
        for policy, restricted, deny, cap_e4, unsettled_e4, spendable_e4 in itertools.product(
            Policy, (True, False), (True, False), (None, 0, 100), (0, 40, 100, 140), (-5, 0, 60, 99)
        ):
            effective = Effective(policy, cap_e4, deny)
            money = effective.money(unsettled_e4)
            funds = Funds(restricted, 1_000 + spendable_e4, 700, 300, 0)
            available_e4 = available_cut_e4(funds, money)
            for amount_e4 in (0, 1, 59, 60, 61, 99, 100, 101):
                found = decide_cut(funds, money, amount_e4)
                expected = self.expected(
                    policy, restricted, deny, cap_e4, unsettled_e4, spendable_e4, amount_e4
                )
                self.assertEqual(found, expected, (effective, funds, money, amount_e4))
                count += 1
                if amount_e4 and found[0] is Verdict.ALLOW and available_e4 is not None:
                    self.assertLessEqual(amount_e4, available_e4)
                elif found[0] is not Verdict.ALLOW:
                    self.assertIsNotNone(available_e4)
                    if amount_e4:
                        self.assertLess(available_e4, amount_e4)
        self.assertEqual(count, 3 * 2 * 2 * 3 * 4 * 4 * 8)

    @staticmethod
    def expected(
        policy: Policy,
        restricted: bool,
        deny: bool,
        cap_e4: int | None,
        unsettled_e4: int,
        spendable_e4: int,
        amount_e4: int,
    ) -> tuple[Verdict, Reason]:
        """The words of design 4.10 once more, as a list of cases."""
        beyond = Verdict.DENY if deny else Verdict.HOLD
        if policy is Policy.CLOSED:
            return Verdict.HOLD, Reason.CLOSED
        if not restricted or (policy is Policy.STRICT and amount_e4 == 0):
            return Verdict.ALLOW, Reason.NONE
        if policy is Policy.STRICT:
            # Nothing is held in escrow here.
            return beyond, Reason.FUNDS
        if amount_e4 > spendable_e4:
            return Verdict.HOLD, Reason.FUNDS
        if cap_e4 is not None and unsettled_e4 + amount_e4 > cap_e4:
            return beyond, Reason.FUNDS
        return Verdict.ALLOW, Reason.NONE
