"""The print provider: the life of each job, from its acceptance to its end."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence, Set
from typing import Any, Protocol

import attrs
import msgspec
from twisted.internet.defer import CancelledError, Deferred, DeferredLock, DeferredSemaphore
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger

from papercutd.acquired import Acquired
from papercutd.domain.account_choice import ASKED
from papercutd.domain.chain import Position
from papercutd.domain.decision import APPLICATION, SOFT_REASONS, Decision, Reason, Verdict
from papercutd.domain.document import Document
from papercutd.domain.job import Completion, Request
from papercutd.environment import Environment
from papercutd.errors import InvalidValue, NotFound, Starting, StorageClosed, StorageError
from papercutd.provider.adapters import Adapter, Outcome
from papercutd.provider.asking import Answer, Asking
from papercutd.provider.asking import Outcome as Asked
from papercutd.provider.choices import Choices
from papercutd.provider.held import HeldJobs
from papercutd.provider.journal import POSITION, Job, ProviderJournal, held_again
from papercutd.provider.lost_keys import Fate, LostKeys
from papercutd.provider.printing import Canceled, PrinterQueues
from papercutd.provider.releasing import Answer as ReleaseAnswer
from papercutd.provider.releasing import Releases
from papercutd.provider.servers import Known, ServerSession
from papercutd.services import wire
from papercutd.services.link import LinkSettings
from papercutd.services.peer_versions import refused_by
from papercutd.services.tasks import Tasks, until_space
from protocols.provider import messages

_log = Logger()
TRACKER = "tracker"
#: Seconds after the start for which jobs wait for a first session before they count as alone.
FIRST_CONTACT_S = 2.0
#: Keys asked at once; a session carries 32 requests, 16 of them for what is owed.
ASKED_AT_ONCE = 12
#: Seconds between two looks for what is old enough to be forgotten.
PRUNE_INTERVAL_S = 86_400.0
#: Seconds between two looks for what was held too long.
EXPIRE_INTERVAL_S = 60.0
#: Reasons of a site's hold that the application server may see otherwise.
_ASK_CENTRE_AGAIN = frozenset(reason.value for reason in (*SOFT_REASONS, Reason.CAPABILITY))


#: A way to the site of that name, at that host and port.
SiteEndpoint = Callable[[str, str, int], IStreamClientEndpoint]


class Analyser(Protocol):
    """Finds out what a document is."""

    async def analyse(
        self, path: str, format: str, copies: int, duplex: bool, user_name: str = ""
    ) -> Document: ...


class Spooler(Protocol):
    """Keeps the documents of its jobs, and prints what is allowed."""

    async def analyse(self, job: Job) -> Document:
        """What the job is, its options applied; raises Canceled when it is gone."""

    async def is_grey(self, job: Job) -> bool | None:
        """Whether the printer that its release chose prints without colour.

        None: the spooler does not answer now. Raises Canceled when the document is gone.
        """

    def at_once(self, job: Job) -> Job | None:
        """``job`` as it prints if it is allowed now; None: nothing waits to let it through.

        What is returned is written down as printing together with the decision.
        """

    async def print_job(
        self,
        job: Job,
        is_canceled: Callable[[], bool],
        printing: Callable[[Job], Awaitable[None]],
    ) -> Outcome:
        """Let the job print and follow it to its end; raises Canceled.

        ``printing`` makes it durable that paper may come out; of a job that was
        printing before, it was made so.
        """

    async def fates(self, job_uuids: Set[str]) -> dict[str, Fate]:
        """What became of jobs that this journal does not know, of those that it knows."""

    def changed(self, job: Job) -> None:
        """A job of the spooler has another state, and the journal has it."""

    def wake(self, job: str) -> None:
        """A job was canceled: what waits for it need not wait."""


@attrs.frozen
class Submission:
    """A document handed in, already on the disk at ``path``."""

    printer: str
    user_name: str
    path: str
    digest: str
    size: int
    format: str
    title: str = ""
    host: str = ""
    copies: int = 1
    duplex: bool = False
    job_uuid: str = ""


def as_wire_text(text: str, length_max: int) -> str:
    """``text`` as every server will read it: a file may be named anything, a title may not.

    Control characters and halves of characters become ``?``; what is too long is cut.
    """
    whole = text.encode("utf-8", "replace").decode()
    return "".join("?" if c < " " or c == "\x7f" else c for c in whole[:length_max])


class PrintProvider:
    """Jobs of one print server, and their sessions to both servers."""

    def __init__(
        self,
        env: Environment,
        journal: ProviderJournal,
        adapters: dict[str, Adapter],
        analyser: Analyser,
        application: IStreamClientEndpoint,
        site: IStreamClientEndpoint | None = None,
        settings: LinkSettings | None = None,
        remove: Callable[[str], None] = os.unlink,
        spooler: Spooler | None = None,
        site_endpoint: SiteEndpoint | None = None,
    ) -> None:
        """``site`` stands for good; without it ``site_endpoint`` follows what the settings say."""
        self._env = env
        self._journal = journal
        self._queues = PrinterQueues(
            env, adapters, self._uri_of, self._printing, lambda job: job.job in self._canceled
        )
        self._analyser = analyser
        self._spooler = spooler
        self._endpoints = (application, site)
        self._site_endpoint = site_endpoint
        #: The site that the settings name, where we follow them.
        self._site: messages.ServerAddress | None = None
        self._site_changes = DeferredLock()
        self._settings = settings or LinkSettings()
        self._remove = remove
        self.tasks = Tasks()
        self.servers: dict[str, ServerSession] = {}
        self.config: messages.Config | None = None
        self._config_from = ""
        #: Printers that print without a record when nobody is in reach, as last warned of.
        self._unlogged: list[str] = []
        #: Called with serials of sites' certificates that count no more.
        self.on_revoked: Callable[[Sequence[str]], None] = lambda serials: None
        self._watchers: dict[str, list[Callable[[Job], None]]] = {}
        self._held = HeldJobs(env.clock, self._tell_held)
        self._held.setting_of = self._setting
        self._choices = Choices(env, self._held, self._choice_timeout_s, self._go_on_unanswered)
        self._held.on_put = self._choices.watch
        self._releases = Releases(
            *(env, journal, self._held, self._durably, self._setting),
            *(self._begin_release, self._discarded),
        )
        self.lost: LostKeys
        #: Who sent the release of a job: asked first.
        self._asked_first: dict[str, str] = {}
        self._known: Known
        self._asked_at_once = DeferredSemaphore(ASKED_AT_ONCE)
        #: Somebody has answered since the start, or would have by now.
        self._has_contact = False
        #: What the journal holds of earlier processes was taken up; new jobs may come.
        self._is_started = False
        self._waiting_for_contact: list[Deferred[None]] = []
        #: Jobs on their way, and those of them to be given up before they print.
        self._living: dict[str, Job] = {}
        self._canceled: set[str] = set()

    async def start(self) -> None:
        """Take up what was under way, and connect."""
        self._known = Known(await self._journal.identity())
        self.lost = LostKeys(
            self._env, self._journal, self._known, self.tasks, self._spooler, self._settle_all
        )
        kept = await self._journal.setting("config")
        if kept is not None:
            self.config = msgspec.json.decode(kept, type=messages.Config)
            self._known.position = wire.position_in(self.config.position)
            self.on_revoked(self.config.revoked)
        position = await self._journal.setting(POSITION)
        if position is not None:
            kept_position = msgspec.json.decode(position, type=Position)
            self._known.saw(kept_position)
            self._known.was_told(kept_position)
        self._known.acked = await self._journal.acknowledged_by_streams()
        for role, endpoint in zip(("application", "site"), self._endpoints, strict=True):
            if endpoint is not None:
                self._add_server(role, endpoint)
        if self.config is not None:
            self._follow_site(self.config)
            self._warn_of_unlogged(self.config)
        for job in await self._journal.unended():
            self._take_up(job, is_resumed=True)
        await self.lost.go_on()
        self._is_started = True
        self.tasks.spawn(self._wait_for_contact(), "waiting for a first session")
        self.tasks.spawn(self._prune(), "forgetting what is old")
        self.tasks.spawn(self._expire(), "deleting what was held too long")
        for server in self.servers.values():
            server.link.start()

    def _add_server(self, role: str, endpoint: IStreamClientEndpoint) -> ServerSession:
        made = self.servers[role] = ServerSession(
            *(self._env, self._journal, self._known, self.tasks, role, endpoint),
            *(self._settings, self._configured, self._ready, self._settle_all),
            *(self._held.pages, self._released_by, self.lost.told),
        )
        if role == "site":
            self.servers["application"].relay = made
        return made

    def _follow_site(self, config: messages.Config) -> None:
        """A site is phased in, moved or taken away while we run (design 3)."""
        named = [server for server in config.servers if server.role == "site"]
        site = named[0] if named else None
        if self._site_endpoint is not None and site != self._site:
            self._site = site
            self.tasks.spawn(self._change_site(site), "changing to another site")

    async def _change_site(self, site: messages.ServerAddress | None) -> None:
        assert self._site_endpoint is not None
        await self._site_changes.acquire()
        with Acquired(self._site_changes.release):
            former = self.servers.pop("site", None)
            self.servers["application"].relay = None
            if former is not None:
                # What it was asked is asked at the application server; what it is owed is kept.
                await former.stop()
            if site is None or site != self._site:
                return
            _log.info("there is a site now: {name} at {host}", name=site.name, host=site.host)
            endpoint = self._site_endpoint(site.name, site.host, site.port)
            self._add_server("site", endpoint).link.start()

    async def stop(self) -> None:
        self._choices.stop()
        for server in list(self.servers.values()):
            await server.stop()
        await self.tasks.stop()

    # For whoever hands in and looks.

    def printer(self, name: str) -> messages.PrinterSetting:
        """The printer called ``name``; raises NotFound."""
        for printer in self.config.printers if self.config is not None else []:
            if printer.name == name:
                return printer
        raise NotFound("printer", name)

    async def submit(self, submission: Submission) -> str:
        """The id of the job, which is ours once this returns; raises Starting."""
        self._check_started()
        printer = self.printer(submission.printer)
        if printer.uri.startswith("cups:"):
            raise InvalidValue("printer", "prints through CUPS: use lp")
        if submission.size == 0:
            raise InvalidValue("document", "is empty")
        if not 1 <= submission.copies <= 9_999:
            raise InvalidValue("copies", "is not between 1 and 9999")
        job = Job(
            job=self._env.new_id(),
            state="received",
            step=1,
            printer=printer.id,
            user_name=as_wire_text(submission.user_name, 255),
            title=as_wire_text(submission.title, 1024),
            host=as_wire_text(submission.host, 255),
            copies=submission.copies,
            duplex=submission.duplex,
            format=submission.format,
            path=submission.path,
            digest=submission.digest,
            size=submission.size,
            submitted_at=self._env.wall_s(),
            job_uuid=submission.job_uuid,
        )
        await self.take_in(job)
        return job.job

    async def take_in(self, job: Job) -> None:
        """A job is ours once this returns; raises Starting."""
        self._check_started()
        await self._journal.received(job)
        self._take_up(job)

    def _check_started(self) -> None:
        if not self._is_started:
            # It would be found in the journal and taken up twice.
            raise Starting("the print provider is starting: try again in a moment")

    def watch(self, job: str, watcher: Callable[[Job], None]) -> None:
        """Call ``watcher`` at every change of ``job`` until it ended."""
        self._watchers.setdefault(job, []).append(watcher)

    async def wait(self, job: str) -> Job:
        """The job once it has ended; raises NotFound."""
        ended: Deferred[Job] = Deferred()

        def look(changed: Job) -> None:
            if changed.state == "ended" and not ended.called:
                ended.callback(changed)

        self.watch(job, look)
        found = await self._journal.job(job)
        if found is None:
            self._watchers.pop(job, None)
            raise NotFound("job", job)
        look(found)
        return await ended

    def cancel(self, job: str) -> bool:
        """Give up a job before it prints; False when it is too late, or not known.

        Whoever allowed it is told with CANCEL; nothing is charged.
        """
        held = self._held.take(job)
        if held is not None:
            self._canceled.add(job)
            self._take_up(held)
            return True
        living = self._living.get(job)
        if living is None or living.state in ("printing", "ended"):
            return False
        self._canceled.add(job)
        self._queues.wake(job)
        if self._spooler is not None:
            self._spooler.wake(job)
        return True

    def retry(self, job: str) -> bool:
        """Ask again for a held job; False when it is not held."""
        held = self._held.take(job)
        if held is not None:
            # One that could not be looked into is looked into first.
            state = "received" if held.document is None else "asked"
            self._take_next_step(attrs.evolve(held, state=state))
        return held is not None

    def _take_next_step(self, held: Job, unanswered: bool = False) -> None:
        # The policy was asked, and has not answered.
        unanswered = unanswered or (held.unanswered and held.decision is None)
        again = attrs.evolve(held, phase="submit", step=held.step + 1, unanswered=unanswered)
        self._take_up(attrs.evolve(again, decision=None))

    def _go_on_unanswered(self, held: Job) -> None:
        """Its person has not said who pays; or has, and no server has heard it."""
        asked = attrs.evolve(held, state="asked", choice_due_at=0.0)
        self._take_next_step(asked, unanswered=not held.chosen)

    async def release(self, job: str, printer: str, **settings: Any) -> ReleaseAnswer:
        """Print a held job by an administrator's word, at ``printer``, else at its own.

        ``settings``: ``copies`` and ``duplex``, as submitted where they are not given. Raises
        NotFound.
        """
        found = await self._journal.job(job)
        if found is None:
            raise NotFound("job", job)
        target = self.printer(printer).id if printer else found.printer
        message = messages.Release(self._env.new_id(), job, target, found.user_name, **settings)
        return await self._releases.release("", message)

    async def discard(self, job: str) -> ReleaseAnswer:
        """Delete a held job, by an administrator's word."""
        return await self._releases.discard(self._env.new_id(), job)

    async def status(self) -> dict[str, Any]:
        """What an administrator wants to see of this provider."""
        jobs = await self._journal.jobs()
        owed: dict[str, int] = {}
        for target in {APPLICATION, *(s.decider for s in self.servers.values())}:
            owed[target] = len(await self._journal.owed_to(target, 100_000))
        return {
            "role": "provider",
            "servers": {
                role: {
                    "connected": server.link.session is not None,
                    "suspect": server.link.suspect,
                    "decider": server.decider,
                    "speaks": server.link.speaks,
                    "refused_versions": refused_by(server.link, f"the {role} server"),
                }
                for role, server in self.servers.items()
            },
            "printers": [p.name for p in self.config.printers] if self.config else [],
            "jobs": {
                state: sum(job.state == state for job in jobs)
                for state in sorted({job.state for job in jobs})
            },
            "owed": owed,
            "parked": [{"key": key, "code": code} for key, code in await self._journal.parked()],
            # Open keys of a journal that was lost: paper may have come out for them.
            "adopt": [
                {"key": key.key, "job_uuid": key.job_uuid, "at": key.target}
                for key in await self._journal.lost_keys()
            ],
        }

    # What the servers say.

    def _configured(self, role: str, config: messages.Config) -> None:
        """The application server's CONFIG stands before a site's."""
        if role == "site":
            from_application = self._config_from == "application"
            if from_application and self.servers["application"].link.session is not None:
                return
            if self._is_older(config):
                return
        self.config, self._config_from = config, role
        self._warn_of_unlogged(config)
        self.on_revoked(config.revoked)
        self._follow_site(config)
        self.tasks.spawn(self._keep_config(config), "keeping the settings")

    def _warn_of_unlogged(self, config: messages.Config) -> None:
        """Said at the start, and whenever it changes."""
        names = sorted(p.name for p in config.printers if p.when_alone == "print-unlogged")
        if names and names != self._unlogged:
            _log.warn(
                "with no server in reach {names} print without any record: nobody is charged",
                names=", ".join(names),
            )
        self._unlogged = names

    def _is_older(self, config: messages.Config) -> bool:
        """Whether a site that lags behind says what we know better."""
        ours = None if self.config is None else self.config.position
        if ours is None or config.position is None:
            return False
        theirs = config.position
        return (theirs.timeline, theirs.number) < (ours.timeline, ours.number)

    async def _keep_config(self, config: messages.Config) -> None:
        await self._durably(self._journal.keep_setting, "config", config)
        if config.retired and await self._durably(self._journal.retired, config.retired):
            self._settle_all()

    async def _wait_for_contact(self) -> None:
        await deferLater(self._env.clock, FIRST_CONTACT_S, lambda: None)
        self._contact()

    def _contact(self) -> None:
        self._has_contact = True
        waiting, self._waiting_for_contact = self._waiting_for_contact, []
        for one in waiting:
            one.callback(None)

    async def _prune(self) -> None:
        last_s: float | None = None
        while True:
            try:
                now_s = self._env.now()
                await self._journal.prune(None if last_s is None else now_s - last_s)
                last_s = now_s
            except StorageClosed:
                return
            except StorageError as error:
                _log.warn("nothing old was forgotten: {error!r}", error=error)
            await deferLater(self._env.clock, PRUNE_INTERVAL_S, lambda: None)

    def _ready(self, role: str) -> None:
        """A server can be asked: what waited for one asks again."""
        if not self._has_contact:
            self._contact()
        if role == "site":
            # A relay may have become possible.
            self.servers["application"].settle()
        for job in self._held.all():
            is_unheard = job.reason in ASKED and job.decision is None
            if (
                is_unheard
                or job.reason == Reason.UNREACHABLE.value
                or (
                    role == "application"
                    and job.decider not in (APPLICATION, TRACKER)
                    and job.reason in _ASK_CENTRE_AGAIN
                    and role in self.servers
                    and self.servers[role].server.is_usable
                )
            ):
                self.retry(job.job)

    # Held jobs.

    def _tell_held(self, change: messages.HeldChanged) -> None:
        for server in self.servers.values():
            server.tell(change)

    def _released_by(self, role: str, event: messages.Release | messages.Discard) -> None:
        self.tasks.spawn(self._release_and_tell(role, event), f"releasing job {event.job}")

    async def _release_and_tell(
        self, role: str, event: messages.Release | messages.Discard
    ) -> None:
        if isinstance(event, messages.Release):
            answer = await self._releases.release(role, event)
        else:
            answer = await self._releases.discard(event.release, event.job, event.user_name)
        decision = None if answer.decision is None else wire.decision_out(answer.decision)
        server = self.servers.get(role)
        if server is not None:
            server.say(
                messages.Released(event.release, event.job, answer.answer, answer.printer, decision)
            )

    def _begin_release(self, job: Job, role: str) -> None:
        if role:
            self._asked_first[job.job] = role
        self._take_up(job)

    def _discarded(self, job: Job) -> None:
        self._forget_document(job)
        self._changed(job)

    async def _expire(self) -> None:
        while True:
            # At once: it may have come due while nobody was here.
            count = await self._releases.expire()
            if count:
                _log.info("{count} jobs were held too long and are deleted", count=count)
            await deferLater(self._env.clock, EXPIRE_INTERVAL_S, lambda: None)

    # The life of a job.

    def _take_up(self, job: Job, is_resumed: bool = False) -> None:
        self.tasks.spawn(self._live(job, is_resumed), f"job {job.job}")

    async def _live(self, job: Job, is_resumed: bool) -> None:
        self._living[job.job] = job
        try:
            if is_resumed and job.state == "asked" and job.release:
                # Who stood at the printer is gone: held again (4.7).
                await self._hold(job, self._choices.reason_of(job), "unanswered")
            else:
                await self._go_on(job)
        except Canceled as canceled:
            await self._give_up(self._living[job.job], "canceled", canceled.reason)
        except (CancelledError, StorageClosed):
            # The process stops; its successor goes on from the journal.
            raise
        except Exception:
            # It stays as the journal has it, and can be asked for again.
            left = self._living[job.job]
            _log.failure("job {job} cannot go on", job=job.job)
            if left.state in ("received", "analysed", "asked", "held"):
                await self._hold(left, Reason.REFUSED.value, "refused")
        finally:
            self._living.pop(job.job, None)
            self._canceled.discard(job.job)

    async def _go_on(self, job: Job) -> None:
        if job.state == "received":
            if job.spooled is None:
                facts = job.path, job.format, job.copies, job.duplex, job.user_name
                document = await self._analyser.analyse(*facts)
            else:
                document = await self._spooler_of(job).analyse(job)
            # A stream for a printer may say its sides itself.
            job = attrs.evolve(job, document=document, duplex=document.duplex)
            if not self._has_contact:
                await self._durably(self._journal.analysed, job.job, document)
                job = self._changed(attrs.evolve(job, state="analysed"))
        self._check_canceled(job)
        if job.state in ("received", "analysed", "asked"):
            if not self._has_contact:
                self._waiting_for_contact.append(contact := Deferred[None]())
                await contact
            self._check_canceled(job)
            asked, job = job, await self._ask_or_hold(job)
            if asked.release:
                await self._releases.decided(asked)
            self._check_canceled(job)
        if job.state == "held":
            denied = job.decision is not None and job.decision.verdict is Verdict.DENY
            if denied and job.phase == "submit":
                # It died between the two.
                await self._deny(job)
            else:
                self._held.put(job)
        elif job.state == "printing" and job.spooled is None:
            # Whether it came out is not known: the direct adapter's printers keep no memory.
            await self._end(job, Outcome("completed", assumed=True))
        elif job.state in ("decided", "printing"):
            await self._print(job)

    async def _ask_or_hold(self, job: Job) -> Job:
        if not job.release or job.spooled is None:
            return await self._ask(job)
        is_grey = await self._spooler_of(job).is_grey(job)
        self._check_canceled(job)
        if is_grey is None:
            # It could not be let through to the printer now either.
            return await self._keep_held(job, self._choices.reason_of(job), "unanswered")
        return await self._ask(attrs.evolve(job, grey=is_grey))

    def _check_canceled(self, job: Job) -> None:
        if job.job in self._canceled and job.state not in ("printing", "ended"):
            raise Canceled

    async def _hold(self, job: Job, reason: str, answer: str = "") -> Job:
        held = await self._keep_held(job, reason, answer)
        self._held.put(held)
        if job.release:
            await self._releases.decided(job)
        return held

    async def _keep_held(self, job: Job, reason: str, answer: str = "", decider: str = "") -> Job:
        """Held in the journal; ``answer`` is what a release under way is told."""
        job = attrs.evolve(job, choice_due_at=self._choices.due_again_at(job, reason))
        await self._durably(self._journal.held, job, reason, answer)
        return self._changed(
            attrs.evolve(
                held_again(job),
                state="held",
                reason=reason,
                decision=None,
                decider=decider or job.decider,
                held_at=job.held_at or self._env.wall_s(),
            )
        )

    async def _deny(self, job: Job) -> Job:
        await self._durably(self._journal.ended, job, None, "", "denied")
        self._forget_document(job)
        return self._changed(attrs.evolve(job, state="ended", outcome="denied"))

    async def _give_up(self, job: Job, outcome: str, reason: str = "") -> None:
        """Nothing was printed, nothing will be."""
        await self._durably(self._journal.abandoned, job, outcome, reason)
        self._forget_document(job)
        self._changed(attrs.evolve(job, state="ended", outcome=outcome))
        self._settle_all()
        if job.release:
            await self._releases.decided(job)

    async def _ask(self, job: Job) -> Job:
        for _ in range(5):
            if job.state == "received":
                facts = job.job, job.document, job.phase, job.step
                await self._durably(self._journal.analysed_and_asked, *facts)
            else:
                facts_of_step = job.job, job.phase, job.step, job.grey, job.unanswered
                await self._durably(self._journal.asked, *facts_of_step)
            job = self._changed(attrs.evolve(job, state="asked"))
            await self._asked_at_once.acquire()
            with Acquired(self._asked_at_once.release):
                try:
                    began = self._env.now()
                    answer = await self._asking(job)
                    if answer.outcome is not Asked.VOIDED:
                        self._known.taking[job.key] = answer.giver
                        return await self._take(job, answer, began)
                finally:
                    self._known.taking.pop(job.key, None)
            job = attrs.evolve(job, step=job.step + 1)
        return await self._hold(job, Reason.REFUSED.value, "refused")

    def _request(self, job: Job) -> Request:
        document = job.to_be_printed
        assert document is not None
        return Request(
            job=job.job,
            step=job.step_name,
            provider=self._known.identity.name,
            printer=job.where,
            user_name=job.user_name,
            document=document,
            job_uuid=job.job_uuid,
            title=job.title,
            host=job.host,
            account=job.account,
            submitted_at=job.submitted_at,
            chosen=job.chosen,
            unanswered=job.unanswered,
            invoice=job.invoice,
        )

    def _asking(self, job: Job) -> Deferred[Answer]:
        request = self._request(job)
        first, second = "application", "site"
        preferred = "application" if self.config is None else self.config.preferred
        if self._asked_first.pop(job.job, preferred) == "site":
            first, second = second, first
        order = [self.servers[role].server for role in (first, second) if role in self.servers]

        def other_answer(giver: str, decision: Decision) -> None:
            self.tasks.spawn(self._cancel(job.key, giver, "superseded"), "cancelling an answer")

        other = order[1] if len(order) > 1 else None
        return Asking(self._env, order[0], other, request, other_answer).run()

    async def _cancel(self, key: str, target: str, reason: str) -> None:
        await self._durably(self._journal.cancel, key, target, reason)
        self._settle_all()

    async def _take(self, job: Job, answer: Answer, began: float) -> Job:
        """Make the answer durable: from then on it is the only one."""
        if answer.outcome is Asked.DECIDED:
            assert answer.decision is not None
            at_once = self._at_once(job, answer.decision)
            if at_once is not None:
                return await self._take_at_once(at_once, answer, began)
            due_at = self._choices.due_at(job, answer.decision)
            job = attrs.evolve(job, choice_due_at=due_at)
            await self._durably(self._journal.decided, job, answer.decision, answer.giver)
            waited_ms = (self._env.now() - began) * 1000
            allowed = answer.decision.allowed
            job = attrs.evolve(
                job if allowed else held_again(job),
                state="decided" if allowed else "held",
                decision=answer.decision,
                decider=answer.giver,
                reason=answer.decision.reason.value,
                waited_ms=waited_ms,
                held_at=job.held_at if allowed else job.held_at or self._env.wall_s(),
            )
            if not allowed:
                await self._durably(self._journal.note_waited, job.job, waited_ms)
                if answer.decision.verdict is Verdict.DENY and job.phase == "submit":
                    return await self._deny(job)
            return self._changed(job)
        if answer.outcome is Asked.ALONE and job.reason not in ("", Reason.UNREACHABLE.value):
            # Somebody held it, and nobody has said otherwise: being alone frees nothing.
            return await self._keep_held(job, job.reason, "unanswered")
        if answer.outcome is Asked.ALONE and self._waits_for_release(job.printer):
            # A tracker prints what is not held; who may collect this nobody here can say.
            return await self._keep_held(job, Reason.RELEASE.value, "", TRACKER)
        if answer.outcome is Asked.ALONE and self._when_alone(job.printer) != "hold":
            await self._durably(self._journal.decided, job, None, TRACKER)
            waited_ms = (self._env.now() - began) * 1000
            return self._changed(
                attrs.evolve(
                    job, state="decided", decision=None, decider=TRACKER, waited_ms=waited_ms
                )
            )
        reason = {
            Asked.ALONE: Reason.UNREACHABLE,
            Asked.SETTLED: Reason.PRINTED_BEFORE,
        }.get(answer.outcome, Reason.REFUSED)
        return await self._keep_held(job, reason.value, "refused", TRACKER)

    def _at_once(self, job: Job, decision: Decision) -> Job | None:
        """The job as it is let through, if a backend waits for just that."""
        if job.spooled is None or job.release or not decision.allowed:
            return None
        is_canceled = job.job in self._canceled
        return None if is_canceled else self._spooler_of(job).at_once(job)

    async def _take_at_once(self, job: Job, answer: Answer, began: float) -> Job:
        """The decision, and that the job prints by it, made durable together."""
        assert answer.decision is not None
        waited_ms = (self._env.now() - began) * 1000
        await self._durably(
            *(self._journal.decided_and_printing, job, answer.decision, answer.giver, waited_ms)
        )
        if job.job in self._canceled:
            # Nothing was let through yet.
            raise Canceled
        return self._changed(
            attrs.evolve(
                job,
                state="printing",
                decision=answer.decision,
                decider=answer.giver,
                reason=answer.decision.reason.value,
                # With the time the disk took; the end of the job writes it.
                waited_ms=(self._env.now() - began) * 1000,
            )
        )

    def _waits_for_release(self, printer: int) -> bool:
        setting = self._setting(printer)
        return setting is not None and setting.release != "immediate"

    def _when_alone(self, printer: int) -> str:
        setting = self._setting(printer)
        return "print-and-log-later" if setting is None else setting.when_alone

    def _spooler_of(self, job: Job) -> Spooler:
        if self._spooler is None:
            raise NotFound("spooler for job", job.job)
        return self._spooler

    async def _print(self, job: Job) -> None:
        outcome: Outcome | None
        if job.spooled is None:
            outcome = await self._queues.print_job(job)
        else:
            is_canceled = lambda: job.job in self._canceled  # noqa: E731
            outcome = await self._spooler_of(job).print_job(job, is_canceled, self._printing)
        if outcome is None:
            await self._give_up(job, "aborted")
        else:
            await self._end(attrs.evolve(job, state="printing"), outcome)

    async def _printing(self, job: Job) -> None:
        await self._durably(self._journal.printing, job.job, job.waited_ms, job.spooled)
        self._changed(attrs.evolve(job, state="printing"))

    def _setting(self, printer: int) -> messages.PrinterSetting | None:
        for setting in self.config.printers if self.config is not None else []:
            if setting.id == printer:
                return setting
        return None

    def _choice_timeout_s(self) -> float:
        return 300 if self.config is None else self.config.account_choice_timeout_s

    def _uri_of(self, printer: int) -> str:
        setting = self._setting(printer)
        return "" if setting is None else setting.uri

    async def _end(self, job: Job, outcome: Outcome) -> None:
        document = job.to_be_printed
        assert document is not None
        position = self._known.position
        completion: Completion | None = Completion(
            job=job.job,
            step=job.step_name,
            provider=self._known.identity.name,
            printer=job.where,
            user_name=job.user_name,
            document=document,
            decision=job.decision,
            pages=outcome.pages,
            outcome=outcome.state,
            assumed=outcome.assumed,
            price_version=self.config.price_version if self.config is not None else 0,
            position="" if position is None else position.text,
            job_uuid=job.job_uuid,
            title=job.title,
            host=job.host,
            completed_at=self._env.wall_s(),
            comment=job.comment,
        )
        target = APPLICATION if job.decider == TRACKER else job.decider
        if job.decider == TRACKER and self._when_alone(job.printer) == "print-unlogged":
            completion = None
        await self._durably(self._journal.ended, job, completion, target, outcome.state)
        self._forget_document(job)
        self._changed(attrs.evolve(job, state="ended", outcome=outcome.state))
        self._settle_all()

    def _settle_all(self) -> None:
        """Who is owed it may have changed since the answer was taken: everybody looks."""
        for server in self.servers.values():
            server.settle()

    async def _durably(self, write: Callable[..., Deferred[Any]], *arguments: Any) -> Any:
        """Write to the journal; while the disk is full, wait: nothing goes on without it."""
        return await until_space(self._env, lambda: write(*arguments))

    def _forget_document(self, job: Job) -> None:
        if job.spooled is not None:
            return  # It is the spooler's.
        try:
            self._remove(job.path)
        except OSError as error:
            _log.warn("cannot remove {path}: {error}", path=job.path, error=str(error))

    def _changed(self, job: Job) -> Job:
        if job.job in self._living:
            self._living[job.job] = job
        for watcher in self._watchers.get(job.job, ()):
            watcher(job)
        if job.state == "ended":
            self._watchers.pop(job.job, None)
        if job.spooled is not None and self._spooler is not None:
            self._spooler.changed(job)
        return job
