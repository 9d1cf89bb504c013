"""A price list that somebody typed is taken whole or refused with its line named."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.price_lines import parse_lines
from papercutd.domain.pricing import PagePrice
from papercutd.errors import InvalidValue

OTHERS = ["0.10", "0.40"]


class PriceLines(SynchronousTestCase):
    def assert_refused(self, prices: dict[str, Any], *words: str) -> None:
        error = self.assertRaises(InvalidValue, parse_lines, prices)
        for word in words:
            self.assertIn(word, str(error))

    def test_names_are_those_jobs_are_charged_by(self) -> None:
        papers, other = parse_lines(
            {"iso_a4_210x297mm": ["0.05", "0.20", "0.03", "0.15"], "a2": OTHERS, "*": OTHERS}
        )
        self.assertEqual(
            papers, (PagePrice("A4", 500, 2_000, 300, 1_500), PagePrice("420x594mm", 1_000, 4_000))
        )
        self.assertEqual(other, PagePrice("*", 1_000, 4_000))

    def test_gap_overlap_and_unknown_size(self) -> None:
        self.assert_refused({"A4": OTHERS}, "line *")
        self.assert_refused({"A4": OTHERS, "210x297mm": OTHERS, "*": OTHERS}, "210x297mm", "A4")
        self.assert_refused({"A44": OTHERS, "*": OTHERS}, "'A44'", "no paper size we know")

    def test_amounts(self) -> None:
        for amount in ("0,05", "€0.05", "5e-2", "1" * 20, "", "0.00001", "nan", "-0.05"):
            self.assert_refused({"A4": [amount, "0.20"], "*": OTHERS}, "A4")
        for pair in ([], ["1"], ["1"] * 3, ["1"] * 5, "1", None):
            self.assert_refused({"A4": pair, "*": OTHERS}, "A4")
