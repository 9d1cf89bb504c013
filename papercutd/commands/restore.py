"""``papercutd restore``: put a backup in place of the application server's database.

The server must not run. The database that was in force is kept beside it; until the last
step, a rename, nothing has changed.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from papercutd.commands.offline import result_of
from papercutd.config.model import AppConfig
from papercutd.errors import ConfigError, InvalidValue
from papercutd.points import passing
from papercutd.roles.common import DataDirectory
from papercutd.roles.crash_points import crash_point
from papercutd.storage.application_store import SCHEMA, ApplicationStore
from papercutd.storage.change_log import ChangeLog
from papercutd.storage.migrate import open_database
from papercutd.storage.timeline import restored
from papercutd.storage.writer import InlineReader, InlineWriter

Progress = Callable[[dict[str, Any]], None]
#: Pages of the backup copied between two words of progress.
_PAGES = 20_000
_HEAD = "SELECT installation, timeline, number FROM head"


def restore(config: Any, backup: str, progress: Progress) -> dict[str, Any]:
    """What was put in place; raises InvalidValue for a backup that is none, or another's.

    AlreadyRunning while the server runs, or somebody else restores.
    """
    if not isinstance(config, AppConfig):
        raise ConfigError(["restore is for the application server: give its configuration"])
    crash_point(None)
    data = DataDirectory(config.data_dir)
    data.acquire()
    try:
        return _restore(data.path, Path(backup), progress)
    finally:
        data.release()


def _restore(data: Path, backup: Path, progress: Progress) -> dict[str, Any]:
    now = time.time()
    in_force, incoming = data / "application.db", data / "restoring.db"
    if backup.resolve() == in_force.resolve():
        raise InvalidValue("backup", "is the database in force")
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
    _forget(incoming)
    _copy(backup, incoming, progress)
    passing("restore-copied")
    with closing(open_database(str(incoming), SCHEMA)) as connection:
        problems = _verify(connection)
        if problems:
            _forget(incoming)
            raise InvalidValue("backup", f"is not what was written: {problems[0]}")
        position = restored(connection, now, timeline_min)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    passing("restore-begun")
    kept = data / f"before-restore-{int(now)}.db"
    if in_force.exists():
        _checkpoint(in_force)
        os.link(in_force, kept)
    passing("restore-kept")
    for ending in ("-wal", "-shm"):
        (data / f"application.db{ending}").unlink(missing_ok=True)
    os.replace(incoming, in_force)
    passing("restore-placed")
    folder = os.open(data, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return {
        "restored": str(backup),
        "of_change": number,
        "position": position.text,
        "kept": str(kept) if kept.exists() else None,
        "next": "start the server: sites, print providers and devices offer again what they kept",
    }


def _read_head(path: Path) -> tuple[str, int, int]:
    """(installation, timeline, number) of a database of an application server."""
    if not path.is_file():
        raise InvalidValue("backup", f"{path} is not there")
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise InvalidValue("backup", f"{path} is damaged: {found}")
            row = connection.execute(_HEAD).fetchone()
    except sqlite3.Error:
        raise InvalidValue("backup", f"{path} is no database of an application server") from None
    if row is None:
        raise InvalidValue("backup", f"{path} holds no installation")
    return row[0], row[1], row[2]


def _copy(backup: Path, to: Path, progress: Progress) -> None:
    def tell(status: int, remaining: int, total: int) -> None:
        progress({"copied": total - remaining, "of": total})

    with (
        closing(sqlite3.connect(f"file:{backup}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(to)) as target,
    ):
        os.chmod(to, 0o600)
        source.backup(target, pages=_PAGES, progress=tell)


def _verify(connection: sqlite3.Connection) -> list[str]:
    clock = Clock()
    log = ChangeLog(time.time)
    writer = InlineWriter(connection, clock, log)
    store = ApplicationStore(writer, InlineReader(writer), log, time.time)
    found: list[str] = result_of(clock, store.verify())
    return found


def _checkpoint(path: Path) -> None:
    """All of it in the one file, as far as it can be read."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        pass


def _forget(path: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
