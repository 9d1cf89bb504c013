"""Pages of what goes to a laser printer: PJL around PCL 5, PCL XL, PostScript or PDF.

A counter, not an interpreter: it knows where pages end, what is asked for in copies,
sides and paper, and whether colour is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs

from papercutd.domain.document import COPIES_MAX
from papercutd.provider.analysis.layout import PageFacts

UEL = b"\x1b%-12345X"
#: Difference of the channels of a dot that makes it coloured.
COLOUR_DIFFERENCE = 12
_PJL_LINE_MAX = 4_096
_ROW_MAX = 4_000_000


class BadStream(Exception):
    """The bytes are not what their language says."""


@attrs.define
class Printed:
    """What a stream prints."""

    pages: list[PageFacts] = attrs.field(factory=list)
    copies: int = 1
    #: None: the stream does not say.
    duplex: bool | None = None


@attrs.frozen
class Section:
    """A part of a stream in one language: ``PCL``, ``PCLXL``, ``POSTSCRIPT`` or ``PDF``."""

    language: str
    begin: int
    end: int


@attrs.define
class Wrapper:
    """A stream taken apart: its sections, and what PJL asks for."""

    sections: list[Section] = attrs.field(factory=list)
    copies: int = 1
    duplex: bool | None = None
    paper: str = ""
    is_grey: bool = False


def unwrap(data: memoryview) -> Wrapper:
    """Take PJL off; a stream without PJL is one section."""
    found = Wrapper()
    at = 0
    while at < len(data):
        if bytes(data[at : at + len(UEL)]) == UEL:
            at += len(UEL)
            continue
        if bytes(data[at : at + 4]) == b"@PJL":
            at, language = _pjl_line(data, at, found)
            if not language:
                continue
        elif bytes(data[at : at + 1]) in (b"\r", b"\n", b"\0", b" ", b"\x04"):
            at += 1
            continue
        else:
            language = ""
        end = _find(data, UEL, at)
        if end > at:
            found.sections.append(Section(language or _language_of(data, at), at, end))
        at = end
    return found


def _find(data: memoryview, what: bytes, at: int) -> int:
    """Where ``what`` begins at or after ``at``; the end of ``data`` where it does not."""
    found = re.compile(re.escape(what)).search(data, at)
    return len(data) if found is None else found.start()


def _pjl_line(data: memoryview, at: int, found: Wrapper) -> tuple[int, str]:
    """Where the line ends, and the language it enters."""
    end = min(_find(data, b"\n", at) + 1, len(data))
    line = bytes(data[at : min(end, at + _PJL_LINE_MAX)]).decode("latin-1").strip()
    entered = re.match(r"@PJL\s+ENTER\s+LANGUAGE\s*=\s*(\w+)", line, re.IGNORECASE)
    if entered:
        return end, entered[1].upper()
    setting = re.match(r"@PJL\s+SET\s+(\w+)\s*=\s*\"?(\w+)", line, re.IGNORECASE)
    if setting:
        name, value = setting[1].upper(), setting[2].upper()
        if name in ("COPIES", "QTY") and value.isdigit():
            found.copies = min(max(found.copies, int(value)), COPIES_MAX)
        elif name == "DUPLEX":
            found.duplex = value == "ON"
        elif name == "PAPER":
            found.paper = _PAPER_NAMES.get(value, found.paper)
        elif name == "RENDERMODE":
            found.is_grey = value == "GRAYSCALE"
    return end, ""


def _language_of(data: memoryview, at: int) -> str:
    head = bytes(data[at : at + 1024])
    if re.match(rb"[)('] HP-PCL XL;", head):
        return "PCLXL"
    if b"%PDF-" in head:
        return "PDF"
    return "POSTSCRIPT" if head.startswith(b"%!") else "PCL"


_PAPER_NAMES = {
    "A3": "A3",
    "A4": "A4",
    "A5": "A5",
    "A6": "A6",
    "LETTER": "Letter",
    "LEGAL": "Legal",
    "LEDGER": "Tabloid",
}

# PCL 5.

_PCL_PAPERS = {
    **{2: "Letter", 3: "Legal", 6: "Tabloid", 24: "A6", 25: "A5", 26: "A4", 27: "A3"},
}
#: What matters of a PCL stream: escapes and form feeds; all else is text.
_PCL_MARK = re.compile(rb"[\x1b\x0c]")
_PCL_VALUE = re.compile(rb"([+-]?\d*)(?:\.\d*)?([\x40-\x7e])")
#: Terminators that are followed by as many bytes as the value says.
_PCL_DATA = frozenset({ord("W"), ord("w")})


@attrs.define
class _Pcl:
    """A PCL 5 stream being read."""

    printed: Printed
    paper: str
    is_marked: bool = False
    is_page_colour: bool = False
    #: The stream is in a mode that has colours.
    has_colour: bool = False
    #: Rows are R, G, B bytes that can be looked at.
    is_direct: bool = False
    compression: int = 0
    row: bytes = b""

    def eject(self, even_if_empty: bool = False) -> None:
        if self.is_marked or even_if_empty:
            self.printed.pages.append(PageFacts(self.paper, self.is_page_colour))
        self.is_marked = self.is_page_colour = False
        self.row = b""


def pcl_pages(data: memoryview, begin: int, end: int, pages_max: int, paper: str = "A4") -> Printed:
    """What the PCL 5 between ``begin`` and ``end`` prints."""
    state = _Pcl(Printed(), paper)
    at = begin
    while at < end:
        found = _PCL_MARK.search(data, at, end)
        text_end = end if found is None else found.start()
        if not state.is_marked and bytes(data[at:text_end]).strip():
            state.is_marked = True
        if found is None:
            break
        at = found.end()
        if data[text_end] == 0x0C:
            state.eject(even_if_empty=True)
        else:
            at = _escape(data, at, end, state)
        if len(state.printed.pages) > pages_max:
            raise BadStream("too many pages")
    state.eject()
    return state.printed


def _escape(data: memoryview, at: int, end: int, state: _Pcl) -> int:
    """Read the escape sequence whose ESC is before ``at``; where it ends."""
    if at >= end:
        return end
    first = data[at]
    if not 0x21 <= first <= 0x2F:
        if first == ord("E"):
            state.eject()
            state.has_colour = state.is_direct = False
        return at + 1
    at += 1
    group = 0
    if at < end and 0x60 <= data[at] <= 0x7E:
        group = data[at]
        at += 1
    while at < end:
        found = _PCL_VALUE.match(data, at, end)
        if found is None:
            return at
        value = int(found[1]) if found[1] not in (b"", b"+", b"-") else 0
        last = found[2][0]
        at = found.end()
        length = 0
        is_row = first == ord("*") and group == ord("b") and last in b"VvWw"
        is_text = first == ord("&") and group == ord("p") and last in b"Xx"
        if last in _PCL_DATA or is_row or is_text:
            length = max(0, min(value, end - at))
        _command(state, (first, group, last & ~0x20), value, data[at : at + length])
        at += length
        if last < 0x60:
            break
    return at


def _command(state: _Pcl, command: tuple[int, int, int], value: int, data: memoryview) -> None:
    words = bytes(command).decode("latin-1")
    printed = state.printed
    if words == "*bW" or words == "*bV":
        state.is_marked = True
        _row(state, data)
    elif words == "*bM":
        state.compression = value
    elif words == "*bY":
        state.row = b""
    elif words == "&lX":
        printed.copies = min(max(printed.copies, value), COPIES_MAX)
    elif words == "&lS":
        printed.duplex = value in (1, 2)
    elif words == "&lA":
        state.eject()
        state.paper = _PCL_PAPERS.get(value, state.paper)
    elif words == "&lH" or words == "&aG":
        # Another source of paper, or the other side of the sheet.
        state.eject()
    elif words == "&pX":
        state.is_marked = True
    elif words == "*rU":
        state.has_colour, state.is_direct = value not in (0, 1), False
    elif words == "*rA":
        state.row = b""
    elif words == "*vW" and len(data) >= 6:
        # Configure image data: its colours are direct by dot, eight bits each, or are not.
        state.has_colour = True
        state.is_direct = data[1] == 3 and bytes(data[3:6]) == b"\x08\x08\x08"
    elif words == "*gW" and len(data) >= 4:
        state.has_colour, state.is_direct = data[3] > 1, False
    elif words == "*vS":
        # A foreground colour of the palette: 0 and 1 are white and black.
        if state.has_colour and value > 1:
            state.is_page_colour = True


def _row(state: _Pcl, data: memoryview) -> None:
    if not state.has_colour or state.is_page_colour:
        return
    if not state.is_direct:
        # Planes or palettes are not looked into: colour was asked for.
        state.is_page_colour = len(data) > 0
        return
    row = _unpacked(state.compression, bytes(data), state.row)
    if row is None:
        state.is_page_colour = True
        return
    if row != state.row:
        state.row = row
        state.is_page_colour = _is_coloured(row)


def _unpacked(compression: int, data: bytes, before: bytes) -> bytes | None:
    """The bytes of a row; None: packed in a way that is not known."""
    if compression == 0:
        return data
    if compression == 1:
        pairs = zip(data[0::2], data[1::2], strict=False)
        return b"".join(bytes((byte,)) * (count + 1) for count, byte in pairs)[:_ROW_MAX]
    if compression == 2:
        return _unpack_bits(data)
    return _apply_delta(data, before) if compression == 3 else None


def _unpack_bits(data: bytes) -> bytes:
    out = bytearray()
    at = 0
    while at < len(data) and len(out) < _ROW_MAX:
        code = data[at]
        if code < 128:
            out += data[at + 1 : at + 2 + code]
            at += 2 + code
        elif code == 128:
            at += 1
        else:
            out += data[at + 1 : at + 2] * (257 - code)
            at += 2
    return bytes(out)


def _apply_delta(data: bytes, before: bytes) -> bytes:
    row = bytearray(before)
    at = to = 0
    while at < len(data):
        count, offset = (data[at] >> 5) + 1, data[at] & 31
        at += 1
        if offset == 31:
            while at < len(data):
                offset += data[at]
                at += 1
                if data[at - 1] != 255:
                    break
        to += offset
        if to + count > _ROW_MAX:
            break
        if len(row) < to:
            row += bytes(to - len(row))
        row[to : to + count] = data[at : at + count]
        at += count
        to += count
    return bytes(row)


def _is_coloured(row: bytes) -> bool:
    red, green, blue = row[0::3], row[1::3], row[2::3]
    if red == green == blue:
        return False
    return any(
        max(r, g, b) - min(r, g, b) > COLOUR_DIFFERENCE
        for r, g, b in zip(red, green, blue, strict=False)
    )


# PCL XL.

_XL_SIZES = {
    **{0xC0: 1, 0xC1: 2, 0xC2: 4, 0xC3: 2, 0xC4: 4, 0xC5: 4},
    **{0xD0: 2, 0xD1: 4, 0xD2: 8, 0xD3: 4, 0xD4: 8, 0xD5: 8},
    **{0xE0: 4, 0xE1: 8, 0xE2: 16, 0xE3: 8, 0xE4: 16, 0xE5: 16},
}
_XL_ARRAYS = {0xC8: 1, 0xC9: 2, 0xCA: 4, 0xCB: 2, 0xCC: 4, 0xCD: 4}
_XL_SPACE = frozenset({0x00, 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x20})
_XL_PAPERS = {0: "Letter", 1: "Legal", 2: "A4", 4: "Tabloid", 5: "A3", 16: "A5", 17: "A6"}
_BEGIN_PAGE, _END_PAGE, _BEGIN_IMAGE = 0x43, 0x44, 0xB0
_SET_COLOR_SPACE = 0x6A
_COLOR_SPACE, _RGB_COLOR, _MEDIA_SIZE, _PAGE_COPIES = 0x03, 0x0B, 0x25, 0x31
_SIMPLEX, _DUPLEX = 0x34, 0x35
_RGB_SPACES = frozenset({2, 6})

_Attributes = dict[int, bytes]


def xl_pages(data: memoryview, begin: int, end: int, pages_max: int, paper: str = "A4") -> Printed:
    """What the PCL XL between ``begin`` and ``end`` prints."""
    header = bytes(data[begin : begin + 1])
    if header not in (b"(", b")"):
        raise BadStream("not binary PCL XL")
    order = "big" if header == b"(" else "little"
    printed = Printed()
    is_rgb = is_page_colour = False
    for operator, attributes in _xl_operators(data, _find(data, b"\n", begin) + 1, end, order):
        if operator == _BEGIN_PAGE:
            size = attributes.get(_MEDIA_SIZE, b"")
            paper = _xl_paper(size, paper)
            if _DUPLEX in attributes or _SIMPLEX in attributes:
                printed.duplex = _DUPLEX in attributes
            is_rgb = is_page_colour = False
        elif operator == _SET_COLOR_SPACE and _COLOR_SPACE in attributes:
            is_rgb = attributes[_COLOR_SPACE][:1] in (b"\x02", b"\x06")
        elif operator == _BEGIN_IMAGE:
            # Its dots are not looked into.
            is_page_colour = is_page_colour or is_rgb
        elif operator == _END_PAGE:
            copies = int.from_bytes(attributes.get(_PAGE_COPIES, b"\1"), order)  # type: ignore[arg-type]
            if len(printed.pages) + copies > pages_max:
                raise BadStream("too many pages")
            printed.pages += [PageFacts(paper, is_page_colour)] * max(1, copies)
        colour = attributes.get(_RGB_COLOR)
        if colour is not None and len(set(colour)) > 1:
            is_page_colour = True
    return printed


def _xl_paper(size: bytes, before: str) -> str:
    if len(size) > 2:
        return _PAPER_NAMES.get(size.decode("latin-1").strip("\0 ").upper(), before)
    return _XL_PAPERS.get(size[0], before) if size else before


def _xl_operators(
    data: memoryview, at: int, end: int, order: str
) -> Iterator[tuple[int, _Attributes]]:
    """Each operator with its attributes; embedded data is passed over."""
    attributes: _Attributes = {}
    value = b""
    while at < end:
        tag = data[at]
        at += 1
        if tag in _XL_SPACE:
            continue
        if tag in _XL_SIZES:
            value, at = bytes(data[at : at + _XL_SIZES[tag]]), at + _XL_SIZES[tag]
        elif tag in _XL_ARRAYS:
            count, at = _xl_count(data, at, end, order)
            length = count * _XL_ARRAYS[tag]
            value, at = bytes(data[at : at + min(length, 256)]), at + length
        elif tag == 0xF8 or tag == 0xF9:
            if at < end:
                attributes[data[at]] = value
            at += 1 if tag == 0xF8 else 2
        elif tag == 0xFA:
            at += 4 + int.from_bytes(data[at : at + 4], order)  # type: ignore[arg-type]
        elif tag == 0xFB:
            at += 1 + (data[at] if at < end else 0)
        elif 0x41 <= tag <= 0xBF:
            yield tag, attributes
            attributes = {}
        else:
            raise BadStream(f"not a tag of PCL XL: {tag:#04x}")


def _xl_count(data: memoryview, at: int, end: int, order: str) -> tuple[int, int]:
    size = _XL_SIZES.get(data[at] if at < end else 0, 0)
    if size not in (1, 2, 4):
        raise BadStream("an array without a length")
    return int.from_bytes(data[at + 1 : at + 1 + size], order), at + 1 + size  # type: ignore[arg-type]
