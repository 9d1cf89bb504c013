"""The provider protocol's server side: at the application server and at sites alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

import attrs
from twisted.logger import Logger

from papercutd import __version__
from papercutd.domain.chain import Mark, Position
from papercutd.domain.decision import Decision
from papercutd.domain.job import TOLD_NOTHING, Completion, Receipt, Request, SessionRef, Told
from papercutd.environment import Environment
from papercutd.services import wire
from papercutd.services.held_jobs import HeldJobs
from papercutd.services.sessions import Sessions
from papercutd.services.tasks import Tasks
from papercutd.storage.jobs.askers import OpenKey, Seen
from papercutd.storage.values import ProviderSettings
from protocols.codes import Code
from protocols.endpoint import Session
from protocols.errors import Refusal
from protocols.handlers import Peer
from protocols.handshake import Hello, Welcome
from protocols.machine import Unspoken
from protocols.provider import messages

_log = Logger()
T = TypeVar("T")
#: Pages of one OPEN list: bounds what a provider may make us remember.
OPEN_PAGES_MAX = 200
#: Keys of one ADOPT, and lines of a decision in it: a line of the protocol holds them.
ADOPT_KEYS_MAX, ADOPT_LINES_MAX = 50, 8


class ProviderService(Protocol):
    """What this face needs of a server."""

    role: str
    providers: Sessions
    held: HeldJobs
    tasks: Tasks

    @property
    def position(self) -> Position | None: ...
    @property
    def address(self) -> tuple[str, int] | None: ...
    @property
    def decider(self) -> str: ...

    async def begin_provider(
        self,
        name: str,
        journal: str,
        mark: Mark,
        software: str,
        told: Told = TOLD_NOTHING,
    ) -> Seen: ...
    async def end_session(self, asker: SessionRef) -> None: ...
    async def authorize(self, asker: SessionRef, request: Request) -> Decision: ...
    async def complete(self, asker: SessionRef, completion: Completion) -> Receipt: ...
    async def cancel(self, asker: SessionRef, key: str, reason: str) -> None: ...
    async def open_keys(self, asker: SessionRef, keys: Sequence[str]) -> int: ...
    async def relay(self, asker: SessionRef, completion: Completion) -> Receipt: ...
    async def settings(self, provider: str) -> ProviderSettings: ...
    async def lost_keys(self, identity: str) -> list[tuple[str, list[OpenKey]]]: ...
    async def acknowledge_position(self, asker: SessionRef, position: Position) -> None: ...


@attrs.define
class OpenList:
    """The pages of an OPEN list received so far."""

    keys: list[str] = attrs.field(factory=list)
    pages: int = 0

    def add(self, message: messages.Open) -> list[str] | None:
        """The whole list once the last page is in; raises Refusal for a page out of order."""
        if message.page == 0:
            self.keys, self.pages = [], 0
        if message.page != self.pages or self.pages >= OPEN_PAGES_MAX:
            raise Refusal(Code.WRONG_STATE)
        self.pages += 1
        self.keys.extend(f"{key.job}/{key.step}" for key in message.keys)
        if not message.last:
            return None
        whole, self.keys, self.pages = self.keys, [], 0
        return whole


class Welcoming(Protocol):
    """What a WELCOME says of a server."""

    role: str

    @property
    def position(self) -> Position | None: ...
    @property
    def decider(self) -> str: ...


def _adopt_key(key: OpenKey) -> messages.AdoptKey:
    job, step = key.key.split("/", 1)
    is_short = len(key.decision.lines) <= ADOPT_LINES_MAX
    decision = wire.decision_out(key.decision) if is_short else None
    return messages.AdoptKey(job, step, key.job_uuid, decision)


def make_welcome(
    env: Environment, service: Welcoming, name: str, session: Session, seen: Seen
) -> Welcome:
    """The answer to an asker's HELLO."""
    return Welcome(
        version=session.version,
        role=service.role,
        name=name,
        decider=service.decider,
        session=seen.session,
        position=wire.position_out(service.position),
        seen=wire.mark_out(seen.mark),
        software=__version__,
        clock=env.wall_s(),
    )


async def answered(work: Coroutine[Any, Any, T]) -> T:
    """``work``, its errors of the product turned into refusals."""
    try:
        return await work
    except Refusal:
        raise
    except Exception as error:
        refusal = wire.to_refusal(error)
        if refusal is None:
            raise
        raise refusal from error


@attrs.define
class _Conversation:
    asker: SessionRef
    open_list: OpenList = attrs.field(factory=OpenList)


