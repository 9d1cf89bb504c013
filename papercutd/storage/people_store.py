"""Users as administrators set them, at the application server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from papercutd.storage.change_log import ChangeLog
from papercutd.storage.directory import Directory
from papercutd.storage.engine import Connection
from papercutd.storage.rule_store import Transactions
from papercutd.storage.user_settings import change_settings, living_user


class PeopleStore:
    """Each method is one transaction, or one read beside the writer."""

    def __init__(
        self,
        store: Transactions,
        log: ChangeLog,
        directory: Directory,
        wall_s: Callable[[], float],
    ) -> None:
        self._store = store
        self._log = log
        self._directory = directory
        self._wall_s = wall_s

    def set_user(self, name: str, settings: Mapping[str, Any]) -> Deferred[None]:
        """All of ``settings`` or none (storage/user_settings.py); raises NotFound,
        InvalidValue, AlreadyExists."""

        def change(connection: Connection) -> None:
            user, account = living_user(connection, self._directory, name)
            change_settings(connection, self._log, user, account, settings)

        return self._store.write(change)
