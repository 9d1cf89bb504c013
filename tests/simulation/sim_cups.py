"""A simulated CUPS: jobs, queues, backends and events, as the print provider knows them.

The product's own CupsSpooler is driven; what is simulated is CUPS behind the methods of
CupsServer, and the backend at the other end of the provider's socket, by docs/protocols/backend.md.
IPP and the socket's lines are not covered here.

A queue runs one job at a time. cupsd may be killed: what it was printing is pending again and is
run again, paper or not; with the machine's power it goes too. A job that ended is forgotten at
once where no history is kept.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from papercutd.domain.document import Document
from papercutd.provider.adapters.ipp import JobState
from papercutd.provider.analysis.layout import Layout
from papercutd.provider.cups.backends import Announcement
from papercutd.provider.cups.server import (
    SCHEME,
    WAITS_FOR_RETRY,
    CupsJob,
    CupsRefused,
    CupsUnreachable,
    Event,
    Origin,
    Queue,
)
from papercutd.provider.journal import Job
from tests.simulation.node import Node
from tests.simulation.scheduler import Call
from tests.simulation.world import World

#: Of docs/protocols/backend.md.
PROVIDER_AWAY_S = 20.0
ANSWER_S = 2.0
#: JobRetryInterval.
RETRY_S = 30.0
#: Events that CUPS keeps (MaxEvents).
EVENTS_MAX = 100
NOT_FOUND, NOT_POSSIBLE = 0x0406, 0x0404
#: What a stand-in for a document begins with; the number of its job follows.
_PDF = b"%PDF-1.4 simulated "


@attrs.define(eq=False)
class SpooledJob:
    """A job as cupsd has it in its spool."""

    number: int
    uuid: str
    queue: str
    user: str
    title: str
    document: Document
    copies: int
    duplex: bool
    state: JobState = JobState.PENDING
    reasons: tuple[str, ...] = ()
    has_document: bool = True

    def shown(self) -> CupsJob:
        return CupsJob(
            *(self.number, self.uuid, self.state, self.reasons, "no-hold", self.queue, 1)
        )

    @property
    def is_final(self) -> bool:
        return self.state >= JobState.CANCELED


class SimBackend:
    """The provider's end of a backend's connection: what CupsSpooler uses of Backend."""

    def __init__(self, cupsd: SimCupsd, job: SpooledJob, announcement: Announcement) -> None:
        self._cupsd = cupsd
        self._job = job
        self.announcement = announcement
        self.is_there = True
        self.on_gone: Callable[[Any], None] = lambda backend: None

    async def allow(self, uri: str | None = None) -> bool:
        if not self.is_there:
            return False
        # From here the backend prints, whoever hears of its GO.
        self.is_there = False
        self._cupsd.goes(self._job, self)
        return True

    def hold(self, state: str, text: str) -> None:
        self._answer("hold")

    def cancel(self, state: str, text: str) -> None:
        self._answer("cancel")

    def refuse(self, text: str) -> None:
        self._answer("retry")

    def ask_stream(self) -> None:
        # Filters make nothing of a document that is gone.
        self._answer("retry")

    def take_stream(self) -> int | None:
        return None

    def close(self) -> None:
        self.is_there = False

    def _answer(self, word: str) -> None:
        if self.is_there:
            self.is_there = False
            self._cupsd.answered(self._job, self, word)


class SimCupsd:
    """cupsd and its spool, on the machine of one print server."""

    def __init__(
        self,
        world: World,
        node: Node,
        queues: Mapping[str, str],
        hears: tuple[Callable[[SpooledJob, str], None], Callable[[str], None]],
        is_stuck: Callable[[], bool],
        rng: random.Random,
    ) -> None:
        """``queues``: device URIs by name.

        ``hears``: told of paper and whose it is, and of whose will come out again.
        """
        self._world = world
        self._node = node
        self._queues = dict(queues)
        self._printed, self._interrupted = hears
        self._is_stuck = is_stuck
        self._rng = rng
        self.keeps_history = rng.random() < 0.7
        self.jobs: dict[int, SpooledJob] = {}
        #: The provider's ear, of its present process; None: nobody listens at the socket.
        self.listener: Callable[[Announcement, Any], None] | None = None
        self.is_up = True
        #: A fault keeps it down.
        self.is_stopped = False
        self._numbers = 0
        #: By queue: the job it works at, its backend, and what happens to them next.
        self._current: dict[str, SpooledJob] = {}
        self._backends: dict[int, SimBackend] = {}
        self._going: dict[int, str] = {}
        #: Jobs whose paper is out while CUPS has not written so, and whose they are.
        self._out: dict[int, str] = {}
        #: The same, of those that were begun again since.
        self._out_before: dict[int, str] = {}
        #: Whose paper was out when CUPS was told to cancel.
        self.unsaid: set[str] = set()
        self._calls: dict[int, Call] = {}
        self._subscriptions: dict[int, list[Event]] = {}
        self._sequences: Counter[int] = Counter()

    # People, and what befalls it.

    def hand_in(self, queue: str, user: str, document: Document) -> SpooledJob | None:
        """``lp``; None: CUPS does not answer."""
        if not self.is_up or not self._node.has_power:
            return None
        self._numbers += 1
        uuid = f"urn:uuid:{self._rng.getrandbits(128):032x}"
        number = self._numbers
        job = SpooledJob(number, uuid, queue, user, f"document {number}", document, 1, False)
        self.jobs[number] = job
        self._world.later(0.0, self._turn, queue)
        return job

    def stop(self) -> None:
        """Killed: backends die with it, and nothing it had not written is known."""
        self.is_up = False
        for call in self._calls.values():
            if call.active():
                call.cancel()
        self._calls.clear()
        for backend in list(self._backends.values()):
            self._gone(backend)
        self._backends.clear()
        self._going.clear()
        for job in self._current.values():
            job.state = JobState.PENDING
            if job.number in self._out:
                self._world.sometimes("printed and begun again by CUPS")
                owner = self._out_before[job.number] = self._out.pop(job.number)
                self._interrupted(owner)
        self._current.clear()

    @property
    def is_busy(self) -> bool:
        """Something is with a printer."""
        return bool(self._going)

    def start(self) -> None:
        self.is_up = True
        for queue in self._queues:
            self._world.later(0.1, self._turn, queue)

    def provider_ended(self) -> None:
        """The provider's socket is closed: whoever waits there looks for it again."""
        self.listener = None
        for number, backend in list(self._backends.items()):
            if number in self._going:
                continue
            backend.is_there = False
            del self._backends[number]
            self._after(number, 0.25, self._announce, self.jobs[number], self._world.now)

    # Queues.

    def _after(self, number: int, delay_s: float, act: Callable[..., object], *args: Any) -> None:
        former = self._calls.pop(number, None)
        if former is not None and former.active():
            former.cancel()
        self._calls[number] = self._world.later(delay_s, act, *args)

    def _turn(self, queue: str) -> None:
        """Begin the queue's next job, if it has one and is idle."""
        if not self.is_up or not self._node.has_power or queue in self._current:
            return
        waiting = [
            job
            for job in self.jobs.values()
            if job.queue == queue and job.state is JobState.PENDING
        ]
        if waiting:
            job = self._current[queue] = min(waiting, key=lambda one: one.number)
            self._change(job, JobState.PROCESSING)
            since = self._world.now
            self._after(job.number, self._rng.uniform(0.02, 0.1), self._announce, job, since)

    def _announce(self, job: SpooledJob, since: float) -> None:
        """Its backend finds the provider's socket, or tries again for a while."""
        clock = self._node.clock
        if self.listener is None or clock is None:
            if self._world.now - since >= PROVIDER_AWAY_S:
                self._end_backend(job, "retry")
            else:
                self._after(job.number, 1.0, self._announce, job, since)
            return
        uri = self._queues[job.queue]
        if not uri.startswith(SCHEME):
            # The queue asks nobody.
            self._after(job.number, 0.1, self._print, job)
            return
        announcement = Announcement(
            **{"version": 1, "queue": job.queue, "job": job.number, "uuid": job.uuid},
            **{"user": job.user, "title": job.title, "copies": job.copies, "host": "desk"},
            options="sides=two-sided-long-edge" if job.duplex else "",
            content_type="application/pdf",
            final_content_type="application/pdf",
            uri=uri.removeprefix(SCHEME),
        )
        backend = self._backends[job.number] = SimBackend(self, job, announcement)
        self._after(job.number, ANSWER_S, self._gives_up, job, backend)
        clock.callLater(0, self.listener, announcement, backend)

    def _gives_up(self, job: SpooledJob, backend: SimBackend) -> None:
        """Nobody answered within two seconds."""
        if self._backends.get(job.number) is backend:
            self._world.sometimes("a backend was not answered")
            self._gone(backend)
            self._end_backend(job, "hold")

    def _gone(self, backend: SimBackend) -> None:
        """The provider learns that the other end of the socket is closed."""
        was_there, backend.is_there = backend.is_there, False
        if was_there and self._node.clock is not None:
            self._node.clock.callLater(0, backend.on_gone, backend)

    # What the provider says.

    def goes(self, job: SpooledJob, backend: SimBackend) -> None:
        self._going[job.number] = self._owner_of(job)
        self._after(job.number, self._rng.uniform(0.05, 1.0), self._print, job)

    def answered(self, job: SpooledJob, backend: SimBackend, word: str) -> None:
        if self._backends.get(job.number) is backend:
            self._after(job.number, 0.01, self._end_backend, job, word)

    def _owner_of(self, job: SpooledJob) -> str:
        """The provider's newest job of that uuid: the one that was allowed."""
        journal = self._node.disk.connection("provider.db")
        assert journal is not None
        (found,) = journal.execute(
            "SELECT MAX(job) FROM job WHERE job_uuid = ?", (job.uuid,)
        ).fetchone()
        return str(found)

    def _print(self, job: SpooledJob) -> None:
        if self._is_stuck():
            self._after(job.number, 5.0, self._print, job)
            return
        owner = self._going.get(job.number) or self._owner_of(job)
        self._out[job.number] = owner
        self._printed(job, owner)
        # A moment in which it is out and CUPS has not written so.
        self._after(job.number, self._rng.uniform(0.0, 0.3), self._end_backend, job, "completed")

    def _end_backend(self, job: SpooledJob, word: str) -> None:
        """The backend has ended with what ``word`` stands for."""
        backend = self._backends.pop(job.number, None)
        self._going.pop(job.number, None)
        self._out.pop(job.number, None)
        if backend is not None:
            backend.is_there = False
        if self._current.get(job.queue) is job:
            del self._current[job.queue]
        if not job.is_final:
            if word == "hold":
                job.reasons = ("account-info-needed",)
                self._change(job, JobState.HELD)
            elif word == "retry":
                job.reasons = (WAITS_FOR_RETRY,)
                self._change(job, JobState.HELD)
                self._world.later(RETRY_S, self._retry, job)
            else:
                ended = JobState.COMPLETED if word == "completed" else JobState.CANCELED
                self._end(job, ended)
        self._world.later(0.0, self._turn, job.queue)

    def _retry(self, job: SpooledJob) -> None:
        if job.state is JobState.HELD and WAITS_FOR_RETRY in job.reasons:
            job.reasons = ()
            self._change(job, JobState.PENDING)
            self._turn(job.queue)

    # Jobs.

    def _change(self, job: SpooledJob, state: JobState) -> None:
        job.state = state
        for number, events in self._subscriptions.items():
            self._sequences[number] += 1
            events.append(Event(self._sequences[number], job.number, state, job.is_final))
            del events[:-EVENTS_MAX]

    def _end(self, job: SpooledJob, state: JobState) -> None:
        self._change(job, state)
        job.has_document = False
        if not self.keeps_history:
            self.jobs.pop(job.number, None)

    def end(self, number: int) -> bool:
        """Cancel a job, whatever it is at; False: there is none, or it has ended."""
        job = self.jobs.get(number)
        if job is None or job.is_final:
            return False
        backend = self._backends.get(number)
        if backend is not None:
            self._gone(backend)
        call = self._calls.pop(number, None)
        if call is not None and call.active():
            call.cancel()
        owner = self._out.get(number, self._out_before.get(number))
        if owner is not None:
            # CUPS says canceled, and the printer does not say that it was through.
            self._world.sometimes("canceled at CUPS with the paper out")
            self.unsaid.add(owner)
        self._end_backend(job, "cancel")
        return True

    def end_one_printing(self) -> bool:
        """Cancel a job that is with its printer, if there is one."""
        return any(self.end(number) for number in sorted(self._going)[:1])

    def release(self, number: int) -> bool:
        job = self.jobs.get(number)
        if job is None or job.is_final:
            return False
        if job.state is JobState.HELD:
            job.reasons = ()
            self._change(job, JobState.PENDING)
            self._world.later(0.0, self._turn, job.queue)
        return True

    def move(self, number: int, queue: str) -> bool:
        job = self.jobs.get(number)
        if job is None or job.is_final or queue not in self._queues:
            return False
        if self._current.get(job.queue) is job:
            return False
        job.queue = queue
        if job.state is JobState.PENDING:
            self._world.later(0.0, self._turn, queue)
        return True

    def queue(self, name: str) -> Queue | None:
        uri = self._queues.get(name)
        if uri is None:
            return None
        return Queue(name, uri, False, True, "iso_a4_210x297mm", False)

    def queues(self) -> list[Queue]:
        found = (self.queue(name) for name in sorted(self._queues))
        return [queue for queue in found if queue is not None]

    # Subscriptions.

    def subscribe(self) -> int:
        number = len(self._sequences) + 1
        self._sequences[number] = 0
        self._subscriptions[number] = []
        return number

    def unsubscribe(self, number: int) -> None:
        self._subscriptions.pop(number, None)

    def forget_subscriptions(self) -> None:
        self._subscriptions.clear()

    def events(self, number: int, after: int) -> list[Event] | None:
        events = self._subscriptions.get(number)
        return None if events is None else [one for one in events if one.sequence > after]


