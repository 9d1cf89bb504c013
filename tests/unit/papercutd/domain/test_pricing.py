"""Prices of both sides, and what a release has to know to use them."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.capabilities import CAPABILITIES, lacking
from papercutd.domain.document import Document, PageGroup
from papercutd.domain.pricing import PagePrice, PriceLine, PriceList, price_document

PLAIN = PriceList(1, 0.0, "EUR", (PagePrice("A4", 500, 2000),), PagePrice("", 1000, 4000))
DUPLEX = attrs.evolve(PLAIN, papers=(PagePrice("A4", 500, 2000, 300, 1500),))


class DuplexTests(SynchronousTestCase):
    def priced(self, prices: PriceList, duplex: bool, paper: str = "A4") -> list[PriceLine]:
        document = Document((PageGroup(paper, 3, 1),), copies=2, duplex=duplex)
        return list(price_document(document, prices))

    def test_one_side_costs_as_before(self) -> None:
        lines = [PriceLine("A4 grey", 4, 500), PriceLine("A4 colour", 2, 2000)]
        for prices, duplex in ((PLAIN, False), (PLAIN, True), (DUPLEX, False)):
            self.assertEqual(self.priced(prices, duplex), lines)

    def test_both_sides(self) -> None:
        lines = [PriceLine("A4 grey duplex", 4, 300), PriceLine("A4 colour duplex", 2, 1500)]
        self.assertEqual(self.priced(DUPLEX, True), lines)
        # A paper without prices of its own for it costs the same.
        self.assertEqual(self.priced(DUPLEX, True, "A3")[0], PriceLine("A3 grey", 4, 1000))

    def test_what_has_to_be_known(self) -> None:
        self.assertEqual((PLAIN.needs, DUPLEX.needs), ((), ("duplex-prices",)))
        self.assertEqual(lacking(DUPLEX.needs), [])
        self.assertEqual(lacking(DUPLEX.needs, ()), ["duplex-prices"])
        self.assertEqual(lacking(["b", "a", *CAPABILITIES]), ["a", "b"])

    def test_the_dearest(self) -> None:
        dear = attrs.evolve(PLAIN, other=PagePrice("", 1, 1, 9_000, 1))
        self.assertEqual((PLAIN.dearest_e4, dear.dearest_e4), (4000, 9000))
