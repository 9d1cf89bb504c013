"""A CUPS server as the print provider uses it: jobs, their documents, queues and events."""

from __future__ import annotations

import io
import os
import pwd
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO
from urllib.parse import quote

import attrs
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from papercutd.errors import PapercutError
from papercutd.provider.adapters.ipp import (
    Attribute,
    Group,
    JobState,
    Operation,
    Response,
    Tag,
    Value,
)
from papercutd.provider.adapters.ipp_client import DocumentTooLarge, IppClient, IppFailed
from papercutd.provider.adapters.ipp_printer import first_number

#: How the device URI of a queue begins that asks the provider.
SCHEME = "papercut:"
DEFAULT_PORT = 631
CONNECT_TIMEOUT_S = 5.0
#: Seconds for which a connection waits for the next question; CUPS waits longer.
IDLE_S = 10
#: How many of them: of a new job three things are asked at once, and events.
IDLE_MAX = 4
ANSWER_TIMEOUT_S = 20.0
#: Seconds for a document to be handed over on the same machine.
DOCUMENT_TIMEOUT_S = 300.0
#: Seconds for which CUPS keeps a subscription that is not renewed.
LEASE_S = 86_400
#: Jobs and queues of one answer at the most.
LIST_MAX = 10_000
_NOT_FOUND = frozenset({0x0406, 0x0407})
_TOO_LARGE = 0x0408
_JOB_ATTRIBUTES = (
    *("job-id", "job-uuid", "job-state", "job-state-reasons", "job-hold-until"),
    *("job-printer-uri", "number-of-documents", "job-sheets"),
)
_ORIGIN = ("job-originating-user-name", "job-name")
#: What CUPS keeps from the filters of a sheet before or after a job.
_NOT_OF_SHEETS = ("copies", "number-up", "page-ranges", "page-set")
_QUEUE_ATTRIBUTES = (
    *("printer-name", "device-uri", "sides-default", "color-supported", "media-default"),
    *("printer-state", "print-color-mode-supported"),
)
#: The reason of a job whose backend failed, until CUPS tries again.
WAITS_FOR_RETRY = "resources-are-not-ready"
_EVENTS = ("job-completed", "job-state-changed")


class CupsUnreachable(PapercutError):
    """CUPS does not answer: it is not running, or its socket is elsewhere."""


@attrs.frozen(auto_exc=True, str=False)
class CupsRefused(PapercutError):
    """CUPS does not do it. 0x0401 to 0x0403: make the provider's user one of its administrators."""

    what: str
    #: Of IPP.
    status: int

    def __str__(self) -> str:
        return f"CUPS refuses {self.what}: status {self.status:#06x}"


@attrs.frozen
class CupsJob:
    """A job as CUPS has it."""

    number: int
    uuid: str
    state: JobState
    reasons: tuple[str, ...]
    hold_until: str
    queue: str
    documents: int
    #: How many of ``documents`` are sheets (``job-sheets``) before the job, and after it.
    sheets: tuple[int, int] = (0, 0)

    @property
    def is_final(self) -> bool:
        return self.state >= JobState.CANCELED

    @property
    def has_begun(self) -> bool:
        """Its backend runs or has run; what is held or waits runs again from its start."""
        return self.state >= JobState.PROCESSING

    @property
    def is_held_by_backend(self) -> bool:
        """Our backend ended with HOLD. A person's hold says until when; a retry, why it waits."""
        return (
            self.state is JobState.HELD
            and self.hold_until == "no-hold"
            and WAITS_FOR_RETRY not in self.reasons
        )


@attrs.frozen
class Origin:
    """Whose job it is, and what it is called."""

    user_name: str
    title: str


@attrs.frozen
class Queue:
    """A print queue of CUPS."""

    name: str
    device_uri: str
    is_duplex: bool
    is_colour: bool
    #: PWG name of the paper in use unless a job says otherwise, such as ``iso_a4_210x297mm``.
    media: str
    is_stopped: bool


@attrs.frozen
class Event:
    """Something happened to a job. ``is_final``: it ended, in ``state``."""

    sequence: int
    number: int
    state: JobState | None
    is_final: bool


def local_user() -> str:
    """The name of the user this process runs as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


@implementer(IAgentEndpointFactory)
class _Place:
    """Where CUPS listens, whatever the address asked for."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return self._endpoint


