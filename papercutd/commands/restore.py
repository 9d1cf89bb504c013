"""``papercutd restore``: put a backup in place of a role's database.

The role must not run. The database that was in force is kept beside it; until the last
step, a rename, nothing has changed.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from papercutd.commands.placing import check_copy, copy_database, forget, place
from papercutd.commands.restore_journal import restore_journal
from papercutd.config.model import AppConfig
from papercutd.errors import InvalidValue
from papercutd.points import passing
from papercutd.roles.common import DataDirectory
from papercutd.roles.crash_points import crash_point
from papercutd.storage.application_store import SCHEMA
from papercutd.storage.copying import problems_of_books
from papercutd.storage.replication.timeline import restored
from papercutd.storage.sqlite.backup import PG_RESTORE, forget_whose
from papercutd.storage.sqlite.migrate import open_database

Progress = Callable[[dict[str, Any]], None]
_HEAD = "SELECT installation, timeline, number FROM head"


def restore(config: Any, backup: str, progress: Progress) -> dict[str, Any]:
    """What was put in place; raises InvalidValue for a backup that is none, or another's.

    AlreadyRunning while the server runs, or somebody else restores.
    """
    if getattr(config, "store", ""):
        raise InvalidValue("store", PG_RESTORE)
    crash_point(None)
    data = DataDirectory(config.data_dir)
    data.acquire()
    try:
        if isinstance(config, AppConfig):
            return _restore(data.path, Path(backup), progress)
        return restore_journal(config, data.path, Path(backup), progress)
    finally:
        data.release()


def _restore(data: Path, backup: Path, progress: Progress) -> dict[str, Any]:
    now = time.time()
    in_force, incoming = data / "application.db", data / "restoring.db"
    check_copy(backup, in_force)
    installation, _, number = _read_head(backup)
    timeline_min = 0
    if in_force.exists():
        try:
            current = _read_head(in_force)
        except InvalidValue:
            # Damaged, which is why it is being replaced.
            current = (installation, 0, 0)
        if current[0] != installation:
            raise InvalidValue("backup", "is of another installation")
        timeline_min = current[1] + 1
    forget(incoming)
    copy_database(backup, incoming, progress)
    with closing(open_database(str(incoming), SCHEMA)) as connection:
        problems = problems_of_books(connection, time.time)
        if problems:
            forget(incoming)
            raise InvalidValue("backup", f"is not what was written: {problems[0]}")
        forget_whose(connection)
        position = restored(connection, now, timeline_min)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    passing("restore-begun")
    return {
        "restored": str(backup),
        "of_change": number,
        "position": position.text,
        "kept": place(incoming, in_force),
        "next": "start the server: sites, print providers and devices offer again what they kept",
    }


def _read_head(path: Path) -> tuple[str, int, int]:
    """(installation, timeline, number) of a database of an application server."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            row = connection.execute(_HEAD).fetchone()
    except sqlite3.Error:
        raise InvalidValue("backup", f"{path} is no database of an application server") from None
    if row is None:
        raise InvalidValue("backup", f"{path} holds no installation")
    return row[0], row[1], row[2]
