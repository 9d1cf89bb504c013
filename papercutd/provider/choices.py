"""Jobs that wait for their person to say who pays, and what happens when nobody does (4.7)."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall

from papercutd.domain.account_choice import ASKED
from papercutd.domain.decision import APPLICATION, Decision, Reason
from papercutd.environment import Environment
from papercutd.provider.held import HeldJobs
from papercutd.provider.journal import Job

#: Seconds after which a step that no server answered is asked again.
AGAIN_S = 30.0


@attrs.define
class Choices:
    """Keeps the time: it is in the journal until when each job waits, by the wall clock."""

    env: Environment
    held: HeldJobs
    #: How long a person is waited for, as the settings say now.
    timeout_s: Callable[[], float]
    #: Nobody has answered: the job, which is held by nobody any more, takes its next step.
    go_on: Callable[[Job], None]
    _timers: dict[str, IDelayedCall] = attrs.field(factory=dict, init=False)

    def due_at(self, job: Job, decision: Decision) -> float:
        """Until when ``job`` waits for its person after this answer; 0: it does not."""
        if decision.allowed or decision.ask is None:
            return 0.0
        if not decision.ask and decision.decider != APPLICATION:
            # A cut site, at which the person cannot be asked.
            return self.env.wall_s()
        return job.choice_due_at or self.env.wall_s() + self.timeout_s()

    def due_again_at(self, job: Job, reason: str) -> float:
        """The same where no server answered."""
        if reason not in ASKED:
            return 0.0
        return max(job.choice_due_at, self.env.wall_s() + AGAIN_S)

    @staticmethod
    def reason_of(job: Job) -> str:
        """Why a job is held again whose release came to nothing."""
        return job.reason if job.reason in ASKED else Reason.RELEASE.value

    def watch(self, job: Job) -> None:
        """``job`` is held from now on; after a restart as well."""
        former = self._timers.pop(job.job, None)
        if former is not None and former.active():
            former.cancel()
        if not job.choice_due_at:
            return
        # A wall clock that was put back keeps nobody for longer than from now on.
        left_s = min(job.choice_due_at - self.env.wall_s(), max(self.timeout_s(), AGAIN_S))
        self._timers[job.job] = self.env.clock.callLater(max(left_s, 0.0), self._due, job)

    def stop(self) -> None:
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._timers.clear()

    def _due(self, job: Job) -> None:
        self._timers.pop(job.job, None)
        held = self.held.take(job.job)
        if held is None:
            # It was released, deleted or asked for again.
            return
        self.go_on(held)
