"""Asking people about their held jobs, and passing their answers on to the jobs' owners (4.7).

What is asked follows from the index of held jobs alone: a job is asked about when its owner
tells of it, and again when a client of its person comes into reach.
"""

from __future__ import annotations

from typing import Protocol

from twisted.logger import Logger

from papercutd.domain.account_choice import ASKED, COMMENT_MAX, Choice, Chosen, Question
from papercutd.domain.decision import Decision, Reason
from papercutd.environment import Environment
from papercutd.errors import Rejected
from papercutd.services.held_jobs import HeldJobs, Listed
from protocols.provider import messages

_log = Logger()
#: Questions that one person is asked at once.
QUESTIONS_MAX = 100
#: What became of an answer, by what the job's owner says; what is not named ended meanwhile.
_STATES = {
    "released": "taken",
    "discarded": "taken",
    # The job is held again, for another reason than its person.
    "refused": "taken",
    "already-released": "already",
}


class Clients(Protocol):
    """The programs at which people answer questions."""

    def in_reach(self, user: int) -> bool:
        """Whether a client of ``user`` is connected here."""

    def ask(self, question: Question) -> object:
        """Show it to every client of its user; one that is shown already stays."""

    def withdraw(self, user: int, job: str, reason: str) -> None:
        """Show it no more: ``answered``, ``timed-out`` or ``ended``."""


class NoClients:
    """Nobody is in reach."""

    def in_reach(self, user: int) -> bool:
        return False

    def ask(self, question: Question) -> object:
        return False

    def withdraw(self, user: int, job: str, reason: str) -> None:
        """Nobody was shown it."""


class Questions:
    """Of one server."""

    def __init__(self, env: Environment, held: HeldJobs, clients: Clients | None = None) -> None:
        self._env = env
        self._held = held
        self.clients: Clients = clients or NoClients()
        #: Jobs that wait for each user, by their ids: who logs in waits for no look at all jobs.
        self._waiting: dict[int, dict[str, Listed]] = {}
        held.on_told = self._told

    def asking(self, decision: Decision) -> bool | None:
        """What an answer says of whether its person is asked; None: nobody is to be."""
        if decision.ask is None or decision.user is None:
            return decision.ask
        return decision.ask or self.clients.in_reach(decision.user)

    async def questions_of(self, user: int) -> list[Question]:
        """What ``user`` is asked now, oldest job first."""
        waiting = list(self._waiting.get(user, {}).values())
        waiting.sort(key=lambda listed: (listed.job.held_at, listed.job.job))
        return [_question(listed, user) for listed in waiting[:QUESTIONS_MAX]]

    async def answer_question(self, user: int, job: str, choice: Choice) -> str:
        """What became of what ``user`` says about ``job``: ``taken``; ``already`` answered; or it
        ``ended``. The same ``choice.id`` again gets the same.

        Raises Rejected ``not-yours``; and with ``unavailable``, ``unreachable`` and ``timeout``
        it may be said again.
        """
        if (choice.chosen is Chosen.SHARED) is not (choice.shared is not None):
            raise Rejected("bad-fields", "an account, and only with a shared one")
        if len(choice.comment) > COMMENT_MAX:
            raise Rejected("bad-fields", "a comment that is too long")
        listed = self._held.find(job, choice.id)
        if listed is None:
            return "ended"
        if listed.job.user != user:
            raise Rejected("not-yours")
        if listed.job.reason not in ASKED and not _may_say_again(listed.job):
            return "already"
        if choice.chosen is Chosen.CANCEL:
            answer = await self._held.discard(choice.id, listed)
        else:
            answer = await self._held.release(
                *(choice.id, listed, listed.job.printer),
                account=choice.shared,
                chosen=True,
                comment=choice.comment,
                invoice=choice.invoice,
            )
        if answer.answer == "unanswered":
            raise Rejected("unavailable", "no server could decide it")
        return _STATES.get(answer.answer, "ended")

    def _told(self, former: Listed | None, now: Listed | None) -> None:
        """A job's owner tells of it otherwise than before; None: it is not held."""
        try:
            if former is not None and (user := _whom(former)) is not None:
                self._withdraw(user, former.job)
            if now is not None and (user := _whom(now)) is not None:
                self._waiting.setdefault(user, {})[now.job.job] = now
                if self.clients.in_reach(user):
                    self.clients.ask(_question(now, user))
        except Exception:
            # Whoever tells of a job has nothing to do with who is asked.
            _log.failure("a question could not be asked")

    def _withdraw(self, user: int, job: messages.HeldJob) -> None:
        theirs = self._waiting.get(user, {})
        theirs.pop(job.job, None)
        if not theirs:
            self._waiting.pop(user, None)
        is_late = job.choice_due_at <= self._env.wall_s()
        self.clients.withdraw(user, job.job, "timed-out" if is_late else "ended")


def _whom(listed: Listed) -> int | None:
    """Who is asked about it; None: nobody."""
    return listed.job.user if listed.job.reason in ASKED else None


def _may_say_again(job: messages.HeldJob) -> bool:
    """Whom they named cannot pay now: they may name another, or have it deleted.

    A job that waits at a printer for whoever comes is none of these: there its person stands.
    """
    return job.chosen and job.reason in (Reason.FUNDS.value, Reason.CLOSED.value)


def _question(listed: Listed, user: int) -> Question:
    job = listed.job
    return Question(
        job=job.job,
        printer=job.printer,
        printer_name=job.printer_name,
        user=user,
        title=job.title,
        pages=job.pages,
        amount_e4=job.amount_e4 or 0,
        kind=job.reason,
        may_choose_personal=True,
        deadline_s=job.choice_due_at,
    )
