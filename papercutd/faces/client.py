"""The client protocol's server side: at the application server and at sites alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall

from papercutd import __version__
from papercutd.domain.account_choice import Choice, Chosen, Question
from papercutd.domain.chain import Position
from papercutd.domain.person_messages import PersonMessage
from papercutd.environment import Environment
from papercutd.errors import Rejected
from papercutd.faces.provider import answered
from papercutd.faces.shared_answers import account_list, fields_of, jobs_after, locked_out
from papercutd.services.attempts import LockedOut
from papercutd.services.clients import Clients, ClientSession
from papercutd.services.tasks import Tasks
from papercutd.storage.values import Purse
from protocols.client import messages
from protocols.codes import Code
from protocols.device.messages import PurseLine
from protocols.endpoint import Session, SessionServerFactory
from protocols.errors import Refusal
from protocols.handlers import NamedPeer, Peer
from protocols.handshake import Hello, Welcome
from protocols.machine import Unspoken
from protocols.provider import messages as provider

#: Jobs and accounts of one page.
PAGE_MAX = 100
#: Seconds from the handshake to the end of a session nobody has logged in at.
LOG_IN_S = 60.0
#: Attempts to log in that one session may fail.
LOG_INS_MAX = 5
#: Connections of one server, logged in or not, and those at which nobody has logged in yet.
CONNECTIONS_MAX = 12_000
STRANGERS_MAX = 2_000
BUSY_S = 10.0


class ClientService(Protocol):
    """What this face needs of a server."""

    role: str
    clients: Clients
    tasks: Tasks

    @property
    def position(self) -> Position | None: ...
    @property
    def decider(self) -> str: ...
    @property
    def state(self) -> str: ...


class ClientSessionFactory(SessionServerFactory):
    """Sessions of clients: whoever it is proves it with LOGIN, not with a certificate."""

    def identify(self, session: Session, hello: Hello) -> Peer:
        if hello.role != "client":
            raise Refusal(Code.IDENTITY)
        return NamedPeer("client", hello.name)


def nobody(transport: object) -> Peer:
    """What a client's certificate says: it has none."""
    raise Refusal(Code.IDENTITY)


@attrs.define(eq=False)
class _Conversation:
    session: Session
    address: str
    client: ClientSession | None = None
    timer: IDelayedCall | None = None
    failed: int = 0
    is_logging_in: bool = False
    #: What it was told last of the balance.
    shown: messages.BalanceChanged | None = None

    # As clients are reached.

    def question(self, question: Question, left_s: float) -> None:
        self.session.notify(
            messages.Question(
                job=question.job,
                printer=question.printer,
                printer_name=question.printer_name,
                title=question.title,
                pages=question.pages,
                amount_e4=question.amount_e4,
                kind=question.kind,
                may_choose_personal=question.may_choose_personal,
                deadline_s=round(left_s, 3),
            )
        )

    def withdrawn(self, job: str, reason: str) -> None:
        self.session.notify(messages.Withdrawn(job, reason))

    def balance(self, purse: Purse, state: str) -> None:
        available_e4 = _available(purse, state)
        changed = messages.BalanceChanged(purse.balance_e4, available_e4, purse.promised_e4)
        if changed != self.shown:
            self.shown = changed
            self.session.notify(changed)

    def message(self, message: PersonMessage) -> None:
        self.session.notify(_message(message))

    def state(self, state: str) -> None:
        self.session.notify(messages.StateChanged(state))

    def end(self, code: Code) -> None:
        self.session.end(code)


