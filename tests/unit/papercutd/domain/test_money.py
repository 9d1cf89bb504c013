"""Amounts as people write them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.money import parse_amount_e4, parse_sum_e4, show_amount
from papercutd.errors import AlreadyExists, InvalidValue, NotFound


class AmountTests(SynchronousTestCase):
    def test_digits_and_a_point(self) -> None:
        for text, amount_e4 in (("12.50", 125_000), ("-3", -30_000), ("+0.0001", 1)):
            self.assertEqual(parse_amount_e4(text), amount_e4)
        self.assertEqual(show_amount(125_000), "12.50")

    def test_what_is_wrong_is_said(self) -> None:
        for text, words in (
            ("1,50", "holds a comma"),
            ("€1.50", "holds a currency"),
            ("1.50 EUR", "holds a currency"),
            ("1e3", "is written with an exponent"),
            ("12345678901234567890", "has more than eleven digits"),
            ("0.00001", "has more than four digits"),
            (" 5", "holds a space"),
            ("", "is no amount such as 12.50"),
            ("５", "is no amount"),
            ("--1", "is no amount"),
        ):
            with self.assertRaisesRegex(InvalidValue, f"fee: {words}"):
                parse_amount_e4(text, field="fee")

    def test_one_act_moves_no_more_than_anybody_means(self) -> None:
        self.assertEqual(parse_sum_e4("1000000000"), 10**13)
        for text in ("1000000000.0001", "-99999999999"):
            with self.assertRaisesRegex(InvalidValue, "1000000000.00 at the most"):
                parse_sum_e4(text)


class NamedTests(SynchronousTestCase):
    def test_a_name_stands_as_it_is_written(self) -> None:
        self.assertEqual(
            str(AlreadyExists("account", "Physics\\Laser")),
            "there is an account 'Physics\\Laser' already",
        )
        self.assertEqual(str(NotFound("user", "a\nb")), "there is no user 'a\\nb'")
