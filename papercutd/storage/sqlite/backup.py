"""A backup: a whole copy of a database that is in use, checked, and in place at once or not at all.

It says whose it is, so that it is not put in place of another's.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import attrs

from papercutd import __version__
from papercutd.errors import InvalidValue
from papercutd.syncing import sync

#: The table in which a backup says whose it is; it goes when the backup is put in place.
_TABLE = "backup_of"

#: Said in place of a copy where the database is PostgreSQL's.
PG_DUMP = (
    "the database is PostgreSQL's: back it up with pg_dump or pg_basebackup, and data_dir beside it"
)
#: Said in place of putting one back.
PG_RESTORE = (
    "the database is PostgreSQL's: put it back with PostgreSQL's own tools while this server is"
    " stopped; the first site or print provider that saw more than it holds begins a new timeline"
)


@attrs.frozen
class BackupOf:
    """Whose backup it is."""

    #: ``app``, ``site`` or ``provider``, and the name in its certificate.
    role: str
    name: str
    #: SHA-256 of the certificate of the installation's CA.
    authority: str
    made_at: float
    software: str = __version__


def part_of(path: str) -> Path:
    """Where a backup for ``path`` grows until it is whole."""
    whole = Path(path)
    return whole.with_name(f".{whole.name}.part")


def write_backup(connection: sqlite3.Connection, path: str, about: BackupOf) -> int:
    """Copy the main database of ``connection`` to ``path``; the bytes of the copy.

    Raises InvalidValue when there is something at ``path``, or the copy is not whole.
    """
    whole, part = Path(path), part_of(path)
    _check_target(whole)
    part.unlink(missing_ok=True)
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        connection.execute("VACUUM main INTO ?", (str(part),))
        with closing(sqlite3.connect(part, isolation_level=None)) as copy:
            _say_whose(copy, about)
            (found,) = copy.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise InvalidValue("path", f"the copy is damaged: {found}")
        sync(part)
        try:
            # Unlike a rename it overwrites nothing.
            os.link(part, whole)
        except FileExistsError:
            _check_target(whole)
            raise
    except OSError as error:
        raise InvalidValue("path", f"{path}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    sync(whole.parent)
    return whole.stat().st_size


def _check_target(whole: Path) -> None:
    if os.path.lexists(whole):
        raise InvalidValue("path", "exists already, a backup overwrites nothing")
    if not whole.parent.is_dir():
        raise InvalidValue("path", f"{whole.parent} is not there")


def _say_whose(copy: sqlite3.Connection, about: BackupOf) -> None:
    copy.execute("PRAGMA journal_mode = DELETE")
    copy.execute(f"DROP TABLE IF EXISTS {_TABLE}")
    copy.execute(
        f"CREATE TABLE {_TABLE} (role TEXT NOT NULL, name TEXT NOT NULL,"
        " authority TEXT NOT NULL, made_at REAL NOT NULL, software TEXT NOT NULL) STRICT"
    )
    copy.execute(f"INSERT INTO {_TABLE} VALUES (?, ?, ?, ?, ?)", attrs.astuple(about))


def read_whose(connection: sqlite3.Connection) -> BackupOf | None:
    """Whose backup it is; None: it says nothing, so ``papercutd backup`` has not made it."""
    try:
        row = connection.execute(f"SELECT * FROM {_TABLE}").fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else BackupOf(*row)


def forget_whose(connection: sqlite3.Connection) -> None:
    """It is a backup no more: it is being put in place."""
    connection.execute(f"DROP TABLE IF EXISTS {_TABLE}")
