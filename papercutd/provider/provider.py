"""The print provider: the life of each job, from its acceptance to its end."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

import attrs
import msgspec
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger

from papercutd.domain.decision import APPLICATION, Decision, Reason
from papercutd.domain.document import Document
from papercutd.domain.job import Completion, Request
from papercutd.environment import Environment
from papercutd.errors import InvalidValue, NotFound
from papercutd.provider.adapters import Adapter, Outcome, PrinterUnreachable
from papercutd.provider.asking import Answer, Asking
from papercutd.provider.asking import Outcome as Asked
from papercutd.provider.journal import Job, ProviderJournal
from papercutd.provider.servers import Known, ServerSession
from papercutd.services.link import LinkSettings
from papercutd.services.tasks import Tasks, until_space
from protocols.provider import messages

_log = Logger()
TRACKER = "tracker"
#: Seconds between attempts at a printer that does not answer.
PRINTER_RETRY_S = 5.0
#: Reasons of a site's hold that the application server may see otherwise.
_ASK_CENTRE_AGAIN = frozenset(
    {Reason.FUNDS.value, Reason.CLOSED.value, Reason.UNKNOWN_USER.value, Reason.CAPABILITY.value}
)


class Analyser(Protocol):
    """Finds out what a document is."""

    async def analyse(self, path: str, format: str, copies: int, duplex: bool) -> Document: ...


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
    ) -> None:
        self._env = env
        self._journal = journal
        self._adapters = adapters
        self._analyser = analyser
        self._endpoints = (application, site)
        self._settings = settings or LinkSettings()
        self._remove = remove
        self.tasks = Tasks()
        self.servers: dict[str, ServerSession] = {}
        self.config: messages.Config | None = None
        self._config_from = ""
        self._printers: dict[int, DeferredLock] = {}
        self._waiting: dict[str, Deferred[None]] = {}
        self._watchers: dict[str, list[Callable[[Job], None]]] = {}
        self._held: dict[str, Job] = {}
        self._known: Known | None = None

    async def start(self) -> None:
        """Take up what was under way, and connect."""
        self._known = Known(await self._journal.identity())
        kept = await self._journal.setting("config")
        if kept is not None:
            self.config = msgspec.json.decode(kept, type=messages.Config)
        for role, endpoint in zip(("application", "site"), self._endpoints, strict=True):
            if endpoint is not None:
                self.servers[role] = ServerSession(
                    *(self._env, self._journal, self._known, self.tasks, role, endpoint),
                    *(self._settings, self._configured, self._ready, self._turned),
                )
        if "site" in self.servers:
            self.servers["application"].relay = self.servers["site"]
        for job in await self._journal.unended():
            self._take_up(job)
        for server in self.servers.values():
            server.link.start()

    async def stop(self) -> None:
        for server in self.servers.values():
            await server.link.stop()
        await self.tasks.stop()

    # For whoever hands in and looks.

    def printer(self, name: str) -> messages.PrinterSetting:
        """The printer called ``name``; raises NotFound."""
        for printer in self.config.printers if self.config is not None else []:
            if printer.name == name:
                return printer
        raise NotFound("printer", name)

    async def submit(self, submission: Submission) -> str:
        """The id of the job, which is ours once this returns."""
        printer = self.printer(submission.printer)
        if submission.size == 0:
            raise InvalidValue("document", "is empty")
        if not 1 <= submission.copies <= 9_999:
            raise InvalidValue("copies", "is not between 1 and 9999")
        job = Job(
            job=self._env.new_id(),
            state="received",
            step=1,
            printer=printer.id,
            user_name=submission.user_name,
            title=submission.title,
            host=submission.host,
            copies=submission.copies,
            duplex=submission.duplex,
            format=submission.format,
            path=submission.path,
            digest=submission.digest,
            size=submission.size,
            submitted_at=self._env.wall_s(),
            job_uuid=submission.job_uuid,
        )
        await self._journal.received(job)
        self._take_up(job)
        return job.job

    def watch(self, job: str, watcher: Callable[[Job], None]) -> None:
        """Call ``watcher`` at every change of ``job`` until it ended."""
        self._watchers.setdefault(job, []).append(watcher)

    def retry(self, job: str) -> bool:
        """Ask again for a held job; False when it is not held."""
        held = self._held.pop(job, None)
        if held is not None:
            again = attrs.evolve(held, state="asked", step=held.step + 1, decision=None)
            self._take_up(again)
        return held is not None

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
                }
                for role, server in self.servers.items()
            },
            "printers": [p.name for p in self.config.printers] if self.config else [],
            "jobs": {
                state: sum(job.state == state for job in jobs)
                for state in sorted({job.state for job in jobs})
            },
            "owed": owed,
        }

    # What the servers say.

    def _configured(self, role: str, config: messages.Config) -> None:
        """The application server's CONFIG stands before a site's."""
        if role == "site" and self._config_from == "application":
            application = self.servers["application"]
            if application.link.session is not None:
                return
        self.config, self._config_from = config, role
        self.tasks.spawn(self._keep_config(config), "keeping the settings")

    async def _keep_config(self, config: messages.Config) -> None:
        await self._durably(self._journal.keep_setting, "config", config)
        if config.retired and await self._durably(self._journal.retired, config.retired):
            self._turned()

    def _turned(self) -> None:
        self.servers["application"].settle()

    def _ready(self, role: str) -> None:
        """A server can be asked: what waited for one asks again."""
        if role == "site":
            # A relay may have become possible.
            self.servers["application"].settle()
        for job in list(self._held.values()):
            if job.reason == Reason.UNREACHABLE.value or (
                role == "application"
                and job.decider not in (APPLICATION, TRACKER)
                and job.reason in _ASK_CENTRE_AGAIN
                and self.servers[role].server.is_usable
            ):
                self.retry(job.job)

    # The life of a job.

    def _take_up(self, job: Job) -> None:
        self.tasks.spawn(self._live(job), f"job {job.job}")

    async def _live(self, job: Job) -> None:
        if job.state == "received":
            document = await self._analyser.analyse(job.path, job.format, job.copies, job.duplex)
            await self._durably(self._journal.analysed, job.job, document)
            job = self._changed(attrs.evolve(job, document=document, state="analysed"))
        if job.state in ("analysed", "asked"):
            job = await self._ask(job)
        if job.state == "held":
            self._held[job.job] = job
            return
        if job.state == "printing":
            # Whether it came out is not known: the direct adapter's printers keep no memory.
            await self._end(job, Outcome("completed", assumed=True))
        elif job.state == "decided":
            await self._print(job)

    async def _ask(self, job: Job) -> Job:
        for _ in range(5):
            await self._durably(self._journal.asked, job.job, job.step)
            job = self._changed(attrs.evolve(job, state="asked"))
            began = self._env.now()
            answer = await self._asking(job)
            if answer.outcome is not Asked.VOIDED:
                return await self._take(job, answer, began)
            job = attrs.evolve(job, step=job.step + 1)
        await self._durably(self._journal.held, job.job, Reason.REFUSED.value)
        return self._changed(attrs.evolve(job, state="held", reason=Reason.REFUSED.value))

    def _asking(self, job: Job) -> Deferred[Answer]:
        assert job.document is not None and self._known is not None
        request = Request(
            job=job.job,
            step=job.step_name,
            provider=self._known.identity.name,
            printer=job.printer,
            user_name=job.user_name,
            document=job.document,
            job_uuid=job.job_uuid,
            title=job.title,
            host=job.host,
            submitted_at=job.submitted_at,
        )
        first, second = "application", "site"
        if self.config is not None and self.config.preferred == "site":
            first, second = second, first
        order = [self.servers[role].server for role in (first, second) if role in self.servers]

        def other_answer(giver: str, decision: Decision) -> None:
            self.tasks.spawn(self._cancel(job.key, giver, "superseded"), "cancelling an answer")

        other = order[1] if len(order) > 1 else None
        return Asking(self._env, order[0], other, request, other_answer).run()

    async def _cancel(self, key: str, target: str, reason: str) -> None:
        await self._durably(self._journal.cancel, key, target, reason)
        self._settle(target)

    async def _take(self, job: Job, answer: Answer, began: float) -> Job:
        """Make the answer durable: from then on it is the only one."""
        if answer.outcome is Asked.DECIDED:
            assert answer.decision is not None
            await self._durably(self._journal.decided, job, answer.decision, answer.giver)
            waited_ms = (self._env.now() - began) * 1000
            job = attrs.evolve(
                job,
                state="decided" if answer.decision.allowed else "held",
                decision=answer.decision,
                decider=answer.giver,
                reason=answer.decision.reason.value,
                waited_ms=waited_ms,
            )
            if not answer.decision.allowed:
                await self._durably(self._journal.note_waited, job.job, waited_ms)
                if answer.decision.verdict.value == "deny":
                    await self._durably(self._journal.ended, job, None, "", "denied")
                    self._forget_document(job)
                    job = attrs.evolve(job, state="ended", outcome="denied")
            return self._changed(job)
        if answer.outcome is Asked.ALONE and job.reason not in ("", Reason.UNREACHABLE.value):
            # Somebody held it, and nobody has said otherwise: being alone frees nothing.
            await self._durably(self._journal.held, job.job, job.reason)
            return self._changed(attrs.evolve(job, state="held", decision=None))
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
        await self._durably(self._journal.held, job.job, reason.value)
        return self._changed(attrs.evolve(job, state="held", reason=reason.value, decider=TRACKER))

    def _when_alone(self, printer: int) -> str:
        for setting in self.config.printers if self.config is not None else []:
            if setting.id == printer:
                return setting.when_alone
        return "print-and-log-later"

    async def _print(self, job: Job) -> None:
        lock = self._printers.setdefault(job.printer, DeferredLock())
        await lock.acquire()
        try:
            outcome = await self._at_printer(job)
        finally:
            lock.release()
        await self._end(attrs.evolve(job, state="printing"), outcome)

    async def _at_printer(self, job: Job) -> Outcome:
        async def started() -> None:
            await self._durably(self._journal.printing, job.job, job.waited_ms)
            self._changed(attrs.evolve(job, state="printing"))

        while True:
            uri = next(
                (p.uri for p in self.config.printers if p.id == job.printer)
                if self.config is not None
                else iter(()),
                "",
            )
            adapter = self._adapters.get(uri.partition(":")[0])
            try:
                if adapter is None:
                    raise PrinterUnreachable(f"no adapter for {uri!r}")
                return await adapter.print_document(job.path, uri, started)
            except PrinterUnreachable as error:
                _log.warn("job {job} waits for its printer: {error}", job=job.job, error=str(error))
                await deferLater(self._env.clock, PRINTER_RETRY_S, lambda: None)

    async def _end(self, job: Job, outcome: Outcome) -> None:
        assert job.document is not None and self._known is not None
        position = self._known.position
        completion: Completion | None = Completion(
            job=job.job,
            step=job.step_name,
            provider=self._known.identity.name,
            printer=job.printer,
            user_name=job.user_name,
            document=job.document,
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
        )
        target = APPLICATION if job.decider == TRACKER else job.decider
        if job.decider == TRACKER and self._when_alone(job.printer) == "print-unlogged":
            completion = None
        await self._durably(self._journal.ended, job, completion, target, outcome.state)
        self._forget_document(job)
        self._changed(attrs.evolve(job, state="ended", outcome=outcome.state))
        self._settle(target)

    def _settle(self, target: str) -> None:
        for server in self.servers.values():
            if server.decider == target:
                server.settle()

    async def _durably(self, write: Callable[..., Deferred[Any]], *arguments: Any) -> Any:
        """Write to the journal; while the disk is full, wait: nothing goes on without it."""
        return await until_space(self._env, lambda: write(*arguments))

    def _forget_document(self, job: Job) -> None:
        try:
            self._remove(job.path)
        except OSError as error:
            _log.warn("cannot remove {path}: {error}", path=job.path, error=str(error))

    def _changed(self, job: Job) -> Job:
        for watcher in self._watchers.get(job.job, ()):
            watcher(job)
        if job.state == "ended":
            self._watchers.pop(job.job, None)
        return job
