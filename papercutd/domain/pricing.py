"""What a document costs: pure arithmetic over one version of a price list.

Rounding does not occur: every unit price is a whole number of 1/10000 and every
quantity is a whole number of pages.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from papercutd.domain.capabilities import DUPLEX_PRICES
from papercutd.domain.document import UNPRICED_FORMATS, Document


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
class PriceList:
    """One version of the prices. ``papers`` holds each size once; ``other`` serves the rest."""

    version: int
    effective_from: float
    currency: str
    papers: tuple[PagePrice, ...]
    other: PagePrice

    def price_of(self, paper: str) -> PagePrice:
        """The price line of ``paper``, or the line for all other sizes."""
        for line in self.papers:
            if line.paper == paper:
                return line
        return self.other

    @property
    def dearest_e4(self) -> int:
        """The dearest side of this version: what no honest page exceeds."""
        lines = (*self.papers, self.other)
        return max(max(line.units_e4) for line in lines)

    @property
    def needs(self) -> tuple[str, ...]:
        """What a release must be able to evaluate to use these prices."""
        has_duplex = any(len(line.units_e4) > 2 for line in (*self.papers, self.other))
        return (DUPLEX_PRICES,) if has_duplex else ()

    @property
    def grey_a4_e4(self) -> int:
        """A grey A4 side: the unit in which caps and allowances are thought of."""
        return self.price_of("A4").grey_e4


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
    return sum(line.quantity for line in lines)


def price_document(document: Document, prices: PriceList) -> tuple[PriceLine, ...]:
    """The lines of ``document``, one for each paper and colour that occurs in it."""
    if document.format in UNPRICED_FORMATS:
        return (PriceLine(document.format.rpartition("/")[2], document.pages, 0),)
    lines: list[PriceLine] = []
    for group in document.groups:
        price = prices.price_of(group.paper)
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
    return tuple(lines)


def fit_lines(lines: Sequence[PriceLine], available_e4: int | None) -> tuple[PriceLine, ...]:
    """As much of a run as ``available_e4`` pays for (None: all); all of it when not one page.

    A run has one line; what has more stays whole, as does what does not fit at all, and is
    refused as such.
    """
    if len(lines) != 1:
        return tuple(lines)
    (line,) = lines
    if available_e4 is None or line.amount_e4 <= available_e4 or line.unit_e4 == 0:
        return (line,)
    pages = max(0, available_e4) // line.unit_e4
    return (attrs.evolve(line, quantity=pages),) if pages else (line,)


def reprice_pages(lines: Sequence[PriceLine], pages: int) -> tuple[PriceLine, ...]:
    """``lines`` for ``pages`` sides in all, at the same unit prices.

    Fewer pages than decided: which of them came out is not known, so the dearest
    are taken off first. More: the excess is charged at the cheapest line. Both
    err on the side of the person who pays.
    """
    missing = total_pages(lines) - pages
    if missing == 0 or not lines:
        return tuple(lines)
    if missing < 0:
        cheapest = min(range(len(lines)), key=lambda i: lines[i].unit_e4)
        return tuple(
            attrs.evolve(line, quantity=line.quantity - missing) if i == cheapest else line
            for i, line in enumerate(lines)
        )
    left: list[PriceLine] = list(lines)
    for i in sorted(range(len(left)), key=lambda i: -left[i].unit_e4):
        taken = min(left[i].quantity, missing)
        left[i] = attrs.evolve(left[i], quantity=left[i].quantity - taken)
        missing -= taken
    return tuple(line for line in left if line.quantity)
