"""The limited process that looks into one document: ``python -m ...analysis.worker [FILE]``.

Documents are not trusted. This process has bounded memory and time, reads one
file, and prints one JSON object: ``{"groups": [[paper, pages, colour], ...]}``
or ``{"failed": why}``, and ``duplex`` where the document itself says so.

FILE is a PDF as it is. Without it one line is read, which may be long in coming:
``{"path": ..., "format": ..., "layout": {...}, "options": {...}, "scratch": folder}``.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import sys
from collections.abc import Iterable
from typing import Any

import attrs

from papercutd.domain.paper_sizes import paper_name
from papercutd.provider.analysis.convert import BY_FILTERS, NotConverted, to_pdf
from papercutd.provider.analysis.formats import PCL_FORMATS, PDF, POSTSCRIPT, RASTER_FORMATS
from papercutd.provider.analysis.layout import Layout, PageFacts, groups_of, lay_out
from papercutd.provider.analysis.pcl import BadStream, Printed, Section, pcl_pages, unwrap, xl_pages
from papercutd.provider.analysis.rasters import BadRaster, raster_pages

MEMORY_MAX_BYTES = 1_500_000_000
CPU_MAX_S = 60
#: Bytes of a file that may be written: by converters only, in the folder they are given.
FILE_MAX_BYTES = 1_000_000_000
PAGES_MAX = 20_000
#: Pages rendered for colour; beyond it every page counts as colour only where the first did.
RENDERED_MAX = 2_000
DOTS_PER_INCH = 36
#: Difference of the channels of a pixel that makes it coloured.
COLOUR_DIFFERENCE = 12
#: Looked into while nobody waits: the first page with a word on it takes longer than others.
_FIRST_PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R
/Resources<</Font<</F 5 0 R>>>>>>endobj
4 0 obj<</Length 43>>stream
1 0 0 rg BT /F 12 Tf 72 720 Td (word) Tj ET
endstream endobj
5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
trailer<</Root 1 0 R>>
%%EOF
"""


class Unreadable(Exception):
    """Nothing can be said of the document; the word says why."""


@attrs.frozen
class Asked:
    """What the provider wants to know."""

    format: str = PDF
    layout: Layout | None = None
    #: Of the job, for converters.
    options: dict[str, str] = attrs.field(factory=dict)
    #: A folder for converters, removed by who asks; empty: nothing is converted.
    scratch: str = ""


def limit() -> None:
    """Bound this process before it reads anything; it writes nothing."""
    _limit(0)


def limit_converting() -> None:
    """The same, for a process whose converters write a file."""
    _limit(FILE_MAX_BYTES)


def _limit(file_max_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_MAX_S, CPU_MAX_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_max_bytes, file_max_bytes))


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


def pdf_pages(path: str | bytes) -> list[PageFacts]:
    """The pages of the PDF at ``path``, or of the PDF itself."""
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


def _bounded(pages: Iterable[PageFacts]) -> list[PageFacts]:
    found = []
    for page in pages:
        found.append(page)
        if len(found) > PAGES_MAX:
            raise Unreadable("too-many-pages")
    return found


def _map(path: str) -> memoryview:
    with open(path, "rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def stream_pages(path: str, scratch: str) -> Printed:
    """What a stream made for a laser printer prints, whatever languages are in it."""
    data = _map(path)
    wrapper = unwrap(data)
    whole = Printed(copies=wrapper.copies, duplex=wrapper.duplex)
    for section in wrapper.sections:
        part = _section(data, section, wrapper.paper or "A4", scratch)
        whole.pages += part.pages
        whole.copies = max(whole.copies, part.copies)
        whole.duplex = part.duplex if part.duplex is not None else whole.duplex
        if len(whole.pages) > PAGES_MAX:
            raise Unreadable("too-many-pages")
    if wrapper.is_grey:
        whole.pages = [PageFacts(page.paper) for page in whole.pages]
    return whole


def _section(data: memoryview, section: Section, paper: str, scratch: str) -> Printed:
    if section.language == "PCL":
        return pcl_pages(data, section.begin, section.end, PAGES_MAX, paper)
    if section.language == "PCLXL":
        return xl_pages(data, section.begin, section.end, PAGES_MAX, paper)
    if section.language in ("POSTSCRIPT", "PDF") and scratch:
        path = os.path.join(scratch, "section")
        with open(path, "wb") as file:
            file.write(data[section.begin : section.end])
        is_pdf = section.language == "PDF"
        return Printed(pdf_pages(path if is_pdf else to_pdf(path, POSTSCRIPT, scratch, {})))
    raise Unreadable("unknown-language")


def look(path: str, asked: Asked) -> Printed:
    """The pages of the document as they are in it."""
    if asked.format == PDF:
        return Printed(pdf_pages(path))
    if asked.format in RASTER_FORMATS:
        return Printed(_bounded(raster_pages(_map(path))))
    if asked.format in PCL_FORMATS:
        return stream_pages(path, asked.scratch)
    if asked.scratch and (asked.format == POSTSCRIPT or asked.format in BY_FILTERS):
        return Printed(pdf_pages(to_pdf(path, asked.format, asked.scratch, asked.options)))
    raise Unreadable("unknown-format")


def analyse(path: str, asked: Asked | None = None) -> dict[str, object]:
    """The groups of pages of the document at ``path``, as it is laid out."""
    asked = asked or Asked()
    try:
        printed = look(path, asked)
    except Unreadable as error:
        return {"failed": str(error)}
    except (BadRaster, BadStream, NotConverted) as error:
        return {"failed": f"unreadable ({error})"}
    if not printed.pages:
        return {"failed": "no-pages"}
    sides = printed.pages if asked.layout is None else lay_out(printed.pages, asked.layout)
    # Copies that the document makes of itself are pages to everybody else.
    copies = printed.copies
    groups = [[paper, pages * copies, c * copies] for paper, pages, c in groups_of(sides)]
    found: dict[str, object] = {"groups": groups}
    if printed.duplex is not None:
        found["duplex"] = printed.duplex
    return found


def _asked(line: str) -> tuple[str, Asked]:
    """The file, and what the provider asks of it."""
    found: dict[str, Any] = json.loads(line)
    layout = found["layout"]
    layout["ranges"] = tuple(tuple(pair) for pair in layout["ranges"])
    asked = Asked(found["format"], Layout(**layout), found["options"], found["scratch"])
    return found["path"], asked


def get_ready() -> None:
    """While nobody waits for it; documents are PDF mostly, or made into it."""
    groups_of(lay_out(pdf_pages(_FIRST_PDF), Layout()))


def main() -> None:
    if len(sys.argv) > 1:
        path, asked = sys.argv[1], Asked()
    else:
        get_ready()
        line = sys.stdin.readline()
        if not line:
            return
        path, asked = _asked(line)
    if asked.scratch:
        limit_converting()
    else:
        limit()
    try:
        found = analyse(path, asked)
    except MemoryError:
        found = {"failed": "too-large"}
    except Exception as error:
        found = {"failed": f"unreadable ({type(error).__name__})"}
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    if len(sys.argv) == 1:
        # Who asked ends this process, or ends itself, when nothing waits for the processor.
        sys.stdin.read()


if __name__ == "__main__":
    main()
