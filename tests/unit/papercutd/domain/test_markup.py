"""What a shared account adds: a line that says its rate, right for fewer and for more pages."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.document import SIDES_MAX
from papercutd.domain.markup import (
    MARKUP_MAX_E4,
    markup_name,
    parse_rate,
    rate_of_name,
    show_rate,
)
from papercutd.domain.pricing import (
    PriceLine,
    are_possible,
    exceed,
    fit_lines,
    markup_rate,
    page_e4,
    price_document,
    reprice_pages,
    total_e4,
    total_pages,
    with_markup,
)
from papercutd.errors import InvalidValue
from tests.unit.papercutd.domain.test_price_models import WHERE, documents, price_lists

RATES = st.integers(0, MARKUP_MAX_E4)


class MarkupTests(SynchronousTestCase):
    @settings(max_examples=25, deadline=None)
    @given(price_lists(), documents(), WHERE, RATES)
    def test_of_any_price(self, prices: Any, document: Any, where: Any, rate_e4: int) -> None:
        plain = price_document(document, prices, *where)
        lines = with_markup(plain, rate_e4)
        exact = total_e4(plain) * rate_e4
        added_e4 = total_e4(lines) - total_e4(plain)
        self.assertTrue(added_e4 * 10_000 <= exact < (added_e4 + 1) * 10_000)
        self.assertEqual(total_pages(lines), total_pages(plain))
        self.assertTrue(are_possible(lines, SIDES_MAX))
        self.assertEqual(exceed(lines, prices.dearest), exceed(plain, prices.dearest))
        self.assertEqual(markup_rate(lines), rate_e4)
        for pages in (0, 1, document.pages, document.pages + 3):
            again = reprice_pages(lines, pages)
            self.assertEqual(again, with_markup(reprice_pages(plain, pages), rate_e4))

    @given(st.integers(0, 9_000), st.integers(1, 500), RATES, st.integers(-5, 10**6))
    def test_a_run_stops_where_the_money_ends(
        self, unit_e4: int, pages: int, rate_e4: int, available_e4: int
    ) -> None:
        lines = with_markup((PriceLine("A4 grey", pages, unit_e4),), rate_e4)
        fitted = fit_lines(lines, available_e4)
        if fitted == lines:
            one = with_markup((PriceLine("A4 grey", 1, unit_e4),), rate_e4)
            self.assertTrue(total_e4(lines) <= available_e4 or total_e4(one) > available_e4)
            return
        self.assertLessEqual(total_e4(fitted), available_e4)
        more = (PriceLine("A4 grey", total_pages(fitted) + 1, unit_e4),)
        self.assertGreater(total_e4(with_markup(more, rate_e4)), available_e4)

    def test_names(self) -> None:
        for rate_e4, name in (
            (1, "mark-up 0.01 %"),
            (1_250, "mark-up 12.5 %"),
            (100, "mark-up 1 %"),
        ):
            self.assertEqual((markup_name(rate_e4), rate_of_name(name)), (name, rate_e4))
        for name in ("mark-up 5 % grey", "mark-up", "mark-up x %", "mark-up 12345 %"):
            self.assertIsNone(rate_of_name(name))
        # A paper called so has sides all the same.
        self.assertEqual(total_pages([PriceLine("mark-up 5 % grey", 3, 1)]), 3)
        self.assertEqual(page_e4(with_markup((PriceLine("A4 grey", 2, 500),), 1_250)), 562)
        self.assertEqual(page_e4(()), 0)

    @given(RATES)
    def test_read_as_it_is_shown(self, rate_e4: int) -> None:
        self.assertEqual(parse_rate(show_rate(rate_e4)), rate_e4)

    def test_what_is_no_rate(self) -> None:
        self.assertEqual(parse_rate(" 12.5 % "), 1_250)
        for text in ("", "-1", "1e9", "1,5", "12.345", "1001", "$3", "9" * 20, "٣"):
            with self.assertRaises(InvalidValue):
                parse_rate(text)
