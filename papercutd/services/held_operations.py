"""Held jobs for administrators: the same three operations at either server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from papercutd.domain.job import fold_user_name
from papercutd.environment import Environment
from papercutd.errors import DomainError, InvalidValue, NotFound
from papercutd.services.held_jobs import HeldJobs, Listed
from papercutd.services.operation import Operation, Progress, take
from protocols.provider import messages

#: Jobs of one answer to ``job held``.
LISTED_MAX = 500
#: RELEASED's words for people.
WORDS = {
    "released": "it prints",
    "discarded": "it is deleted",
    "refused": "it is refused and stays held",
    "unanswered": "nobody could be asked, it stays held",
    "already-released": "it was released before",
    "unknown-job": "its print server holds it no more",
    "not-yours": "it is another user's",
    "wrong-printer": "it cannot be printed there",
    "no-document": "its document is gone, it has to be printed anew",
}


class NotReleased(DomainError):
    """The owner of the job said no; the text says why."""


class HeldOperations:
    """``job.held``, ``job.release`` and ``job.discard``."""

    def __init__(
        self, env: Environment, held: HeldJobs, printer_id: Callable[[str], Awaitable[int]]
    ) -> None:
        self._env = env
        self._held = held
        self._printer_id = printer_id

    def all(self) -> dict[str, Operation]:
        return {"job.held": self.held, "job.release": self.release, "job.discard": self.discard}

    async def held(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Held jobs, of one user or of all."""
        user = take(arguments, user="")["user"]
        folded = fold_user_name(user) if user else None
        found = [
            _shown(listed)
            for listed in self._held.list()
            if folded is None or fold_user_name(listed.job.user_name) == folded
        ]
        return sorted(found, key=lambda job: (job["held_at"], job["job"]))[:LISTED_MAX]

    async def release(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Print a held job, at its own printer or at another that may."""
        given = take(arguments, "job", printer="", copies=0)
        listed = self._find(given["job"])
        if not 0 <= given["copies"] <= 9_999:
            raise InvalidValue("copies", "is not between 1 and 9999")
        printer = listed.job.printer
        if given["printer"]:
            printer = await self._printer_id(given["printer"])
        answer = await self._held.release(
            self._env.new_id(), listed, printer, given["copies"] or None
        )
        return _result(answer, "released")

    async def discard(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Delete a held job; nothing is printed or charged."""
        listed = self._find(take(arguments, "job")["job"])
        return _result(await self._held.discard(self._env.new_id(), listed), "discarded")

    def _find(self, job: str) -> Listed:
        listed = self._held.find(job)
        if listed is None:
            raise NotFound("held job", job)
        return listed


def _result(answer: messages.Released, wanted: str) -> dict[str, Any]:
    if answer.answer != wanted:
        why = WORDS[answer.answer]
        if answer.decision is not None and answer.decision.reason:
            why += f" ({answer.decision.reason})"
        raise NotReleased(f"job {answer.job}: {why}")
    amount_e4 = None if answer.decision is None else _amount_e4(answer.decision)
    return {"job": answer.job, "answer": answer.answer, "amount_e4": amount_e4}


def _amount_e4(decision: Any) -> int:
    return sum(line.quantity * line.unit_e4 for line in decision.lines)


def _shown(listed: Listed) -> dict[str, Any]:
    job = listed.job
    return {
        "job": job.job,
        "user": job.user_name,
        "title": job.title,
        "pages": job.pages,
        "amount_e4": job.amount_e4,
        "reason": job.reason,
        # Who is of an older release has told no name.
        "printer": job.printer_name or str(job.printer),
        "printer_id": job.printer,
        "provider": listed.provider,
        "reachable": listed.is_reachable,
        "held_at": job.held_at,
    }
