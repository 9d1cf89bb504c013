"""``papercutd restore`` of a site or print provider: its journal as a backup has it.

What it journalled since then is gone from this disk, so the next start takes a new stream or
journal id (design 4.12), and everybody offers again what they kept.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from papercutd.commands.backup import role_and_database
from papercutd.commands.placing import check_copy, copy_database, forget, place
from papercutd.errors import InvalidValue
from papercutd.identity.tls import Credentials
from papercutd.points import passing
from papercutd.roles.common import backup_of
from papercutd.storage.replication import asker_journal
from papercutd.storage.site import site_journal
from papercutd.storage.sqlite.backup import forget_whose, read_whose

Progress = Callable[[dict[str, Any]], None]


def restore_journal(config: Any, data: Path, backup: Path, progress: Progress) -> dict[str, Any]:
    """What was put in place; the lock of ``data`` is ours. Raises InvalidValue."""
    role, name = role_and_database(config)
    in_force, incoming = data / name, data / "restoring.db"
    check_copy(backup, in_force)
    own = backup_of(role, Credentials.load(data / "identity"), time.time())
    forget(incoming)
    copy_database(backup, incoming, progress)
    try:
        with closing(sqlite3.connect(incoming, isolation_level=None)) as connection:
            whose = read_whose(connection)
            if whose is None:
                raise InvalidValue("backup", "was not made by `papercutd backup`")
            if whose.authority != own.authority:
                raise InvalidValue("backup", "is of another installation")
            if (whose.role, whose.name) != (own.role, own.name):
                raise InvalidValue("backup", f"is of {whose.role} {whose.name}")
            verify = (site_journal if role == "site" else asker_journal).verify_journal
            problems = verify(connection)
            if problems:
                raise InvalidValue("backup", f"is not what was written: {problems[0]}")
            (number,) = connection.execute("SELECT number FROM identity").fetchone()
            if role == "site":
                # The replica it speaks of is gone; the next start fetches one.
                connection.execute("UPDATE identity SET replica = replica + 1")
            forget_whose(connection)
        passing("restore-begun")
    except BaseException:
        forget(incoming)
        raise
    kept = place(incoming, in_force)
    for path in data.glob("replica-*.db*"):
        path.unlink()
    return {
        "restored": str(backup),
        "of_record": number,
        "made_at": whose.made_at,
        "kept": kept,
        "next": "start this role: it shows itself anew, and what was retained is offered again",
    }
