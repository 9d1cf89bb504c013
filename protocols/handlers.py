"""What a session needs of whoever uses it: interfaces, nothing of Twisted."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface

import attrs

from protocols.errors import Refusal
from protocols.handshake import Hello, Welcome
from protocols.received import Unspoken

if TYPE_CHECKING:
    from protocols.endpoint import Session


class Peer(Interface):
    """Who is at the other end, as its certificate says."""

    @property
    def role(self) -> str: ...

    @property
    def name(self) -> str: ...


@attrs.frozen
class NamedPeer:
    """A Peer by its words."""

    role: str
    name: str


class SessionHandler(Interface):
    """What a session is for. Every method is called in the reactor's thread."""

    def opened(self, session: Session) -> None:
        """The handshake is done; on the server the WELCOME has been written."""

    def request(self, session: Session, message: Any) -> Awaitable[Any]:
        """The answer to ``message``, of its ANSWER class.

        Raise Refusal to answer ``NO``; anything else is answered ``NO internal`` and
        logged. An answer that comes after the session's end is dropped.
        """

    def event(self, session: Session, event: Any) -> None:
        """The peer sent an event. An exception ends the session: a lost event would be a gap."""

    def closed(self, session: Session, reason: str) -> None:
        """The session is over: once for each ``opened``, before its calls errback.

        Never called from inside ``end`` or ``abort``. ``reason`` is for logs.
        """


class ServerHandler(SessionHandler, Interface):
    """The handler of a listening side."""

    def hello(self, session: Session, hello: Hello) -> Awaitable[Welcome]:
        """The answer to a HELLO whose identity is proved; raise Refusal to refuse it.

        ``session.version`` is the version to answer. May run when the session is
        over already (``session.is_over``); ``closed`` is not called for it then.
        """

    def unspoken(self, peer: Peer, unspoken: Unspoken) -> None:
        """``peer``, as its certificate says, was refused: no version in common."""


class ClientHandler(SessionHandler, Interface):
    """The handler of a connecting side."""

    def make_hello(self) -> Hello:
        """The HELLO to send now."""

    def refused(self, refusal: Refusal) -> None:
        """The server did not open the session; the connection closes."""