class CupsServer:
    """Asks one CUPS server.

    ``place`` is the path of its Unix socket, over which CUPS sees who asks, or HOST:PORT,
    where its policy has to admit the provider's host without a password.
    """

    def __init__(self, reactor: Any, clock: IReactorTime, place: str) -> None:
        self.place = place
        self._user = local_user()
        headers: dict[bytes, bytes] = {}
        endpoint: IStreamClientEndpoint
        if place.startswith("/"):
            endpoint = UNIXClientEndpoint(reactor, place, timeout=CONNECT_TIMEOUT_S)
            headers[b"Authorization"] = b"PeerCred " + self._user.encode()
        else:
            host, _, port = place.rpartition(":") if ":" in place else (place, "", "")
            endpoint = TCP4ClientEndpoint(
                reactor, host, int(port or DEFAULT_PORT), timeout=CONNECT_TIMEOUT_S
            )
        # CUPS is asked twice a second while jobs are under way.
        self._pool = HTTPConnectionPool(reactor)
        self._pool.cachedConnectionTimeout = IDLE_S
        self._pool.maxPersistentPerHost = IDLE_MAX
        agent = Agent.usingEndpointFactory(reactor, _Place(endpoint), self._pool)
        self._client = IppClient(agent, clock, ANSWER_TIMEOUT_S, headers)

    async def close(self) -> None:
        """End the connections that wait for a next question."""
        await self._pool.closeCachedConnections()

    # Jobs.

    async def job(self, number: int) -> CupsJob | None:
        """The job of that number; None: CUPS knows none."""
        wanted = Attribute(Tag.KEYWORD, "requested-attributes", _JOB_ATTRIBUTES)
        answer = await self._ask_job(Operation.GET_JOB_ATTRIBUTES, number, wanted)
        if answer.status in _NOT_FOUND:
            return None
        self._check(answer, "the look at a job")
        return _job(answer.job)

    async def options_of_documents(self, number: int) -> dict[str, str]:
        """Options of a job that are not those of its sheets; raises CupsRefused."""
        wanted = Attribute(Tag.KEYWORD, "requested-attributes", _NOT_OF_SHEETS)
        answer = await self._ask_job(Operation.GET_JOB_ATTRIBUTES, number, wanted)
        self._check(answer, "the look at a job's options")
        found = {name: answer.job.get(name, []) for name in _NOT_OF_SHEETS}
        return {
            name: ",".join(_option(value) for value in values)
            for name, values in found.items()
            if values
        }

    async def jobs(self) -> list[CupsJob]:
        """All jobs that have not ended."""
        return await self._jobs("not-completed")

    async def _jobs(self, which: str) -> list[CupsJob]:
        answer = await self._ask(
            Operation.GET_JOBS,
            "/",
            Attribute(Tag.URI, "printer-uri", ("ipp://localhost/",)),
            Attribute(Tag.KEYWORD, "which-jobs", (which,)),
            Attribute(Tag.INTEGER, "limit", (LIST_MAX,)),
            Attribute(Tag.KEYWORD, "requested-attributes", _JOB_ATTRIBUTES),
        )
        if answer.status in _NOT_FOUND:
            return []
        self._check(answer, "the list of jobs")
        found = (_job(group) for group in answer.all(Tag.JOB))
        return [job for job in found if job is not None]

    async def history(self) -> list[CupsJob]:
        """All jobs that CUPS remembers, those that ended too."""
        return await self._jobs("all")

    async def origin(self, number: int) -> Origin:
        """Who handed a job in; raises CupsRefused."""
        wanted = Attribute(Tag.KEYWORD, "requested-attributes", _ORIGIN)
        answer = await self._ask_job(Operation.GET_JOB_ATTRIBUTES, number, wanted)
        self._check(answer, "the look at a job")
        return Origin(*(_text(answer.job, name) for name in _ORIGIN))

    async def document(self, number: int, document: int, file: BinaryIO, size_max: int) -> str:
        """Write a document of a job, as it came from its client, to ``file``; its format.

        ``document`` counts from 1.
        """
        which = Attribute(Tag.INTEGER, "document-number", (document,))
        answer = await self._ask_job(
            Operation.CUPS_GET_DOCUMENT, number, which, into=file, into_max=size_max
        )
        self._check(answer, "a document")
        return _text(answer.job, "document-format")

    async def has_document(self, number: int) -> bool:
        """Whether the first document of a job is still there; no more than its beginning is read.

        True also where CUPS will not say.
        """
        try:
            await self.document(number, 1, io.BytesIO(), 0)
        except CupsRefused as refused:
            return refused.status not in _NOT_FOUND
        return True

    async def release(self, number: int) -> None:
        """Let a held job go on."""
        answer = await self._ask_job(
            Operation.SET_JOB_ATTRIBUTES,
            number,
            further=(Attribute(Tag.KEYWORD, "job-hold-until", ("no-hold",)),),
        )
        self._check(answer, "the release of a job")

    async def change(self, number: int, copies: int, duplex: bool) -> None:
        """Print a held job in so many copies and on so many sides, whatever was submitted."""
        sides = "two-sided-long-edge" if duplex else "one-sided"
        answer = await self._ask_job(
            Operation.SET_JOB_ATTRIBUTES,
            number,
            further=(
                Attribute(Tag.INTEGER, "copies", (copies,)),
                Attribute(Tag.KEYWORD, "sides", (sides,)),
            ),
        )
        self._check(answer, "other copies and sides of a job")

    async def cancel(self, number: int) -> None:
        """End a job; one that has ended already is left as it is."""
        answer = await self._ask_job(Operation.CANCEL_JOB, number)
        if answer.status not in _NOT_FOUND and answer.status != 0x0404:
            self._check(answer, "the end of a job")

    async def move(self, number: int, queue: str) -> None:
        """Put a job into another queue; a held one stays held."""
        answer = await self._ask_job(
            Operation.CUPS_MOVE_JOB,
            number,
            further=(Attribute(Tag.URI, "job-printer-uri", (_queue_uri(queue),)),),
        )
        self._check(answer, "the move of a job")

    # Queues.

    async def queues(self) -> list[Queue]:
        """All queues, by name."""
        answer = await self._ask(
            Operation.CUPS_GET_PRINTERS,
            "/",
            Attribute(Tag.INTEGER, "limit", (LIST_MAX,)),
            Attribute(Tag.KEYWORD, "requested-attributes", _QUEUE_ATTRIBUTES),
        )
        if answer.status in _NOT_FOUND:
            return []
        self._check(answer, "the list of queues")
        found = [_queue(group) for group in answer.all(Tag.PRINTER)]
        return sorted(found, key=lambda queue: queue.name)

    async def queue(self, name: str) -> Queue | None:
        """One queue; None: there is none of that name."""
        answer = await self._ask(
            Operation.GET_PRINTER_ATTRIBUTES,
            "/",
            Attribute(Tag.URI, "printer-uri", (_queue_uri(name),)),
            Attribute(Tag.KEYWORD, "requested-attributes", _QUEUE_ATTRIBUTES),
        )
        if answer.status in _NOT_FOUND:
            return None
        self._check(answer, "the look at a queue")
        return _queue(answer.printer)

    async def set_device_uri(self, name: str, uri: str) -> None:
        """Point a queue elsewhere; all else of it stays."""
        answer = await self._ask(
            Operation.CUPS_ADD_MODIFY_PRINTER,
            "/admin/",
            Attribute(Tag.URI, "printer-uri", (_queue_uri(name),)),
            further=(Attribute(Tag.URI, "device-uri", (uri,)),),
            further_tag=Tag.PRINTER,
        )
        self._check(answer, "the change of a queue")

    # Events.

    async def subscribe(self) -> int:
        """Ask for the events of all jobs; the subscription's number."""
        answer = await self._ask(
            Operation.CREATE_PRINTER_SUBSCRIPTIONS,
            "/",
            Attribute(Tag.URI, "printer-uri", ("ipp://localhost/",)),
            further=(
                Attribute(Tag.KEYWORD, "notify-pull-method", ("ippget",)),
                Attribute(Tag.KEYWORD, "notify-events", _EVENTS),
                Attribute(Tag.INTEGER, "notify-lease-duration", (LEASE_S,)),
            ),
            further_tag=Tag.SUBSCRIPTION,
        )
        self._check(answer, "a subscription")
        for group in answer.all(Tag.SUBSCRIPTION):
            number = first_number(group, "notify-subscription-id")
            if number is not None:
                return number
        raise CupsRefused("a subscription", answer.status)

    async def renew(self, subscription: int) -> None:
        answer = await self._ask_subscription(Operation.RENEW_SUBSCRIPTION, subscription)
        self._check(answer, "to renew a subscription")

    async def unsubscribe(self, subscription: int) -> None:
        await self._ask_subscription(Operation.CANCEL_SUBSCRIPTION, subscription)

    async def events(self, subscription: int, after: int) -> list[Event] | None:
        """Events later than sequence number ``after``, oldest first; None: no such subscription."""
        answer = await self._ask(
            Operation.GET_NOTIFICATIONS,
            "/",
            Attribute(Tag.URI, "printer-uri", ("ipp://localhost/",)),
            Attribute(Tag.INTEGER, "notify-subscription-ids", (subscription,)),
            Attribute(Tag.INTEGER, "notify-sequence-numbers", (after + 1,)),
        )
        if answer.status in _NOT_FOUND:
            return None
        self._check(answer, "events")
        found = (_event(group) for group in answer.all(Tag.EVENT))
        return sorted((e for e in found if e is not None), key=lambda event: event.sequence)

    # How it is asked.

    async def _ask_job(
        self,
        operation: Operation,
        number: int,
        *attributes: Attribute,
        further: Sequence[Attribute] = (),
        into: BinaryIO | None = None,
        into_max: int = 0,
    ) -> Response:
        return await self._ask(
            operation,
            "/jobs/",
            Attribute(Tag.URI, "job-uri", (f"ipp://localhost/jobs/{number}",)),
            *attributes,
            further=further,
            into=into,
            into_max=into_max,
        )

    async def _ask_subscription(self, operation: Operation, subscription: int) -> Response:
        return await self._ask(
            operation,
            "/",
            Attribute(Tag.URI, "printer-uri", ("ipp://localhost/",)),
            Attribute(Tag.INTEGER, "notify-subscription-id", (subscription,)),
            further=(Attribute(Tag.INTEGER, "notify-lease-duration", (LEASE_S,)),)
            if operation is Operation.RENEW_SUBSCRIPTION
            else (),
            further_tag=Tag.SUBSCRIPTION,
        )

    async def _ask(
        self,
        operation: Operation,
        path: str,
        *attributes: Attribute,
        further: Sequence[Attribute] = (),
        further_tag: Tag = Tag.JOB,
        into: BinaryIO | None = None,
        into_max: int = 0,
    ) -> Response:
        # The object comes first, then who asks; CUPS insists.
        user = Attribute(Tag.NAME, "requesting-user-name", (self._user,))
        objects = [a for a in attributes if a.name in ("printer-uri", "job-uri")]
        others = [a for a in attributes if a not in objects]
        try:
            return await self._client.ask(
                f"http://localhost{path}".encode(),
                operation,
                [*objects, user, *others],
                further,
                further_tag=further_tag,
                into=into,
                into_max=into_max,
                timeout_s=None if into is None else DOCUMENT_TIMEOUT_S,
            )
        except DocumentTooLarge as large:
            raise CupsRefused(f"{operation.name}, {large}", _TOO_LARGE) from large
        except IppFailed as failed:
            if failed.http_status in (401, 403):
                raise CupsRefused(operation.name, 0x0401) from failed
            raise CupsUnreachable(str(failed)) from failed

    @staticmethod
    def _check(answer: Response, what: str) -> None:
        if not answer.is_successful:
            raise CupsRefused(what, answer.status)


