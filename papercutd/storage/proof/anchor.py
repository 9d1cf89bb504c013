"""The anchor: how far a site's journal was when it last answered, kept outside its database.

A database that was put back to an older state cannot tell; the anchor beside it can, unless the
whole machine went back with it (design 4.12). Two slots of fixed length are written in turn, in
place, and synced after each commit and before anybody is answered: a write that is cut short
leaves the other slot.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import attrs
from twisted.logger import Logger

from papercutd.domain.chain import Mark
from papercutd.points import passing
from papercutd.storage.engine import Connection

_log = Logger()
#: Its name beside the journal.
ANCHOR = "anchor"
#: sequence (16) stream (36) number (16) chain (64) check (32), blanks between, a newline.
SLOT_LENGTH = 16 + 1 + 36 + 1 + 16 + 1 + 64 + 1 + 32 + 1


@attrs.frozen
class Anchored:
    """The stream, and where it stood."""

    stream: str
    mark: Mark
    #: Of the writing of slots: the highest is the newest.
    sequence: int = attrs.field(default=0, eq=False)


class AnchorFile(Protocol):
    """Where the slots lie; both may raise OSError."""

    def read(self) -> bytes:
        """All of it; empty where there is none."""

    def write(self, offset: int, data: bytes) -> None:
        """On the disk when this returns."""


class FileOnDisk:
    """A file, made with the first slot."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""

    def write(self, offset: int, data: bytes) -> None:
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        os.pwrite(self._descriptor, data, offset)
        os.fsync(self._descriptor)


def read_slots(data: bytes) -> Anchored | None:
    """The newest whole slot; None where there is none."""
    found = [_read(data[i : i + SLOT_LENGTH]) for i in (0, SLOT_LENGTH)]
    whole = [one for one in found if one is not None]
    return max(whole, key=lambda one: one.sequence, default=None)


def _read(slot: bytes) -> Anchored | None:
    parts = slot.decode("ascii", "replace").rstrip("\n").split(" ")
    if len(slot) != SLOT_LENGTH or len(parts) != 5 or parts[4] != _check(parts[:4]):
        return None
    return Anchored(parts[1], Mark(int(parts[2]), parts[3]), int(parts[0]))


def _check(parts: list[str]) -> str:
    return blake2b(" ".join(parts).encode(), digest_size=16).hexdigest()


def write_slot(anchored: Anchored) -> bytes:
    """One slot."""
    mark = anchored.mark
    parts = [f"{anchored.sequence:016}", anchored.stream, f"{mark.number:016}", mark.chain]
    return " ".join([*parts, _check(parts)]).encode() + b"\n"


class Anchor:
    """A participant of the journal's writer."""

    def __init__(self, file: AnchorFile) -> None:
        self._file = file
        self._sequence = 0
        self._sealed: Anchored | None = None
        self._written: Anchored | None = None
        #: The last write failed: what depends on the anchor must wait.
        self.is_broken = False
        self._is_armed = False

    def read(self) -> Anchored | None:
        """What was anchored last; to be called before the first commit."""
        try:
            found = read_slots(self._file.read())
        except OSError as error:
            _log.error("the anchor cannot be read: {error}", error=error)
            return None
        if found is not None:
            self._sequence = found.sequence
        return found

    def arm(self) -> None:
        """The journal is what the anchor says, or a new stream: it is followed from now on.

        Until then the anchor stays as evidence, whatever is committed.
        """
        self._is_armed = True

    # As a Participant.

    def begin(self, connection: Connection) -> None:
        self._sealed = None

    def mark(self) -> object:
        return None

    def undo(self, mark: object) -> None:
        pass

    def seal(self, connection: Connection) -> None:
        stream, number, chain = connection.execute(
            "SELECT stream, number, chain FROM identity"
        ).fetchone()
        self._sealed = Anchored(stream, Mark(number, chain))

    def committed(self) -> None:
        sealed = self._sealed
        if not self._is_armed or sealed is None:
            return
        if sealed == self._written and not self.is_broken:
            return
        next_one = attrs.evolve(sealed, sequence=self._sequence + 1)
        try:
            # Never the slot that was written last.
            self._file.write(next_one.sequence % 2 * SLOT_LENGTH, write_slot(next_one))
        except OSError as error:
            if not self.is_broken:
                _log.error("the anchor cannot be written: {error}", error=error)
            self.is_broken = True
            return
        self._sequence += 1
        self.is_broken, self._written = False, sealed
        passing("anchored")

    def rolled_back(self) -> None:
        self._sealed = None


def was_restored(connection: Connection, anchored: Anchored | None) -> bool:
    """Whether the journal is an older state of itself, or another's (design 4.12)."""
    stream, number, replaces = connection.execute(
        "SELECT stream, number, replaces FROM identity"
    ).fetchone()
    if anchored is None:
        return bool(number > 0)
    if anchored.stream != stream:
        # A new journal, or one that died between taking a new stream and saying so here.
        return bool(number > 0 and replaces != anchored.stream)
    if anchored.mark.number == 0:
        return False
    found = connection.execute(
        "SELECT chain FROM journal WHERE number = ?", (anchored.mark.number,)
    ).fetchone()
    return found is None or found[0] != anchored.mark.chain
