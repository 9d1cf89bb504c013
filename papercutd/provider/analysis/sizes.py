"""Names of paper sizes."""

from __future__ import annotations

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


def paper_name(width: float, height: float) -> str:
    """The standard size nearest to a page, whichever way it is turned."""
    short, long = sorted((width, height))
    for name, (w, h) in SIZES.items():
        if abs(short - w) <= TOLERANCE_POINTS and abs(long - h) <= TOLERANCE_POINTS:
            return name
    return f"{round(short / 72 * 25.4)}x{round(long / 72 * 25.4)}mm"
