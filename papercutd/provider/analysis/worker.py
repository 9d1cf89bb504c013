"""The limited process that looks into one document: ``python -m ...analysis.worker FILE``.

Documents are not trusted. This process has bounded memory and time, reads one
file, and prints one JSON object: ``{"groups": [[paper, pages, colour], ...]}``
or ``{"failed": why}``.
"""

from __future__ import annotations

import json
import resource
import sys

MEMORY_MAX_BYTES = 1_500_000_000
CPU_MAX_S = 60
PAGES_MAX = 20_000
#: Pages rendered for colour; beyond it every page counts as colour only where the first did.
RENDERED_MAX = 2_000
DOTS_PER_INCH = 36
#: Sizes in points, short side first.
SIZES = {
    "A3": (842, 1191),
    "A4": (595, 842),
    "A5": (420, 595),
    "A6": (298, 420),
    "Letter": (612, 792),
    "Legal": (612, 1008),
    "Tabloid": (792, 1224),
}
TOLERANCE_POINTS = 12
#: Difference of the channels of a pixel that makes it coloured.
COLOUR_DIFFERENCE = 12


def limit() -> None:
    """Bound this process before it reads anything."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX_BYTES, MEMORY_MAX_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_MAX_S, CPU_MAX_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def paper_name(width: float, height: float) -> str:
    """The standard size nearest to a page, whichever way it is turned."""
    short, long = sorted((width, height))
    for name, (w, h) in SIZES.items():
        if abs(short - w) <= TOLERANCE_POINTS and abs(long - h) <= TOLERANCE_POINTS:
            return name
    return f"{round(short / 72 * 25.4)}x{round(long / 72 * 25.4)}mm"


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


def analyse(path: str) -> dict[str, object]:
    """The groups of pages of the PDF at ``path``."""
    import pypdfium2

    document = pypdfium2.PdfDocument(path)
    if len(document) > PAGES_MAX:
        return {"failed": "too-many-pages"}
    if len(document) == 0:
        return {"failed": "no-pages"}
    groups: dict[str, list[int]] = {}
    for number in range(len(document)):
        page = document[number]
        group = groups.setdefault(paper_name(*page.get_size()), [0, 0])
        group[0] += 1
        if number < RENDERED_MAX and has_colour(page):
            group[1] += 1
        page.close()
    return {"groups": [[paper, pages, colour] for paper, (pages, colour) in groups.items()]}


def main() -> None:
    limit()
    try:
        found = analyse(sys.argv[1])
    except MemoryError:
        found = {"failed": "too-large"}
    except Exception as error:
        found = {"failed": f"unreadable ({type(error).__name__})"}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
