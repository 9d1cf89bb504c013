"""Asking for one key: who is asked, when the other is, and whose answer is taken (4.1, 4.5)."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from papercutd.domain.decision import SOFT_REASONS, Decision
from papercutd.domain.job import Request
from papercutd.environment import Environment
from papercutd.services import wire
from protocols.codes import Code
from protocols.endpoint import Session
from protocols.errors import LocalProtocolError, Refusal

#: Seconds after the first request at which the other server is asked.
HEDGE_AFTER_S = 1.0
#: ... at which a refusal by the server asked second is final.
REFUSAL_FINAL_S = 1.6
#: ... after which nobody is waited for.
GIVE_UP_S = 2.0
#: Seconds after which servers that were all busy are asked again.
BUSY_AGAIN_S = 0.25
#: Answers that mean: this server cannot decide this, now or later. Every other NO
#: says only that it does not now.
CANNOT_DECIDE = frozenset(
    {
        *(Code.UNKNOWN_PRINTER, Code.NOT_YOURS, Code.NOT_ALLOWED, Code.BAD_FIELDS),
        *(Code.TOO_LONG, Code.UNKNOWN_VERB),
    }
)


class Askable(Protocol):
    """What asking needs of a Link."""

    @property
    def session(self) -> Session | None: ...
    @property
    def suspect(self) -> bool: ...
    def request(self, message: object) -> Deferred[Any]: ...


@attrs.define(eq=False)
class Server:
    """One server as an asker sees it."""

    link: Askable
    #: What a decision of this server settles with: ``application`` or its stream.
    decider: Callable[[], str]

    @property
    def is_up(self) -> bool:
        return self.link.session is not None

    @property
    def is_usable(self) -> bool:
        return self.is_up and not self.link.suspect


class Outcome(enum.Enum):
    """How the asking of a key ended."""

    DECIDED = "decided"
    #: Nobody answered in time, or nobody is there: the tracker.
    ALONE = "alone"
    #: The key is void: open the next step.
    VOIDED = "voided"
    #: The key is settled: its paper is known, ours is forgotten.
    SETTLED = "settled"
    #: Every server says it cannot decide this.
    REFUSED = "refused"


@attrs.frozen
class Answer:
    """The outcome, and with DECIDED the decision and its giver's name."""

    outcome: Outcome
    decision: Decision | None = None
    giver: str = ""
    code: str = ""


class Asking:
    """One key's asking. ``on_other`` hears of every other or later answer: it is cancelled.

    Errbacks with LocalProtocolError where the question cannot be put.
    """

    def __init__(
        self,
        env: Environment,
        preferred: Server,
        other: Server | None,
        request: Request,
        on_other: Callable[[str, Decision], None],
    ) -> None:
        self._env = env
        self._servers = [preferred] if other is None else [preferred, other]
        self._request = request
        self._on_other = on_other
        self._result: Deferred[Answer] = Deferred()
        self._first: Server | None = None
        self._asked: list[Server] = []
        #: Asked, and said that it does not decide now.
        self._busy: list[Server] = []
        self._outstanding: set[Server] = set()
        self._refused: list[str] = []
        self._soft: Answer | None = None
        self._is_late_soft = False
        self._timers: list[IDelayedCall] = []
        self._is_done = False

    def run(self) -> Deferred[Answer]:
        """Ask; fires exactly once, at the latest after 2 s."""
        order = self._order()
        if not order:
            self._finish(Answer(Outcome.ALONE))
            return self._result
        later = self._env.clock.callLater
        self._timers = [
            later(HEDGE_AFTER_S, self._ask_next),
            later(REFUSAL_FINAL_S, self._refusals_are_final),
            later(GIVE_UP_S, self._give_up),
        ]
        self._servers = order
        self._first = order[0]
        self._ask(order[0])
        return self._result

    def _order(self) -> list[Server]:
        """Who is asked first: the preferred if usable, else the other. Empty: nobody is there."""
        if not any(server.is_up for server in self._servers):
            return []
        # Who is not there now may be when the other has not answered.
        return sorted(self._servers, key=lambda server: (not server.is_up, not server.is_usable))

    def _ask_next(self) -> None:
        if self._is_done:
            return
        for server in self._servers:
            if server not in self._asked and server.is_up:
                self._ask(server)
                return
        self._check_nobody_left()

    def _ask(self, server: Server) -> None:
        self._asked.append(server)
        self._outstanding.add(server)
        message = wire.request_out(self._request, hedged=server is not self._first)
        giver = server.decider()
        server.link.request(message).addCallbacks(
            lambda answer: self._answered(answer, server, giver),
            lambda failure: self._failed(failure, server),
        )

    def _answered(self, answer: Any, server: Server, giver: str) -> None:
        self._outstanding.discard(server)
        decision = wire.decision_in(answer)
        if self._is_done:
            self._on_other(giver, decision)
            return
        found = Answer(Outcome.DECIDED, decision, giver)
        soft = not decision.allowed and decision.reason in SOFT_REASONS
        is_second = server is not self._first and self._first in self._outstanding
        if soft and is_second and not self._is_late_soft:
            self._soft = found
            return
        self._finish(found)

    def _failed(self, failure: Failure, server: Server) -> None:
        self._outstanding.discard(server)
        if self._is_done:
            return
        error = failure.value
        if isinstance(error, LocalProtocolError):
            # No server would read the question: nobody has answered it, and nobody was away.
            self._finish(failure)
            return
        if isinstance(error, Refusal):
            if error.code is Code.VOIDED:
                self._finish(Answer(Outcome.VOIDED))
                return
            if error.code is Code.SETTLED:
                self._finish(Answer(Outcome.SETTLED))
                return
            if error.code in CANNOT_DECIDE:
                self._refused.append(error.code.value)
            else:
                self._busy.append(server)
        if self._soft is not None and server is self._first:
            # The better informed will not answer any more.
            self._finish(self._soft)
            return
        self._ask_next()

    def _refusals_are_final(self) -> None:
        self._is_late_soft = True
        if self._soft is not None:
            self._finish(self._soft)

    def _check_nobody_left(self) -> None:
        if self._outstanding:
            return
        if self._soft is None and any(server.is_up for server in self._busy):
            self._timers.append(self._env.clock.callLater(BUSY_AGAIN_S, self._ask_busy))
        else:
            self._give_up()

    def _ask_busy(self) -> None:
        busy, self._busy = self._busy, []
        self._asked = [server for server in self._asked if server not in busy]
        self._ask_next()

    def _give_up(self) -> None:
        """Nobody is waited for any more; one who cannot decide is not nobody."""
        if self._soft is not None:
            self._finish(self._soft)
        elif self._refused:
            self._finish(Answer(Outcome.REFUSED, code=self._refused[-1]))
        else:
            self._finish(Answer(Outcome.ALONE))

    def _finish(self, answer: Answer | Failure) -> None:
        if self._is_done:
            return
        self._is_done = True
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        kept = self._soft
        if kept is not None and kept is not answer:
            assert kept.decision is not None
            self._on_other(kept.giver, kept.decision)
        # A Failure passed to callback() starts the errback chain.
        self._result.callback(answer)
