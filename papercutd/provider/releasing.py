"""Releasing and deleting held jobs: by a server's word, by a person's, by their age (4.7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred

from papercutd.domain.decision import Decision, Reason
from papercutd.domain.job import fold_user_name
from papercutd.environment import Environment
from papercutd.provider.held import HeldJobs
from papercutd.provider.journal import Claim, Job, ProviderJournal
from protocols.provider import messages

#: Reasons that a person's release does not overcome: an administrator looks first.
NOT_RELEASABLE = frozenset({Reason.PRINTED_BEFORE.value})


@attrs.frozen
class Answer:
    """What became of a release: a word of RELEASED, the printer, the decision."""

    answer: str
    printer: int = 0
    decision: Decision | None = None


class Durably(Protocol):
    """Writes to the journal, waiting while the disk is full."""

    def __call__(self, write: Callable[..., Deferred[Any]], *arguments: Any) -> Awaitable[Any]: ...


@attrs.define
class Releases:
    """Compare-and-set of held jobs, in memory first and then in the journal."""

    env: Environment
    journal: ProviderJournal
    held: HeldJobs
    durably: Durably
    #: The settings of a printer; None: not one of ours.
    setting_of: Callable[[int], messages.PrinterSetting | None]
    #: A release is begun: ask for its step, at the server of that role first.
    begin: Callable[[Job, str], None]
    #: A job ended without being printed.
    discarded: Callable[[Job], None]
    _waiting: dict[str, list[Deferred[Answer]]] = attrs.field(factory=dict, init=False)

    async def release(self, role: str, message: messages.Release) -> Answer:
        """What becomes of ``message``, which the server of ``role`` sent; empty ``role``: nobody.

        The same release id gets the same answer, also of one that is under way.
        """
        job = self.held.take(message.job)
        if job is None:
            return await self._known(message.release, message.job, message.printer)
        refused = self._why_not(job, message)
        if refused is not None:
            self.held.put(job)
            return refused
        claim = await self.durably(
            self.journal.claim,
            *(message.release, message.job, message.printer, message.copies, message.duplex),
            *(message.account, message.chosen, message.comment, message.invoice),
        )
        if claim.job is None:
            self.held.put(job)
            return await self._answer_of(message.release, claim)
        answered = self._wait(message.release)
        self.begin(claim.job, role)
        return await answered

    async def discard(self, release: str, job: str, user_name: str | None = None) -> Answer:
        """Delete a held job; with ``user_name`` only if it is theirs."""
        held = self.held.take(job)
        if held is None:
            return await self._known(release, job, 0)
        if user_name is not None and fold_user_name(user_name) != fold_user_name(held.user_name):
            self.held.put(held)
            return Answer("not-yours")
        return await self._end(release, held, "discarded")

    async def expire(self) -> int:
        """Delete what was held for too long; how many."""
        now, count = self.env.wall_s(), 0
        for job in self.held.all():
            setting = self.setting_of(job.printer)
            if setting is None or job.held_at + setting.held_max_s > now:
                continue
            if self.held.take(job.job) is not None:
                await self._end(self.env.new_id(), job, "expired")
                count += 1
        return count

    async def decided(self, job: Job) -> None:
        """The journal has the answer of ``job``'s release: tell who waits for it."""
        claim = await self.journal.claimed(job.release, job.job, job.target)
        for waiting in self._waiting.pop(job.release, []):
            waiting.callback(Answer(claim.answer, claim.printer, claim.decision))

    def _why_not(self, job: Job, message: messages.Release) -> Answer | None:
        if fold_user_name(message.user_name) != fold_user_name(job.user_name):
            return Answer("not-yours", message.printer)
        if job.document is None or job.reason in NOT_RELEASABLE:
            return Answer("refused", message.printer)
        if not self._prints_at(job, message.printer):
            return Answer("wrong-printer", message.printer)
        return None

    def _prints_at(self, job: Job, printer: int) -> bool:
        target, queue = self.setting_of(printer), self.setting_of(job.printer)
        if target is None or target.release == "find-me":
            # A find-me queue is no printer.
            return False
        if printer == job.printer:
            return True
        return queue is not None and queue.release == "find-me" and queue.group == target.group

    async def _known(self, release: str, job: str, printer: int) -> Answer:
        return await self._answer_of(release, await self.journal.claimed(release, job, printer))

    async def _answer_of(self, release: str, claim: Claim) -> Answer:
        if claim.answer:
            return Answer(claim.answer, claim.printer, claim.decision)
        return await self._wait(release)

    def _wait(self, release: str) -> Deferred[Answer]:
        answered: Deferred[Answer] = Deferred()
        self._waiting.setdefault(release, []).append(answered)
        return answered

    async def _end(self, release: str, job: Job, outcome: str) -> Answer:
        claim = await self.durably(self.journal.discard, release, job.job, outcome)
        if claim.job is None:
            return await self._answer_of(release, claim)
        self.discarded(claim.job)
        return Answer("discarded")
