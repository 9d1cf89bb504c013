"""CUPS asked for as long as it is away, and for the jobs that are ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.internet.task import deferLater
from twisted.logger import Logger

from papercutd.environment import Environment
from papercutd.provider.cups.server import CupsJob, CupsServer, CupsUnreachable
from papercutd.provider.journal import Job

_log = Logger()
T = TypeVar("T")
#: Seconds between attempts at a CUPS that does not answer.
AWAY_S = 1.0


class PatientCups:
    """Waits for CUPS; raises CupsRefused alone."""

    def __init__(self, env: Environment, cups: CupsServer) -> None:
        self._env = env
        self._cups = cups

    async def look(self, job: Job) -> CupsJob | None:
        """The job as CUPS has it; None: CUPS does not know it, or not any more."""
        assert job.spooled is not None
        number = job.spooled.number
        found = await self.insist(lambda: self._cups.job(number))
        # After the loss of its spool CUPS gives numbers anew.
        return found if found is not None and found.uuid == job.job_uuid else None

    async def insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer of CUPS, asked again for as long as it is away."""
        while True:
            try:
                return await ask()
            except CupsUnreachable as error:
                _log.info("CUPS does not answer: {error}", error=str(error))
            await deferLater(self._env.clock, AWAY_S, lambda: None)

    async def release(self, number: int) -> None:
        await self.insist(lambda: self._cups.release(number))
