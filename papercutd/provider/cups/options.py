"""The options of a CUPS job as its filters are given them, and what they mean for the paper."""

from __future__ import annotations

import re
from collections.abc import Mapping

from papercutd.domain.document import COPIES_MAX
from papercutd.domain.paper_sizes import paper_name
from papercutd.provider.analysis.layout import Layout, parse_ranges
from papercutd.provider.cups.server import Queue

#: Names under which drivers know duplex, and the beginnings of what they call its absence.
_DUPLEX_NAMES = ("duplex", "jclduplex", "efduplex", "efduplexing", "ardoublesided", "kd03duplex")
_SIMPLEX = ("none", "off", "simplex", "false", "no", "1sided", "onesided", "single", "default")
_GREY_MODES = ("monochrome", "process-monochrome", "auto-monochrome", "bi-level")
_GREY_MODELS = ("gray", "grey", "kgray", "black", "mono", "monochrome", "devicegray", "fastgray")
_POINTS = {"mm": 72 / 25.4, "in": 72.0, "cm": 720 / 25.4, "pt": 1.0, "": 1.0}
_MEDIA_SIZE = re.compile(r"_(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)(mm|in)$")
_DRIVER_SIZE = re.compile(
    r"^(?:custom\.)?w?(\d+(?:\.\d+)?)[xh](\d+(?:\.\d+)?)(mm|in|cm|pt)?$", re.IGNORECASE
)
_NAMED = {
    "a3": "A3",
    "a4": "A4",
    "a5": "A5",
    "a6": "A6",
    "letter": "Letter",
    "legal": "Legal",
    "tabloid": "Tabloid",
    "ledger": "Tabloid",
    "11x17": "Tabloid",
}


def parse_options(text: str) -> dict[str, str]:
    """``a=1 b='x y' c noduplex`` as CUPS reads it; a name without a value is true, or false."""
    found: dict[str, str] = {}
    at, end = 0, len(text)
    while at < end:
        if text[at].isspace():
            at += 1
            continue
        start = at
        while at < end and not text[at].isspace() and text[at] != "=":
            at += 1
        name = text[start:at]
        if at < end and text[at] == "=":
            value, at = _value(text, at + 1)
            found[name] = value
        elif name.startswith("no"):
            found[name[2:]] = "false"
        else:
            found[name] = "true"
    return found


def _value(text: str, at: int) -> tuple[str, int]:
    """The value that begins at ``at``, its quotes and escapes undone, and where it ends."""
    out: list[str] = []
    quote = ""
    braces = 0
    while at < len(text):
        char = text[at]
        if char == "\\" and at + 1 < len(text):
            at += 1
            out.append(text[at])
        elif quote:
            if char == quote:
                quote = ""
            else:
                out.append(char)
        elif char in "'\"":
            quote = char
        elif char.isspace() and braces == 0:
            break
        else:
            braces += (char == "{") - (char == "}")
            out.append(char)
        at += 1
    return "".join(out), at


def layout_of(options: Mapping[str, str], queue: Queue | None, is_filtered: bool) -> Layout:
    """What the options make of a document. ``queue`` gives what they leave open.

    Where no filter runs, only the copies are made, by the backend.
    """
    copies = _number(options.get("copies"), 1, COPIES_MAX)
    lower = {name.lower(): value.lower() for name, value in options.items()}
    duplex = _duplex(lower, queue)
    if not is_filtered:
        return Layout(copies=copies, duplex=duplex)
    ranges = options.get("page-ranges")
    paper = paper_of(options.get("PageSize") or options.get("media") or "")
    return Layout(
        copies=copies,
        duplex=duplex,
        number_up=_number(options.get("number-up"), 1, 16),
        ranges=() if ranges is None else parse_ranges(ranges),
        page_set=lower.get("page-set", "all"),
        is_booklet=lower.get("booklet") in ("on", "true", "yes"),
        is_grey=_is_grey(lower, queue),
        paper=paper or (paper_of(queue.media) if queue is not None else ""),
    )


def _number(text: str | None, default: int, most: int) -> int:
    try:
        return min(max(int(text or default), 1), most)
    except ValueError:
        return default


def _duplex(options: Mapping[str, str], queue: Queue | None) -> bool:
    """Of several words on it the driver's own counts: CUPS has made it from the others."""
    for name in _DUPLEX_NAMES:
        if name in options:
            return not options[name].startswith(_SIMPLEX)
    if "sides" in options:
        return options["sides"].startswith("two-sided")
    return queue is not None and queue.is_duplex


def _is_grey(options: Mapping[str, str], queue: Queue | None) -> bool:
    if queue is not None and not queue.is_colour:
        return True
    model = options.get("colormodel")
    if model is not None:
        return model in _GREY_MODELS
    return options.get("print-color-mode") in _GREY_MODES


def paper_of(media: str) -> str:
    """The price list's name of a paper that CUPS or a driver names; empty: not known.

    >>> paper_of("iso_a4_210x297mm"), paper_of("A4.Fullbleed"), paper_of("tray-1")
    ('A4', 'A4', '')
    """
    for word in media.split(","):
        named = _NAMED.get(word.strip().lower().partition(".")[0])
        if named:
            return named
        size = _MEDIA_SIZE.search(word) or _DRIVER_SIZE.match(word.strip())
        if size:
            factor = _POINTS[(size[3] or "").lower()]
            return paper_name(float(size[1]) * factor, float(size[2]) * factor)
    return ""
