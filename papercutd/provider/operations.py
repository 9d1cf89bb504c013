"""What `papercutd` may ask a running print provider."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from papercutd.provider.journal import Job, ProviderJournal
from papercutd.provider.provider import PrintProvider
from papercutd.storage.replication.asker_journal import verify_journal

Operation = Callable[[dict[str, Any], Callable[[dict[str, Any]], None]], Awaitable[Any]]


def job_shown(job: Job) -> dict[str, Any]:
    """A job as people and scripts see it."""
    return {
        "job": job.job,
        "state": job.state,
        "step": job.step_name,
        "title": job.title,
        "user": job.user_name,
        "pages": None if job.document is None else job.document.pages,
        "decider": job.decider,
        "decided_by": decider_shown(job.decider),
        "reason": job.reason,
        "outcome": job.outcome,
        "assumed": job.assumed,
        "waited_ms": job.waited_ms,
        "cups": None if job.spooled is None else f"{job.spooled.queue}-{job.spooled.number}",
        "reprint_of": job.reprint_of,
    }


def decider_shown(decider: str) -> str:
    """A decider in a person's words; a stream's id says nothing to anybody."""
    words = {"": "", "application": "the application server", "tracker": "nobody (alone)"}
    return words.get(decider, "the site")


class ProviderOperations:
    """Operations of a running provider."""

    def __init__(self, provider: PrintProvider, journal: ProviderJournal) -> None:
        self._provider = provider
        self._journal = journal

    def all(self) -> dict[str, Operation]:
        return {
            "status": self.status,
            "verify": self.verify,
            "job.list": self.job_list,
            "job.retry": self.job_retry,
            "job.cancel": self.job_cancel,
            "job.release": self.job_release,
            "job.discard": self.job_discard,
        }

    async def status(self, arguments: dict[str, Any], progress: object) -> Any:
        """Servers, printers, jobs by state, and what is owed to whom."""
        return await self._provider.status()

    async def verify(self, arguments: dict[str, Any], progress: object) -> Any:
        """Check the journal's chain."""
        problems = await self._journal.read(verify_journal)
        return {"ok": not problems, "problems": problems}

    async def job_list(self, arguments: dict[str, Any], progress: object) -> Any:
        """All jobs the journal still has."""
        return [job_shown(job) for job in await self._journal.jobs()]

    async def job_retry(self, arguments: dict[str, Any], progress: object) -> Any:
        """Ask again for a held job."""
        return {"retried": self._provider.retry(str(arguments.get("job", "")))}

    async def job_release(self, arguments: dict[str, Any], progress: object) -> Any:
        """Print a held job, whoever is in reach."""
        job, printer = str(arguments.get("job", "")), str(arguments.get("printer") or "")
        answer = await self._provider.release(job, printer)
        return {"job": job, "answer": answer.answer}

    async def job_discard(self, arguments: dict[str, Any], progress: object) -> Any:
        """Delete a held job."""
        job = str(arguments.get("job", ""))
        return {"job": job, "answer": (await self._provider.discard(job)).answer}

    async def job_cancel(self, arguments: dict[str, Any], progress: object) -> Any:
        """Give up a job that does not print yet."""
        return {"canceled": self._provider.cancel(str(arguments.get("job", "")))}
