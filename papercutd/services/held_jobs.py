"""What a server knows of held jobs: hints from their owners, and the way to release them.

The provider that holds the document owns the job; what stands here may be late,
and the owner's answer is what counts (design 4.7).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

import attrs
from twisted.internet.defer import Deferred

from papercutd.environment import Environment
from papercutd.errors import Rejected
from papercutd.services.sessions import Sessions
from protocols.provider import messages

#: Jobs that one provider may announce; more are not listed, and are shown as too many.
JOBS_MAX = 50_000
#: Seconds until an owner that says nothing is given up: it asks two servers in turn.
ANSWER_TIMEOUT_S = 5.0
#: Releases that are remembered for those who ask again.
RECENT_MAX = 10_000


@attrs.frozen
class Listed:
    """A held job and the print provider that owns it."""

    provider: str
    job: messages.HeldJob
    #: The owner has a session here: it can be released.
    is_reachable: bool = True


@attrs.define
class _Owner:
    jobs: dict[str, messages.HeldJob] = attrs.field(factory=dict)
    #: The pages of a whole list that is coming in; None: none is.
    incoming: dict[str, messages.HeldJob] | None = None
    pages: int = 0


class HeldJobs:
    """The index of one server, over the providers that have told it."""

    def __init__(self, env: Environment, providers: Sessions) -> None:
        self._env = env
        self._providers = providers
        self._owners: dict[str, _Owner] = {}
        self._waiting: dict[str, Deferred[messages.Released]] = {}
        #: The jobs of the newest releases, by release id: asked again, the owner is asked again.
        self._recent: OrderedDict[str, Listed] = OrderedDict()
        #: Called with a provider's name when its jobs changed.
        self.on_change: Callable[[str], None] = lambda provider: None
        #: Called with a job as it was told of before and as it is now; None: it is not held.
        self.on_told: Callable[[Listed | None, Listed | None], None] = lambda former, now: None

    # What owners say.

    def page(self, provider: str, page: messages.Held) -> None:
        """One page of a whole list; raises Rejected ``wrong-state`` out of order."""
        owner = self._owners.setdefault(provider, _Owner())
        if page.page == 0:
            owner.incoming, owner.pages = {}, 0
        if owner.incoming is None or page.page != owner.pages:
            raise Rejected("wrong-state")
        owner.pages += 1
        self._add(owner.incoming, page.jobs)
        if page.last:
            former = owner.jobs
            owner.jobs, owner.incoming = owner.incoming, None
            self._compare(provider, former, owner.jobs)
            self.on_change(provider)

    def changed(self, provider: str, change: messages.HeldChanged) -> None:
        """Jobs held from now on, and held no more; also of a list that is coming in."""
        owner = self._owners.setdefault(provider, _Owner())
        named = [*(job.job for job in change.jobs), *change.gone]
        former = {name: owner.jobs[name] for name in named if name in owner.jobs}
        for jobs in (owner.jobs, owner.incoming):
            if jobs is not None:
                self._add(jobs, change.jobs)
                for job in change.gone:
                    jobs.pop(job, None)
        self._compare(
            provider, former, {name: owner.jobs[name] for name in named if name in owner.jobs}
        )
        self.on_change(provider)

    def released(self, answer: messages.Released) -> None:
        """An owner's answer; one that nobody waits for any more is dropped."""
        waiting = self._waiting.pop(answer.release, None)
        if waiting is not None:
            waiting.callback(answer)

    def forget(self, provider: str) -> None:
        """The provider was removed."""
        owner = self._owners.pop(provider, None)
        if owner is not None:
            self._compare(provider, owner.jobs, {})

    def _compare(
        self,
        provider: str,
        former: dict[str, messages.HeldJob],
        now: dict[str, messages.HeldJob],
    ) -> None:
        for name in dict.fromkeys((*former, *now)):
            was, job = former.get(name), now.get(name)
            if was != job:
                told = [None if one is None else Listed(provider, one) for one in (was, job)]
                self.on_told(*told)

    # What people ask.

    def list(self) -> Iterable[Listed]:
        """Every job known, by provider."""
        for provider, owner in sorted(self._owners.items()):
            is_reachable = self._providers.get(f"provider:{provider}") is not None
            for job in owner.jobs.values():
                yield Listed(provider, job, is_reachable)

    def find(self, job: str, release: str = "") -> Listed | None:
        """The job, if an owner has told of it, or ``release`` has asked for it before."""
        for provider, owner in self._owners.items():
            if job in owner.jobs:
                is_reachable = self._providers.get(f"provider:{provider}") is not None
                return Listed(provider, owner.jobs[job], is_reachable)
        recent = self._recent.get(release)
        return recent if recent is not None and recent.job.job == job else None

    def release(
        self,
        release: str,
        listed: Listed,
        printer: int,
        copies: int | None = None,
        duplex: bool | None = None,
        account: int | None = None,
        chosen: bool = False,
        comment: str = "",
        invoice: bool | None = None,
    ) -> Deferred[messages.Released]:
        """Ask the owner to print a job; fails with Rejected ``unreachable`` or ``timeout``.

        After ``timeout`` it may still print: the same ``release`` asked again tells. ``chosen``:
        the account is its person's answer to a question, ``comment`` what they said of it;
        ``invoice``: whether it is to be invoiced, where that was said.
        """
        job = listed.job
        self._remember(release, listed)
        of_person = job.user_name, copies, duplex, account, chosen, comment, invoice
        return self._ask(listed.provider, messages.Release(release, job.job, printer, *of_person))

    def discard(self, release: str, listed: Listed) -> Deferred[messages.Released]:
        """Ask the owner to delete a job; fails as ``release`` does."""
        job = listed.job
        self._remember(release, listed)
        return self._ask(listed.provider, messages.Discard(release, job.job, job.user_name))

    def _remember(self, release: str, listed: Listed) -> None:
        self._recent[release] = listed
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)

    def _ask(
        self, provider: str, event: messages.Release | messages.Discard
    ) -> Deferred[messages.Released]:
        session = self._providers.get(f"provider:{provider}")
        answered: Deferred[messages.Released] = Deferred()
        if session is None or not session.is_open:
            answered.errback(Rejected("unreachable", provider))
            return answered
        former = self._waiting.pop(event.release, None)
        self._waiting[event.release] = answered
        if former is not None:
            # Asked again meanwhile: one answer serves both.
            answered.addCallback(_hand_on, former)
        timer = self._env.clock.callLater(ANSWER_TIMEOUT_S, self._give_up, event.release, answered)

        def stop(result: object) -> object:
            if timer.active():
                timer.cancel()
            return result

        answered.addBoth(stop)
        session.notify(event)
        return answered

    def _give_up(self, release: str, answered: Deferred[messages.Released]) -> None:
        if self._waiting.get(release) is answered:
            del self._waiting[release]
        answered.errback(Rejected("timeout"))

    @staticmethod
    def _add(jobs: dict[str, messages.HeldJob], more: Iterable[messages.HeldJob]) -> None:
        for job in more:
            if job.job in jobs or len(jobs) < JOBS_MAX:
                jobs[job.job] = job


def _hand_on(answer: messages.Released, former: Deferred[messages.Released]) -> messages.Released:
    former.callback(answer)
    return answer
