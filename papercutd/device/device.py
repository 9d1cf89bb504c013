"""A device: people log in, release and delete held jobs, copy and scan.

Everything goes through an Environment, Links and two stores; so a simulator may give it a
clock, a network and a disk of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from papercutd.device.errors import DeviceError, Local, refused
from papercutd.device.journal import DeviceJournal
from papercutd.device.machine import Machine
from papercutd.device.runs import Order, Runs, Work
from papercutd.device.servers import Server, Servers
from papercutd.environment import Environment
from papercutd.errors import StorageError
from papercutd.services.link import LinkSettings
from papercutd.services.peer_versions import refused_by
from papercutd.services.tasks import Tasks
from protocols.codes import ASK_ELSEWHERE, Code
from protocols.device import messages
from protocols.errors import LocalProtocolError, Refusal, SessionLost
from protocols.provider.messages import ServerAddress

_log = Logger()
#: How long a person waits for a server to be in reach.
REACH_WAIT_S = 2.0
#: How long a log-in or a list may take, and a release, which asks the print server.
ANSWER_WAIT_S = 5.0
RELEASE_WAIT_S = 15.0
#: Servers that one log-in is tried at.
LOGIN_TRIES = 3
#: Pages of a list that are read.
LIST_PAGES_MAX = 100
PRUNE_INTERVAL_S = 86_400.0


@attrs.define(eq=False)
class Visit:
    """Somebody is logged in."""

    person: messages.Person
    server: Server
    #: Spent in this visit, as far as it is known here.
    spent_e4: int = 0


class Device:
    """One device, over its journal, its machine and its servers."""

    def __init__(
        self,
        env: Environment,
        journal: DeviceJournal,
        machine: Machine,
        servers: list[ServerAddress],
        endpoint_of: Callable[[ServerAddress], IStreamClientEndpoint],
        settings: LinkSettings | None = None,
    ) -> None:
        """``servers`` in the order in which they are preferred."""
        self._env = env
        self.journal = journal
        self.machine = machine
        self._tasks = Tasks()
        self.servers = Servers(
            *(env, journal, self._tasks, servers, endpoint_of),
            *(settings or LinkSettings(), self),
        )
        self.runs = Runs(env, journal, machine, self._tasks, self)
        self.visit: Visit | None = None
        #: Told of what happens unasked: a word and its fields.
        self.on_notice: Callable[[str, dict[str, Any]], None] = lambda word, fields: None
        self._prune_timer: IDelayedCall | None = None
        self._pruned_s: float | None = None

    async def start(self) -> None:
        """Take up what was left; then connect, and go on connecting until ``stop``."""
        await self.runs.recover()
        await self.servers.start()
        self._prune()

    async def stop(self) -> None:
        """End the sessions. What runs is cut short and reported after the next start."""
        if self._prune_timer is not None and self._prune_timer.active():
            self._prune_timer.cancel()
        self.runs.stop()
        await self.servers.stop()
        await self._tasks.stop()

    # As a Desk, and a Watcher of the servers.

    @property
    def login(self) -> str:
        return "" if self.visit is None else self.visit.person.login

    @property
    def active(self) -> Server | None:
        return self.servers.active

    def was_sent_elsewhere(self, server: Server) -> None:
        self.servers.shun(server)

    def is_occupied(self) -> bool:
        return self.visit is not None or self.is_working()

    def is_working(self) -> bool:
        return self.runs.work is not None

    def serving(self, server: Server) -> None:
        self.runs.tell()

    def left(self, server: Server) -> None:
        if self.visit is not None and self.visit.server is server:
            self._log_in_over(Local.LOST)

    def event(self, server: Server, event: Any) -> None:
        if isinstance(event, messages.Ended):
            if event.login == self.login:
                self._log_in_over(event.reason)
        elif isinstance(event, messages.Stop):
            self.runs.stopped(event)

    def _log_in_over(self, why: str) -> None:
        self.visit = None
        self.on_notice("logged-out", {"why": why})
        # The preferred server may have waited for this.
        self._env.clock.callLater(0, self.servers.changed)

    # People.

    async def log_in(
        self,
        method: str,
        card: str = "",
        pin: str = "",
        user_name: str = "",
        password: str = "",
    ) -> messages.Person:
        """``card``, ``card-pin`` or ``password``; raises DeviceError.

        A server that does not answer or has no time is left for the next.
        """
        if self.visit is not None:
            raise DeviceError(Local.LOGGED_IN)
        if self.runs.work is not None:
            raise DeviceError(Local.BUSY)
        try:
            shown = messages.Login(method, card, pin, user_name, password)
        except ValueError:
            raise DeviceError(Code.BAD_FIELDS.value) from None
        server = await self._in_reach()
        for _ in range(LOGIN_TRIES):
            try:
                return await self._log_in_at(server, shown)
            except DeviceError as error:
                if error.code not in _ELSEWHERE:
                    raise
                problem = error
            self.servers.shun(server)
            other = await self.servers.in_reach(REACH_WAIT_S, server)
            if other is None or other is server:
                break
            server = other
        raise problem

    async def _log_in_at(self, server: Server, shown: messages.Login) -> messages.Person:
        person: messages.Person = await self._ask(server, shown, ANSWER_WAIT_S, self._forget_log_in)
        if self.visit is not None or server is not self.servers.active:
            # Another log-in came first, or the server is gone again.
            server.link.request(messages.Logout(person.login)).addErrback(_ignored)
            raise DeviceError(Local.LOGGED_IN if self.visit else Local.LOST)
        self.visit = Visit(person, server)
        return person

    async def log_out(self) -> None:
        """The person leaves; what runs for them goes on to the end of its reservation."""
        visit, self.visit = self.visit, None
        if visit is None:
            raise DeviceError(Code.NO_LOGIN.value)
        self._env.clock.callLater(0, self.servers.changed)
        try:
            await self._ask(visit.server, messages.Logout(visit.person.login), ANSWER_WAIT_S)
        except DeviceError as error:
            # It ends there by itself: with the session, or after its idle time.
            _log.info("the log-out was not answered: {code}", code=error.code)

    async def accounts(self, find: str = "", pin: str = "") -> list[messages.ChargeableAccount]:
        """Shared accounts that may be charged, by name; with ``pin`` the one of that PIN alone.

        Raises DeviceError.
        """
        found: list[messages.ChargeableAccount] = []
        for _ in range(LIST_PAGES_MAX):
            after = found[-1].name if found else ""
            asked = partial(messages.Accounts, find=find, after=after, pin=pin)
            page = await self._ask_here(asked)
            found += page.accounts
            if page.last or not page.accounts:
                break
        return found

    async def jobs(self) -> list[messages.DeviceJob]:
        """Held jobs of this person that can be printed here, oldest first; raises DeviceError."""
        found: list[messages.DeviceJob] = []
        for _ in range(LIST_PAGES_MAX):
            after = found[-1].job if found else ""
            page = await self._ask_here(partial(messages.Jobs, after=after))
            found += page.jobs
            if page.last or not page.jobs:
                break
        return found

    async def release(
        self,
        job: str,
        copies: int | None = None,
        duplex: bool | None = None,
        account: int | None = None,
        invoice: bool | None = None,
    ) -> messages.ReleaseAnswer:
        """Print a held job; raises DeviceError."""
        release = self._env.new_id()
        answer: messages.ReleaseAnswer = await self._ask_here(
            lambda login: messages.ReleaseJob(
                login, release, job, copies, duplex, account, invoice
            ),
            RELEASE_WAIT_S,
        )
        if self.visit is not None and answer.amount_e4 is not None:
            self.visit.spent_e4 += answer.amount_e4
        return answer

    async def link_card(self, card: str) -> str:
        """Link a card to who is logged in: ``linked``, ``claimed`` or ``already``.

        Raises DeviceError.
        """
        answer: messages.Linked = await self._ask_here(
            lambda login: messages.LinkCard(login, card), ANSWER_WAIT_S
        )
        return answer.state

    async def redeem(self, voucher: str) -> messages.Redeemed:
        """Credit who is logged in with a voucher; raises DeviceError."""
        visit = self.visit
        answer: messages.Redeemed = await self._ask_here(
            lambda login: messages.RedeemVoucher(login, voucher), ANSWER_WAIT_S
        )
        if visit is not None and visit is self.visit and answer.state != "refused":
            names = ("balance_e4", "available_e4", "purses")
            now = {name: getattr(answer, name) for name in names}
            visit.person, visit.spent_e4 = attrs.evolve(visit.person, **now), 0
        return answer

    async def discard(self, job: str) -> messages.ReleaseAnswer:
        """Delete a held job; raises DeviceError."""
        release = self._env.new_id()
        answer: messages.ReleaseAnswer = await self._ask_here(
            lambda login: messages.DiscardJob(login, release, job), RELEASE_WAIT_S
        )
        return answer

    async def begin(self, order: Order) -> Work:
        """Start copying or scanning; raises DeviceError.

        Returned with the first pages reserved; its ``done`` fires after the last page.
        """
        visit = self._visit()
        functions = visit.server.config.functions if visit.server.config is not None else []
        if functions and order.function not in functions:
            raise DeviceError(Local.NOT_HERE)
        work = await self.runs.start(order, visit.person.user_name)

        def spent(done: Work) -> Work:
            if order.account is None:
                visit.spent_e4 += done.amount_e4
            self.servers.changed()
            return done

        work.done.addCallback(spent)
        return work

    def cancel(self) -> None:
        """Stop after the page that is in the machine; raises DeviceError."""
        if self.runs.work is None:
            raise DeviceError(Local.IDLE)
        self.runs.cancel()

    # Asking.

    async def ask(self, message: Any, wait_s: float, late: Callable[[Any], None]) -> Any:
        return await self._ask(await self._in_reach(0.0), message, wait_s, late)

    def _visit(self) -> Visit:
        if self.visit is None:
            raise DeviceError(Code.NO_LOGIN.value)
        return self.visit

    async def _ask_here(self, make: Callable[[str], object], wait_s: float = ANSWER_WAIT_S) -> Any:
        """The answer to a request of this visit, at its server."""
        visit = self._visit()
        try:
            message = make(visit.person.login)
        except ValueError:
            raise DeviceError(Code.BAD_FIELDS.value) from None
        try:
            return await self._ask(visit.server, message, wait_s)
        except DeviceError as error:
            if error.code == Code.NO_LOGIN.value and self.visit is visit:
                self._log_in_over(error.code)
            raise

    async def _in_reach(self, wait_s: float = REACH_WAIT_S) -> Server:
        server = await self.servers.in_reach(wait_s)
        if server is None:
            raise DeviceError(Local.NO_SERVER)
        return server

    async def _ask(
        self,
        server: Server,
        message: Any,
        wait_s: float,
        late: Callable[[Any], None] = lambda answer: None,
    ) -> Any:
        """The answer of ``server``; raises DeviceError, ``timeout`` after ``wait_s``."""
        if isinstance(message, messages.Run):
            server.owes_list = True
        answered: Deferred[Any] = server.link.request(message)
        waiting: Deferred[Any] = Deferred()

        def late_or(result: Any) -> None:
            if isinstance(message, messages.Run) and not isinstance(result, Failure):
                server.owes_list = False
            if not waiting.called:
                waiting.callback(result)
            elif not isinstance(result, Failure):
                late(result)

        # At once perhaps: where there is no session, nobody answers.
        answered.addBoth(late_or)
        try:
            return await waiting.addTimeout(wait_s, self._env.clock)
        except TimedOut:
            self._unanswered(server)
            raise DeviceError(Code.TIMEOUT.value) from None
        except Refusal as refusal:
            if refusal.code is Code.BAD_CREDENTIALS and isinstance(message, _CHARGING):
                raise DeviceError(Local.ACCOUNT_PIN) from None
            raise refused(refusal) from None
        except SessionLost:
            raise DeviceError(Local.LOST) from None
        except LocalProtocolError:
            raise DeviceError(Code.BAD_FIELDS.value) from None

    def _unanswered(self, server: Server) -> None:
        """A log-in is worth nothing at a server that does not answer: the next may serve."""
        if self.visit is not None and self.visit.server is server and server.link.suspect:
            self._log_in_over(Code.TIMEOUT.value)

    def _forget_log_in(self, person: messages.Person) -> None:
        """The answer came when nobody waited any more."""
        for server in self.servers.all:
            server.link.request(messages.Logout(person.login)).addErrback(_ignored)

    # How it stands.

    async def status(self) -> dict[str, Any]:
        """What an engineer wants to see of it."""
        kept = await self.journal.kept()
        identity = await self.journal.identity()
        active = self.servers.active
        work = self.runs.work
        return {
            "name": identity.name,
            "journal": identity.journal,
            "serving": None if active is None else active.address.name,
            "servers": [
                {
                    "role": server.address.role,
                    "name": server.address.name,
                    "address": f"{server.address.host}:{server.address.port}",
                    "state": _state(server, active),
                    "problem": server.problem,
                    "refused_versions": refused_by(server.link, server.address.name),
                }
                for server in self.servers.all
            ],
            "user_name": None if self.visit is None else self.visit.person.user_name,
            "running": None if work is None else work_shown(work),
            "jammed": self.machine.is_jammed,
            "unreported": sum(run.state == "finished" for run in kept),
            "aside": [
                {"run": run.key, "pages": run.pages, "code": run.answer}
                for run in await self.journal.aside()
            ],
        }

    def _prune(self) -> None:
        self._prune_timer = self._env.clock.callLater(PRUNE_INTERVAL_S, self._prune)
        self._tasks.spawn(self._forget_old(), "forgetting old runs")

    async def _forget_old(self) -> None:
        try:
            now_s = self._env.now()
            last_s = self._pruned_s
            await self.journal.prune(None if last_s is None else now_s - last_s)
            self._pruned_s = now_s
        except StorageError as error:
            _log.warn("old runs could not be forgotten: {error}", error=str(error))


#: Answers after which a log-in is tried at the next server.
_ELSEWHERE = frozenset(
    {*(code.value for code in ASK_ELSEWHERE), Code.TIMEOUT.value, Code.INTERNAL.value, Local.LOST}
)


#: What names an account that pays.
_CHARGING = (messages.Run, messages.ReleaseJob)


def work_shown(work: Work) -> dict[str, Any]:
    """An order, as commands show it."""
    return {
        "function": work.order.function,
        "pages": work.pages,
        "ordered": work.order.pages,
        "reserved": work.grant.reserved,
        "amount_e4": work.amount_e4,
        "outcome": work.outcome,
        "why": work.why,
        "runs": list(work.keys),
    }


def _state(server: Server, active: Server | None) -> str:
    if server is active:
        return "serving"
    if server.is_ready:
        return "ready"
    return "connecting" if server.is_tried else "not tried"


def _ignored(failure: Any) -> None:
    failure.trap(Refusal, SessionLost, LocalProtocolError)
