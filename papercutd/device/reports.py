"""What servers are told: the count of what runs, and every end until a server has it."""

from __future__ import annotations

from typing import Protocol

import attrs
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from papercutd.device.journal import DeviceJournal, Run
from papercutd.device.servers import Server
from papercutd.environment import Environment
from papercutd.errors import StorageError
from papercutd.services.tasks import Tasks
from protocols.codes import Code
from protocols.device import messages
from protocols.errors import Refusal, SessionLost

_log = Logger()
#: How long an answer is waited for, before another server may be told.
ANSWER_WAIT_S = 5.0
#: Ends of runs that are read at once.
FINISH_AT_ONCE = 8
#: Seconds until what a server did not take is sent again: at first, and at the most.
FINISH_AGAIN_S = 2.0
FINISH_AGAIN_MAX_S = 60.0
#: Refusals of FINISH that no repetition will change.
_FOR_GOOD = frozenset({Code.BAD_GRANT, Code.NOT_YOURS, Code.FEWER_PAGES, Code.BAD_FIELDS})


@attrs.define(eq=False)
class Grant:
    """A reservation under way."""

    key: str
    grant_text: str = attrs.field(repr=False)
    reserved: int
    unit_e4: int
    #: Pages out.
    pages: int = 0
    #: A server said stop.
    is_stopped: bool = False
    is_reporting: bool = False
    #: No page of it comes any more.
    is_over: bool = False

    @property
    def is_used_up(self) -> bool:
        return self.is_stopped or self.pages >= self.reserved


class Reporter(Protocol):
    """What reports need of the device."""

    @property
    def active(self) -> Server | None:
        """Who serves now."""

    def was_sent_elsewhere(self, server: Server) -> None:
        """``server`` takes nothing now."""


class Reports:
    """Counts and ends, on their way to whoever serves."""

    def __init__(
        self, env: Environment, journal: DeviceJournal, tasks: Tasks, reporter: Reporter
    ) -> None:
        self._env = env
        self._journal = journal
        self._tasks = tasks
        self._reporter = reporter
        self._is_settling = False
        self._settle_again = False
        self._again_s = FINISH_AGAIN_S
        self._timer: IDelayedCall | None = None
        self._is_stopping = False

    def stop(self) -> None:
        self._is_stopping = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    # Counts.

    def count(self, grant: Grant) -> None:
        """Tell the newest count of ``grant``; one report at a time."""
        if not grant.is_reporting and self._reporter.active is not None:
            grant.is_reporting = True
            self._tasks.spawn(self._count(grant), "reporting pages")

    async def _count(self, grant: Grant) -> None:
        job, step = grant.key.split("/", 1)
        told = -1
        try:
            while told != grant.pages and not grant.is_over:
                server = self._reporter.active
                if server is None:
                    return
                told = grant.pages
                asked = server.link.request(messages.Pages(job, step, told))
                progress = await asked.addTimeout(ANSWER_WAIT_S, self._env.clock)
                if progress.left == 0:
                    grant.is_stopped = True
        except (Refusal, SessionLost, TimedOut) as error:
            # The count stands in the journal: the next report, or FINISH, tells it.
            _log.info("{key}: pages were not taken: {why}", key=grant.key, why=str(error))
        finally:
            grant.is_reporting = False

    # Ends.

    def at_once(self) -> None:
        """Somebody new may take them: whatever was waited for is over."""
        self._again_s = FINISH_AGAIN_S
        self.settle()

    def settle(self) -> None:
        """Report every end until a server has it."""
        if self._is_settling:
            self._settle_again = True
        elif not self._is_stopping:
            self._is_settling = True
            self._tasks.spawn(self._settle(), "reporting ends")

    async def _settle(self) -> None:
        try:
            while True:
                self._settle_again = False
                server = self._reporter.active
                owed = await self._journal.owed(FINISH_AT_ONCE)
                if server is None or not owed:
                    if self._settle_again:
                        continue
                    return
                # One after the other: there is seldom more than one.
                taken = [await self._send(server, run) for run in owed]
                if any(taken):
                    self._again_s = FINISH_AGAIN_S
                elif not self._settle_again:
                    self._settle_later()
                    return
        except StorageError as error:
            _log.warn("what a server has taken could not be noted: {error}", error=str(error))
            self._settle_later()
        finally:
            self._is_settling = False

    async def _send(self, server: Server, run: Run) -> bool:
        """Whether ``run`` needs no more reports."""
        finish = messages.Finish(run.grant_text, run.pages, run.outcome, run.finished_at)
        try:
            asked = server.link.request(finish)
            receipt = await asked.addTimeout(ANSWER_WAIT_S, self._env.clock)
        except (SessionLost, TimedOut):
            return False
        except Refusal as refusal:
            if refusal.code not in _FOR_GOOD:
                self._reporter.was_sent_elsewhere(server)
                return False
            _log.error(
                "{key}: no server will take this run: {code}",
                key=run.key,
                code=refusal.code.value,
            )
            await self._journal.set_aside(run.key, refusal.code.value)
            return True
        await self._journal.acknowledged(run.key, receipt.state, receipt.amount_e4)
        return True

    def _settle_later(self) -> None:
        if self._is_stopping or (self._timer is not None and self._timer.active()):
            return
        self._timer = self._env.clock.callLater(self._again_s, self.settle)
        self._again_s = min(self._again_s * 2, FINISH_AGAIN_MAX_S)
