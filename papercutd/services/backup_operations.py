"""The operation ``backup`` of every running role: beside its work, in a thread of its own."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from papercutd.environment import Environment
from papercutd.errors import InvalidValue, Rejected, StorageFull
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.sqlite.backup import PG_DUMP, BackupOf, part_of, write_backup

#: Seconds between two words of progress.
TELL_INTERVAL_S = 0.5


class BackupOperations:
    """Backs one database up, one at a time."""

    def __init__(
        self,
        env: Environment,
        database: Path | str,
        whose: Callable[[], BackupOf],
        in_thread: Callable[..., Deferred[Any]],
    ) -> None:
        self._env = env
        self._database = database
        self._whose = whose
        self._in_thread = in_thread
        self._is_running = False

    def all(self) -> dict[str, Operation]:
        return {"backup": self.backup}

    async def backup(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A copy of the database, made while the server works."""
        path = os.path.abspath(take(arguments, "path")["path"])
        if isinstance(self._database, str):
            raise InvalidValue("store", PG_DUMP)
        if self._is_running:
            raise Rejected("busy", "a backup is being made")
        self._is_running = True
        of = os.path.getsize(self._database)
        telling = LoopingCall(lambda: progress({"copied_bytes": _size(path), "of": of}))
        telling.clock = self._env.clock
        telling.start(TELL_INTERVAL_S).addErrback(lambda failure: None)
        try:
            size = await self._in_thread(_copy, str(self._database), path, self._whose())
        finally:
            self._is_running = False
            if telling.running:
                telling.stop()
        return {"path": path, "bytes": size}


def _copy(database: str, path: str, about: BackupOf) -> int:
    """On a connection of its own: writers and readers go on."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        try:
            return write_backup(connection, path, about)
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
                raise StorageFull from None
            raise


def _size(path: str) -> int:
    try:
        return part_of(path).stat().st_size
    except OSError:
        return 0
