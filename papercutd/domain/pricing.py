"""What a document costs: pure arithmetic over one version of the prices.

Rounding occurs in unit prices alone (domain/price_table.py): every line of a charge is a whole
number of sides times a whole number of 1/10000. A fee is a line too, of quantity 1, and counts
no side; so is the mark-up of a shared account (domain/markup.py), the last one of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from functools import cached_property

import attrs

from papercutd.domain.capabilities import DUPLEX_PRICES, PRICE_MODELS
from papercutd.domain.document import RUN_FORMATS, UNPRICED_FORMATS, Document
from papercutd.domain.markup import markup_e4, markup_name, rate_of_name
from papercutd.domain.price_table import (
    NO_RULES,
    WHOLE,
    Dearest,
    Multiplier,
    OwnList,
    PagePrice,
    PriceTable,
    Rules,
    scaled_e4,
)

#: Lines that count no side. No paper's line is called so: these end in the colour.
FIRST_PAGE = "first page"
MINIMUM = "minimum charge"
FEES = frozenset({FIRST_PAGE, MINIMUM})
_RUNS = frozenset(RUN_FORMATS.values())


@attrs.frozen
class PriceList:
    """One version of the prices: the default list, and what else holds for some."""

    version: int
    effective_from: float
    currency: str
    papers: tuple[PagePrice, ...]
    other: PagePrice
    rules: Rules = NO_RULES
    lists: tuple[OwnList, ...] = ()
    multipliers: tuple[Multiplier, ...] = ()

    @cached_property
    def table(self) -> PriceTable:
        """The default list."""
        return PriceTable(self.papers, self.other, self.rules)

    @cached_property
    def _by_printer(self) -> dict[int, OwnList]:
        return {printer: own for own in reversed(self.lists) for printer in own.printers}

    @cached_property
    def _of_groups(self) -> tuple[tuple[frozenset[int], OwnList], ...]:
        return tuple((frozenset((*o.groups, *o.below)), o) for o in self.lists if o.groups)

    @cached_property
    def by_group(self) -> bool:
        """Whether it matters in which groups somebody is."""
        return bool(self.multipliers or self._of_groups)

    def list_for(self, printer: int, groups: Collection[int]) -> OwnList | None:
        """That of the printer; else the first that is of one of the groups; None: the default."""
        own = self._by_printer.get(printer)
        if own is None and groups:
            own = next((o for of, o in self._of_groups if not of.isdisjoint(groups)), None)
        return own

    def multiplier_for(self, groups: Collection[int]) -> int:
        """The least of those of the groups, in 1/10000."""
        found = [
            one.multiplier
            for one in self.multipliers
            if one.group in groups or not set(one.below).isdisjoint(groups)
        ]
        return min(found, default=WHOLE)

    def price_of(self, paper: str) -> PagePrice:
        """The line of the default list for ``paper``, as it is stated."""
        return self.table.price_of(paper)

    @cached_property
    def dearest(self) -> Dearest:
        """What no honest line of this version exceeds."""
        most = max((WHOLE, *(one.multiplier for one in self.multipliers)))
        found = self.table.dearest(most)
        for own in self.lists:
            found = found.with_(own.table.dearest(most))
        return found

    @property
    def dearest_e4(self) -> int:
        """The dearest side of this version: what no honest page exceeds."""
        return self.dearest.side_e4

    @property
    def needs(self) -> tuple[str, ...]:
        """What a release must be able to evaluate to use these prices."""
        has_duplex = any(len(line.units_e4) > 2 for line in (*self.papers, self.other))
        has_models = self.rules != NO_RULES or bool(self.lists or self.multipliers)
        words = ((DUPLEX_PRICES, has_duplex), (PRICE_MODELS, has_models))
        return tuple(word for word, is_needed in words if is_needed)

    @cached_property
    def grey_a4_e4(self) -> int:
        """A grey A4 side of the default list: the unit in which caps and allowances are thought
        of."""
        return self.table.units_of(self.price_of("A4")).grey_e4


@attrs.frozen
class PriceLine:
    """One line of a charge: ``quantity`` sides at ``unit_e4``."""

    what: str
    quantity: int
    unit_e4: int

    @property
    def amount_e4(self) -> int:
        return self.quantity * self.unit_e4


def total_e4(lines: Sequence[PriceLine]) -> int:
    """The sum of ``lines``."""
    return sum(line.quantity * line.unit_e4 for line in lines)


def total_pages(lines: Sequence[PriceLine]) -> int:
    """The sides that ``lines`` charge for."""
    return sum(line.quantity for line in lines if not _is_fee(line.what))


def markup_rate(lines: Sequence[PriceLine]) -> int:
    """The rate of the mark-up among ``lines``, in 1/10000; 0 where there is none."""
    return next((rate for line in lines if (rate := rate_of_name(line.what)) is not None), 0)


def with_markup(lines: Sequence[PriceLine], rate_e4: int) -> tuple[PriceLine, ...]:
    """``lines`` of which none is a mark-up, with one of that rate where anything is printed."""
    if not rate_e4 or not total_pages(lines):
        return tuple(lines)
    unit_e4 = markup_e4(total_e4(lines), rate_e4)
    return (*lines, PriceLine(markup_name(rate_e4), 1, unit_e4))


def page_e4(lines: Sequence[PriceLine]) -> int:
    """What one more page of a run costs, its mark-up with it."""
    if not lines:
        return 0
    unit_e4 = lines[0].unit_e4
    return unit_e4 + markup_e4(unit_e4, markup_rate(lines))


def _is_fee(what: str) -> bool:
    return what in FEES or (what.startswith("mark-up ") and rate_of_name(what) is not None)


def _without_markup(lines: Sequence[PriceLine]) -> list[PriceLine]:
    return [line for line in lines if rate_of_name(line.what) is None]


def price_document(
    document: Document, prices: PriceList, printer: int = 0, groups: Collection[int] = ()
) -> tuple[PriceLine, ...]:
    """The lines of ``document``, one for each paper and colour that occurs in it, and its fees.

    ``groups`` are those of whose job it is. What runs at a device has no fees: its price is
    that of each page, by which it stops where the money ends.
    """
    own = prices.list_for(printer, groups)
    table = prices.table if own is None else own.table
    multiplier = prices.multiplier_for(groups) if groups else WHOLE
    if document.format in UNPRICED_FORMATS:
        function = document.format.rpartition("/")[2]
        return (PriceLine(function, document.pages, table.unpriced_e4(function, multiplier)),)
    lines: list[PriceLine] = []
    for group in document.groups:
        price = table.units_of(table.price_of(group.paper), multiplier)
        grey = (group.pages - group.colour) * document.copies
        colour = group.colour * document.copies
        sides = (
            ("grey", grey, price.grey_e4, price.grey_duplex_e4),
            ("colour", colour, price.colour_e4, price.colour_duplex_e4),
        )
        for what, quantity, unit_e4, duplex_e4 in sides:
            if quantity and document.duplex and duplex_e4 is not None:
                lines.append(PriceLine(f"{group.paper} {what} duplex", quantity, duplex_e4))
            elif quantity:
                lines.append(PriceLine(f"{group.paper} {what}", quantity, unit_e4))
    if lines and document.format not in _RUNS:
        first_e4 = scaled_e4(table.rules.first_page_e4, multiplier)
        lines += _with_fees(lines, first_e4, table.rules.minimum_e4)
    return tuple(lines)


def _with_fees(sides: Sequence[PriceLine], first_e4: int, minimum_e4: int) -> list[PriceLine]:
    """The fees of ``sides``: what the first costs more, and what is missing to the least."""
    missing_e4 = minimum_e4 - total_e4(sides) - first_e4
    fees = [PriceLine(FIRST_PAGE, 1, first_e4)] if first_e4 else []
    if missing_e4 > 0:
        fees.append(PriceLine(MINIMUM, 1, missing_e4))
    return fees


def are_possible(lines: Sequence[PriceLine], sides_max: int) -> bool:
    """Whether any list at all can give ``lines``: no amount is negative, each fee is there once
    at the most, and not without a side; a mark-up is what its rate says."""
    fees = Counter(line.what for line in lines if _is_fee(line.what))
    plain = _without_markup(lines)
    return (
        all(0 <= line.quantity <= sides_max and line.unit_e4 >= 0 for line in lines)
        and all(line.quantity == 1 for line in lines if _is_fee(line.what))
        and all(count == 1 for count in fees.values())
        and (not fees or total_pages(lines) > 0)
        and (len(plain) == len(lines) or with_markup(plain, markup_rate(lines)) == tuple(lines))
    )


def exceed(lines: Sequence[PriceLine], dearest: Dearest) -> bool:
    """Whether any of ``lines`` is dearer than what nothing exceeds; of a mark-up its account
    says it."""
    limits = {FIRST_PAGE: dearest.first_page_e4, MINIMUM: dearest.minimum_e4}
    return any(
        line.unit_e4 > limits.get(line.what, dearest.side_e4) for line in _without_markup(lines)
    )


def fit_lines(lines: Sequence[PriceLine], available_e4: int | None) -> tuple[PriceLine, ...]:
    """As much of a run as ``available_e4`` pays for (None: all); all of it when not one page.

    A run has one line and no fee, and perhaps a mark-up; what has more stays whole, as does what
    does not fit at all, and is refused as such.
    """
    plain, rate_e4 = _without_markup(lines), markup_rate(lines)
    if len(plain) != 1 or available_e4 is None or total_e4(lines) <= available_e4:
        return tuple(lines)
    (line,) = plain
    if line.unit_e4 == 0:
        return tuple(lines)
    pages = max(0, available_e4) * WHOLE // (line.unit_e4 * (WHOLE + rate_e4))
    # Rounded down, the mark-up may leave room for one more.
    for quantity in (pages + 1, pages):
        fitted = with_markup((attrs.evolve(line, quantity=quantity),), rate_e4)
        if quantity and total_e4(fitted) <= available_e4:
            return fitted
    return tuple(lines)


def reprice_pages(lines: Sequence[PriceLine], pages: int) -> tuple[PriceLine, ...]:
    """``lines`` for ``pages`` sides in all, at the same unit prices.

    Fewer pages than decided: which of them came out is not known, so the dearest
    are taken off first. More: the excess is charged at the cheapest line. Both
    err on the side of the person who pays. The fees stay while a side is left: the
    least is what it was, if it was reached by a fee, and none otherwise.
    """
    if total_pages(lines) == pages or not lines:
        return tuple(lines)
    sides = _reprice_sides([line for line in lines if not _is_fee(line.what)], pages)
    if not sides:
        return ()
    first_e4 = sum(line.unit_e4 for line in lines if line.what == FIRST_PAGE)
    is_least = any(line.what == MINIMUM for line in lines)
    least_e4 = total_e4(_without_markup(lines)) if is_least else 0
    return with_markup((*sides, *_with_fees(sides, first_e4, least_e4)), markup_rate(lines))


def _reprice_sides(lines: Sequence[PriceLine], pages: int) -> list[PriceLine]:
    """The same of lines without fees; without a line for none."""
    missing = total_pages(lines) - pages
    if not lines:
        return []
    if missing < 0:
        cheapest = min(range(len(lines)), key=lambda i: lines[i].unit_e4)
        return [
            attrs.evolve(line, quantity=line.quantity - missing) if i == cheapest else line
            for i, line in enumerate(lines)
        ]
    left: list[PriceLine] = list(lines)
    for i in sorted(range(len(left)), key=lambda i: -left[i].unit_e4):
        taken = min(left[i].quantity, missing)
        left[i] = attrs.evolve(left[i], quantity=left[i].quantity - taken)
        missing -= taken
    return [line for line in left if line.quantity]


__all__ = [
    "FEES",
    "FIRST_PAGE",
    "MINIMUM",
    "Dearest",
    "Multiplier",
    "OwnList",
    "PagePrice",
    "PriceLine",
    "PriceList",
    "PriceTable",
    "Rules",
    "are_possible",
    "exceed",
    "fit_lines",
    "markup_rate",
    "page_e4",
    "price_document",
    "reprice_pages",
    "total_e4",
    "total_pages",
    "with_markup",
]
