"""A drill: for some minutes a site decides as if its link were cut (design 4.13).

Its journal waits, as it would. What the application server sends still comes in: a
certificate that is revoked must not go on because of a rehearsal. A step that policy
would refuse is asked at the application server after all, once that has heard of what the
site has spent meanwhile.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger

from papercutd.domain.decision import Decision
from papercutd.environment import Environment
from papercutd.errors import InvalidValue, Rejected, StorageFull
from papercutd.services.operation import Operation, Progress, take
from papercutd.services.tasks import Tasks, until_space
from papercutd.services.uplink import Uplink
from papercutd.storage.interfaces import ISiteStore

_log = Logger()
DEFAULT_MINUTES, MAX_MINUTES = 15, 120
#: How long the application server may take to hear of the journal before a step is asked.
FORWARD_S = 0.3
_LOOK_S = 0.02


class Drill:
    """Whether there is one; its beginning and its end."""

    def __init__(self, env: Environment, store: ISiteStore, uplink: Uplink, tasks: Tasks) -> None:
        self._env = env
        self._store = store
        self._uplink = uplink
        self._tasks = tasks
        self.is_on = False
        #: When it ends by itself, wall clock.
        self.until = 0.0
        self._timer: IDelayedCall | None = None

    async def recover(self) -> None:
        """A restart ends it: before the uplink starts."""
        try:
            await self._store.end_drill("restart")
        except StorageFull:
            self._tasks.spawn(self._write_end("restart"), "ending a drill")

    async def start(self, minutes: int) -> None:
        """Raises InvalidValue; Rejected where there is one already."""
        if not 1 <= minutes <= MAX_MINUTES:
            raise InvalidValue("minutes", f"are 1 to {MAX_MINUTES}")
        if self.is_on:
            raise Rejected("busy", "there is a drill already: drill stop ends it")
        self.is_on = True
        self.until = self._env.wall_s() + minutes * 60
        try:
            await self._store.begin_drill()
        except BaseException:
            self.is_on = False
            raise
        # The administrator of the application server sees it begin.
        await self.forward_first()
        if self.is_on:
            self._uplink.pause(True)
            self._timer = self._env.clock.callLater(
                max(self.until - self._env.wall_s(), 0.0), self.end, "time"
            )
            _log.info("a drill of {minutes} minutes has begun", minutes=minutes)

    def end(self, reason: str) -> None:
        """It is over at once; that it was is journalled as soon as the disk has room."""
        if not self.is_on:
            return
        self.is_on = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        _log.info("the drill has ended: {reason}", reason=reason)
        self._tasks.spawn(self._write_end(reason), "ending a drill")

    async def stop(self) -> None:
        """The server stops: the end is journalled at the next start."""
        self.is_on = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    async def _write_end(self, reason: str) -> None:
        await until_space(self._env, lambda: self._store.end_drill(reason))
        self._uplink.pause(False)

    async def forward_first(self) -> None:
        """Have the application server hear of what was journalled, within ``FORWARD_S``."""
        number = (await self._store.identity()).mark.number
        self._uplink.forward_up_to(number)
        ends_at = self._env.now() + FORWARD_S
        while self._uplink.acked.number < number and self._env.now() < ends_at:
            await deferLater(self._env.clock, _LOOK_S, lambda: None)

    async def note_asked(self, key: str, answer: Decision) -> None:
        await self._store.note_drill_asked(key, answer)

    async def status(self) -> dict[str, Any]:
        """The drill under way, else the last one."""
        found = await self._store.drill()
        told: dict[str, Any] = {"drill": self.is_on}
        if self.is_on:
            told |= {"until": self.until, "seconds_left": self._left_s()}
        if found is not None:
            told |= {"since": found.since, "asked_after_all": found.asked, "ended": found.ended}
        return told

    def check(self) -> dict[str, Any]:
        """For health: a rehearsal is no alarm."""
        detail = f"{self._left_s()} seconds left" if self.is_on else ""
        return {"name": "drill", "ok": True, "detail": detail}

    def _left_s(self) -> int:
        return round(max(self.until - self._env.wall_s(), 0.0))


class DrillOperations:
    """``papercutd drill`` at a site."""

    def __init__(self, drill: Drill) -> None:
        self._drill = drill

    def all(self) -> dict[str, Operation]:
        return {"drill.start": self.start, "drill.stop": self.stop, "drill.status": self.status}

    async def start(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """The site decides as if its link were cut, for so many minutes."""
        await self._drill.start(take(arguments, minutes=DEFAULT_MINUTES)["minutes"])
        return await self._drill.status()

    async def stop(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Back to the link."""
        take(arguments)
        was_on = self._drill.is_on
        self._drill.end("stopped")
        return {"was_on": was_on}

    async def status(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Whether there is a drill, and what was asked after all."""
        take(arguments)
        return await self._drill.status()
