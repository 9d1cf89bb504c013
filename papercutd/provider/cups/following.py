"""What is known of one of our jobs while CUPS has it."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from papercutd.provider.adapters.ipp import JobState
from papercutd.provider.cups.backends import Backend
from papercutd.provider.journal import Job


@attrs.define
class Following:
    """What is known of one of our jobs in CUPS."""

    job: Job
    backend: Backend | None = None
    #: The state in which an event said it ended, if CUPS may have begun it again since.
    final: JobState | None = None
    is_started_again: bool = False
    #: Somebody moved it to another queue before it printed: another job of ours takes over.
    is_moved: bool = False
    #: It was told CUPS what its release chose.
    is_prepared: bool = False
    pause: Deferred[None] | None = None
    #: The printer is being asked for its newest job.
    is_noting: bool = False
    #: The printer's newest job before ours; None: not known.
    printer_job_before: int | None = None
    #: Sheets (``job-sheets``) before and after its documents; None: not asked for yet.
    sheets: tuple[int, int] | None = None
    #: Documents.begin: what CUPS is being asked before it is analysed.
    begun: Deferred[Any] | None = None
    #: How often it was let through by this process.
    attempts: int = 0
    #: Its document was seen since it was held.
    has_document: bool = False

    def wake(self) -> None:
        pause, self.pause = self.pause, None
        if pause is not None and not pause.called:
            pause.callback(None)

    async def sleep(self, clock: IReactorTime, seconds: float) -> None:
        """Until something happens to the job, or the time is over."""
        self.pause = pause = Deferred[None]()
        timer = clock.callLater(seconds, self.wake)
        try:
            await pause
        finally:
            if timer.active():
                timer.cancel()


def about_to_print(job: Job, printer_job_before: int | None, sheets: tuple[int, int]) -> Job:
    """``job`` with what is to be known of its printing after a restart."""
    assert job.spooled is not None
    spooled = attrs.evolve(job.spooled, printer_job_before=printer_job_before, sheets=sheets)
    return attrs.evolve(job, spooled=spooled)


def at_queue(job: Job, queue: str, uri: str) -> Job:
    """``job`` in another queue, which prints at ``uri``."""
    assert job.spooled is not None
    return attrs.evolve(job, spooled=attrs.evolve(job.spooled, queue=queue, uri=uri))
