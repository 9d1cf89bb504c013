"""CUPS as the spooler of a print provider: its jobs become ours, print when allowed, are followed.

A job comes with the announcement of its backend, which waits at most two seconds for a
word. What takes longer is held by CUPS and released here. How a job ended is read from
CUPS by its ``job-uuid``, never from the backend.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredLock
from twisted.internet.task import deferLater
from twisted.logger import Logger

from papercutd.domain.decision import Reason
from papercutd.domain.document import Document
from papercutd.environment import Environment
from papercutd.errors import NotFound, PapercutError
from papercutd.provider.adapters import Outcome
from papercutd.provider.adapters.ipp import JobState
from papercutd.provider.analysis.analyser import DocumentAnalyser
from papercutd.provider.cups.backends import Announcement, Backend
from papercutd.provider.cups.counting import Counter, without_padding
from papercutd.provider.cups.device_uris import kept_uri
from papercutd.provider.cups.documents import LOOK_S, Documents
from papercutd.provider.cups.events import Events
from papercutd.provider.cups.following import Following, about_to_print, at_queue
from papercutd.provider.cups.options import layout_of, parse_options
from papercutd.provider.cups.patient_cups import AWAY_S, PatientCups
from papercutd.provider.cups.server import (
    SCHEME,
    CupsJob,
    CupsRefused,
    CupsServer,
    CupsUnreachable,
    Event,
)
from papercutd.provider.journal import Job, ProviderJournal, Spooled
from papercutd.provider.lost_keys import Fate
from papercutd.provider.printing import Canceled
from papercutd.provider.provider import PrintProvider, as_wire_text
from papercutd.services.tasks import Tasks
from protocols.provider.messages import PrinterSetting

_log = Logger()
#: Seconds between two looks for events while jobs are under way, and otherwise.
EVENTS_S = 0.5
EVENTS_IDLE_S = 5.0
#: Seconds between two looks at every job, events or not.
RECONCILE_S = 15.0
#: Outcomes of ours after which CUPS is to forget the job.
NOT_PRINTED = frozenset({"denied", "canceled", "discarded", "expired"})
_FINAL = {
    JobState.COMPLETED: "completed",
    JobState.CANCELED: "canceled",
    JobState.ABORTED: "aborted",
}
#: job-state-reasons (PWG 5100.16) by which people see why a job does not print.
_STATES = {
    Reason.FUNDS.value: ("account-limit-reached", "there is not enough money"),
    Reason.CLOSED.value: ("account-closed", "printing is closed now"),
    Reason.UNKNOWN_USER.value: ("account-authorization-failed", "the user is not known"),
    Reason.UNREACHABLE.value: ("account-info-needed", "no server answers"),
    Reason.ACCOUNT.value: (
        "account-info-needed",
        "an account has to be chosen that this user may charge",
    ),
    Reason.CONFIRM.value: ("account-info-needed", "its cost has to be confirmed"),
    Reason.PRINTED_BEFORE.value: ("account-info-needed", "it may have been printed before"),
}
_OTHERWISE = ("account-info-needed", "it waits for a decision")


#: Why a job was canceled of which CUPS has the document no more.
NO_DOCUMENT = "no-document"


class StartedAgain(PapercutError):
    """The job was printed and started again; its first print is being settled."""


class CupsSpooler:
    """Between CUPS and the provider's core."""

    def __init__(
        self,
        env: Environment,
        cups: CupsServer,
        journal: ProviderJournal,
        analyser: DocumentAnalyser,
        counter: Counter,
        folder: Path,
        document_max_bytes: int,
    ) -> None:
        self._env = env
        self._cups = cups
        self._journal = journal
        self._counter = counter
        self._patient = PatientCups(env, cups)
        # CUPS has to have our subscription before the job ends; it and we are idle while the
        # document is looked into.
        fetched = self._end_nap
        self._documents = Documents(
            *(env, cups, self._patient, analyser, folder, document_max_bytes, fetched)
        )
        self._tasks = Tasks()
        self._following: dict[str, Following] = {}
        self._taking_in = DeferredLock()
        self._events = Events(env, cups, self._happened, self._missed_events)
        self._reconciled_at = float("-inf")
        self._napping: Deferred[None] | None = None
        #: Whether CUPS answered last time; shown.
        self.is_reachable = False
        self.provider: PrintProvider

    # Life.

    async def start(self, provider: PrintProvider) -> None:
        """To be called before ``provider`` starts."""
        self.provider = provider
        self._documents.clear()
        for job in await self._journal.unended():
            if job.spooled is not None:
                self._follow(job)

    def watch(self) -> None:
        """Look at CUPS from now on; the provider has started."""
        self._tasks.spawn(self._watch(), "watching CUPS")

    async def stop(self) -> None:
        await self._tasks.stop()
        await self._events.stop()
        await self._cups.close()

    def _follow(self, job: Job) -> Following:
        following = self._following.get(job.job)
        if following is None:
            following = self._following[job.job] = Following(job)
        return following

    # What backends say.

    def announced(self, announcement: Announcement, backend: Backend) -> None:
        """A backend waits for its word."""
        self._tasks.spawn(self._announced(announcement, backend), "an announced job")

    async def _announced(self, announcement: Announcement, backend: Backend) -> None:
        try:
            job = await self._taking_in.run(
                lambda: Deferred.fromCoroutine(self._identify(announcement))
            )
        except StartedAgain:
            backend.hold("account-info-needed", "its last print is being settled")
            return
        except PapercutError as error:
            backend.refuse(str(error))
            return
        except CancelledError:
            raise
        except Exception:
            _log.failure("an announced job cannot be taken in")
            backend.refuse("the provider failed at this, its log says why")
            return
        following = self._following.get(job.job)
        if following is None:
            # It ended just now: CUPS holds it until the next comparison finds out which way.
            backend.hold(*_OTHERWISE)
            return
        older, following.backend = following.backend, backend
        if older is not None:
            # CUPS runs a job once at a time: that one is gone and we have not heard.
            older.close()
        backend.on_gone = lambda gone: self._gone(following, gone)
        following.job = at_queue(following.job, announcement.queue, announcement.uri)
        if following.job.state == "held":
            # Somebody released it at CUPS: it is asked for again, not let through.
            self.provider.retry(job.job)
        if following.begun is None:
            self._end_nap()
        if following.attempts == 0 and following.job.state != "printing":
            self._note_printer(following)
        following.wake()

    def _gone(self, following: Following, backend: Backend) -> None:
        if following.backend is backend:
            following.backend = None
        following.wake()

    def _note_printer(self, following: Following) -> None:
        if not following.is_noting:
            following.is_noting = True
            asking = self._ask_printer(following)
            self._tasks.spawn(asking, "asking a printer for its last job")

    async def _ask_printer(self, following: Following) -> None:
        try:
            before = await self._counter.newest(following.job)
        finally:
            following.is_noting = False
        if following.attempts == 0:
            following.printer_job_before = before

    async def _identify(self, announcement: Announcement) -> Job:
        """The job of ours that is announced, a new one if there is none (design 4.2)."""
        known = await self._journal.last_of_uuid(announcement.uuid)
        if known is not None:
            # It may have ended and been started again before we heard; and what is still
            # to be heard of the print before must not be taken for this one's.
            with suppress(CupsUnreachable, CupsRefused):
                await self._events.hear()
            following = self._following.get(known.job)
            if following is not None and following.final is not None:
                following.is_started_again = True
                raise StartedAgain
            known = await self._journal.last_of_uuid(announcement.uuid)
        if known is not None and known.state not in ("printing", "ended"):
            await self._give_up_moved(known, announcement.queue)
            known = await self._journal.last_of_uuid(announcement.uuid)
        if known is not None and known.state != "ended":
            return known
        printer = self._printer_of(announcement.queue).id
        if known is not None and known.release:
            # Again it waits for its person: CUPS may have forgotten in a crash that it printed.
            printer = known.printer
        text = announcement.options
        options = {**parse_options(text), "copies": str(announcement.copies)}
        if announcement.sheet:
            of_documents = await self._cups.options_of_documents(announcement.job)
            options |= of_documents
            text = " ".join([text, *(f"{name}={value}" for name, value in of_documents.items())])
        layout = layout_of(options, None, announcement.filtered)
        job = Job(
            job=self._env.new_id(),
            state="received",
            step=1,
            printer=printer,
            user_name=as_wire_text(announcement.user, 255),
            title=as_wire_text(announcement.title, 1024),
            host=as_wire_text(announcement.host, 255),
            copies=layout.copies,
            duplex=layout.duplex,
            format=announcement.content_type,
            path="",
            digest="",
            size=0,
            submitted_at=self._env.wall_s(),
            job_uuid=announcement.uuid,
            spooled=Spooled(
                announcement.queue,
                announcement.job,
                text,
                announcement.uri,
                announcement.content_type,
                announcement.final_content_type,
                announcement.filtered,
            ),
            reprint_of="" if known is None else known.job,
        )
        following = self._follow(job)
        taking = Deferred.fromCoroutine(self.provider.take_in(job))
        # Its backend waits: CUPS is asked while the disk writes.
        self._documents.begin(following)
        try:
            await taking
        except BaseException:
            # It is none of ours.
            self._documents.give_up(following)
            del self._following[job.job]
            raise
        return job

    async def _give_up_moved(self, known: Job, queue: str) -> None:
        """A job that a person moved to another printer is another question to the servers."""
        following = self._following.get(known.job)
        is_there = known.spooled is not None and known.spooled.queue == queue
        if following is None or is_there:
            return
        if self._printer_of(queue).id in (known.printer, known.where):
            return
        following.is_moved = True
        if self.provider.cancel(known.job):
            await self.provider.wait(known.job)

    def _queue_of(self, printer: int) -> str | None:
        """The queue that prints at a printer; None: the printer is not known."""
        config = self.provider.config
        for setting in config.printers if config is not None else []:
            if setting.id == printer:
                is_named = setting.uri.startswith("cups:")
                return setting.uri.removeprefix("cups:") if is_named else setting.name
        return None

    def _printer_of(self, queue: str) -> PrinterSetting:
        """The printer that a queue prints at, by its address or its name; raises NotFound."""
        config = self.provider.config
        for printer in config.printers if config is not None else []:
            if printer.uri == f"cups:{queue}":
                return printer
        return self.provider.printer(queue)

    def knows_queue(self, queue: str) -> bool:
        """Whether the application server has a printer for ``queue``."""
        try:
            self._printer_of(queue)
        except NotFound:
            return False
        return True

    def status(self) -> dict[str, Any]:
        """How it stands, for people."""
        return {
            "reachable": self.is_reachable,
            "jobs": len(self._following),
            "backends_waiting": sum(f.backend is not None for f in self._following.values()),
        }

    # As the provider's Spooler.

    def changed(self, job: Job) -> None:
        """Answer the backend that waits, and see to it that CUPS follows."""
        following = self._following.get(job.job)
        if following is None:
            return
        following.job = job
        if job.state == "held":
            following.has_document = False
            if following.backend is not None:
                following.backend.hold(*_STATES.get(job.reason, _OTHERWISE))
        elif job.state == "ended":
            del self._following[job.job]
            if following.is_started_again:
                self._tasks.spawn(self._release_again(job), "releasing a job started again")
            is_over = following.final is not None or following.is_moved
            if job.outcome in NOT_PRINTED and not is_over:
                if following.backend is not None:
                    following.backend.cancel(*_STATES.get(job.reason, _OTHERWISE))
                else:
                    self._tasks.spawn(self._cancel(job), "canceling a job at CUPS")
            following.wake()

    def wake(self, job: str) -> None:
        following = self._following.get(job)
        if following is not None:
            following.wake()

    async def _cancel(self, job: Job) -> None:
        assert job.spooled is not None
        found = await self._patient.look(job)
        if found is not None and not found.is_final:
            await self._patient.insist(lambda: self._cups.cancel(found.number))

    async def _release_again(self, job: Job) -> None:
        """Its backend was told to hold it until the print before is settled, which it is."""
        for _ in range(20):
            found = await self._patient.look(job)
            if found is None or found.is_final:
                return
            if found.is_held_by_backend:
                await self._patient.release(found.number)
                return
            await deferLater(self._env.clock, AWAY_S, lambda: None)

    async def analyse(self, job: Job) -> Document:
        return await self._documents.analyse(self._follow(job))

    async def is_grey(self, job: Job) -> bool | None:
        assert job.spooled is not None
        following = self._follow(job)
        queue = self._queue_of(job.where) or job.spooled.queue
        try:
            if not await self._cups.has_document(job.spooled.number):
                raise Canceled(NO_DOCUMENT)
            found = None if queue == job.spooled.queue else await self._cups.queue(queue)
        except CupsUnreachable:
            return None
        except CupsRefused as error:
            _log.warn("{error}", error=str(error))
            return None
        following.has_document = True
        # At its own queue it was looked into with what that queue makes of it.
        return found is not None and not found.is_colour

    async def fates(self, job_uuids: Set[str]) -> dict[str, Fate]:
        jobs = await self._patient.insist(self._cups.history)
        return {job.uuid: await self._fate(job) for job in jobs if job.uuid in job_uuids}

    async def _fate(self, job: CupsJob) -> Fate:
        if not job.is_final:
            return Fate(job.has_begun)
        origin = await self._patient.insist(lambda: self._cups.origin(job.number))
        user_name, title = as_wire_text(origin.user_name, 255), as_wire_text(origin.title, 1024)
        return Fate(True, _FINAL[job.state], user_name, title)

    def at_once(self, job: Job) -> Job | None:
        following = self._following.get(job.job)
        if following is None or following.is_noting or following.final is not None:
            return None
        backend = following.backend
        if backend is None or not backend.is_there or not self._is_as_released(following, backend):
            return None
        if following.sheets is None:
            return None
        before = following.printer_job_before
        about = about_to_print(following.job, before, following.sheets)
        return attrs.evolve(job, spooled=about.spooled)

    async def print_job(
        self,
        job: Job,
        is_canceled: Callable[[], bool],
        printing: Callable[[Job], Awaitable[None]],
    ) -> Outcome:
        following = self._follow(job)
        has_begun = job.state == "printing"

        async def begin() -> None:
            nonlocal has_begun
            if not has_begun:
                if following.sheets is None:
                    # Looked into by an earlier process.
                    following.sheets = await self._documents.sheets(following.job)
                before = following.printer_job_before
                following.job = about_to_print(following.job, before, following.sheets)
                await printing(following.job)
                has_begun = True

        while True:
            if is_canceled() and not has_begun:
                raise Canceled
            if following.final is not None:
                return await self._outcome(following, following.final, has_begun)
            backend, following.backend = following.backend, None
            if backend is not None:
                if not has_begun and not self._is_as_released(following, backend):
                    backend.hold("account-info-needed", "it was released to print otherwise")
                    continue
                following.attempts += 1
                await begin()
                if await backend.allow(await self._whole_uri(following.job)):
                    # It is the real backend now: CUPS tells what becomes of it, if not at once.
                    backend.on_gone = lambda gone: None
                    if following.final is None and following.backend is None:
                        await following.sleep(self._env.clock, LOOK_S)
                continue
            try:
                found = await self._patient.look(job)
                if following.backend is not None or following.final is not None:
                    continue
                if found is None:
                    # A CUPS that keeps no history may have said how it ended just now.
                    with suppress(CupsUnreachable, CupsRefused):
                        await self._events.hear()
                    if following.final is not None:
                        continue
                    if not has_begun:
                        raise Canceled
                    return Outcome("completed", assumed=True)
                if found.is_final:
                    return await self._outcome(following, found.state, has_begun)
                if has_begun and await self._is_abandoned(found):
                    outcome = await self._outcome(following, JobState.COMPLETED, has_begun)
                    return attrs.evolve(outcome, assumed=outcome.pages is None)
                if found.is_held_by_backend:
                    if not has_begun:
                        await self._check_document(following, found)
                        if await self._prepare(following, found):
                            await begin()
                    await self._patient.release(found.number)
            except CupsRefused as error:
                _log.error("job {job} is not followed: {error}", job=job.job, error=str(error))
            await following.sleep(self._env.clock, LOOK_S)

    async def _check_document(self, following: Following, found: CupsJob) -> None:
        """A hold may outlive its document; what filters make of none might be charged."""
        number = found.number
        if not following.has_document:
            if not await self._patient.insist(lambda: self._cups.has_document(number)):
                raise Canceled(NO_DOCUMENT)
            following.has_document = True

    async def _is_abandoned(self, found: CupsJob) -> bool:
        """CUPS was stopped while it printed: the job says pending, CUPS lists it as completed.

        So does CUPS 2.4, and does nothing about it any more.
        """
        if found.state is not JobState.PENDING:
            return False
        jobs = await self._patient.insist(self._cups.jobs)
        return all(job.number != found.number for job in jobs)

    def _is_as_released(self, following: Following, backend: Backend) -> bool:
        """Whether what the backend would print is what was allowed, where, and how."""
        job, announcement = following.job, backend.announcement
        assert job.document is not None and announcement is not None
        is_changed = (job.document.copies, job.document.duplex) != (job.copies, job.duplex)
        queue = self._queue_of(job.where)
        is_there = queue is None or queue == announcement.queue
        return is_there and (following.is_prepared or not is_changed)

    async def _prepare(self, following: Following, found: CupsJob) -> bool:
        """Give a held job the queue, the copies and the sides of its release.

        True: that queue asks nobody, so that nothing but this decides.
        """
        job = following.job
        assert job.document is not None and job.spooled is not None
        if (job.document.copies, job.document.duplex) != (job.copies, job.duplex):
            await self._cups.change(found.number, job.document.copies, job.document.duplex)
        following.is_prepared = True
        wanted = self._queue_of(job.where) or found.queue
        # Its own may have been given back since.
        queue = await self._cups.queue(wanted)
        if queue is None:
            raise CupsRefused(f"to print at {wanted}, which it does not know", 0x0406)
        if wanted != found.queue:
            await self._cups.move(found.number, wanted)
        uri = queue.device_uri
        following.job = at_queue(job, wanted, uri.removeprefix(SCHEME))
        return not uri.startswith(SCHEME)

    async def _whole_uri(self, job: Job) -> str | None:
        """Where the backend prints, if that has a password which CUPS does not tell it."""
        assert job.spooled is not None
        return await kept_uri(self._journal, job.spooled.queue, job.spooled.uri)

    async def _outcome(self, following: Following, state: JobState, has_begun: bool) -> Outcome:
        if not has_begun:
            raise Canceled
        job = following.job
        counted = await self._counter.sides(job, following.attempts)
        before, after = (0, 0) if job.spooled is None else job.spooled.sheets
        if state is not JobState.COMPLETED:
            return Outcome(_FINAL[state], pages=max((counted or 0) - before, 0))
        if counted is not None and job.document is not None:
            counted = without_padding(job.document, counted, before + after)
        return Outcome("completed", pages=counted)

    # How CUPS is looked at.

    async def _watch(self) -> None:
        while True:
            try:
                await self._events.hear()
                if self._env.now() - self._reconciled_at >= RECONCILE_S:
                    await self._reconcile()
                    self._reconciled_at = self._env.now()
                self.is_reachable = True
            except (CupsUnreachable, CupsRefused) as error:
                if self.is_reachable:
                    _log.warn("CUPS cannot be looked at: {error}", error=str(error))
                self.is_reachable = False
                self._reconciled_at = float("-inf")
            except CancelledError:
                raise
            except Exception:
                _log.failure("a look at CUPS failed")
            is_busy = any(f.job.state != "held" for f in self._following.values())
            await self._nap(EVENTS_S if is_busy else EVENTS_IDLE_S)

    async def _nap(self, seconds: float) -> None:
        """So many seconds, or until a job is announced."""
        self._napping = napping = Deferred[None]()
        timer = self._env.clock.callLater(seconds, self._end_nap)
        try:
            await napping
        finally:
            if timer.active():
                timer.cancel()

    def _end_nap(self) -> None:
        napping, self._napping = self._napping, None
        if napping is not None and not napping.called:
            napping.callback(None)

    def _missed_events(self) -> None:
        self._reconciled_at = float("-inf")

    def _happened(self, event: Event) -> None:
        for following in list(self._following.values()):
            spooled = following.job.spooled
            if spooled is None or spooled.number != event.number:
                continue
            if event.is_final:
                self._ended_at_cups(following, event.state)
            following.wake()

    def _ended_at_cups(self, following: Following, state: JobState | None) -> None:
        following.final = state
        if following.job.state != "printing":
            # Nothing of it was printed; a job about to print finds out by itself.
            self.provider.cancel(following.job.job)

    async def _reconcile(self) -> None:
        """Compare what CUPS has with what we know, whatever was or was not heard."""
        queues = {q.name for q in await self._cups.queues() if q.device_uri.startswith(SCHEME)}
        jobs = await self._cups.jobs()
        known = {following.job.job_uuid for following in self._following.values()}
        for job in jobs:
            if job.queue in queues and job.is_held_by_backend and job.uuid not in known:
                await self._settle_unknown(job)
        present = {job.uuid for job in jobs}
        for following in list(self._following.values()):
            is_waiting = following.job.state not in ("decided", "printing", "ended")
            if is_waiting and following.job.job_uuid not in present:
                found = await self._patient.look(following.job)
                if found is None or found.is_final:
                    self._ended_at_cups(following, JobState.CANCELED)
            following.wake()

    async def _settle_unknown(self, job: CupsJob) -> None:
        """A job that a backend holds for us, and that is none of ours now."""
        last = await self._journal.last_of_uuid(job.uuid)
        if last is not None and last.state != "ended":
            return
        if last is not None and last.outcome in NOT_PRINTED:
            await self._cups.cancel(job.number)
        else:
            # Its announcement was lost, or it was started again.
            await self._cups.release(job.number)
