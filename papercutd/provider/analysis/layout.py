"""What a spooler's options make of a document's pages: the sides that reach the paper.

The rules are those of cups-filters' ``pdftopdf``: pages are put together first
(number-up, booklet), then chosen (page-set, page-ranges count what was put together).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

#: How many pages on a side ``pdftopdf`` knows; with others it does nothing.
NUMBERS_UP = frozenset({1, 2, 3, 4, 6, 8, 9, 10, 12, 15, 16})
RANGES_MAX = 1_000


@attrs.frozen
class PageFacts:
    """One page: its paper, and whether it carries colour."""

    paper: str
    is_colour: bool = False


@attrs.frozen
class Layout:
    """How a document is to be printed."""

    copies: int = 1
    duplex: bool = False
    number_up: int = 1
    #: First and last side to be printed, from 1; empty: all of them.
    ranges: tuple[tuple[int, int], ...] = ()
    #: ``all``, ``odd`` or ``even``.
    page_set: str = "all"
    is_booklet: bool = False
    is_grey: bool = False
    #: The paper everything is printed on; empty: the document's own.
    paper: str = ""


def lay_out(pages: Sequence[PageFacts], layout: Layout) -> list[PageFacts]:
    """The printed sides of one copy, in order."""
    sides = [
        PageFacts(
            layout.paper or together[0].paper,
            not layout.is_grey and any(page.is_colour for page in together),
        )
        for together in _put_together(pages, layout)
    ]
    return [side for number, side in enumerate(sides, 1) if _is_chosen(number, layout)]


def _put_together(pages: Sequence[PageFacts], layout: Layout) -> Iterable[Sequence[PageFacts]]:
    if layout.is_booklet:
        # Padded to whole sheets of four pages: the first beside the last.
        whole = -(-len(pages) // 4) * 4
        for first in range(whole // 2):
            pair = [pages[at] for at in (first, whole - 1 - first) if at < len(pages)]
            # Both may be padding; the side is there all the same.
            yield pair or [PageFacts(pages[0].paper)]
        return
    size = layout.number_up if layout.number_up in NUMBERS_UP else 1
    for at in range(0, len(pages), size):
        yield pages[at : at + size]


def _is_chosen(number: int, layout: Layout) -> bool:
    if layout.page_set == "odd" and number % 2 == 0:
        return False
    if layout.page_set == "even" and number % 2 == 1:
        return False
    return not layout.ranges or any(first <= number <= last for first, last in layout.ranges)


def groups_of(sides: Iterable[PageFacts]) -> list[tuple[str, int, int]]:
    """(paper, sides, coloured ones among them), in order of the papers' first appearance."""
    groups: dict[str, list[int]] = {}
    for side in sides:
        group = groups.setdefault(side.paper, [0, 0])
        group[0] += 1
        group[1] += side.is_colour
    return [(paper, pages, colour) for paper, (pages, colour) in groups.items()]


def parse_ranges(text: str) -> tuple[tuple[int, int], ...]:
    """``1-3,5,8-`` as pairs; what cannot be read chooses nothing, as in ``pdftopdf``."""
    found: list[tuple[int, int]] = []
    for part in text.split(",")[:RANGES_MAX]:
        first, dash, last = part.strip().partition("-")
        try:
            low = int(first) if first else 1
            high = int(last) if last else (1_000_000_000 if dash else low)
        except ValueError:
            continue
        found.append((low, high))
    # An empty tuple would mean: all of them.
    return tuple(found) or ((1, 0),)
