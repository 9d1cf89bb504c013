"""What people are to hear and have not acknowledged: in memory, bounded, for a day."""

from __future__ import annotations

from collections import OrderedDict

from papercutd.domain.person_messages import PersonMessage
from papercutd.environment import Environment

#: Messages of one person; the oldest go first.
MESSAGES_MAX = 50
#: People whose messages are kept; who got one longest ago is forgotten first.
PEOPLE_MAX = 5_000
KEPT_S = 86_400.0
#: Keys that were told of, by which one that is asked again is known.
TOLD_MAX = 20_000


class Inboxes:
    """By user."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._of: OrderedDict[int, OrderedDict[str, tuple[float, PersonMessage]]] = OrderedDict()
        self._told: OrderedDict[tuple[str, str], None] = OrderedDict()

    def keep(self, user: int, key: str, message: PersonMessage) -> bool:
        """Keep it until it is acknowledged; False: the same was told of ``key`` before."""
        told = (key, message.told.value)
        if told in self._told:
            return False
        self._told[told] = None
        if len(self._told) > TOLD_MAX:
            self._told.popitem(last=False)
        inbox = self._of.pop(user, None)
        if inbox is None:
            inbox = OrderedDict()
            if len(self._of) >= PEOPLE_MAX:
                self._of.popitem(last=False)
        inbox[message.id] = (self._env.now(), message)
        if len(inbox) > MESSAGES_MAX:
            inbox.popitem(last=False)
        self._of[user] = inbox
        return True

    def of(self, user: int) -> list[PersonMessage]:
        """Oldest first."""
        inbox = self._of.get(user)
        if inbox is None:
            return []
        since = self._env.now() - KEPT_S
        for id in [id for id, (at, _) in inbox.items() if at < since]:
            del inbox[id]
        return [message for _, message in inbox.values()]

    def acknowledge(self, user: int, message: str) -> None:
        inbox = self._of.get(user)
        if inbox is not None:
            inbox.pop(message, None)
            if not inbox:
                del self._of[user]
