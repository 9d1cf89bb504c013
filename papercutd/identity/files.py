"""Files of an identity: written whole or not at all, several of them together."""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import msgspec

from papercutd.syncing import sync

#: Holds files that are being replaced together until the last of them is in place.
PENDING = "pending.json"


@attrs.frozen
class PrivateFile:
    """One file of a directory: its name, what it holds and who may read it."""

    name: str
    data: bytes
    mode: int = 0o600


def write_private(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write ``data`` whole or not at all, readable by its owner alone, synced to the disk."""
    temporary = path.with_name(path.name + ".new")
    # What an interrupted attempt left may have another mode: begin anew, never reuse it.
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with open(descriptor, "wb") as file:
        # The umask may have taken bits away.
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync(path.parent)


def write_together(directory: Path, files: list[PrivateFile]) -> None:
    """Replace ``files`` in ``directory`` so that a crash leaves all of them old or all new.

    They are first written down in one file; ``finish_together`` ends what a crash
    interrupted. A key and the certificate of another key would end every session.
    """
    write_private(directory / PENDING, msgspec.json.encode(files))
    _put_in_place(directory, files)


def finish_together(directory: Path) -> None:
    """End a ``write_together`` that was interrupted; nothing to do otherwise."""
    try:
        data = (directory / PENDING).read_bytes()
    except FileNotFoundError:
        return
    _put_in_place(directory, msgspec.json.decode(data, type=list[PrivateFile]))


def _put_in_place(directory: Path, files: list[PrivateFile]) -> None:
    for file in files:
        write_private(directory / file.name, file.data, file.mode)
    (directory / PENDING).unlink()
    sync(directory)
