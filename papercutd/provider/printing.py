"""The printers' queues: one job at a time at each printer, in order, until it is through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.task import deferLater
from twisted.logger import Logger

from papercutd.acquired import Acquired
from papercutd.environment import Environment
from papercutd.errors import StorageClosed
from papercutd.provider.adapters import Adapter, Outcome, PrinterUnreachable, PrintOptions
from papercutd.provider.journal import Job

_log = Logger()
#: Seconds between attempts at a printer that does not answer: the first, and the longest.
RETRY_S = 5.0
RETRY_MAX_S = 60.0


class Canceled(Exception):
    """The job was canceled before anything of it was printed.

    ``reason``: ``no-document`` where it could not have been printed any more.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


@attrs.define
class PrinterQueues:
    """Brings allowed jobs to their printers."""

    env: Environment
    adapters: Mapping[str, Adapter]
    #: The address of a printer, as the settings say now; empty: not known.
    uri_of: Callable[[int], str]
    #: Makes it durable that paper may come out from now on.
    printing: Callable[[Job], Awaitable[None]]
    is_canceled: Callable[[Job], bool]
    _printers: dict[int, DeferredLock] = attrs.field(factory=dict, init=False)
    _pauses: dict[str, Deferred[None]] = attrs.field(factory=dict, init=False)

    async def print_job(self, job: Job) -> Outcome | None:
        """How its printing ended; None: its document is gone, and nothing was printed.

        Raises Canceled.
        """
        lock = self._printers.setdefault(job.where, DeferredLock())
        await lock.acquire()
        with Acquired(lock.release):
            return await self._until_through(job)

    def wake(self, job: str) -> None:
        """``job`` was canceled: if it waits for its printer, it need not any more."""
        pause = self._pauses.pop(job, None)
        if pause is not None:
            pause.cancel()

    async def _until_through(self, job: Job) -> Outcome | None:
        has_begun = False

        async def started() -> None:
            nonlocal has_begun
            self._check_canceled(job)
            await self.printing(job)
            has_begun = True

        # A release may have chosen other copies or sides than were submitted.
        assert job.document is not None
        sides = job.document.duplex
        options = PrintOptions(job.job, job.title, job.user_name, job.document.copies, sides)
        wait_s = RETRY_S
        while True:
            self._check_canceled(job)
            uri = self.uri_of(job.where)
            adapter = self.adapters.get(uri.partition(":")[0])
            try:
                if adapter is None:
                    raise PrinterUnreachable(f"no adapter for {uri!r}")
                return await adapter.print_document(job.path, uri, started, options)
            except (Canceled, CancelledError, StorageClosed):
                raise
            except PrinterUnreachable as error:
                # It took none of it, whatever it had been told.
                has_begun = False
                _log.warn("job {job} waits for its printer: {error}", job=job.job, error=str(error))
            except FileNotFoundError:
                _log.error("the document of job {job} is gone", job=job.job)
                return Outcome("completed", assumed=True) if has_begun else None
            except Exception:
                _log.failure("printing job {job} failed", job=job.job)
                if has_begun:
                    # Some of it may have come out: what is known is the analysis.
                    return Outcome("completed", assumed=True)
            await self._pause(job, wait_s)
            wait_s = min(2 * wait_s, RETRY_MAX_S)

    async def _pause(self, job: Job, seconds: float) -> None:
        pause = self._pauses[job.job] = deferLater(self.env.clock, seconds, lambda: None)
        try:
            await pause
        except CancelledError:
            self._check_canceled(job)
            raise
        finally:
            self._pauses.pop(job.job, None)

    def _check_canceled(self, job: Job) -> None:
        if self.is_canceled(job):
            raise Canceled