def _queue_uri(name: str) -> str:
    return f"ipp://localhost/printers/{quote(name)}"


def _text(group: Group, name: str) -> str:
    values = group.get(name, [])
    return values[0] if values and isinstance(values[0], str) else ""


def _texts(group: Group, name: str) -> tuple[str, ...]:
    return tuple(value for value in group.get(name, []) if isinstance(value, str))


def _state(group: Group) -> JobState | None:
    try:
        return JobState(first_number(group, "job-state") or 0)
    except ValueError:
        return None


def _job(group: Group) -> CupsJob | None:
    number, state = first_number(group, "job-id"), _state(group)
    if number is None or state is None:
        return None
    return CupsJob(
        number,
        _text(group, "job-uuid"),
        state,
        _texts(group, "job-state-reasons"),
        _text(group, "job-hold-until"),
        _text(group, "job-printer-uri").rpartition("/")[2],
        first_number(group, "number-of-documents") or 0,
        _sheets(group),
    )


def _sheets(group: Group) -> tuple[int, int]:
    before, after = (*_texts(group, "job-sheets"), "none", "none")[:2]
    return int(before != "none"), int(after != "none")


def _option(value: Value) -> str:
    """A value as it stands among the options: ``2``, ``even``, ``2-4``."""
    if isinstance(value, bytes):
        # A range is the only other syntax asked for.
        return "-".join(map(str, struct.unpack(">ii", value))) if len(value) == 8 else ""
    return str(value)


def _queue(group: Group) -> Queue:
    return Queue(
        _text(group, "printer-name"),
        _text(group, "device-uri"),
        _text(group, "sides-default").startswith("two-sided"),
        group.get("color-supported") != [False],
        _text(group, "media-default"),
        first_number(group, "printer-state") == 5,
    )


def _event(group: Group) -> Event | None:
    sequence, number = (
        first_number(group, "notify-sequence-number"),
        first_number(group, "notify-job-id"),
    )
    if sequence is None or number is None:
        return None
    state = _state(group)
    is_final = state is not None and state >= JobState.CANCELED
    return Event(sequence, number, state, is_final)
