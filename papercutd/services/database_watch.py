"""Looks at a database of PostgreSQL now and then, and tells the administrator what slows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from papercutd.errors import StorageError

_log = Logger()
#: Between two looks, and between two times that the same is logged.
LOOK_S = 300.0
SAID_S = 3_600.0


class DatabaseWatch:
    """What was found at the last look; ``look`` asks the database."""

    def __init__(self, clock: IReactorTime, look: Callable[[], Deferred[list[str]]]) -> None:
        self.found: list[str] = []
        self._clock = clock
        self._look = look
        self._said_at: dict[str, float] = {}
        self._loop = LoopingCall(self._again)
        self._loop.clock = clock

    def start(self) -> None:
        self._loop.start(LOOK_S).addErrback(
            lambda failure: _log.failure("looking at the database ended", failure=failure)
        )

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()

    async def _ask(self) -> None:
        try:
            self.found = await self._look()
        except StorageError:
            # The writer says why.
            return
        now = self._clock.seconds()
        for what in self.found:
            # Without its figures, which change.
            kind = what.partition(" is ")[0].partition(" has ")[0]
            if now - self._said_at.get(kind, -SAID_S) >= SAID_S:
                self._said_at[kind] = now
                _log.warn("PostgreSQL: {what}", what=what)
        # Nobody counts who came and went.
        self._said_at = {k: at for k, at in self._said_at.items() if now - at < SAID_S}

    def _again(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._ask())

    def status(self) -> dict[str, Any]:
        return {"database": {"engine": "postgresql", "warnings": list(self.found)}}
