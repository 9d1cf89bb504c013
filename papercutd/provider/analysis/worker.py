"""The limited process that looks into one document: ``python -m ...analysis.worker [ASKED] FILE``.

Documents are not trusted. This process has bounded memory and time, reads one
file, and prints one JSON object: ``{"groups": [[paper, pages, colour], ...]}``
or ``{"failed": why}``. ASKED is ``{"format": ..., "layout": {...}}``; without it
the file is a PDF as it is.
"""

from __future__ import annotations

import json
import resource
import sys

from papercutd.provider.analysis.layout import Layout, PageFacts, groups_of, lay_out
from papercutd.provider.analysis.sizes import paper_name

MEMORY_MAX_BYTES = 1_500_000_000
CPU_MAX_S = 60
PAGES_MAX = 20_000
#: Pages rendered for colour; beyond it every page counts as colour only where the first did.
RENDERED_MAX = 2_000
DOTS_PER_INCH = 36
#: Difference of the channels of a pixel that makes it coloured.
COLOUR_DIFFERENCE = 12


def limit() -> None:
    """Bound this process before it reads anything."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_MAX_S, CPU_MAX_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def has_colour(page: object) -> bool:
    """Whether any dot of the rendered page is not grey."""
    bitmap = page.render(scale=DOTS_PER_INCH / 72)  # type: ignore[attr-defined]
    data, channels, stride = bytes(bitmap.buffer), bitmap.n_channels, bitmap.stride
    if channels < 3:
        return False
    used = bitmap.width * channels
    rows = b"".join(data[y * stride : y * stride + used] for y in range(bitmap.height))
    blue, green, red = rows[0::channels], rows[1::channels], rows[2::channels]
    if blue == green == red:
        return False
    return any(
        max(b, g, r) - min(b, g, r) > COLOUR_DIFFERENCE
        for b, g, r in zip(blue, green, red, strict=True)
        if not b == g == r
    )


class Unreadable(Exception):
    """Nothing can be said of the document; the word says why."""


def pdf_pages(path: str) -> list[PageFacts]:
    """The pages of the PDF at ``path``."""
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    if len(document) > PAGES_MAX:
        raise Unreadable("too-many-pages")
    pages = []
    for number in range(len(document)):
        page = document[number]
        is_colour = number < RENDERED_MAX and has_colour(page)
        pages.append(PageFacts(paper_name(*page.get_size()), is_colour))
        page.close()
    return pages


def analyse(path: str, layout: Layout | None = None) -> dict[str, object]:
    """The groups of pages of the document at ``path``, as it is laid out."""
    try:
        pages = pdf_pages(path)
    except Unreadable as error:
        return {"failed": str(error)}
    if not pages:
        return {"failed": "no-pages"}
    sides = pages if layout is None else lay_out(pages, layout)
    return {"groups": [list(group) for group in groups_of(sides)]}


def _asked(words: list[str]) -> tuple[Layout | None]:
    """What the provider asks for beside the file."""
    if not words:
        return (None,)
    layout = json.loads(words[0])["layout"]
    layout["ranges"] = tuple(tuple(pair) for pair in layout["ranges"])
    return (Layout(**layout),)


def main() -> None:
    limit()
    try:
        found = analyse(sys.argv[-1], *_asked(sys.argv[1:-1]))
    except MemoryError:
        found = {"failed": "too-large"}
    except Exception as error:
        found = {"failed": f"unreadable ({type(error).__name__})"}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
