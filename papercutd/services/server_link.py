"""The link to one of several servers, as a device and a person's client keep it.

Such a server asks nothing; whatever becomes of the link, its owner looks again at who serves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint

from papercutd.environment import Environment
from papercutd.services.link import Link, LinkSettings
from protocols.codes import Code
from protocols.endpoint import Session
from protocols.errors import Refusal
from protocols.handshake import Hello
from protocols.machine import ProtocolSpec
from protocols.provider.messages import Ping, Pong, ServerAddress


class ServerLink:
    """What any handler of such a link does; HELLO, sessions and events are its subclass's."""

    def __init__(
        self,
        env: Environment,
        address: ServerAddress,
        link: tuple[IStreamClientEndpoint, ProtocolSpec, LinkSettings],
        changed: Callable[[], None],
    ) -> None:
        self._env = env
        self._changed = changed
        self.address = address
        endpoint, spec, settings = link
        self.link = Link(env, endpoint, spec, self, settings)
        self.is_tried = False
        #: Why it refused us; empty: it did not.
        self.problem = ""

    def make_hello(self) -> Hello:
        raise NotImplementedError

    def link_up(self, session: Session) -> None:
        raise NotImplementedError

    def event(self, session: Session, event: Any) -> None:
        raise NotImplementedError

    # The same for all.

    def make_ping(self) -> Ping:
        return Ping(self._env.wall_s())

    def pong(self, pong: Pong) -> None:
        """There is nothing to learn from it."""

    def refused(self, code: Code) -> None:
        self.problem = code.value
        self._changed()

    def link_down(self, reason: str) -> None:
        self._changed()

    def trust_changed(self, suspect: bool) -> None:
        self._changed()

    async def request(self, session: Session, message: Any) -> Any:
        raise Refusal(Code.UNKNOWN_VERB)
