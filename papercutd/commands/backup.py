"""``papercutd backup``: of any role, running or not."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from papercutd.commands.control_client import ControlError, call
from papercutd.config.model import AppConfig, SiteConfig
from papercutd.errors import InvalidValue, NotFound
from papercutd.identity.tls import Credentials
from papercutd.roles.common import DataDirectory, backup_of
from papercutd.storage.sqlite.backup import PG_DUMP, write_backup

Progress = Callable[[dict[str, Any]], None]


def role_and_database(config: Any) -> tuple[str, str]:
    """What a configuration is for, and the name of its database."""
    if isinstance(config, AppConfig):
        return "app", "application.db"
    return ("site", "journal.db") if isinstance(config, SiteConfig) else ("provider", "provider.db")


def backup(config: Any, path: str, progress: Progress) -> dict[str, Any]:
    """Where the copy is, and its size; raises what the server refuses, or InvalidValue."""
    # The server works in another directory.
    path = os.path.abspath(path)
    try:
        done: dict[str, Any] = call(
            os.path.join(config.data_dir, "control.sock"), "backup", {"path": path}, progress
        )
        return done
    except ControlError as error:
        if error.code != "not-running":
            raise
    if getattr(config, "store", ""):
        raise InvalidValue("store", PG_DUMP)
    role, name = role_and_database(config)
    data = DataDirectory(config.data_dir)
    data.acquire()
    try:
        if not (data.path / name).exists():
            raise NotFound("database", str(data.path / name))
        about = backup_of(role, Credentials.load(data.path / "identity"), time.time())
        with closing(sqlite3.connect(data.path / name, isolation_level=None)) as connection:
            return {"path": path, "bytes": write_backup(connection, path, about)}
    finally:
        data.release()
