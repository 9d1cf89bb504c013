"""Who is locked out at all devices of a server: its own lockouts and those of other servers.

What counts is in the store. The time that is left is counted by the monotonic clock, from when
a lockout was first seen here: a wall clock that is set neither ends nor prolongs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs
from twisted.logger import Logger

from papercutd.environment import Environment
from papercutd.errors import StorageError
from papercutd.services.tasks import Tasks
from papercutd.storage.interfaces import IJobStore
from papercutd.storage.people.lockouts import LockedUser

_log = Logger()
#: Rows that say that somebody may be locked out; a snapshot is told as a row of ``printer``.
_TABLES = frozenset({"lockout", "printer"})


@attrs.frozen
class _Known:
    locked: LockedUser
    #: By the monotonic clock.
    ends_at: float


class Lockouts:
    """The lockouts that a running server obeys."""

    def __init__(
        self,
        env: Environment,
        store: IJobStore,
        tasks: Tasks,
        on_written: Callable[[], None] = lambda: None,
    ) -> None:
        self._env = env
        self._store = store
        self._tasks = tasks
        self._on_written = on_written
        #: Called with the name of somebody who was let in again: failures are forgotten.
        self.on_unlocked: Callable[[str], object] = lambda name: None
        self._known: dict[int, _Known] = {}
        self._asked = self._seen = 0

    async def refresh(self) -> None:
        """Read them again."""
        self._asked += 1
        asked = self._asked
        found = await self._store.lockouts()
        if asked < self._seen:
            # A later reading was faster.
            return
        self._seen = asked
        now = self._env.now()
        before, self._known = self._known, {}
        for locked, left_s in found:
            known = before.get(locked.user)
            if known is None or known.locked != locked:
                if locked.unlocked != (known.locked.unlocked if known else ""):
                    self.on_unlocked(locked.name)
                known = _Known(locked, now + left_s)
            self._known[locked.user] = known

    def applied(self, rows: Iterable[Any]) -> None:
        """These rows have changed."""
        if any(row[0] in _TABLES for row in rows):
            self._tasks.spawn(self.refresh(), "reading lockouts")

    def left_s(self, users: Iterable[int]) -> float:
        """Seconds for which none of ``users``, who are one person, may log in."""
        now = self._env.now()
        ends = [self._known[user].ends_at for user in users if user in self._known]
        return max((end - now for end in ends), default=0.0)

    def listed(self) -> list[tuple[str, float]]:
        """(name, seconds left)."""
        now = self._env.now()
        found = [(one.locked.name, one.ends_at - now) for one in self._known.values()]
        return [(name, left_s) for name, left_s in found if left_s > 0]

    async def lock_out(self, user: int, failures: int) -> None:
        """Write down that ``user`` failed too often here."""
        try:
            await self._store.lock_out(user, failures, self._env.new_id())
            await self.refresh()
        except StorageError as error:
            # What this process remembers of the failures locks them out here all the same.
            _log.warn("a lockout was not written: {error}", error=type(error).__name__)
            return
        self._on_written()

    async def unlock(self, user: int) -> None:
        """Let them in again: at the application server everywhere, at a site there."""
        await self._store.unlock(user, self._env.new_id())
        await self.refresh()
        self._on_written()
