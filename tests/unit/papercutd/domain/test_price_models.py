"""Discounts, fees, categories, multipliers and lists: what holds whatever they say."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.capabilities import lacking
from papercutd.domain.document import SIDES_MAX, Document, PageGroup
from papercutd.domain.price_check import check_prices
from papercutd.domain.price_table import MULTIPLIER_MAX, UpTo, scaled_e4
from papercutd.domain.pricing import (
    MINIMUM,
    Multiplier,
    OwnList,
    PagePrice,
    PriceLine,
    PriceList,
    PriceTable,
    Rules,
    are_possible,
    exceed,
    fit_lines,
    price_document,
    reprice_pages,
    total_e4,
    total_pages,
)
from papercutd.errors import InvalidValue

PLAIN = PriceList(1, 0.0, "EUR", (PagePrice("A4", 500, 2_000),), PagePrice("*", 1_000, 4_000))
UNITS = st.integers(0, 100_000)
SHARES = st.integers(0, 10_000)
PAPERS = st.sampled_from(["A4", "A3", "420x594mm", "?"])
LINES = st.builds(PagePrice, PAPERS, UNITS, UNITS, st.none() | UNITS, st.none() | UNITS)
CATEGORIES = st.lists(UNITS, max_size=1).map(
    lambda units: tuple(UpTo(297, 420, PagePrice("<=A3", unit, unit)) for unit in units)
)
RULES = st.builds(Rules, CATEGORIES, SHARES, SHARES, UNITS, UNITS, UNITS, UNITS)
TABLES = st.builds(
    PriceTable, st.lists(LINES, max_size=3, unique_by=lambda n: n.paper).map(tuple), LINES, RULES
)
MULTIPLIERS = st.lists(
    st.builds(Multiplier, st.integers(1, 4), st.integers(1, MULTIPLIER_MAX)),
    max_size=3,
    unique_by=lambda one: one.group,
).map(tuple)


@st.composite
def price_lists(draw: st.DrawFn) -> PriceList:
    table, own = draw(TABLES), draw(TABLES)
    lists = draw(st.sampled_from([(), (OwnList("a", own, (1,), (2,)),)]))
    multipliers = draw(MULTIPLIERS)
    return PriceList(1, 0.0, "EUR", table.papers, table.other, table.rules, lists, multipliers)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    groups = []
    for paper in draw(st.lists(PAPERS, min_size=1, max_size=3, unique=True)):
        pages = draw(st.integers(1, 30))
        groups.append(PageGroup(paper, pages, draw(st.integers(0, pages))))
    formats = st.sampled_from(["application/pdf", "papercut/copy", "papercut/scan", "papercut/fax"])
    copies = draw(st.integers(1, 3))
    return Document(tuple(groups), copies, draw(st.booleans()), draw(formats))


WHERE = st.tuples(st.integers(0, 2), st.sets(st.integers(1, 5), max_size=3))


class PropertyTests(SynchronousTestCase):
    @given(price_lists(), documents(), WHERE)
    def test_what_a_list_gives_is_admitted(self, prices, document, where) -> None:
        check_prices(prices)
        lines = price_document(document, prices, *where)
        self.assertTrue(are_possible(lines, SIDES_MAX))
        self.assertFalse(exceed(lines, prices.dearest))
        self.assertEqual(total_pages(lines), document.pages)
        self.assertEqual(total_e4(lines), sum(n.quantity * n.unit_e4 for n in lines))

    @given(price_lists(), documents(), WHERE)
    def test_fewer_pages_are_never_dearer(self, prices, document, where) -> None:
        lines = price_document(document, prices, *where)
        amounts = []
        for pages in range(document.pages + 5):
            again = reprice_pages(lines, pages)
            self.assertEqual(total_pages(again), pages)
            self.assertTrue(are_possible(again, SIDES_MAX))
            self.assertFalse(exceed(again, prices.dearest))
            amounts.append(total_e4(again))
        self.assertEqual(amounts[0], 0)
        self.assertEqual(amounts, sorted(amounts))
        self.assertEqual(amounts[document.pages], total_e4(lines))

    @given(price_lists(), documents(), WHERE, st.integers(0, 60), st.integers(0, 60))
    def test_repricing_twice_is_never_dearer_than_once(self, prices, document, where, a, b) -> None:
        lines = price_document(document, prices, *where)
        less, least = sorted((a, b), reverse=True)
        twice = reprice_pages(reprice_pages(lines, less), least)
        self.assertLessEqual(
            total_e4(twice), max(total_e4(lines), total_e4(reprice_pages(lines, less)))
        )

    @given(price_lists(), documents(), WHERE, st.integers(-5, 10**6))
    def test_what_is_fitted_is_paid_for(self, prices, document, where, available_e4) -> None:
        lines = price_document(document, prices, *where)
        fitted = fit_lines(lines, available_e4)
        self.assertTrue(fitted == lines or 0 <= total_e4(fitted) <= available_e4)

    @given(UNITS, st.integers(1, MULTIPLIER_MAX), SHARES, SHARES)
    def test_rounding_is_once_and_down(self, unit_e4, multiplier, a, b) -> None:
        exact = unit_e4 * multiplier * (10_000 - a) * (10_000 - b)
        found = scaled_e4(unit_e4, multiplier, a, b)
        self.assertTrue(found * 10**12 <= exact < (found + 1) * 10**12)


class ModelTests(SynchronousTestCase):
    def lines(self, prices: PriceList, *groups: PageGroup, **more: object) -> list[PriceLine]:
        where = {name: more.pop(name) for name in ("printer", "groups") if name in more}
        return list(price_document(Document(groups, **more), prices, **where))  # type: ignore[arg-type]

    def test_discounts(self) -> None:
        prices = attrs.evolve(PLAIN, rules=Rules((), 1_000, 3_333))
        found = self.lines(prices, PageGroup("A4", 3, 1))
        self.assertEqual(found, [PriceLine("A4 grey", 2, 333), PriceLine("A4 colour", 1, 2_000)])
        found = self.lines(prices, PageGroup("A4", 3, 1), duplex=True)
        duplex = [PriceLine("A4 grey duplex", 2, 300), PriceLine("A4 colour duplex", 1, 1_800)]
        self.assertEqual(found, duplex)

    def test_a_stated_duplex_price_is_discounted_no_further(self) -> None:
        papers = (PagePrice("A4", 500, 2_000, 400, 1_900),)
        prices = attrs.evolve(PLAIN, papers=papers, rules=Rules((), 5_000))
        self.assertEqual(
            [n.unit_e4 for n in self.lines(prices, PageGroup("A4", 2, 1), duplex=True)],
            [400, 1_900],
        )

    def test_fees(self) -> None:
        prices = attrs.evolve(PLAIN, rules=Rules((), 0, 0, 300, 1_500))
        one, three = PageGroup("A4", 1), PageGroup("A4", 3)
        first = PriceLine("first page", 1, 300)
        short = [PriceLine("A4 grey", 1, 500), first, PriceLine(MINIMUM, 1, 700)]
        self.assertEqual(self.lines(prices, one), short)
        self.assertEqual(self.lines(prices, three), [PriceLine("A4 grey", 3, 500), first])
        self.assertEqual(total_e4(reprice_pages(short, 3)), 1_800)
        self.assertEqual(reprice_pages(short, 0), ())
        # A device counts page by page: it has no fees.
        found = self.lines(prices, one, format="papercut/copy")
        self.assertEqual(found, [PriceLine("A4 grey", 1, 500)])

    def test_scan_and_fax(self) -> None:
        prices = attrs.evolve(PLAIN, rules=Rules(scan_e4=10, fax_e4=70))
        for function, unit_e4 in (("scan", 10), ("fax", 70)):
            found = self.lines(prices, PageGroup("A4", 3), format=f"papercut/{function}")
            self.assertEqual(found, [PriceLine(function, 3, unit_e4)])

    def test_categories_by_size(self) -> None:
        up_to = (
            UpTo(210, 297, PagePrice("<=A4", 1, 1)),
            UpTo(420, 594, PagePrice("<=420x594mm", 2, 2)),
        )
        prices = attrs.evolve(PLAIN, papers=(PagePrice("A3", 9, 9),), rules=Rules(up_to))
        units = {"A5": 1, "A4": 1, "211x298mm": 1, "A3": 9, "Letter": 2, "420x594mm": 2}
        units |= {"841x1189mm": 1_000, "?": 1_000, "": 1_000}
        for paper, unit_e4 in units.items():
            self.assertEqual(self.lines(prices, PageGroup(paper, 1))[0].unit_e4, unit_e4, paper)

    def test_the_least_multiplier_of_ones_groups(self) -> None:
        many = (Multiplier(1, 5_000), Multiplier(2, 15_000), Multiplier(3, 3_333, (7, 8)))
        prices = attrs.evolve(PLAIN, multipliers=many)
        for groups, unit_e4 in (((), 500), ((9,), 500), ((2,), 750), ((1, 2), 250), ((8,), 166)):
            found = self.lines(prices, PageGroup("A4", 1), groups=groups)
            self.assertEqual(found[0].unit_e4, unit_e4, groups)

    def test_the_printers_list_then_the_groups_then_the_default(self) -> None:
        own = [
            OwnList(name, PriceTable((), PagePrice("*", unit_e4, unit_e4)), *more)
            for name, unit_e4, *more in (
                ("printer", 1, (7,)),
                ("first", 2, (), (1,), (4,)),
                ("second", 3, (), (2,)),
            )
        ]
        prices = attrs.evolve(PLAIN, lists=tuple(own))
        cases = (
            *((7, (1, 2), 1), (8, (1, 2), 2), (8, (2,), 3)),
            *((8, (4, 2), 2), (8, (3,), 500), (0, (), 500)),
        )
        for printer, groups, unit_e4 in cases:
            found = self.lines(prices, PageGroup("A4", 1), printer=printer, groups=groups)
            self.assertEqual(found[0].unit_e4, unit_e4, (printer, groups))

    def test_an_older_release_holds(self) -> None:
        self.assertEqual(PLAIN.needs, ())
        for more in (
            {"rules": Rules(minimum_e4=1)},
            {"multipliers": (Multiplier(1, 1),)},
            {"lists": (OwnList("a", PLAIN.table),)},
        ):
            needs = attrs.evolve(PLAIN, **more).needs  # type: ignore[arg-type]
            self.assertEqual(lacking(needs, ["duplex-prices"]), ["price-models"])
            self.assertEqual(lacking(needs), [])

    def test_fees_that_no_list_can_give(self) -> None:
        side, fee = PriceLine("A4 grey", 1, 5), PriceLine(MINIMUM, 1, 5)
        self.assertTrue(are_possible((side, fee), 9))
        twice, lone, many = (side, fee, fee), (fee,), (side, attrs.evolve(fee, quantity=2))
        none, negative = (side, attrs.evolve(fee, quantity=0)), (attrs.evolve(side, unit_e4=-1),)
        for lines in (twice, lone, many, none, negative, (attrs.evolve(side, quantity=10),)):
            self.assertFalse(are_possible(lines, 9), lines)


class CheckTests(SynchronousTestCase):
    def test_nothing_out_of_bounds(self) -> None:
        table, line = PLAIN.table, PagePrice("*", 1, 1)
        overlap = (UpTo(210, 297, line), UpTo(216, 279, attrs.evolve(line, paper="Letter")))
        cases: list[dict[str, object]] = [
            *({"rules": Rules((), share)} for share in (-1, 10_001)),
            *({"rules": Rules((), 0, share)} for share in (-1, 10_001)),
            *({"rules": Rules((), 0, 0, amount)} for amount in (-1, 10**9)),
            {"rules": Rules(overlap)},
            *({"multipliers": (Multiplier(1, share),)} for share in (0, -1, 10**9)),
            {"multipliers": (Multiplier(1, 1), Multiplier(1, 2))},
            {"multipliers": (Multiplier(1, 10**6),), "other": PagePrice("*", 10**8, 1)},
            {"lists": (OwnList("a", table), OwnList("a", table))},
            {"lists": (OwnList("a", table, (1,)), OwnList("b", table, (1,)))},
            {"lists": (OwnList("a", table, (), (1,)), OwnList("b", table, (), (1,)))},
            {"papers": (line, line)},
            {"papers": tuple(PagePrice(str(n), 1, 1) for n in range(6_000))},
        ]
        for more in cases:
            with self.assertRaises(InvalidValue):
                check_prices(attrs.evolve(PLAIN, **more))  # type: ignore[arg-type]
