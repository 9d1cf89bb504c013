"""One price list: lines by paper, and the rules that make unit prices of them.

A unit price is the stated price times the multiplier and the discounts, worked out exactly and
rounded down once, to a whole 1/10000: in favour of who pays. A line of a charge stays quantity
times unit price.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import attrs

from papercutd.domain.paper_sizes import size_mm

#: A multiplier of 1, and a discount of all.
WHOLE = 10_000
MULTIPLIER_MAX = 100 * WHOLE
#: No unit price reaches this, whatever it is multiplied by.
UNIT_LIMIT_E4 = 10**9
#: Paper that is a little larger than a size still fits.
TOLERANCE_MM = 4.0


@attrs.frozen
class PagePrice:
    """The price of one printed side of one paper size."""

    paper: str
    grey_e4: int
    colour_e4: int
    #: Of paper printed on both sides; None: the same.
    grey_duplex_e4: int | None = None
    colour_duplex_e4: int | None = None

    @property
    def units_e4(self) -> tuple[int, ...]:
        """Every price that is stated."""
        stated = (self.grey_e4, self.colour_e4, self.grey_duplex_e4, self.colour_duplex_e4)
        return tuple(unit for unit in stated if unit is not None)


@attrs.frozen
class UpTo:
    """The price of every size without a line of its own that is no larger than this one."""

    short_mm: float
    long_mm: float
    price: PagePrice

    def holds(self, short_mm: float, long_mm: float) -> bool:
        return short_mm <= self.short_mm + TOLERANCE_MM and long_mm <= self.long_mm + TOLERANCE_MM


@attrs.frozen
class Rules:
    """What is made of the lines; by default nothing."""

    #: Categories of sizes, the smallest first, each within the next.
    up_to: tuple[UpTo, ...] = ()
    #: In 1/10000; of paper printed on both sides whose line has no duplex prices of its own.
    duplex_discount_e4: int = 0
    #: In 1/10000, of grey sides.
    grey_discount_e4: int = 0
    #: What the first side of a print job costs more.
    first_page_e4: int = 0
    #: What a print job costs at the least, if anything of it is printed.
    minimum_e4: int = 0
    #: Of each page that a device scans or faxes.
    scan_e4: int = 0
    fax_e4: int = 0


NO_RULES = Rules()


@attrs.frozen
class Dearest:
    """What nothing exceeds: a side, and each of the two fees."""

    side_e4: int = 0
    first_page_e4: int = 0
    minimum_e4: int = 0

    def with_(self, other: Dearest) -> Dearest:
        return Dearest(
            max(self.side_e4, other.side_e4),
            max(self.first_page_e4, other.first_page_e4),
            max(self.minimum_e4, other.minimum_e4),
        )


def scaled_e4(unit_e4: int, multiplier: int, *discounts: int) -> int:
    """``unit_e4`` times ``multiplier`` less the discounts, all in 1/10000; rounded down once."""
    whole = WHOLE
    unit_e4 *= multiplier
    for discount in discounts:
        unit_e4 *= WHOLE - discount
        whole *= WHOLE
    return unit_e4 // whole


@attrs.frozen
class PriceTable:
    """``papers`` holds each size once; ``other`` serves what no line and no category does."""

    papers: tuple[PagePrice, ...]
    other: PagePrice
    rules: Rules = NO_RULES

    @cached_property
    def _by_paper(self) -> dict[str, PagePrice]:
        return {line.paper: line for line in self.papers}

    @property
    def stated(self) -> Iterator[PagePrice]:
        """Every line."""
        yield from self.papers
        yield from (category.price for category in self.rules.up_to)
        yield self.other

    def price_of(self, paper: str) -> PagePrice:
        """The line of ``paper`` as it is stated, else that of its category, else the last one."""
        line = self._by_paper.get(paper)
        if line is not None or not self.rules.up_to:
            return line or self.other
        size = size_mm(paper)
        if size is not None:
            for category in self.rules.up_to:
                if category.holds(*size):
                    return category.price
        return self.other

    def units_of(self, line: PagePrice, multiplier: int = WHOLE) -> PagePrice:
        """The unit prices of a line: multiplied, and less the discounts."""
        grey, duplex = self.rules.grey_discount_e4, self.rules.duplex_discount_e4
        if multiplier == WHOLE and not grey and not duplex:
            return line
        grey_duplex_e4, colour_duplex_e4 = line.grey_duplex_e4, line.colour_duplex_e4
        if grey_duplex_e4 is not None:
            grey_duplex_e4 = scaled_e4(grey_duplex_e4, multiplier, grey)
        elif duplex:
            grey_duplex_e4 = scaled_e4(line.grey_e4, multiplier, grey, duplex)
        if colour_duplex_e4 is not None:
            colour_duplex_e4 = scaled_e4(colour_duplex_e4, multiplier)
        elif duplex:
            colour_duplex_e4 = scaled_e4(line.colour_e4, multiplier, duplex)
        return PagePrice(
            line.paper,
            scaled_e4(line.grey_e4, multiplier, grey),
            scaled_e4(line.colour_e4, multiplier),
            grey_duplex_e4,
            colour_duplex_e4,
        )

    def unpriced_e4(self, function: str, multiplier: int = WHOLE) -> int:
        """Of a page that costs no paper: ``scan`` or ``fax``."""
        unit_e4 = self.rules.scan_e4 if function == "scan" else self.rules.fax_e4
        return scaled_e4(unit_e4, multiplier)

    def dearest(self, multiplier: int) -> Dearest:
        """The most that anything costs where nobody's multiplier is above this one."""
        rules = self.rules
        sides = [max(self.units_of(line, multiplier).units_e4) for line in self.stated]
        return Dearest(
            max(*sides, *(self.unpriced_e4(one, multiplier) for one in ("scan", "fax"))),
            scaled_e4(rules.first_page_e4, multiplier),
            rules.minimum_e4,
        )


@attrs.frozen
class OwnList:
    """A list for some printers or groups. ``below``: the groups within these, as it was made."""

    name: str
    table: PriceTable
    printers: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    below: tuple[int, ...] = ()


@attrs.frozen
class Multiplier:
    """What members of a group, and of those within it as it was made, pay of each unit price."""

    group: int
    multiplier: int
    below: tuple[int, ...] = ()
