"""The lines of a file that somebody made elsewhere: bytes in, texts out, a bounded part at a time.

A byte-order mark is taken away, and says the encoding where there is one. What is not in the
encoding stops the file: every name with an accent would be wrong.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import attrs

from papercutd.errors import InvalidValue

LINE_LENGTH_MAX = 65_536
#: What may be said, and what Python calls it.
ENCODINGS = {
    "utf-8": "utf-8",
    "latin-1": "latin-1",
    "windows-1252": "cp1252",
    "utf-16": "utf-16",
}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MARK_LENGTH = 3


@attrs.frozen
class Line:
    """One line; ``problem``: why it cannot be taken, then it has no text."""

    number: int
    text: str
    problem: str = ""


class LineReader:
    """Takes a file in parts, in order; ``finish`` gives the last line."""

    def __init__(self, encoding: str = "utf-8") -> None:
        """Raises InvalidValue for an encoding that is none of ENCODINGS."""
        if encoding not in ENCODINGS:
            raise InvalidValue("encoding", f"is one of {', '.join(ENCODINGS)}")
        self.encoding = encoding
        #: The last line ends as every line does: else the file may have been cut off.
        self.is_whole = True
        self._number = 0
        self._first = self._rest = b""
        self._is_skipping = self._has_begun = False
        self._transcoder: codecs.IncrementalDecoder | None = None

    def feed(self, data: bytes) -> Iterator[Line]:
        """The lines that are whole by now; raises InvalidValue for a wrong encoding."""
        if not self._has_begun:
            data = self._first = self._first + data
            if len(data) < _MARK_LENGTH:
                return
            data = self._begin()
        yield from self._lines(self._transcode(data))

    def finish(self) -> Iterator[Line]:
        """The file is at its end."""
        if not self._has_begun:
            yield from self._lines(self._transcode(self._begin()))
        yield from self._lines(self._transcode(b"", final=True))
        if self._rest or self._is_skipping:
            self.is_whole = False
            yield from self._line(self._rest)

    def _begin(self) -> bytes:
        """Without its byte-order mark, if there is one."""
        self._has_begun = True
        data = self._first
        for mark, encoding in _MARKS:
            if data.startswith(mark):
                self.encoding = encoding
        if self.encoding == "utf-16":
            self._transcoder = codecs.getincrementaldecoder("utf-16")()
            return data
        return data.removeprefix(codecs.BOM_UTF8)

    def _transcode(self, data: bytes, final: bool = False) -> bytes:
        if self._transcoder is None:
            return data
        try:
            return self._transcoder.decode(data, final).encode()
        except UnicodeError:
            raise InvalidValue("file", f"is not UTF-16 after line {self._number}") from None

    def _lines(self, data: bytes) -> Iterator[Line]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield from self._line(line)
        if len(self._rest) > LINE_LENGTH_MAX:
            if not self._is_skipping:
                self._is_skipping = True
                self._number += 1
                yield Line(self._number, "", f"is longer than {LINE_LENGTH_MAX} bytes")
            self._rest = b""

    def _line(self, raw: bytes) -> Iterator[Line]:
        if self._is_skipping:
            # The end of one that was too long, and has been told.
            self._is_skipping = False
            return
        self._number += 1
        if len(raw) > LINE_LENGTH_MAX:
            yield Line(self._number, "", f"is longer than {LINE_LENGTH_MAX} bytes")
            return
        yield Line(self._number, self._decode(raw.removesuffix(b"\r")))

    def _decode(self, raw: bytes) -> str:
        if self._transcoder is not None:
            return raw.decode()
        try:
            return raw.decode(ENCODINGS[self.encoding])
        except UnicodeDecodeError as error:
            byte = raw[error.start]
            looks = ""
            if self.encoding == "utf-8":
                seen = bytes([byte]).decode("latin-1")
                shown = f", {seen} in Latin-1" if seen.isprintable() else ""
                looks = (
                    f" (byte {byte:02X}{shown}): if the file is in Latin-1 give"
                    " --encoding latin-1, if it comes from Windows perhaps windows-1252,"
                    " or save it as UTF-8"
                )
            raise InvalidValue(
                "file", f"line {self._number} is not in {self.encoding}{looks}"
            ) from None