class ClientFace:
    """Messages to service calls and back, for every client's session."""

    def __init__(
        self,
        env: Environment,
        service: ClientService,
        name: str,
        ca_pem: Callable[[], bytes],
    ) -> None:
        self._env = env
        self._service = service
        self._name = name
        self._ca_pem = ca_pem
        self._count = self._strangers = 0
        self._conversations: dict[Session, _Conversation] = {}
        self._verbs: dict[type, Callable[[ClientSession, Any], Coroutine[Any, Any, Any]]] = {
            messages.Balance: self._balance,
            messages.Accounts: self._accounts,
            messages.Jobs: self._jobs,
            messages.Answer: self._answer,
            messages.Messages: self._messages,
            messages.Acknowledge: self._acknowledge,
        }

    async def hello(self, session: Session, hello: Hello) -> Welcome:
        if self._service.position is None:
            # Without a replica nobody is known here.
            raise Refusal(Code.UNAVAILABLE)
        self._count += 1
        return Welcome(
            version=session.version,
            role=self._service.role,
            name=self._name,
            decider=self._service.decider,
            session=self._count,
            software=__version__,
            clock=self._env.wall_s(),
        )

    def unspoken(self, peer: Peer, unspoken: Unspoken) -> None:
        """Anybody may say anything here: nothing is kept of it."""

    def opened(self, session: Session) -> None:
        conversation = _Conversation(session, _address_of(session))
        self._conversations[session] = conversation
        self._strangers += 1
        if self._strangers > STRANGERS_MAX:
            session.end(Code.BUSY, BUSY_S)
            return
        conversation.timer = self._env.clock.callLater(LOG_IN_S, session.end, Code.TIMEOUT)
        self._service.tasks.spawn(self._tell_servers(session), "telling a client the servers")

    async def _tell_servers(self, session: Session) -> None:
        servers = await self._service.clients.places.servers()
        session.notify(
            messages.Servers(
                servers=[provider.ServerAddress(*address) for address in servers],
                ca=self._ca_pem().decode(),
            )
        )

    def request(self, session: Session, message: Any) -> Awaitable[Any]:
        conversation = self._conversations[session]
        return answered(self._done(conversation, message))

    async def _done(self, conversation: _Conversation, message: Any) -> Any:
        if isinstance(message, provider.Ping):
            return provider.Pong(self._env.wall_s())
        if isinstance(message, messages.Login):
            return await self._login(conversation, message)
        if conversation.client is None:
            raise Refusal(Code.NO_LOGIN)
        return await self._verbs[type(message)](conversation.client, message)

    def event(self, session: Session, event: Any) -> None:
        """Clients say BYE only, which the session handles."""

    def closed(self, session: Session, reason: str) -> None:
        conversation = self._conversations.pop(session, None)
        if conversation is None:
            return
        if conversation.timer is not None and conversation.timer.active():
            conversation.timer.cancel()
        if conversation.client is not None:
            self._service.clients.left(conversation.client)
        else:
            self._strangers -= 1

    # Verbs.

    async def _login(self, conversation: _Conversation, message: messages.Login) -> Any:
        if conversation.client is not None or conversation.is_logging_in:
            raise Refusal(Code.WRONG_STATE)
        conversation.is_logging_in = True
        try:
            client, purse = await self._service.clients.log_in(
                *(message.user, message.password, message.token),
                *(conversation.address, conversation),
            )
        except LockedOut as locked:
            raise locked_out(locked) from None
        except Rejected as rejected:
            if rejected.code == "bad-credentials":
                conversation.failed += 1
                if conversation.failed >= LOG_INS_MAX:
                    conversation.session.end(Code.BAD_CREDENTIALS)
            raise
        finally:
            conversation.is_logging_in = False
        session = conversation.session
        if session.is_over:
            self._service.clients.left(client)
            raise Refusal(Code.STALE_SESSION)
        conversation.client = client
        self._strangers -= 1
        if conversation.timer is not None and conversation.timer.active():
            conversation.timer.cancel()
        # What waited is said after the answer.
        self._env.clock.callLater(0, self._begin, conversation)
        person, balance_e4, available_e4 = client.person, purse.balance_e4, self._available(purse)
        conversation.shown = messages.BalanceChanged(balance_e4, available_e4, purse.promised_e4)
        return messages.Person(
            user=person.user,
            user_name=person.name,
            full_name=person.full_name,
            balance_e4=balance_e4,
            available_e4=available_e4,
            promised_e4=purse.promised_e4,
            held=len(self._service.clients.jobs(client)),
            state=self._service.state,
            purses=_purses(purse),
            token=client.proof.token,
            token_ends_at=client.proof.token_ends_at,
        )

    def _begin(self, conversation: _Conversation) -> None:
        client = conversation.client
        if client is not None and conversation.session.is_open:
            work = self._service.clients.begin(client)
            self._service.tasks.spawn(work, "asking a client what waited")

    async def _balance(self, client: ClientSession, message: messages.Balance) -> Any:
        purse = await self._service.clients.purse(client)
        return messages.Purse(
            balance_e4=purse.balance_e4,
            available_e4=self._available(purse),
            promised_e4=purse.promised_e4,
            state=self._service.state,
            purses=_purses(purse),
        )

    async def _accounts(self, client: ClientSession, message: messages.Accounts) -> Any:
        asked = message.find, message.pin, message.after
        try:
            found = await self._service.clients.accounts(client, *asked, PAGE_MAX + 1)
        except LockedOut as locked:
            raise locked_out(locked) from None
        return account_list(found, PAGE_MAX, self._available)

    async def _jobs(self, client: ClientSession, message: messages.Jobs) -> Any:
        page = jobs_after(self._service.clients.jobs(client), message.after)
        shown = [messages.OwnJob(**fields_of(one)) for one in page[:PAGE_MAX]]
        return messages.JobList(jobs=shown, last=len(page) <= PAGE_MAX)

    async def _answer(self, client: ClientSession, message: messages.Answer) -> Any:
        choice = Choice(
            chosen=Chosen(message.choice),
            id=message.id,
            shared=message.account,
            comment=message.comment,
            invoice=message.invoice,
        )
        if (choice.chosen is Chosen.SHARED) is not (choice.shared is not None):
            raise Refusal(Code.BAD_FIELDS)
        try:
            state = await self._service.clients.answer(client, message.job, choice, message.pin)
        except LockedOut as locked:
            raise locked_out(locked) from None
        return messages.Answered(state)

    async def _messages(self, client: ClientSession, message: messages.Messages) -> Any:
        return messages.MessageList(
            [_message(one) for one in self._service.clients.messages(client)]
        )

    async def _acknowledge(self, client: ClientSession, message: messages.Acknowledge) -> Any:
        self._service.clients.acknowledge(client, message.message)
        return provider.Done()

    def _available(self, purse: Purse) -> int | None:
        return _available(purse, self._service.state)


def _address_of(session: Session) -> str:
    peer = getattr(session.transport, "getPeer", lambda: None)()
    return str(getattr(peer, "host", ""))


def _available(purse: Purse, state: str) -> int | None:
    """What can be spent here now."""
    return purse.spendable_e4 if state == "online" else purse.cut_e4


def _purses(purse: Purse) -> list[PurseLine]:
    return [PurseLine(*line) for line in purse.purses]


def _message(message: PersonMessage) -> messages.Message:
    return messages.Message(
        id=message.id,
        code=message.told.value,
        text=message.text,
        reason=message.reason,
        job=message.job,
        title=message.title,
        pages=message.pages,
        amount_e4=message.amount_e4,
        at=message.at,
    )