class ProviderFace:
    """Messages to service calls and back, for every provider's session."""

    def __init__(self, env: Environment, service: ProviderService, name: str) -> None:
        self._env = env
        self._service = service
        self._name = name
        self._conversations: dict[Session, _Conversation] = {}
        self._verbs: dict[type, Callable[[_Conversation, Any], Coroutine[Any, Any, Any]]] = {
            messages.Authorize: self._authorize,
            messages.Complete: self._complete,
            messages.Cancel: self._cancel,
            messages.Open: self._open,
            messages.Ping: self._ping,
            messages.Relay: self._relay,
            messages.Held: self._held,
            messages.Released: self._released,
        }

    async def hello(self, session: Session, hello: Hello) -> Welcome:
        if hello.role != "provider":
            raise Refusal(Code.NOT_ALLOWED)
        return await answered(self._hello(session, hello))

    async def _hello(self, session: Session, hello: Hello) -> Welcome:
        service = self._service
        seen = await service.begin_provider(
            *(hello.name, hello.journal, wire.mark_in(hello.mark), hello.software),
            wire.told_in(hello),
        )
        asker = SessionRef("provider", hello.name, hello.journal, seen.session)
        if session.is_over:
            await service.end_session(asker)
            service.providers.passed_over(asker.identity)
        else:
            session.tell_disconnected(self._forget)
            self._conversations[session] = _Conversation(asker)
        return make_welcome(self._env, service, self._name, session, seen)

    def unspoken(self, peer: Peer, unspoken: Unspoken) -> None:
        self._service.providers.refuse(f"{peer.role}:{peer.name}", unspoken)

    def opened(self, session: Session) -> None:
        conversation = self._conversations[session]
        self._service.providers.enter(conversation.asker.identity, session)
        self._service.tasks.spawn(self._greet(session, conversation), "greeting a provider")

    async def _greet(self, session: Session, conversation: _Conversation) -> None:
        asker = conversation.asker
        await self._send_config(session, asker.name)
        # Each time: nobody knows whether it was heard before, and what is settled is told no more.
        for journal, keys in await self._service.lost_keys(asker.identity):
            for start in range(0, max(len(keys), 1), ADOPT_KEYS_MAX):
                page = [_adopt_key(key) for key in keys[start : start + ADOPT_KEYS_MAX]]
                last = start + ADOPT_KEYS_MAX >= len(keys)
                session.notify(messages.Adopt(journal, page, last))

    def push_settings(self) -> None:
        """Tell every connected provider its settings again."""
        for session, conversation in list(self._conversations.items()):
            if session.is_open:
                self._service.tasks.spawn(
                    self._send_config(session, conversation.asker.name), "sending settings"
                )

    async def _send_config(self, session: Session, provider: str) -> None:
        settings = await self._service.settings(provider)
        for page in wire.config_out(settings, self._service.position, self._service.address):
            session.notify(page)

    def request(self, session: Session, message: Any) -> Awaitable[Any]:
        return answered(self._verbs[type(message)](self._conversations[session], message))

    def event(self, session: Session, event: Any) -> None:
        """A provider's held jobs changed; BYE is the session's business."""
        if isinstance(event, messages.HeldChanged):
            self._service.held.changed(self._conversations[session].asker.name, event)

    def closed(self, session: Session, reason: str) -> None:
        conversation = self._conversations.pop(session, None)
        if conversation is None:
            return
        self._service.providers.leave(conversation.asker.identity, session)
        self._service.tasks.spawn(
            self._service.end_session(conversation.asker), "ending a provider's session"
        )

    def _forget(self, session: Session) -> None:
        """The connection is gone; a session whose WELCOME was never sent is not ``closed``."""
        conversation = self._conversations.get(session)
        if conversation is not None:
            self.closed(session, "disconnected")
            self._service.providers.passed_over(conversation.asker.identity)

    async def _authorize(self, conversation: _Conversation, message: messages.Authorize) -> Any:
        asker = conversation.asker
        decision = await self._service.authorize(asker, wire.request_in(message, asker.name))
        return wire.decision_out(decision)

    async def _complete(self, conversation: _Conversation, message: messages.Complete) -> Any:
        asker = conversation.asker
        receipt = await self._service.complete(asker, wire.completion_in(message, asker.name))
        return wire.receipt_out(receipt)

    async def _cancel(self, conversation: _Conversation, message: messages.Cancel) -> Any:
        key = f"{message.job}/{message.step}"
        await self._service.cancel(conversation.asker, key, message.reason)
        return messages.Done()

    async def _open(self, conversation: _Conversation, message: messages.Open) -> Any:
        whole = conversation.open_list.add(message)
        if whole is None:
            return messages.OpenAnswer()
        return messages.OpenAnswer(await self._service.open_keys(conversation.asker, whole))

    async def _ping(self, conversation: _Conversation, message: messages.Ping) -> Any:
        position = wire.position_in(message.position)
        if position is not None:
            self._service.tasks.spawn(
                self._service.acknowledge_position(conversation.asker, position),
                "noting a provider's position",
            )
        return messages.Pong(self._env.wall_s(), wire.position_out(self._service.position))

    async def _held(self, conversation: _Conversation, message: messages.Held) -> Any:
        self._service.held.page(conversation.asker.name, message)
        return messages.Done()

    async def _released(self, conversation: _Conversation, message: messages.Released) -> Any:
        self._service.held.released(message)
        return messages.Done()

    async def _relay(self, conversation: _Conversation, message: messages.Relay) -> Any:
        asker = conversation.asker
        completion = wire.completion_in(message.complete, asker.name)
        return wire.receipt_out(await self._service.relay(asker, completion))
