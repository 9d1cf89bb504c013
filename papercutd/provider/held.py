"""The jobs that a provider holds, and what it tells its servers of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.internet.interfaces import IReactorTime

from papercutd.domain.account_choice import ASKED
from papercutd.provider.journal import Job
from protocols.provider import messages

#: Jobs of one HELD page, and of one HELD-CHANGED.
PAGE_JOBS = 100


class HeldJobs:
    """Held jobs by their id. ``tell`` hears of changes, those of one instant together."""

    def __init__(self, clock: IReactorTime, tell: Callable[[messages.HeldChanged], None]) -> None:
        self._clock = clock
        self._tell = tell
        self._jobs: dict[str, Job] = {}
        self._changed: dict[str, Job | None] = {}
        #: Called with each job that is held from now on.
        self.on_put: Callable[[Job], None] = lambda job: None
        #: The settings of a printer.
        self.setting_of: Callable[[int], messages.PrinterSetting | None] = lambda printer: None

    def put(self, job: Job) -> None:
        """It is held from now on."""
        self._jobs[job.job] = job
        self._note(job.job, job)
        self.on_put(job)

    def take(self, job: str) -> Job | None:
        """It is held no more: whoever takes it is the only one to go on with it."""
        found = self._jobs.pop(job, None)
        if found is not None:
            self._note(job, None)
        return found

    def all(self) -> list[Job]:
        """Held jobs, in the order in which they came to be held."""
        return list(self._jobs.values())

    def pages(self) -> Iterator[messages.Held]:
        """Every held job; each page says what is so at the moment it is asked for."""
        waiting = list(self._jobs)
        number = 0
        while True:
            listed, waiting = waiting[:PAGE_JOBS], waiting[PAGE_JOBS:]
            jobs = [self._announced(self._jobs[job]) for job in listed if job in self._jobs]
            yield messages.Held(page=number, last=not waiting, jobs=jobs)
            if not waiting:
                return
            number += 1

    def _note(self, job: str, change: Job | None) -> None:
        if not self._changed:
            self._clock.callLater(0, self._flush)
        self._changed[job] = change

    def _flush(self) -> None:
        changed, self._changed = self._changed, {}
        names = list(changed)
        for start in range(0, len(names), PAGE_JOBS):
            page = {name: changed[name] for name in names[start : start + PAGE_JOBS]}
            self._tell(
                messages.HeldChanged(
                    jobs=[self._announced(job) for job in page.values() if job is not None],
                    gone=[name for name, job in page.items() if job is None],
                )
            )

    def _announced(self, job: Job) -> messages.HeldJob:
        return announced(job, self.setting_of(job.printer))


def announced(job: Job, setting: messages.PrinterSetting | None = None) -> messages.HeldJob:
    """A held job as servers list it."""
    document, decision = job.document, job.decision
    return messages.HeldJob(
        job=job.job,
        printer=job.printer,
        user_name=job.user_name,
        reason=job.reason,
        user=None if decision is None else decision.user,
        title=job.title,
        pages=0 if document is None else document.pages,
        copies=job.copies,
        colour=document is not None and any(group.colour for group in document.groups),
        duplex=job.duplex,
        amount_e4=None if decision is None else decision.amount_e4,
        held_at=job.held_at,
        printer_name="" if setting is None else setting.name[:255],
        choice_due_at=job.choice_due_at or _deleted_at(job, setting),
        chosen=job.chosen,
    )


def _deleted_at(job: Job, setting: messages.PrinterSetting | None) -> float:
    """When a job that waits for its person is deleted; 0: it does not wait for them."""
    if job.reason not in ASKED or setting is None:
        return 0.0
    return job.held_at + setting.held_max_s
