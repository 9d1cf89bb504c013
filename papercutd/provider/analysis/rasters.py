"""Pages of CUPS, PWG and Apple rasters, found by walking over them.

Their headers tell the size of a page in dots; where the next page begins only its lines do.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from papercutd.domain.paper_sizes import paper_name
from papercutd.provider.analysis.layout import PageFacts

#: Difference of the channels of a dot that makes it coloured.
COLOUR_DIFFERENCE = 12
LINES_MAX = 1_000_000
LINE_BYTES_MAX = 16_000_000
_HEADER = 1796
_HEADER_V1 = 420
#: cups_cspace_t: white, black, and sGray.
_GREY_SPACES = frozenset({0, 3, 18})
_RGB_SPACES = frozenset({1, 19, 20})
_CMY_SPACES = frozenset({4, 6})


class BadRaster(Exception):
    """The bytes are not a raster, or end in the midst of one."""


@attrs.frozen
class _Page:
    """What a header says of its page."""

    paper: str
    lines: int
    line_bytes: int
    #: Bytes that runs are made of.
    unit: int
    #: 0: grey; 3: bytes are R, G, B or C, M, Y of dots; 4: C, M, Y, K; None: not looked into.
    channels: int | None


def raster_pages(data: memoryview) -> Iterator[PageFacts]:
    """The pages of ``data``, one after the other; raises BadRaster."""
    mark = bytes(data[:4])
    if mark == b"UNIR":
        return _apple(data)
    if mark in (b"RaS2", b"2SaR"):
        return _cups(data, "big" if mark == b"RaS2" else "little")
    if mark in (b"RaS3", b"3SaR", b"RaSt", b"tSaR"):
        return _uncompressed(data, mark)
    raise BadRaster("it has no such mark")


def _cups(data: memoryview, order: str) -> Iterator[PageFacts]:
    at = 4
    while at < len(data):
        page = _cups_header(data, at, order, _HEADER)
        at, is_colour = _walk(data, at + _HEADER, page, fill=False)
        yield PageFacts(page.paper, is_colour)


def _uncompressed(data: memoryview, mark: bytes) -> Iterator[PageFacts]:
    order = "big" if mark.startswith(b"R") else "little"
    header = _HEADER_V1 if b"St" in mark or b"tS" in mark else _HEADER
    at = 4
    while at < len(data):
        page = _cups_header(data, at, order, header)
        begin, at = at + header, at + header + page.lines * page.line_bytes
        if at > len(data):
            raise BadRaster("a page is cut off")
        yield PageFacts(page.paper, _is_coloured(data[begin:at], page.channels))


def _cups_header(data: memoryview, at: int, order: str, length: int) -> _Page:
    header = bytes(data[at : at + length])
    if len(header) < length:
        raise BadRaster("a header is cut off")

    def number(offset: int) -> int:
        return int.from_bytes(header[offset : offset + 4], order)  # type: ignore[arg-type]

    width, height, bits_colour, bits_dot = number(372), number(376), number(384), number(388)
    line_bytes, colour_order, space = number(392), number(396), number(400)
    across, down = number(276) or 1, number(280) or 1
    points = number(352), number(356)
    if not all(points):
        points = round(width * 72 / across), round(height * 72 / down)
    is_chunked = colour_order == 0
    planes = 1 if is_chunked else max(1, bits_dot // max(bits_colour, 1))
    channels: int | None = None
    if space in _GREY_SPACES:
        channels = 0
    elif is_chunked and bits_colour == 8 and space in _RGB_SPACES | _CMY_SPACES:
        channels = bits_dot // 8 if bits_dot in (24, 32) else None
    page = _Page(
        paper_name(*points),
        height * planes,
        line_bytes,
        max(1, (bits_dot if is_chunked else bits_colour) // 8),
        channels,
    )
    return _checked(page)


def _apple(data: memoryview) -> Iterator[PageFacts]:
    # The number of pages after the mark may be 0: it was not known.
    at = 12
    while at < len(data):
        header = bytes(data[at : at + 32])
        if len(header) < 32:
            raise BadRaster("a header is cut off")
        bits, space = header[0], header[1]
        width, height, dots = (
            int.from_bytes(header[offset : offset + 4], "big") for offset in (12, 16, 20)
        )
        unit = max(1, bits // 8)
        points = (width * 72 / max(dots, 1), height * 72 / max(dots, 1))
        channels = 0 if space in (0, 4) else (unit if bits in (24, 32) else None)
        line_bytes = (width * bits + 7) // 8
        page = _checked(_Page(paper_name(*points), height, line_bytes, unit, channels))
        at, is_colour = _walk(data, at + 32, page, fill=True)
        yield PageFacts(page.paper, is_colour)


def _checked(page: _Page) -> _Page:
    if not 0 < page.lines <= LINES_MAX or not 0 < page.line_bytes <= LINE_BYTES_MAX:
        raise BadRaster("a page without lines, or with too many")
    return page


def _walk(data: memoryview, at: int, page: _Page, fill: bool) -> tuple[int, bool]:
    """Where the page that begins at ``at`` ends, and whether a dot of it is coloured.

    ``fill``: the code 128 leaves the rest of a line white, as Apple has it.
    """
    unit, channels = page.unit, page.channels
    is_colour = channels is None
    lines = 0
    end = len(data)
    while lines < page.lines:
        if at >= end:
            raise BadRaster("a page is cut off")
        lines += data[at] + 1
        at += 1
        have = 0
        while have < page.line_bytes:
            if at >= end:
                raise BadRaster("a line is cut off")
            code = data[at]
            at += 1
            if code == 128 and fill:
                break
            if code < 128:
                length, have = unit, have + (code + 1) * unit
            else:
                length = (257 - code) * unit
                have += length
            if at + length > end:
                raise BadRaster("a line is cut off")
            if not is_colour and channels:
                is_colour = _is_coloured(data[at : at + length], channels)
            at += length
    return at, is_colour


def _is_coloured(dots: memoryview, channels: int | None) -> bool:
    """Whether a dot is not grey: its first three channels differ."""
    if channels is None:
        return True
    if channels == 0:
        return False
    bytes_ = bytes(dots)
    one, two, three = bytes_[0::channels], bytes_[1::channels], bytes_[2::channels]
    if one == two == three:
        return False
    return any(
        max(a, b, c) - min(a, b, c) > COLOUR_DIFFERENCE
        for a, b, c in zip(one, two, three, strict=False)
    )
