"""``ipp://host:port/path``: a printer that says how each job ended, and counts its sides."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.client import Agent

from papercutd.provider.adapters import Outcome, PrinterUnreachable, PrintOptions
from papercutd.provider.adapters.ipp import (
    Attribute,
    Group,
    JobState,
    Operation,
    Response,
    Tag,
    Value,
)
from papercutd.provider.adapters.ipp_client import ANSWER_TIMEOUT_S, IppClient, IppFailed

_log = Logger()
DEFAULT_PORT = 631
CONNECT_TIMEOUT_S = 10.0
#: Seconds a printer may take to take the document, and after that to print it.
PRINT_TIMEOUT_S = 1_800.0
#: Seconds between two looks at a job under way: the first, and the longest.
POLL_S = 0.5
POLL_MAX_S = 10.0
#: Statuses that say: nothing was taken, try again (RFC 8011, B.1.5).
_NOT_NOW = frozenset({0x0502, 0x0505, 0x0506, 0x0507})
#: The printer knows no such job (any more).
_NOT_FOUND = frozenset({0x0406, 0x0407})
_FINAL = {
    JobState.COMPLETED: "completed",
    JobState.CANCELED: "canceled",
    JobState.ABORTED: "aborted",
}
_JOB_ATTRIBUTES = ("job-state", "job-impressions-completed")


@attrs.frozen
class PrinterAddress:
    """Where a printer is: its ``ipp:`` URI, and the URL asked."""

    uri: str
    url: bytes

    @classmethod
    def of(cls, uri: str) -> PrinterAddress:
        parts = urlsplit(uri)
        host = parts.hostname or ""
        host = f"[{host}]" if ":" in host else host
        path = parts.path or "/ipp/print"
        return cls(uri, f"http://{host}:{parts.port or DEFAULT_PORT}{path}".encode())


class IppPrinter:
    """The adapter for IPP over HTTP.

    ``poll_s``: seconds between looks at a job. The printer is the authority on how a
    job ended; where it stays silent, the job is taken as printed and marked assumed.
    """

    def __init__(
        self,
        reactor: Any,
        clock: IReactorTime,
        *,
        poll_s: float = POLL_S,
        print_timeout_s: float = PRINT_TIMEOUT_S,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        agent = Agent(reactor, connectTimeout=CONNECT_TIMEOUT_S)
        self._client = IppClient(agent, clock, answer_timeout_s)
        self._clock = clock
        self._poll_s = poll_s
        self._print_timeout_s = print_timeout_s

    async def print_document(
        self,
        path: str,
        uri: str,
        started: Callable[[], Awaitable[None]],
        options: PrintOptions,
    ) -> Outcome:
        with open(path, "rb") as document:
            printer = PrinterAddress.of(uri)
            formats = await self._look(printer)
            await started()
            try:
                answer = await self._print_job(printer, document, options, formats)
            except IppFailed as failed:
                if not failed.reached:
                    raise PrinterUnreachable(str(failed)) from failed
                # It may have the document, and print it: as analysed is what is known.
                return Outcome("completed", assumed=True)
        if answer.status in _NOT_NOW:
            raise PrinterUnreachable(f"status {answer.status:#06x}")
        number = first_number(answer.job, "job-id")
        if not answer.is_successful or number is None:
            _log.error(
                "printer {uri} refuses job {job}: status {status}",
                uri=uri,
                job=options.job,
                status=f"{answer.status:#06x}",
            )
            return Outcome("aborted", pages=0)
        return await self._follow(printer, number)

    async def _look(self, printer: PrinterAddress) -> Sequence[Value]:
        """The formats the printer takes; raises PrinterUnreachable unless it takes jobs."""
        try:
            answer = await self._ask(
                printer,
                Operation.GET_PRINTER_ATTRIBUTES,
                [
                    Attribute(
                        Tag.KEYWORD,
                        "requested-attributes",
                        ("printer-is-accepting-jobs", "document-format-supported"),
                    )
                ],
            )
        except IppFailed as failed:
            raise PrinterUnreachable(str(failed)) from failed
        if not answer.is_successful:
            raise PrinterUnreachable(f"status {answer.status:#06x}")
        if answer.printer.get("printer-is-accepting-jobs") == [False]:
            raise PrinterUnreachable("it accepts no jobs")
        return answer.printer.get("document-format-supported", [])

    async def _print_job(
        self,
        printer: PrinterAddress,
        document: BinaryIO,
        options: PrintOptions,
        formats: Sequence[Value],
    ) -> Response:
        is_pdf = b"%PDF-" in document.read(1024) and "application/pdf" in formats
        document.seek(0)
        about = [
            Attribute(Tag.NAME, "requesting-user-name", (cut_name(options.user_name),)),
            Attribute(Tag.NAME, "job-name", (cut_name(options.title or options.job),)),
            Attribute(
                Tag.MIME_TYPE,
                "document-format",
                ("application/pdf" if is_pdf else "application/octet-stream",),
            ),
        ]
        how = [
            Attribute(Tag.INTEGER, "copies", (options.copies,)),
            Attribute(
                Tag.KEYWORD, "sides", ("two-sided-long-edge" if options.duplex else "one-sided",)
            ),
        ]
        return await self._ask(
            printer, Operation.PRINT_JOB, about, how, document, self._print_timeout_s
        )

    async def _follow(self, printer: PrinterAddress, number: int) -> Outcome:
        """Look at a job until its state is final, or for as long as printing may take."""
        give_up_at = self._clock.seconds() + self._print_timeout_s
        wait_s = self._poll_s
        which = [
            Attribute(Tag.INTEGER, "job-id", (number,)),
            Attribute(Tag.KEYWORD, "requested-attributes", _JOB_ATTRIBUTES),
        ]
        while self._clock.seconds() < give_up_at:
            try:
                answer = await self._ask(printer, Operation.GET_JOB_ATTRIBUTES, which)
            except IppFailed as failed:
                _log.warn("{uri} does not answer: {error}", uri=printer.uri, error=str(failed))
            else:
                if answer.status in _NOT_FOUND:
                    break
                state = first_number(answer.job, "job-state")
                if state in _FINAL:
                    return _outcome(JobState(state), answer)
            await deferLater(self._clock, wait_s, lambda: None)
            wait_s = min(1.5 * wait_s, max(POLL_MAX_S, self._poll_s))
        # It forgot the job, or never ends it.
        return Outcome("completed", assumed=True)

    async def _ask(
        self,
        printer: PrinterAddress,
        operation: Operation,
        attributes: Sequence[Attribute],
        job_attributes: Sequence[Attribute] = (),
        document: BinaryIO | None = None,
        timeout_s: float | None = None,
    ) -> Response:
        uri = Attribute(Tag.URI, "printer-uri", (printer.uri,))
        return await self._client.ask(
            printer.url,
            operation,
            [uri, *attributes],
            job_attributes,
            document=document,
            timeout_s=timeout_s,
        )


def _outcome(state: JobState, answer: Response) -> Outcome:
    counted = first_number(answer.job, "job-impressions-completed")
    if state is JobState.COMPLETED and not counted:
        # A printer that completes a job with nothing counted does not count.
        return Outcome("completed")
    if state is not JobState.COMPLETED and counted is None:
        return Outcome(_FINAL[state], pages=0)
    return Outcome(_FINAL[state], pages=counted)


def first_number(attributes: Group, name: str) -> int | None:
    """The first value of an attribute, if it is a number."""
    values = attributes.get(name, [])
    is_number = bool(values) and isinstance(values[0], int) and not isinstance(values[0], bool)
    return int(values[0]) if is_number else None


def cut_name(text: str) -> str:
    """At most 255 bytes of UTF-8, the longest name in IPP, never half a character."""
    return text.encode()[:255].decode("utf-8", "ignore")
