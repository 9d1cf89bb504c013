"""What a document is to the price: pages by paper and colour, copies, sides."""

from __future__ import annotations

import attrs

#: Bounds of what is believed; beyond them the request is refused as bad input.
PAGES_MAX = 1_000_000
COPIES_MAX = 100_000
GROUPS_MAX = 64
#: Sides of one job.
SIDES_MAX = PAGES_MAX * COPIES_MAX


#: Formats of what runs at a device; pages of the last two cost nothing in version 1.
RUN_FORMATS = {"copy": "papercut/copy", "scan": "papercut/scan", "fax": "papercut/fax"}
UNPRICED_FORMATS = frozenset({"papercut/scan", "papercut/fax"})


@attrs.frozen
class PageGroup:
    """Pages of one paper size in one copy of a document."""

    paper: str
    pages: int
    #: How many of ``pages`` carry colour.
    colour: int = 0


@attrs.frozen
class Document:
    """The facts of a document as analysed, one copy's pages in ``groups``."""

    groups: tuple[PageGroup, ...]
    copies: int = 1
    duplex: bool = False
    format: str = "application/pdf"
    #: False where nothing could be analysed: the printer counts afterwards.
    analysed: bool = True

    @property
    def pages(self) -> int:
        """Printed sides, all copies."""
        return self.copies * sum(group.pages for group in self.groups)

    @property
    def sheets(self) -> int:
        """Sheets of paper, all copies; each copy starts a new sheet."""
        one = sum(-(-g.pages // 2) if self.duplex else g.pages for g in self.groups)
        return self.copies * one


#: A grey A4 side.
ONE_PAGE = Document((PageGroup("A4", 1),))
#: Of a job that nobody can look into: its price is that of its decision, whatever this says.
AS_DECIDED = ONE_PAGE


def is_believed(document: Document, counted: int | None = None) -> bool:
    """Whether ``document``, and the sides ``counted`` of it, are within what can be printed at all.

    The wire's own bounds; what a site forwards was written by the site.
    """
    return (
        len(document.groups) <= GROUPS_MAX
        and 1 <= document.copies <= COPIES_MAX
        and all(0 <= group.colour <= group.pages <= PAGES_MAX for group in document.groups)
        and 0 <= (counted or 0) <= SIDES_MAX
    )


def correct_pages(analysed: int, counted: int | None) -> tuple[int, bool]:
    """Pages to charge, and whether the printer's count was set aside (to be listed).

    ``counted`` is what the spooler or printer reports, None where it reports
    nothing. A counter lowers freely, and raises by at most two pages or a tenth,
    whichever is more; beyond that the analysis stands (design: what a job costs).
    """
    if counted is None:
        return analysed, False
    if counted <= analysed + max(2, analysed // 10):
        return max(counted, 0), False
    return analysed, True
