"""Putting a database in place of another: copied, then kept, then renamed; or nothing at all."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from papercutd.errors import InvalidValue
from papercutd.points import passing
from papercutd.syncing import sync

Progress = Callable[[dict[str, Any]], None]
#: Pages copied between two words of progress.
_PAGES = 20_000


def check_copy(backup: Path, in_force: Path) -> None:
    """Raises InvalidValue for a file that is no whole database, or is the one in force."""
    if not backup.is_file():
        raise InvalidValue("backup", f"{backup} is not there")
    if backup.resolve() == in_force.resolve():
        raise InvalidValue("backup", "is the database in force")
    try:
        with closing(sqlite3.connect(f"file:{backup}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error:
        raise InvalidValue("backup", f"{backup} is no database") from None
    if found != "ok":
        raise InvalidValue("backup", f"{backup} is damaged: {found}")


def copy_database(backup: Path, to: Path, progress: Progress) -> None:
    """A copy of ``backup`` at ``to``, for its owner's eyes."""

    def tell(status: int, remaining: int, total: int) -> None:
        progress({"copied": total - remaining, "of": total})

    with (
        closing(sqlite3.connect(f"file:{backup}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(to)) as target,
    ):
        os.chmod(to, 0o600)
        source.backup(target, pages=_PAGES, progress=tell)
    passing("restore-copied")


def place(incoming: Path, in_force: Path) -> str | None:
    """``incoming`` is in force from now on; where the former one is kept."""
    kept = None
    if in_force.exists():
        _checkpoint(in_force)
        kept = _keep(in_force)
    passing("restore-kept")
    for ending in ("-wal", "-shm"):
        in_force.with_name(in_force.name + ending).unlink(missing_ok=True)
    os.replace(incoming, in_force)
    passing("restore-placed")
    sync(in_force.parent)
    return None if kept is None else str(kept)


def _keep(in_force: Path) -> Path:
    """Another name of it, which nothing else has: somebody may have restored in this second."""
    base, number = f"before-restore-{int(time.time())}", 1
    while True:
        name = base if number == 1 else f"{base}.{number}"
        kept = in_force.with_name(f"{name}-{in_force.name}")
        if not kept.exists():
            os.link(in_force, kept)
            return kept
        if kept.samefile(in_force):
            # It was kept before this command was killed.
            return kept
        number += 1


def _checkpoint(path: Path) -> None:
    """All of it in the one file, as far as it can be read."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        pass


def forget(path: Path) -> None:
    """Away with a database and what stands beside it."""
    for ending in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
