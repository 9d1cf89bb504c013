"""Money asked back from sites before anybody is refused for want of it (design 4.10)."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred

from papercutd.environment import Environment
from papercutd.services.sessions import Sessions
from papercutd.storage.money.allowances import Shortage
from protocols.site.messages import RECALL_USERS_MAX, Recall

#: Seconds that a refusal waits for what sites give back, in all.
RECALL_S = 0.3


@attrs.define(eq=False)
class _Waiting:
    """One recall: sites that have not answered, and records that are not applied yet."""

    done: Deferred[None]
    unanswered: set[str]
    #: Number of the awaited record, by stream.
    records: dict[str, int] = attrs.field(factory=dict)
    #: Some site had something left.
    has_returned: bool = False

    def check(self) -> None:
        if not self.unanswered and not self.records and not self.done.called:
            self.done.callback(None)


class Recalls:
    """The recalls under way."""

    def __init__(self, env: Environment, sites: Sessions) -> None:
        self._env = env
        self._sites = sites
        self._waiting: dict[str, _Waiting] = {}
        #: The last record applied of each stream that has given something back.
        self._applied: dict[str, int] = {}
        #: How many were sent, and how many were not answered in time: shown by status.
        self.sent = 0
        self.late = 0

    async def recall(self, shortage: Shortage, limit_s: float = RECALL_S) -> bool:
        """Ask the sites that hold some of it; whether they gave something back in time."""
        recall = self._env.new_id()
        waiting = self._waiting[recall] = _Waiting(Deferred(), set(shortage.sites))
        users = list(shortage.users[:RECALL_USERS_MAX])
        for identity in shortage.sites:
            session = self._sites.get(identity)
            if session is None or not session.is_open:
                waiting.unanswered.discard(identity)
            else:
                session.notify(Recall(recall, users, shortage.missing_e4))
        self.sent += 1
        waiting.check()
        timer = self._env.clock.callLater(limit_s, self._late, waiting)
        try:
            await waiting.done
            return waiting.has_returned
        finally:
            del self._waiting[recall]
            if timer.active():
                timer.cancel()

    def returned(self, identity: str, recall: str, stream: str, number: int) -> None:
        """A site has journalled what it gives back as record ``number``; 0: it has nothing."""
        waiting = self._waiting.get(recall)
        if waiting is None or identity not in waiting.unanswered:
            return
        waiting.unanswered.discard(identity)
        waiting.has_returned |= number > 0
        if number > self._applied.get(stream, 0):
            waiting.records[stream] = number
        waiting.check()

    def applied(self, stream: str, number: int) -> None:
        """The journal of ``stream`` is applied up to ``number``."""
        self._applied[stream] = number
        for waiting in list(self._waiting.values()):
            if waiting.records.get(stream, number + 1) <= number:
                del waiting.records[stream]
                waiting.check()

    def _late(self, waiting: _Waiting) -> None:
        if not waiting.done.called:
            self.late += 1
            waiting.done.callback(None)
