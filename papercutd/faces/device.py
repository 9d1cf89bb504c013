"""The device protocol's server side: at the application server and at sites alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

import attrs

from papercutd.domain.chain import Mark, Position
from papercutd.domain.grant import Grant
from papercutd.domain.job import SessionRef
from papercutd.domain.pricing import page_e4
from papercutd.domain.voucher import NoVoucher
from papercutd.environment import Environment
from papercutd.errors import Rejected
from papercutd.faces.provider import OPEN_PAGES_MAX, answered, make_welcome
from papercutd.faces.shared_answers import account_list, fields_of, jobs_after, locked_out
from papercutd.services import wire
from papercutd.services.attempts import LockedOut
from papercutd.services.devices import Credentials, Devices, Visit
from papercutd.services.operation import Progress
from papercutd.services.runs import Runs, Wish
from papercutd.services.sessions import Sessions
from papercutd.services.tasks import Tasks
from papercutd.storage.jobs.askers import Seen
from papercutd.storage.people.people import Device
from papercutd.storage.values import Purse
from protocols.codes import Code
from protocols.device import messages
from protocols.endpoint import Session
from protocols.errors import Refusal
from protocols.handlers import Peer
from protocols.handshake import Hello, Welcome, settled
from protocols.machine import Unspoken
from protocols.provider import messages as provider

#: Jobs and accounts of one page.
PAGE_JOBS = 100
PAGE_ACCOUNTS = 100


class Redeeming(Protocol):
    """Where vouchers are redeemed, with the lockouts of that server."""

    async def redeem(self, arguments: dict[str, Any], progress: Progress) -> Any: ...


class DeviceService(Protocol):
    """What this face needs of a server."""

    role: str
    device_sessions: Sessions
    devices: Devices
    runs: Runs
    tasks: Tasks

    @property
    def vouchers(self) -> Redeeming: ...
    @property
    def position(self) -> Position | None: ...
    @property
    def decider(self) -> str: ...
    @property
    def state(self) -> str: ...

    async def begin_device(self, name: str, journal: str, mark: Mark, software: str) -> Seen: ...
    async def device(self, name: str) -> Device | None: ...
    async def end_session(self, asker: SessionRef) -> None: ...
    def device_servers(self, device: Device) -> list[tuple[str, str, str, int]]: ...


@attrs.define
class _Conversation:
    asker: SessionRef
    device: Device
    #: The pages of an OPEN list received so far, and the runs on them.
    open_pages: int = 0
    open_runs: list[tuple[str, int]] = attrs.field(factory=list)


class DeviceFace:
    """Messages to service calls and back, for every device's session."""

    def __init__(self, env: Environment, service: DeviceService, name: str) -> None:
        self._env = env
        self._service = service
        self._name = name
        self._conversations: dict[Session, _Conversation] = {}
        self._verbs: dict[
            type, Callable[[Session, _Conversation, Any], Coroutine[Any, Any, Any]]
        ] = {
            messages.Login: self._login,
            messages.LinkCard: self._link,
            messages.RedeemVoucher: self._redeem,
            messages.Logout: self._logout,
            messages.Accounts: self._accounts,
            messages.Run: self._run,
            messages.Pages: self._pages,
            messages.Finish: self._finish,
            messages.OpenRuns: self._open,
            messages.Jobs: self._jobs,
            messages.ReleaseJob: self._release,
            messages.DiscardJob: self._discard,
            provider.Ping: self._ping,
        }

    async def hello(self, session: Session, hello: Hello) -> Welcome:
        if hello.role != "device":
            raise Refusal(Code.NOT_ALLOWED)
        return await answered(self._hello(session, hello))

    async def _hello(self, session: Session, hello: Hello) -> Welcome:
        service = self._service
        seen = await service.begin_device(
            hello.name, hello.journal, wire.mark_in(hello.mark), hello.software
        )
        asker = SessionRef("device", hello.name, hello.journal, seen.session)
        device = await service.device(hello.name)
        if device is None:
            raise Rejected("not-yours")
        if session.is_over:
            await service.end_session(asker)
            service.device_sessions.passed_over(asker.identity)
        else:
            session.hello = settled(hello)
            session.tell_disconnected(self._forget)
            self._conversations[session] = _Conversation(asker, device)
        return make_welcome(self._env, service, self._name, session, seen)

    def unspoken(self, peer: Peer, unspoken: Unspoken) -> None:
        self._service.device_sessions.refuse(f"{peer.role}:{peer.name}", unspoken)

    def opened(self, session: Session) -> None:
        conversation = self._conversations[session]
        self._service.device_sessions.enter(conversation.asker.identity, session)
        # Whoever was logged in over an older connection of it logs in again.
        self._service.devices.left(conversation.device.name)
        self._service.runs.left(conversation.device.name)
        self._send_config(session, conversation.device)

    def push_settings(self) -> None:
        """Tell every connected device its settings again; send away those that left this site."""
        for session, conversation in list(self._conversations.items()):
            if session.is_open:
                work = self._look_again(session, conversation)
                self._service.tasks.spawn(work, "sending settings to a device")

    async def _look_again(self, session: Session, conversation: _Conversation) -> None:
        device = await self._service.device(conversation.device.name)
        if device is None:
            session.end(Code.NOT_YOURS)
        elif device != conversation.device:
            conversation.device = device
            self._send_config(session, device)

    def _send_config(self, session: Session, device: Device) -> None:
        servers = [
            provider.ServerAddress(*address) for address in self._service.device_servers(device)
        ]
        session.notify(
            messages.DeviceConfig(
                printer=device.printer,
                printer_name=device.printer_name,
                functions=list(device.functions),
                logins=list(device.logins),
                idle_s=device.idle_s,
                servers=servers,
                position=wire.position_out(self._service.position),
            )
        )

    def request(self, session: Session, message: Any) -> Awaitable[Any]:
        conversation = self._conversations[session]
        return answered(self._verbs[type(message)](session, conversation, message))

    def event(self, session: Session, event: Any) -> None:
        """Devices say BYE only, which the session handles."""

    def closed(self, session: Session, reason: str) -> None:
        conversation = self._conversations.pop(session, None)
        if conversation is None:
            return
        if self._service.device_sessions.leave(conversation.asker.identity, session):
            self._service.devices.left(conversation.device.name)
            self._service.runs.left(conversation.device.name)
        self._service.tasks.spawn(
            self._service.end_session(conversation.asker), "ending a device's session"
        )

    def _forget(self, session: Session) -> None:
        conversation = self._conversations.get(session)
        if conversation is not None:
            self.closed(session, "disconnected")
            self._service.device_sessions.passed_over(conversation.asker.identity)

    # Verbs.

    async def _login(
        self, session: Session, conversation: _Conversation, message: messages.Login
    ) -> Any:
        shown = Credentials(
            message.method, message.card, message.pin, message.user_name, message.password
        )

        def ended(login: str, reason: str) -> None:
            if session.is_open:
                session.notify(messages.Ended(login, reason))

        try:
            visit, purse = await self._service.devices.login(conversation.device, shown, ended)
        except LockedOut as locked:
            raise locked_out(locked) from None
        if session.is_over:
            # Its device has gone, or begun anew: nobody would end this log-in.
            self._service.devices.logout(visit.id, conversation.device)
            raise Refusal(Code.STALE_SESSION)
        return self._person(visit, purse)

    def _person(self, visit: Visit, purse: Purse) -> messages.Person:
        state = self._service.state
        return messages.Person(
            login=visit.id,
            user=visit.person.user,
            user_name=visit.person.name,
            full_name=visit.person.full_name,
            balance_e4=purse.balance_e4,
            available_e4=self._available(purse),
            held=len(self._service.devices.jobs(visit)),
            state=state,
            notices=visit.notices,
            promised_e4=purse.promised_e4,
            purses=[messages.PurseLine(*line) for line in purse.purses],
        )

    async def _link(
        self, session: Session, conversation: _Conversation, message: messages.LinkCard
    ) -> Any:
        devices = self._service.devices
        visit = devices.visit(message.login, conversation.device)
        try:
            return messages.Linked(await devices.link(visit, message.card))
        except LockedOut as locked:
            raise locked_out(locked) from None

    async def _redeem(
        self, session: Session, conversation: _Conversation, message: messages.RedeemVoucher
    ) -> Any:
        devices = self._service.devices
        visit = devices.visit(message.login, conversation.device)
        asked = {"voucher": message.voucher, "name": visit.person.name}
        try:
            found = await self._service.vouchers.redeem(asked, lambda figures: None)
        except NoVoucher as error:
            return messages.Redeemed("refused", error.why)
        purse = await devices.purse(visit)
        return messages.Redeemed(
            state=found.get("state", "credited"),
            amount_e4=found["amount_e4"],
            purse=found["purse"],
            balance_e4=purse.balance_e4,
            available_e4=self._available(purse),
            purses=[messages.PurseLine(*line) for line in purse.purses],
        )

    async def _logout(
        self, session: Session, conversation: _Conversation, message: messages.Logout
    ) -> Any:
        self._service.devices.logout(message.login, conversation.device)
        return provider.Done()

    async def _jobs(
        self, session: Session, conversation: _Conversation, message: messages.Jobs
    ) -> Any:
        visit = self._service.devices.visit(message.login, conversation.device)
        page = jobs_after(self._service.devices.jobs(visit), message.after)
        shown = [
            messages.DeviceJob(**fields_of(one), reachable=one.is_reachable)
            for one in page[:PAGE_JOBS]
        ]
        return messages.JobList(jobs=shown, last=len(page) <= PAGE_JOBS)

    async def _release(
        self, session: Session, conversation: _Conversation, message: messages.ReleaseJob
    ) -> Any:
        visit = self._service.devices.visit(message.login, conversation.device)
        return _answer(
            await self._service.devices.release(
                *(visit, message.release, message.job, message.copies, message.duplex),
                *(message.account, message.invoice),
            )
        )

    async def _discard(
        self, session: Session, conversation: _Conversation, message: messages.DiscardJob
    ) -> Any:
        visit = self._service.devices.visit(message.login, conversation.device)
        return _answer(await self._service.devices.discard(visit, message.release, message.job))

    # Runs.

    async def _accounts(
        self, session: Session, conversation: _Conversation, message: messages.Accounts
    ) -> Any:
        devices = self._service.devices
        visit = devices.visit(message.login, conversation.device)
        try:
            found = await devices.accounts(
                visit, message.find, message.pin, message.after, PAGE_ACCOUNTS + 1
            )
        except LockedOut as locked:
            raise locked_out(locked) from None
        return account_list(found, PAGE_ACCOUNTS, self._available)

    async def _run(
        self, session: Session, conversation: _Conversation, message: messages.Run
    ) -> Any:
        visit = self._service.devices.visit(message.login, conversation.device)
        wish = Wish(
            function=message.function,
            paper=message.paper,
            colour=message.colour,
            duplex=message.duplex,
            pages=message.pages,
            account=message.account,
            invoice=message.invoice,
        )
        started = await self._service.runs.start(
            conversation.asker, visit, wish, self._stopper(session)
        )
        job, _, step = started.key.partition("/")
        return messages.Started(
            granted=started.decision.allowed,
            job=job,
            step=step,
            grant=started.grant,
            pages=started.pages,
            unit_e4=page_e4(started.decision.lines),
            reason=started.decision.reason.value,
        )

    def _stopper(self, session: Session) -> Callable[[Grant], None]:
        def stop(grant: Grant) -> None:
            if session.is_open:
                session.notify(messages.Stop(grant.request.job, grant.request.step, grant.pages))

        return stop

    async def _pages(
        self, session: Session, conversation: _Conversation, message: messages.Pages
    ) -> Any:
        key = f"{message.job}/{message.step}"
        left = self._service.runs.pages(conversation.device, key, message.pages)
        return messages.Progress(left)

    async def _finish(
        self, session: Session, conversation: _Conversation, message: messages.Finish
    ) -> Any:
        receipt = await self._service.runs.finish(
            *(conversation.asker, message.grant, message.pages),
            *(message.outcome, message.finished_at),
        )
        return wire.receipt_out(receipt)

    async def _open(
        self, session: Session, conversation: _Conversation, message: messages.OpenRuns
    ) -> Any:
        if message.page == 0:
            conversation.open_pages, conversation.open_runs = 0, []
        if message.page != conversation.open_pages or message.page >= OPEN_PAGES_MAX:
            raise Refusal(Code.WRONG_STATE)
        conversation.open_pages += 1
        conversation.open_runs += [(run.grant, run.pages) for run in message.runs]
        if not message.last:
            return provider.OpenAnswer()
        kept, conversation.open_runs, conversation.open_pages = conversation.open_runs, [], 0
        stop = self._stopper(session)
        return provider.OpenAnswer(await self._service.runs.resume(conversation.asker, kept, stop))

    def _available(self, purse: Purse) -> int | None:
        return purse.spendable_e4 if self._service.state == "online" else purse.cut_e4

    async def _ping(
        self, session: Session, conversation: _Conversation, message: provider.Ping
    ) -> Any:
        return provider.Pong(self._env.wall_s(), wire.position_out(self._service.position))


def _answer(released: provider.Released) -> messages.ReleaseAnswer:
    decision = released.decision
    amount_e4 = None
    if decision is not None and released.answer == "released":
        amount_e4 = sum(line.quantity * line.unit_e4 for line in decision.lines)
    return messages.ReleaseAnswer(
        answer=released.answer,
        reason="" if decision is None else decision.reason,
        printer=released.printer,
        amount_e4=amount_e4,
    )
