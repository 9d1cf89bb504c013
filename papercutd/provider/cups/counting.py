"""What a printer itself says it printed of a job that CUPS sent it.

CUPS's own counters are of no use: they count what filters made, again at every attempt,
and of jobs that never printed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.client import Agent

from papercutd.domain.document import Document
from papercutd.provider.adapters.ipp import Attribute, Group, Operation, Tag
from papercutd.provider.adapters.ipp_client import IppClient, IppFailed
from papercutd.provider.adapters.ipp_printer import PrinterAddress, cut_name, first_number
from papercutd.provider.journal import Job

_log = Logger()
CONNECT_TIMEOUT_S = 4.0
ANSWER_TIMEOUT_S = 8.0
#: Seconds for which a printer may go on with a job that CUPS has ended, and between two looks.
LATE_S = 60.0
LOOK_S = 1.0
#: Jobs of the printer looked at, newest first in all printers known.
JOBS_MAX = 200
_JOB_ATTRIBUTES = (
    *("job-id", "job-name", "job-originating-user-name", "job-impressions-completed"),
)


class Counter(Protocol):
    """Knows what a printer counted."""

    async def newest(self, job: Job) -> int | None:
        """The number of the last job the printer ended; 0: of none; None: it does not say."""

    async def sides(self, job: Job, attempts: int) -> int | None:
        """Sides of ``job``; None: the printer does not say.

        ``attempts`` is how often it was sent; 0: not known. A printer that goes on with it,
        as with what is canceled at CUPS alone, is waited for, if not for long.
        """


class IppCounter:
    """Asks printers that speak IPP for the jobs they ended."""

    def __init__(self, reactor: Any, clock: IReactorTime) -> None:
        agent = Agent(reactor, connectTimeout=CONNECT_TIMEOUT_S)
        self._client = IppClient(agent, clock, ANSWER_TIMEOUT_S)
        self._clock = clock

    async def newest(self, job: Job) -> int | None:
        found = await self._jobs(job, "completed")
        return None if found is None else max((_number(group) for group in found), default=0)

    async def sides(self, job: Job, attempts: int) -> int | None:
        before = None if job.spooled is None else job.spooled.printer_job_before
        if before is None:
            return None
        give_up_at = self._clock.seconds() + LATE_S
        while True:
            found = await self._jobs(job, "completed")
            if found is None:
                return None
            ours = _ours(found, job, before)
            if len(ours) >= max(attempts, 1):
                break
            under_way = await self._jobs(job, "not-completed")
            if not _ours(under_way or (), job, before):
                # One that ended between the two questions is seen by asking again.
                ours = _ours(await self._jobs(job, "completed") or (), job, before)
                break
            if self._clock.seconds() >= give_up_at:
                return None
            await deferLater(self._clock, LOOK_S, lambda: None)
        # Each attempt of CUPS is a job of the printer; those after them are other jobs.
        counted = [
            first_number(group, "job-impressions-completed") for group in ours[: attempts or None]
        ]
        # A printer that ends a job with nothing counted does not count.
        return sum(count for count in counted if count) or None

    async def _jobs(self, job: Job, which: str) -> list[Group] | None:
        """Jobs of the printer: ``completed`` or ``not-completed`` ones; None: it does not say."""
        uri = "" if job.spooled is None else job.spooled.uri
        if not uri.startswith("ipp:"):
            return None
        printer = PrinterAddress.of(uri)
        try:
            answer = await self._client.ask(
                printer.url,
                Operation.GET_JOBS,
                [
                    Attribute(Tag.URI, "printer-uri", (printer.uri,)),
                    Attribute(Tag.KEYWORD, "which-jobs", (which,)),
                    Attribute(Tag.INTEGER, "limit", (JOBS_MAX,)),
                    Attribute(Tag.KEYWORD, "requested-attributes", _JOB_ATTRIBUTES),
                ],
            )
        except IppFailed as failed:
            _log.info("{uri} does not say what it printed: {error}", uri=uri, error=str(failed))
            return None
        return answer.all(Tag.JOB) if answer.is_successful else None


def _ours(found: Iterable[Group], job: Job, before: int) -> list[Group]:
    """Those of the printer's jobs that are ``job``, oldest first."""
    ours = (group for group in found if _number(group) > before and _is_of(group, job))
    return sorted(ours, key=_number)


def _number(group: Group) -> int:
    return first_number(group, "job-id") or 0


def _is_of(group: Group, job: Job) -> bool:
    """Whether the printer's job is the one CUPS sent for ``job``: by title and user."""
    names = group.get("job-name", []), group.get("job-originating-user-name", [])
    # A printer that hides names leaves nothing to tell jobs by.
    return names == ([cut_name(job.title)], [cut_name(job.user_name)])


def without_padding(document: Document, counted: int, sheets: int = 0) -> int:
    """A printer's count less ``sheets``, and the backs that filters add to end a sheet of paper.

    These stand behind each copy of an odd number of pages, and behind each of the sheets.
    """
    one = sum(group.pages for group in document.groups)
    padded = document.copies * (one + one % 2) + sheets
    counted = max(counted - sheets, 0)
    if document.duplex and document.pages < counted <= padded:
        return document.pages
    return counted
