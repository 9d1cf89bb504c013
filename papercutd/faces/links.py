"""Port 9195: providers and sites on one listener, told apart by what their certificates prove."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from protocols.codes import Code
from protocols.endpoint import ServerHandler, Session
from protocols.errors import Refusal
from protocols.handlers import Peer
from protocols.handshake import Hello, Welcome
from protocols.machine import ProtocolSpec, Unspoken
from protocols.provider import messages as provider
from protocols.site import messages as site

#: What a server on this port may receive and send, over all roles.
LINKS = ProtocolSpec(
    name="links",
    client_requests=tuple(dict.fromkeys((*provider.REQUESTS, *site.REQUESTS))),
    server_events=tuple(dict.fromkeys((*provider.SERVER_EVENTS, *site.SERVER_EVENTS))),
    client_events=tuple(dict.fromkeys((*provider.CLIENT_EVENTS, *site.CLIENT_EVENTS))),
    bye=provider.Bye,
)
#: Role by verb: what each role may ask at all. Whose objects it may touch is decided with
#: the object at hand: its own jobs and printers, a site's also those of its providers.
VERBS: dict[str, frozenset[type]] = {
    "provider": frozenset(provider.REQUESTS),
    "site": frozenset(site.REQUESTS),
}


class LinksFace:
    """Routes each session to the face of its role."""

    def __init__(self, faces: dict[str, ServerHandler]) -> None:
        self._faces = faces

    def _face(self, session: Session) -> ServerHandler:
        assert session.hello is not None
        return self._faces[session.hello.role]

    async def hello(self, session: Session, hello: Hello) -> Welcome:
        if hello.role not in self._faces:
            raise Refusal(Code.NOT_ALLOWED)
        return await self._face(session).hello(session, hello)

    def unspoken(self, peer: Peer, unspoken: Unspoken) -> None:
        if peer.role in self._faces:
            self._faces[peer.role].unspoken(peer, unspoken)

    def opened(self, session: Session) -> None:
        self._face(session).opened(session)

    async def request(self, session: Session, message: Any) -> Any:
        assert session.hello is not None
        if type(message) not in VERBS[session.hello.role]:
            raise Refusal(Code.NOT_ALLOWED)
        answer: Awaitable[Any] = self._face(session).request(session, message)
        return await answer

    def event(self, session: Session, event: Any) -> None:
        self._face(session).event(session, event)

    def closed(self, session: Session, reason: str) -> None:
        self._face(session).closed(session, reason)
