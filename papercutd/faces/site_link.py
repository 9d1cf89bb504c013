"""The site link's server side, at the application server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import attrs
import msgspec

from papercutd import __version__
from papercutd.domain.chain import Position
from papercutd.domain.job import SessionRef
from papercutd.environment import Environment
from papercutd.errors import InvalidValue, NotFound
from papercutd.faces.provider import OpenList, answered
from papercutd.services import wire
from papercutd.services.application_server import ApplicationServer
from protocols.codes import Code
from protocols.endpoint import Session
from protocols.errors import Refusal
from protocols.handlers import Peer
from protocols.handshake import Hello, Welcome
from protocols.machine import Unspoken
from protocols.provider import messages
from protocols.site import messages as site


@attrs.define
class _Conversation:
    asker: SessionRef
    open_list: OpenList = attrs.field(factory=OpenList)


class SiteLinkFace:
    """Messages to service calls and back, for every site's session."""

    def __init__(self, env: Environment, service: ApplicationServer, name: str) -> None:
        self._env = env
        self._service = service
        self._name = name
        #: The demo's deliberate fault ``double-post``: answer no batch the first time.
        self.unanswered_batches = 0
        self._conversations: dict[Session, _Conversation] = {}
        self._verbs: dict[
            type, Callable[[Session, _Conversation, Any], Coroutine[Any, Any, Any]]
        ] = {
            messages.Authorize: self._authorize,
            messages.Open: self._open,
            messages.Ping: self._ping,
            messages.Relay: self._relay,
            site.Journal: self._journal,
            site.Subscribe: self._subscribe,
            site.Snapshot: self._snapshot,
            site.Chunk: self._chunk,
            site.Digests: self._digests,
            site.Resend: self._resend,
            site.Return: self._return,
            site.Parked: self._parked,
            site.Shared: self._shared,
        }

    async def hello(self, session: Session, hello: Hello) -> Welcome:
        if hello.role != "site":
            raise Refusal(Code.NOT_ALLOWED)
        return await answered(self._hello(session, hello))

    async def _hello(self, session: Session, hello: Hello) -> Welcome:
        welcome = await self._service.begin_site(
            hello.name,
            hello.journal,
            wire.mark_in(hello.mark),
            wire.position_in(hello.position),
            hello.software,
        )
        asker = SessionRef("site", hello.name, hello.journal, welcome.session)
        if session.is_over:
            await self._service.end_session(asker)
            self._service.sites.passed_over(asker.identity)
        else:
            session.tell_disconnected(self._forget)
            self._conversations[session] = _Conversation(asker)
        return Welcome(
            version=session.version,
            role="application",
            name=self._name,
            decider=self._service.decider,
            session=welcome.session,
            position=wire.position_out(welcome.head),
            seen=wire.mark_out(welcome.mark),
            replica="resume" if welcome.resume else "snapshot",
            software=__version__,
            clock=self._env.wall_s(),
        )

    def unspoken(self, peer: Peer, unspoken: Unspoken) -> None:
        self._service.sites.refuse(f"{peer.role}:{peer.name}", unspoken)

    def opened(self, session: Session) -> None:
        self._service.sites.enter(self._conversations[session].asker.identity, session)

    def request(self, session: Session, message: Any) -> Awaitable[Any]:
        conversation = self._conversations[session]
        return answered(self._verbs[type(message)](session, conversation, message))

    def event(self, session: Session, event: Any) -> None:
        if isinstance(event, site.Credit):
            self._service.feed.credit(session, event.bytes)

    def closed(self, session: Session, reason: str) -> None:
        self._service.feed.unsubscribe(session)
        self._service.snapshots.places.leave(session)
        conversation = self._conversations.pop(session, None)
        if conversation is not None:
            self._service.sites.leave(conversation.asker.identity, session)
            self._service.tasks.spawn(
                self._service.end_session(conversation.asker), "ending a site's session"
            )

    def _forget(self, session: Session) -> None:
        """The connection is gone; a session whose WELCOME was never sent is not ``closed``."""
        conversation = self._conversations.get(session)
        if conversation is not None:
            self.closed(session, "disconnected")
            self._service.sites.passed_over(conversation.asker.identity)

    async def _authorize(
        self, session: Session, conversation: _Conversation, message: messages.Authorize
    ) -> Any:
        if not message.provider or message.hedged:
            raise Refusal(Code.NOT_ALLOWED)
        request = wire.request_in(message, message.provider)
        return wire.decision_out(await self._service.authorize(conversation.asker, request))

    async def _open(
        self, session: Session, conversation: _Conversation, message: messages.Open
    ) -> Any:
        whole = conversation.open_list.add(message)
        if whole is None:
            return messages.OpenAnswer()
        return messages.OpenAnswer(await self._service.open_keys(conversation.asker, whole))

    async def _ping(
        self, session: Session, conversation: _Conversation, message: messages.Ping
    ) -> Any:
        position = wire.position_in(message.position)
        if position is not None:
            self._service.tasks.spawn(
                self._service.acknowledge_position(conversation.asker, position),
                "noting a site's position",
            )
        return messages.Pong(self._env.wall_s(), wire.position_out(self._service.position))

    async def _relay(
        self, session: Session, conversation: _Conversation, message: messages.Relay
    ) -> Any:
        if not message.provider:
            raise Refusal(Code.BAD_FIELDS)
        completion = wire.completion_in(message.complete, message.provider)
        return wire.receipt_out(await self._service.complete(conversation.asker, completion))

    async def _journal(
        self, session: Session, conversation: _Conversation, message: site.Journal
    ) -> Any:
        mark = await self._service.apply_journal(
            conversation.asker, message.stream, message.after, message.chain, message.records
        )
        if self.unanswered_batches > 0:
            self.unanswered_batches -= 1
            session.abort()
            raise Refusal(Code.UNAVAILABLE)
        return site.JournalAck(mark.number, mark.chain)

    async def _subscribe(
        self, session: Session, conversation: _Conversation, message: site.Subscribe
    ) -> Any:
        position = wire.position_in(message.position)
        assert position is not None
        self._service.snapshots.places.leave(session)
        site_name = conversation.asker.name
        credit = message.credit_bytes
        head = await self._service.subscribe(session, site_name, position, credit)
        return site.Subscribed(_wire_position(head))

    async def _snapshot(
        self, session: Session, conversation: _Conversation, message: site.Snapshot
    ) -> Any:
        assert session.hello is not None
        known = wire.position_in(session.hello.position)
        name = conversation.asker.name
        resume, forms = message.resume, (message.grouped, message.growing)
        kept = await self._service.snapshot(session, name, resume, known, *forms)
        position = _wire_position(kept.image.position)
        growing = not kept.making.is_over
        return site.SnapshotOffer(kept.id, position, len(kept.image.chunks), growing)

    async def _chunk(
        self, session: Session, conversation: _Conversation, message: site.Chunk
    ) -> Any:
        chunks = self._service.snapshots
        chunk, is_last = await chunks.chunk(session, message.snapshot, message.index)
        # As it was made: it is JSON already.
        return site.ChunkRows(msgspec.Raw(chunk), is_last)  # type: ignore[arg-type]

    async def _return(
        self, session: Session, conversation: _Conversation, message: site.Return
    ) -> Any:
        asker = conversation.asker
        self._service.recalls.returned(
            asker.identity, message.recall, asker.journal, message.number
        )
        return site.Returned()

    async def _digests(
        self, session: Session, conversation: _Conversation, message: site.Digests
    ) -> Any:
        try:
            query = (message.table, message.after, message.until, session.version)
            position, found = await self._service.digests(session, conversation.asker.name, query)
        except (NotFound, InvalidValue):
            raise Refusal(Code.BAD_FIELDS) from None
        listed = found.rows[: site.DIGEST_ROWS_MAX] if message.listed else []
        return site.DigestPage(
            _wire_position(position),
            found.count,
            found.digest,
            [[shown_key(key), digest] for key, digest in listed],
            more=message.listed and found.count > len(listed),
        )

    async def _resend(
        self, session: Session, conversation: _Conversation, message: site.Resend
    ) -> Any:
        try:
            position = await self._service.store.resend(message.table, message.keys)
        except NotFound:
            raise Refusal(Code.BAD_FIELDS) from None
        return site.Resent(_wire_position(position))

    async def _parked(
        self, session: Session, conversation: _Conversation, message: site.Parked
    ) -> Any:
        rows = await self._service.store.parked_of(conversation.asker.journal, message.after)
        return site.ParkedPage(
            [site.ParkedRecord(row["number"], row["kind"], row["code"]) for row in rows]
        )

    async def _shared(
        self, session: Session, conversation: _Conversation, message: site.Shared
    ) -> Any:
        places = [wire.mark_in(place) for place in message.places]
        return site.SharedPlace(await self._service.store.newest_shared(places))


def shown_key(key: int | bytes) -> int | str:
    """A key as it travels."""
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else key


def _wire_position(position: Position) -> Any:
    return wire.position_out(position)
