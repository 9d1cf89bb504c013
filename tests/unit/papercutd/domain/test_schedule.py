"""When quotas are due, whatever the calendar and the machine's time zone do."""

from __future__ import annotations

import os
import time
from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.schedule import (
    NO_DUE,
    Due,
    Rule,
    credit_of,
    every,
    give_back_of,
    parse_due,
)
from papercutd.errors import InvalidValue


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


RULES = st.one_of(
    st.builds(Rule, st.just("daily"), st.just(0), st.integers(0, 1439)),
    st.builds(Rule, st.just("weekly"), st.integers(1, 7), st.integers(0, 1439)),
    st.builds(Rule, st.just("monthly"), st.integers(1, 31), st.integers(0, 1439)),
    st.builds(
        every,
        st.integers(1, 366),
        st.dates(date(1960, 1, 1), date(2100, 1, 1)),
        st.integers(0, 1439),
    ),
)
MOMENTS = st.floats(at("1971-01-01"), at("2120-01-01"))


class RuleTests(SynchronousTestCase):
    def test_next_and_last(self) -> None:
        for rule, moment, last, following, name in (
            (Rule("daily"), "26-11-28T10:00", "26-11-28T00:00", "26-11-29T00:00", "-11-28"),
            (Rule("daily", 0, 90), "26-11-28T01:29", "26-11-27T01:30", "26-11-28T01:30", "-11-27"),
            (Rule("weekly", 5), "26-11-28T10:00", "26-11-27T00:00", "26-12-04T00:00", "-W48"),
            (Rule("weekly", 7), "27-01-01T00:00", "26-12-27T00:00", "27-01-03T00:00", "-W52"),
            (Rule("monthly", 1), "26-11-28T10:00", "26-11-01T00:00", "26-12-01T00:00", "-11"),
            (Rule("monthly", 1), "26-12-31T23:59", "26-12-01T00:00", "27-01-01T00:00", "-12"),
        ):
            now, before, after = (at(f"20{text}") for text in (moment, last, following))
            self.assertEqual((rule.last_due(now), rule.next_due(now)), (before, after))
            self.assertEqual(rule.name_of(rule.last_due(now)), f"2026{name}")

    def test_a_short_month_has_its_last_day(self) -> None:
        rule = Rule("monthly", 31)
        due = rule.next_due(at("2028-01-31T00:00"))
        days = []
        for _ in range(4):
            days.append(f"{datetime.fromtimestamp(due, UTC):%m-%d}")
            due = rule.next_due(due)
        self.assertEqual(days, ["02-29", "03-31", "04-30", "05-31"])
        self.assertEqual(Rule("monthly", 29).next_due(at("2027-02-01")), at("2027-02-28"))

    def test_every_so_many_days(self) -> None:
        rule = every(14, date(2026, 11, 30), 390)
        rule.check()
        self.assertEqual(rule.next_due(at("2026-11-29")), at("2026-11-30T06:30"))
        self.assertEqual(rule.next_due(at("2026-11-30T06:30")), at("2026-12-14T06:30"))
        self.assertEqual(rule.last_due(at("2026-12-14T06:29")), at("2026-11-30T06:30"))
        self.assertEqual(rule.name_of(rule.next_due(at("2026-12-01"))), "2026-12-14")
        for bad in (Rule("custom", 0, 0), Rule("custom", 367, 0), Rule("custom", 2, 2_880)):
            self.assertRaises(InvalidValue, bad.check)
        for days in (0, -1, 367):
            self.assertRaises(InvalidValue, every, days, date(2026, 11, 30), 0)

    def test_a_leap_day_is_a_day(self) -> None:
        rule = Rule("daily", 0, 720)
        self.assertEqual(rule.next_due(at("2028-02-28T12:00")), at("2028-02-29T12:00"))
        self.assertEqual(rule.next_due(at("2028-02-29T12:00")), at("2028-03-01T12:00"))
        # 2100 is no leap year.
        self.assertEqual(rule.next_due(at("2100-02-28T12:00")), at("2100-03-01T12:00"))

    def test_the_machines_time_zone_changes_nothing(self) -> None:
        """F38: two o'clock twice, and not at all; each day has one run all the same."""
        before = os.environ.get("TZ")
        found = []
        try:
            for zone in ("UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"):
                os.environ["TZ"] = zone
                time.tzset()
                rule, moment = Rule("daily", 0, 90), at("2026-10-24T00:00")
                dues = [moment := rule.next_due(moment) for _ in range(3)]
                found.append([*dues, rule.next_due(at("2026-03-29T01:00"))])
        finally:
            os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
            time.tzset()
        self.assertEqual(found, [found[0]] * 4)
        self.assertEqual(
            [b - a for a, b in zip(found[0][:2], found[0][1:3], strict=True)], [86_400] * 2
        )

    @given(RULES, MOMENTS)
    def test_last_and_next_meet(self, rule: Rule, moment: float) -> None:
        last, following = rule.last_due(moment), rule.next_due(moment)
        self.assertTrue(last <= moment < following)
        self.assertEqual(rule.next_due(last), following)
        self.assertEqual(rule.last_due(following), following)
        self.assertNotEqual(rule.name_of(last), rule.name_of(following))

    @given(RULES)
    def test_periods_have_names_of_their_own(self, rule: Rule) -> None:
        due, names = rule.next_due(at("2026-01-01")), []
        for _ in range(500):
            names.append(rule.name_of(due))
            due = rule.next_due(due)
        self.assertEqual(names, sorted(set(names)))

    def test_broken_clocks(self) -> None:
        for rule in (Rule("daily"), Rule("weekly", 1), Rule("monthly", 31)):
            for moment in (-1e12, -1.0, 0.0, 1e15, float(2**62)):
                rule.last_due(moment)
                rule.name_of(rule.next_due(moment))

    def test_what_is_no_rule(self) -> None:
        for rule in (
            Rule("hourly"),
            Rule("daily", 1),
            Rule("weekly", 0),
            Rule("weekly", 8),
            Rule("monthly", 0),
            Rule("monthly", 32),
            Rule("daily", 0, 1440),
            Rule("daily", 0, -1),
        ):
            self.assertRaises(InvalidValue, rule.check)


class DueTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        for due in (NO_DUE, Due(1_800_000_000, 3)):
            self.assertEqual(parse_due(due.text), due)

    def test_anything_else_is_not_known(self) -> None:
        for text in (
            "",
            ".",
            "1",
            "1.",
            ".1",
            "-1.2",
            "1.2.3",
            "a.b",
            "1e3.1",
            "9" * 16 + ".1",
            "٣.1",
        ):
            self.assertIsNone(parse_due(text))

    def test_order_is_of_moments_first(self) -> None:
        self.assertLess(Due(1, 9), Due(2, 1))
        self.assertLess(Due(2, 1), Due(2, 2))


AMOUNTS = st.integers(0, 100)


class CreditTests(SynchronousTestCase):
    def test_a_cap(self) -> None:
        for balance, credit, withheld, over in (
            (0, 5, 0, 0), (5, 5, 0, 0), (8, 2, 3, 0), (10, 0, 5, 0), (12, 0, 5, 2), (-3, 5, 0, 0),
        ):  # fmt: skip
            done = credit_of(5, 10, balance)
            self.assertEqual(
                (done.credit_e4, done.withheld_e4, done.over_e4), (credit, withheld, over)
            )
        self.assertEqual(credit_of(5, None, 10**6).credit_e4, 5)

    @given(AMOUNTS, AMOUNTS, st.integers(-100, 200), st.lists(AMOUNTS, max_size=5))
    def test_late_charges_come_out_as_early_ones(self, amount, cap, balance, charges) -> None:
        """Whether charges are posted before the run or after it, the purse holds the same."""
        early = balance - sum(charges)
        early += credit_of(amount, cap, early).credit_e4
        done = credit_of(amount, cap, balance)
        late = balance + done.credit_e4
        left, over, given_back = done.withheld_e4, done.over_e4, 0
        for charge in charges:
            back = give_back_of(charge, left, over)
            self.assertLessEqual(back.given_e4, min(left, charge))
            left, over = back.left_e4, back.over_e4
            late += back.given_e4 - charge
            given_back += back.given_e4
        self.assertEqual(late, early)
        self.assertLessEqual(given_back, done.withheld_e4)
