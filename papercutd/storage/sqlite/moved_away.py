"""Files of SQLite whose database has moved to PostgreSQL: kept under another name.

Which engine is in force is told by the file alone: while it bears its own name it is, whatever the
configuration says, and no role starts on PostgreSQL beside it. So the one rename puts the copy in
force, and there is no moment at which both are, or neither.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from papercutd.syncing import sync

_PREFIX = "moved-"


def name_of(path: Path, move: str) -> Path:
    """What ``path`` is called after the move of that name."""
    return path.with_name(f"{_PREFIX}{move}-{path.name}")


def moves_of(path: Path) -> list[str]:
    """The moves by which a database went away from ``path``, oldest first."""
    found = sorted(path.parent.glob(f"{_PREFIX}*-{path.name}"))
    return [one.name[len(_PREFIX) : -len(path.name) - 1] for one in found]


def checkpoint(path: Path) -> None:
    """All of it is in the one file; raises sqlite3.Error, or OSError while somebody reads it."""
    with closing(sqlite3.connect(path)) as connection:
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise OSError(f"{path} is being read by somebody else")


def move_away(path: Path, move: str) -> Path:
    """From now on the copy is in force; where the file is kept."""
    kept = name_of(path, move)
    os.replace(path, kept)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    sync(path.parent)
    return kept
