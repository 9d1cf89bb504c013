"""Bytes to lines, with a bound on what an unfinished line may hold."""

from __future__ import annotations

from protocols.limits import LINE_LENGTH_MAX


class LineBuffer:
    """Cuts a stream of bytes into lines at LF; a CR before it belongs to the line's end.

    Holds at most one unfinished line: ``line_length_max`` bytes and one for a CR.
    """

    __slots__ = ("_line_length_max", "_rest", "overflowed")

    def __init__(self, line_length_max: int = LINE_LENGTH_MAX) -> None:
        self._line_length_max = line_length_max
        self._rest = bytearray()
        #: A line longer than the limit came; nothing is kept or cut from then on.
        self.overflowed = False

    def __len__(self) -> int:
        return len(self._rest)

    def receive(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes, without their ends.

        Stops before the first line that is too long, or that is unfinished and too
        long already, and sets ``overflowed``.
        """
        if self.overflowed:
            return []
        lines = data.split(b"\n")
        # What follows the last LF is unfinished; all before it are whole lines.
        unfinished = lines.pop()
        if self._rest and lines:
            self._rest += lines[0]
            lines[0] = bytes(self._rest)
            self._rest.clear()
        for index, line in enumerate(lines):
            if line.endswith(b"\r"):
                line = lines[index] = line[:-1]
            if len(line) > self._line_length_max:
                self._overflow()
                return lines[:index]
        length = len(self._rest) + len(unfinished)
        if length > self._line_length_max + 1 or (
            length == self._line_length_max + 1 and not unfinished.endswith(b"\r")
        ):
            self._overflow()
            return lines
        self._rest += unfinished
        return lines

    def _overflow(self) -> None:
        self.overflowed = True
        self._rest = bytearray()
