"""Copies and scans: pages reserved, fed, counted, and reported until a server has them.

One order of a person is one or more *runs*, each under a grant of its own. The next grant
is asked for before the pages of the present one are out, so that the paper does not stop;
where none comes, it stops at the last page reserved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs
from attrs.validators import ge, in_, le
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from papercutd.acquired import Acquired
from papercutd.device.errors import DeviceError, Local
from papercutd.device.journal import KEPT_MAX, DeviceJournal, Run
from papercutd.device.machine import Jam, Machine
from papercutd.device.reports import Grant, Reporter, Reports
from papercutd.environment import Environment
from papercutd.errors import StorageFull
from papercutd.services.tasks import Tasks, until_space
from protocols.codes import Code
from protocols.device import messages
from protocols.errors import Refusal, SessionLost

_log = Logger()
#: The next reservation is asked for when so many pages of the present one are left, or this
#: part of it, whichever is more.
NEXT_PAGES = 4
NEXT_PART = 0.2
#: How long a person waits for the first reservation, and the paper for an answer.
ANSWER_WAIT_S = 5.0
#: How long the paper waits for the next reservation after the last page of the present one,
#: and how often it looks.
NEXT_WAIT_S = 2.0
NEXT_LOOK_S = 0.1
#: Refusals of the next RUN after which it is asked for again.
_PASSING = frozenset(
    {
        *(Code.BUSY.value, Code.UNAVAILABLE.value, Code.STORAGE_FULL.value),
        *(Code.NOT_WRITER.value, Code.STALE_SESSION.value, Code.INTERNAL.value),
        *(Code.TIMEOUT.value, Local.LOST, Local.NO_SERVER),
    }
)


@attrs.frozen
class Order:
    """What a person pressed start for. Pages are sides."""

    function: str = attrs.field(validator=in_(("copy", "scan", "fax")))
    pages: int = attrs.field(validator=[ge(1), le(100_000)])
    colour: bool = False
    duplex: bool = False
    paper: str = "A4"
    #: A shared account; None: the person's own.
    account: int | None = None
    #: The server is told how many pages it will be; else it reserves a usual number.
    is_counted: bool = True
    #: With ``account``: whether it is to be invoiced; None: as is usual for it.
    invoice: bool | None = None


@attrs.define(eq=False)
class Work:
    """An order under way, or done."""

    order: Order
    #: The log-in under which it was started.
    login: str
    user_name: str
    grant: Grant
    #: Keys of its runs, oldest first.
    keys: list[str]
    #: Fires with this object when the last page is out.
    done: Deferred[Work]
    #: Pages out.
    pages: int = 0
    amount_e4: int = 0
    #: Granted, and not begun.
    following: Grant | None = None
    #: The next reservation is being asked for.
    is_asking: bool = False
    #: Why there will be no next reservation, and why there was none the last time.
    refusal: str = ""
    problem: str = ""
    is_canceled: bool = False
    #: ``completed``, ``canceled`` or ``aborted``; empty while it is under way.
    outcome: str = ""
    #: Why fewer pages came than were ordered: a code, or a server's reason.
    why: str = ""


class Desk(Reporter, Protocol):
    """What runs need of the device."""

    @property
    def login(self) -> str:
        """Who is logged in now; empty: nobody."""

    async def ask(self, message: Any, wait_s: float, late: Callable[[Any], None]) -> Any:
        """The answer of who serves now; raises DeviceError.

        ``late`` is called with an answer that came after ``wait_s``.
        """


class Runs:
    """Everything that comes out, and what servers are told of it."""

    def __init__(
        self,
        env: Environment,
        journal: DeviceJournal,
        machine: Machine,
        tasks: Tasks,
        desk: Desk,
    ) -> None:
        self._env = env
        self._journal = journal
        self._machine = machine
        self._tasks = tasks
        self._desk = desk
        #: The order under way.
        self.work: Work | None = None
        #: Told at each page, and at the end, of the order under way.
        self.on_progress: Callable[[Work], None] = lambda work: None
        self._is_starting = False
        self._reports = Reports(env, journal, tasks, desk)

    async def recover(self) -> None:
        """What ran when the power went is over; the engine knows how many pages came out."""
        for run in await self._journal.kept():
            if run.state == "running":
                pages = max(run.pages, await self._machine.counted(run.key))
                await self._journal.finished(run.key, pages, "aborted")
                _log.warn("{key} was cut short after {pages} pages", key=run.key, pages=pages)

    def stop(self) -> None:
        self._reports.stop()

    def tell(self) -> None:
        """A server serves: it hears of the count of what runs, and of every end."""
        if self.work is not None:
            self._reports.count(self.work.grant)
        self._reports.at_once()

    # Orders.

    async def start(self, order: Order, user_name: str) -> Work:
        """Reserve the first pages and begin; raises DeviceError, with a server's reason too.

        Returned once the grant is durable: ``done`` of the answer fires at the end.
        """
        if self.work is not None or self._is_starting:
            raise DeviceError(Local.BUSY)
        if self._machine.is_jammed:
            raise DeviceError(Local.JAM)
        self._is_starting = True
        try:
            if len(await self._journal.kept()) >= KEPT_MAX:
                raise DeviceError(Local.KEPT)
            login = self._desk.login
            if not login:
                # It ended while we looked.
                raise DeviceError(Code.NO_LOGIN.value)
            grant = await self._reserve(order, login, user_name, order.pages)
            work = Work(order, login, user_name, grant, [grant.key], Deferred())
            self.work = work
        finally:
            self._is_starting = False
        self._tasks.spawn(self._feed(work), "feeding")
        return work

    def cancel(self) -> None:
        """The person pressed stop; the page that is in the machine comes out."""
        if self.work is not None:
            self.work.is_canceled = True

    def stopped(self, event: messages.Stop) -> None:
        """A server says that the last page reserved is out."""
        work = self.work
        if work is not None and work.grant.key == f"{event.job}/{event.step}":
            work.grant.is_stopped = True

    async def _reserve(self, order: Order, login: str, user_name: str, pages: int) -> Grant:
        """A durable grant for up to ``pages`` pages; raises DeviceError."""
        asked = messages.Run(
            login=login,
            function=order.function,
            paper=order.paper,
            colour=order.colour,
            duplex=order.duplex,
            pages=pages if order.is_counted else None,
            account=order.account,
            invoice=order.invoice,
        )
        started = await self._desk.ask(
            asked, ANSWER_WAIT_S, lambda late: self._granted_late(order, user_name, late)
        )
        assert isinstance(started, messages.Started)
        if not started.granted:
            raise DeviceError(started.reason or Code.NOT_ALLOWED.value)
        grant = await self._keep(order, user_name, started)
        if grant.reserved == 0:
            await self._end(grant, "canceled")
            raise DeviceError("funds")
        return grant

    def _granted_late(self, order: Order, user_name: str, started: messages.Started) -> None:
        """The answer came when nobody waited any more."""
        if started.granted:
            self._tasks.spawn(self._give_back(order, user_name, started), "giving a grant back")

    async def _give_back(self, order: Order, user_name: str, started: messages.Started) -> None:
        """As a run of no pages: it is told until somebody has heard of it."""
        try:
            await self._end(await self._keep(order, user_name, started), "canceled")
        except DeviceError:
            # The disk is full: what could be told of it was.
            return

    async def _keep(self, order: Order, user_name: str, started: messages.Started) -> Grant:
        """The grant of ``started`` once it is durable; raises DeviceError."""
        grant = Grant(
            f"{started.job}/{started.step}", started.grant, started.pages, started.unit_e4
        )
        run = Run(
            key=grant.key,
            grant_text=grant.grant_text,
            function=order.function,
            colour=order.colour,
            reserved=grant.reserved,
            pages=0,
            unit_e4=grant.unit_e4,
            user_name=user_name,
        )
        try:
            await self._journal.begun(run)
        except StorageFull:
            # Nothing of it is on the disk: no page may come. The server may have it back.
            self._tell_unused(started)
            raise DeviceError(Local.FULL) from None
        return grant

    def _tell_unused(self, started: messages.Started) -> None:
        """A reservation that is not on the disk: given back, if a server hears of it."""
        server = self._desk.active
        if server is not None and started.granted:
            unused = messages.Finish(started.grant, 0, "canceled", self._env.wall_s())
            server.link.request(unused).addErrback(
                lambda failure: failure.trap(Refusal, SessionLost) and None
            )

    # Paper.

    async def _feed(self, work: Work) -> None:
        with Acquired(lambda: self._fed(work)):
            outcome = await self._feed_pages(work)
            # What is granted from now on is given back as it arrives.
            work.refusal = work.refusal or "over"
            await self._end(work.grant, outcome)
            if work.following is not None:
                await self._end(work.following, "canceled")
            work.outcome = outcome

    def _fed(self, work: Work) -> None:
        self.work = None
        if not work.done.called:
            work.done.callback(work)
        self.on_progress(work)

    async def _feed_pages(self, work: Work) -> str:
        """How the order ended; ``work.why`` says why before its last page."""
        order = work.order
        while work.pages < order.pages:
            grant = work.grant
            if work.is_canceled:
                work.why = "canceled"
                return "canceled"
            if grant.is_used_up:
                following = await self._following(work)
                if following is None:
                    return "completed" if grant.pages >= grant.reserved else "aborted"
                await self._end(grant, "completed")
                work.grant, work.following = following, None
                work.keys.append(following.key)
                continue
            self._ask_in_time(work)
            try:
                await self._feed_page(work, grant)
            except Jam:
                work.why = Local.JAM
                return "aborted"
            self.on_progress(work)
        return "completed"

    async def _feed_page(self, work: Work, grant: Grant) -> None:
        """One page out, and on the disk before the next comes or anybody is told; raises Jam."""
        function, colour = work.order.function, work.order.colour
        feed = lambda: self._machine.feed(grant.key, function, colour)  # noqa: E731
        await until_space(self._env, feed)
        grant.pages += 1
        work.pages += 1
        work.amount_e4 += grant.unit_e4
        await until_space(self._env, lambda: self._journal.counted(grant.key, grant.pages))
        self._reports.count(grant)

    async def _end(self, grant: Grant, outcome: str) -> None:
        grant.is_over = True
        await until_space(
            self._env, lambda: self._journal.finished(grant.key, grant.pages, outcome)
        )
        self._reports.settle()

    # The next reservation.

    def _ask_in_time(self, work: Work) -> None:
        grant = work.grant
        left = grant.reserved - grant.pages
        is_time = left <= max(NEXT_PAGES, grant.reserved * NEXT_PART)
        if is_time and work.pages + left < work.order.pages:
            self._ask_next(work)

    def _ask_next(self, work: Work) -> None:
        if work.following is None and not work.is_asking and not work.refusal:
            work.is_asking = True
            self._tasks.spawn(self._reserve_next(work), "reserving more pages")

    async def _reserve_next(self, work: Work) -> None:
        work.problem = ""
        left = 0 if work.grant.is_stopped else work.grant.reserved - work.grant.pages
        try:
            if self._desk.login != work.login:
                # Whoever started it is not here any more.
                raise DeviceError(Code.NO_LOGIN.value)
            wanted = work.order.pages - work.pages - left
            grant = await self._reserve(work.order, work.login, work.user_name, wanted)
            if work is not self.work or work.refusal:
                await self._end(grant, "canceled")
            else:
                work.following = grant
        except DeviceError as error:
            work.problem = error.code
            if error.code not in _PASSING:
                work.refusal = work.refusal or error.code
        finally:
            work.is_asking = False

    async def _following(self, work: Work) -> Grant | None:
        """The grant to go on under, waiting for it if it is on its way; else None."""
        deadline = self._env.now() + NEXT_WAIT_S
        while not (work.following or work.refusal or work.is_canceled):
            if self._env.now() >= deadline:
                work.refusal = work.problem or Code.TIMEOUT.value
                break
            self._ask_next(work)
            await deferLater(self._env.clock, NEXT_LOOK_S, lambda: None)
        if work.following is None:
            work.why = "canceled" if work.is_canceled else work.refusal
        return work.following