class SimCups:
    """CupsServer's questions, asked of a simulated cupsd by one process of the provider."""

    place = "simulated"

    def __init__(self, cupsd: SimCupsd, clock: IReactorTime, rng: random.Random) -> None:
        self._cupsd = cupsd
        self._clock = clock
        self._rng = rng

    async def close(self) -> None:
        """Nothing is open."""

    async def _ask(self) -> SimCupsd:
        await deferLater(self._clock, self._rng.uniform(0.0005, 0.004), lambda: None)
        if not self._cupsd.is_up:
            raise CupsUnreachable
        return self._cupsd

    async def job(self, number: int) -> CupsJob | None:
        found = (await self._ask()).jobs.get(number)
        return None if found is None else found.shown()

    async def jobs(self) -> list[CupsJob]:
        jobs = (await self._ask()).jobs.values()
        return [job.shown() for job in jobs if not job.is_final]

    async def history(self) -> list[CupsJob]:
        return [job.shown() for job in (await self._ask()).jobs.values()]

    async def origin(self, number: int) -> Origin:
        job = (await self._ask()).jobs[number]
        return Origin(job.user, job.title)

    async def options_of_documents(self, number: int) -> dict[str, str]:
        await self._ask()
        return {}

    async def document(self, number: int, document: int, file: BinaryIO, size_max: int) -> str:
        found = (await self._ask()).jobs.get(number)
        if found is None or not found.has_document:
            raise CupsRefused("a document", NOT_FOUND)
        file.write(_PDF + str(number).encode())
        return "application/pdf"

    async def has_document(self, number: int) -> bool:
        found = (await self._ask()).jobs.get(number)
        return found is not None and found.has_document

    async def release(self, number: int) -> None:
        self._check((await self._ask()).release(number), "the release of a job")

    async def change(self, number: int, copies: int, duplex: bool) -> None:
        found = (await self._ask()).jobs.get(number)
        self._check(found is not None and not found.is_final, "other copies and sides of a job")
        assert found is not None
        found.copies, found.duplex = copies, duplex

    async def cancel(self, number: int) -> None:
        (await self._ask()).end(number)

    async def move(self, number: int, queue: str) -> None:
        self._check((await self._ask()).move(number, queue), "the move of a job")

    async def queues(self) -> list[Queue]:
        return (await self._ask()).queues()

    async def queue(self, name: str) -> Queue | None:
        return (await self._ask()).queue(name)

    async def subscribe(self) -> int:
        return (await self._ask()).subscribe()

    async def renew(self, subscription: int) -> None:
        await self._ask()

    async def unsubscribe(self, subscription: int) -> None:
        (await self._ask()).unsubscribe(subscription)

    async def events(self, subscription: int, after: int) -> list[Event] | None:
        return (await self._ask()).events(subscription, after)

    @staticmethod
    def _check(is_done: bool, what: str) -> None:
        if not is_done:
            raise CupsRefused(what, NOT_POSSIBLE)


class SimCupsAnalyser:
    """Stands in for DocumentAnalyser: what a document is, its job says."""

    def __init__(self, cupsd: SimCupsd) -> None:
        self._documents = cupsd.jobs

    async def look_into(
        self,
        path: str,
        format: str,
        layout: Layout,
        options: Mapping[str, str] | None = None,
        user_name: str = "",
    ) -> Document:
        data = Path(path).read_bytes()
        job = self._documents.get(int(data.removeprefix(_PDF)))
        if job is None:
            return Document((), layout.copies, layout.duplex, format, analysed=False)
        return attrs.evolve(job.document, copies=layout.copies, duplex=layout.duplex, format=format)


class SilentCounter:
    """A printer that does not say what it printed."""

    async def newest(self, job: Job) -> int | None:
        return None

    async def sides(self, job: Job, attempts: int) -> int | None:
        return None
