"""Who connects to an application server that does not write is told where to go.

All servers on one database are one to those who ask (design.md 4.5): only the one that writes
opens sessions, the others answer HELLO with ``NO not-writer``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from protocols.codes import Code
from protocols.endpoint import ServerHandler, Session
from protocols.errors import Refusal
from protocols.handlers import Peer
from protocols.handshake import Hello, Welcome
from protocols.machine import Unspoken


class Gate:
    """Whether this server writes; one for all its ports."""

    def __init__(self) -> None:
        self.is_open = True

    def check(self, servers: Sequence[str]) -> None:
        """Raises Refusal while it is shut; ``servers``: where to go, each host:port."""
        if not self.is_open:
            raise Refusal(Code.NOT_WRITER, {"servers": list(servers)})


class Gated:
    """``face`` behind ``gate``; without one nobody comes in."""

    def __init__(
        self,
        gate: Gate,
        servers: Callable[[], Sequence[str]],
        face: ServerHandler | None = None,
    ) -> None:
        self._gate = gate
        self._servers = servers
        self._face = face

    async def hello(self, session: Session, hello: Hello) -> Welcome:
        servers = self._servers()
        self._gate.check(servers)
        if self._face is None:
            raise Refusal(Code.NOT_WRITER, {"servers": list(servers)})
        return await self._face.hello(session, hello)

    def unspoken(self, peer: Peer, unspoken: Unspoken) -> None:
        if self._face is not None:
            self._face.unspoken(peer, unspoken)

    def opened(self, session: Session) -> None:
        self._opened_by().opened(session)

    def request(self, session: Session, message: Any) -> Awaitable[Any]:
        return self._opened_by().request(session, message)

    def event(self, session: Session, event: Any) -> None:
        self._opened_by().event(session, event)

    def closed(self, session: Session, reason: str) -> None:
        self._opened_by().closed(session, reason)

    def _opened_by(self) -> ServerHandler:
        assert self._face is not None
        return self._face
