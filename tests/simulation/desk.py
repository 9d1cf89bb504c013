"""A print server whose jobs somebody waits for, and a disk that takes its time for each row."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import LoopingCall

from papercutd.domain.chain import MARK_START
from papercutd.domain.document import Document, PageGroup
from papercutd.domain.job import Request
from papercutd.services import wire
from papercutd.services.link import Link, LinkSettings
from papercutd.storage.sqlite.writer import InlineWriter, take
from protocols.codes import Code
from protocols.common import Key
from protocols.endpoint import Session
from protocols.errors import Refusal, SessionLost
from protocols.handshake import Hello
from protocols.provider import messages
from protocols.provider.spec import PROVIDER
from tests.simulation.node import Node


class CostlyWriter(InlineWriter):
    """The writer of a busy server: each commit takes its time, each row it wrote too.

    A simulated batch of writes costs nothing of itself; here whoever comes later waits for it.
    """

    COMMIT_S = 0.003
    ROW_S = 0.0001

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        #: The most that waited at once, and the simulated seconds of work.
        self.most = 0
        self.worked_s = 0.0

    def _turn(self) -> None:
        if not self._queue:
            self._scheduled = False
            return
        self.most = max(self.most, len(self._queue))
        before = self.connection.total_changes
        batch = take(self._queue, self._batch_max)
        self._batch.run(batch)
        cost_s = self.COMMIT_S + self.ROW_S * (self.connection.total_changes - before)
        self.worked_s += cost_s
        self._clock.callLater(cost_s, self._done, batch)

    def _done(self, batch: list[Any]) -> None:
        self._scheduled = False
        for waiting in batch:
            waiting.answer.callback(waiting.result)
        if self._queue:
            self._schedule()


class Desk:
    """Asks the application server for one job after the other, over a real link of a provider.

    Every fourth is allowed and given back; of the others nobody knows whose they are.
    """

    EVERY_S = 0.5

    def __init__(self, node: Node, endpoint: Any, settings: LinkSettings, printer: int) -> None:
        assert node.clock is not None
        self._env = node.environment
        self._name = node.name
        self._printer = printer
        self._journal = self._env.new_id()
        self._asked = 0
        #: Seconds that each answer took, and what else came of a question.
        self.took_s: list[float] = []
        self.lost = 0
        self.suspected = 0
        self.allowed = 0
        self._asking = LoopingCall(self._ask)
        self._asking.clock = self._env.clock
        self.link = Link(self._env, endpoint, PROVIDER, self, settings)

    @property
    def owed(self) -> int:
        """Questions that were not answered."""
        return self._asked - len(self.took_s) - self.lost

    def start(self) -> None:
        """Ask from now on."""
        self._asking.start(self.EVERY_S)

    def stop(self) -> None:
        if self._asking.running:
            self._asking.stop()

    def _ask(self) -> None:
        self._asked += 1
        user = "staff" if self._asked % 4 == 0 else "nobody-we-know"
        document = Document((PageGroup("A4", 1, 0),))
        job = self._env.new_id()
        question = wire.request_out(
            Request(job, "submit-1", self._name, self._printer, user, document)
        )
        asked_at = self._env.now()

        def answered(decision: Any) -> Any:
            self.took_s.append(self._env.now() - asked_at)
            if decision.verdict != "allow":
                return None
            self.allowed += 1
            return self.link.request(messages.Cancel(job, "submit-1"))

        def not_answered(failure: Any) -> None:
            failure.trap(Refusal, SessionLost)
            self.lost += 1

        self.link.request(question).addCallback(answered).addErrback(not_answered)

    # As a LinkHandler.

    def make_hello(self) -> Hello:
        return Hello(
            versions=[2],
            role="provider",
            name=self._name,
            journal=self._journal,
            mark=wire.mark_sent(MARK_START),
        )

    def link_up(self, session: Session) -> None:
        keys: list[Key] = []
        session.call(messages.Open(page=0, last=True, keys=keys)).addErrback(
            lambda failure: failure.trap(Refusal, SessionLost)
        )

    def link_down(self, reason: str) -> None:
        """Seen by what is asked meanwhile."""

    def trust_changed(self, suspect: bool) -> None:
        self.suspected += suspect

    async def request(self, session: Session, message: Any) -> Any:
        raise Refusal(Code.UNKNOWN_VERB)

    def event(self, session: Session, event: Any) -> None:
        """Settings do not concern it."""

    def make_ping(self) -> messages.Ping:
        return messages.Ping()

    def pong(self, pong: messages.Pong) -> None:
        """Nothing is remembered of it."""

    def refused(self, code: Code) -> None:
        self.lost += 1
