"""The device's sessions: an ordered list of servers, and which of them serves now.

The first that is in reach serves. When it is gone the next is connected at once; the
first takes over again when it answers and nobody is at the device, for a log-in is not
carried from one server to another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger

from papercutd import __version__
from papercutd.device.journal import DeviceJournal
from papercutd.environment import Environment
from papercutd.errors import StorageError
from papercutd.services import wire
from papercutd.services.link import LinkSettings
from papercutd.services.server_link import ServerLink
from papercutd.services.tasks import Tasks
from protocols.codes import Code
from protocols.device import messages
from protocols.device.spec import DEVICE
from protocols.endpoint import Session
from protocols.errors import Refusal, SessionLost
from protocols.handshake import VERSIONS, Hello
from protocols.provider.messages import ServerAddress

_log = Logger()
#: Runs of one page of OPEN: four grants fit into a line.
OPEN_PAGE = 4
#: Seconds that the first server has at the start before the others are tried too.
FIRST_S = 1.0
#: Seconds between visits to those that do not serve: one may know of another list of servers.
VISIT_S = 600.0
#: Seconds for which a server that sent us elsewhere is asked only if there is no other.
SHUNNED_S = 10.0
#: Seconds between two looks at what is waited for.
LOOK_S = 0.25
#: Servers that are remembered.
SERVERS_MAX = 16
#: The setting that holds the servers heard of.
SERVERS = "servers"
_ADDRESSES = msgspec.json.Decoder(list[ServerAddress]).decode


class Watcher(Protocol):
    """Who uses the sessions."""

    def serving(self, server: Server) -> None:
        """``server`` serves from now on."""

    def left(self, server: Server) -> None:
        """``server`` does not serve any more."""

    def event(self, server: Server, event: Any) -> None:
        """A server said something unasked."""

    def is_occupied(self) -> bool:
        """Somebody is logged in, or pages are coming."""

    def is_working(self) -> bool:
        """Pages are coming."""


class Server(ServerLink):
    """Handler of the link to one server."""

    def __init__(
        self,
        env: Environment,
        journal: DeviceJournal,
        tasks: Tasks,
        address: ServerAddress,
        endpoint: IStreamClientEndpoint,
        settings: LinkSettings,
        owner: Servers,
    ) -> None:
        super().__init__(env, address, (endpoint, DEVICE, settings), owner.changed)
        self._journal = journal
        self._tasks = tasks
        self._owner = owner
        #: Its session is open and has heard of every run we keep.
        self.is_ready = False
        self.config: messages.DeviceConfig | None = None
        self.shunned_until = float("-inf")
        #: It may have reserved pages that we never heard of: until it has our list it keeps
        #: them for us. So it may after a start, and after a RUN that it did not answer.
        self.owes_list = True
        #: It is named no more; it is left once it does not serve.
        self.is_retired = False

    # As a LinkHandler.

    def make_hello(self) -> Hello:
        identity = self._owner.identity
        return Hello(
            versions=list(VERSIONS),
            role="device",
            name=identity.name,
            journal=identity.journal,
            mark=wire.mark_sent(self._journal.head or identity.mark),
            replaces=identity.replaces,
            software=__version__,
            clock=self._env.wall_s(),
        )

    def refused(self, code: Code) -> None:
        _log.warn("{name} refused us: {code}", name=self.address.name, code=code.value)
        if code is Code.JOURNAL_BEHIND:
            self._tasks.spawn(self._owner.take_new_journal(), "taking a new journal id")
        super().refused(code)

    def link_up(self, session: Session) -> None:
        self.problem = ""
        self._tasks.spawn(self._begin(session), "beginning a session")

    def link_down(self, reason: str) -> None:
        self.is_ready = False
        super().link_down(reason)

    def event(self, session: Session, event: Any) -> None:
        if isinstance(event, messages.DeviceConfig):
            self.config = event
            self._tasks.spawn(self._owner.learn(self, event.servers), "keeping the servers")
        self._owner.watcher.event(self, event)

    # The beginning of a session.

    async def _begin(self, session: Session) -> None:
        try:
            await self._synchronise(session)
        except (SessionLost, Refusal, StorageError) as error:
            # Half a beginning is none: the next session tries all of it again.
            _log.info("the session did not begin: {error}", error=str(error))
            session.abort()

    async def _synchronise(self, session: Session) -> None:
        welcome = session.welcome
        assert welcome is not None
        if welcome.seen is not None and not await self._journal.is_ours(wire.mark_in(welcome.seen)):
            await self._owner.take_new_journal()
            session.abort()
            return
        while session.is_open and self._owner.is_served_elsewhere(self):
            # What runs now is told to who serves now; here it would stay listed for ever.
            await deferLater(self._env.clock, LOOK_S, lambda: None)
        kept = await self._journal.kept()
        pages = [kept[i : i + OPEN_PAGE] for i in range(0, len(kept), OPEN_PAGE)] or [[]]
        for number, page in enumerate(pages):
            runs = [messages.OpenRun(run.grant_text, run.pages) for run in page]
            await session.call(messages.OpenRuns(number, number == len(pages) - 1, runs))
        if session.is_open:
            self.is_ready = True
            self.owes_list = False
            self._owner.changed()


class Servers:
    """All of them, in order."""

    def __init__(
        self,
        env: Environment,
        journal: DeviceJournal,
        tasks: Tasks,
        configured: list[ServerAddress],
        endpoint_of: Callable[[ServerAddress], IStreamClientEndpoint],
        settings: LinkSettings,
        watcher: Watcher,
    ) -> None:
        self._env = env
        self._journal = journal
        self._tasks = tasks
        self._configured = configured
        self._endpoint_of = endpoint_of
        self._settings = settings
        self.watcher = watcher
        self._known: list[ServerAddress] = []
        self._servers: list[Server] = []
        self._is_running = False
        self._is_first_alone = True
        self._timers: list[IDelayedCall] = []
        self._waiters: list[Deferred[None]] = []
        #: Who serves now.
        self.active: Server | None = None

    async def start(self) -> None:
        self.identity = await self._journal.identity()
        body = await self._journal.setting(SERVERS)
        if body is not None:
            self._known = _ADDRESSES(body)
        self._is_running = True
        self._rebuild()
        self._later(FIRST_S, self._try_others)
        self._later(VISIT_S, self._visit_others)
        self.changed()

    async def stop(self) -> None:
        self._is_running = False
        for timer in self._timers:
            if timer.active():
                timer.cancel()
        for server in self._servers:
            await server.link.stop()

    @property
    def all(self) -> list[Server]:
        """In the order in which they are preferred."""
        return list(self._servers)

    async def in_reach(self, wait_s: float, after: Server | None = None) -> Server | None:
        """Who serves, waiting at most so long for one other than ``after``."""
        if self._is_running and wait_s > 0 and self.active in (None, after):
            waiter: Deferred[None] = Deferred()
            self._waiters.append(waiter)
            timer = self._env.clock.callLater(wait_s, self._wake, waiter)
            await waiter
            if timer.active():
                timer.cancel()
        return self.active

    def shun(self, server: Server) -> None:
        """It sent us elsewhere: others first, for a while."""
        server.shunned_until = self._env.now() + SHUNNED_S
        self._later(SHUNNED_S, self.changed)
        self.changed()

    # From the servers.

    def is_served_elsewhere(self, server: Server) -> bool:
        """Pages are coming, and another than ``server`` hears of them."""
        return self.active not in (None, server) and self.watcher.is_working()

    async def take_new_journal(self) -> None:
        journal = self._env.new_id()
        _log.error("our journal is not what was seen of it: new journal id {id}", id=journal)
        await self._journal.take_new_journal(journal)
        self.identity = await self._journal.identity()

    async def learn(self, server: Server, named: list[ServerAddress]) -> None:
        """What ``server`` says of where servers are.

        The application server knows all of them; a site may add to what we know.
        """
        known = named
        if server.address.role == "site":
            names = {(one.role, one.name) for one in self._known}
            known = [*self._known, *(one for one in named if (one.role, one.name) not in names)]
        known = known[:SERVERS_MAX]
        if known != self._known:
            self._known = known
            await self._journal.keep_setting(SERVERS, known)
            self._rebuild()
            self.changed()

    def changed(self) -> None:
        """Look again at who serves and who is tried."""
        if not self._is_running:
            return
        best = self._best()
        former = self.active
        stays = former is not None and former.is_ready and self.watcher.is_occupied()
        if best is not former and not stays:
            self.active = best
            if former is not None:
                _log.info("{name} does not serve us any more", name=former.address.name)
                self.watcher.left(former)
            if best is not None and self.active is best:
                _log.info("{name} serves us", name=best.address.name)
                self.watcher.serving(best)
        self._try_those_needed()
        if self.active is not None and self.active is not former:
            for waiter in list(self._waiters):
                self._wake(waiter)

    # Inside.

    def _wake(self, waiter: Deferred[None]) -> None:
        if waiter in self._waiters:
            self._waiters.remove(waiter)
            waiter.callback(None)

    def _later(self, after_s: float, call: Callable[[], object]) -> None:
        self._timers = [timer for timer in self._timers if timer.active()]
        self._timers.append(self._env.clock.callLater(after_s, call))

    def _try_others(self) -> None:
        self._is_first_alone = False
        self.changed()

    def _visit_others(self) -> None:
        """Each hears our list once more, and says where servers are."""
        for server in self._servers:
            server.owes_list = server.owes_list or server is not self.active
        self._later(VISIT_S * self._env.rng.uniform(0.8, 1.2), self._visit_others)
        self.changed()

    def _best(self) -> Server | None:
        ready = [server for server in self._servers if server.is_ready]
        # One that is named no more is left for any other.
        ready = [server for server in ready if not server.is_retired] or ready
        now = self._env.now()
        for is_good in (
            lambda s: not s.link.suspect and s.shunned_until <= now,
            lambda s: not s.link.suspect,
            lambda s: True,
        ):
            found = next((server for server in ready if is_good(server)), None)
            if found is not None:
                return found
        return None

    def _try_those_needed(self) -> None:
        """Those before who serves, always, and who has to hear our list; those after only
        while who serves is in doubt."""
        active = self.active
        for server in [s for s in self._servers if s.is_retired and s is not active]:
            self._servers.remove(server)
            server.link.stop()
        last = len(self._servers) - 1
        if active is not None:
            self._is_first_alone = False
            in_doubt = active.link.suspect or active.shunned_until > self._env.now()
            if not in_doubt and active in self._servers:
                last = self._servers.index(active)
        elif self._is_first_alone and not any(server.problem for server in self._servers):
            last = 0
        for number, server in enumerate(self._servers):
            is_needed = number <= last or (active is not None and server.owes_list)
            if is_needed is not server.is_tried:
                server.is_tried = is_needed
                if is_needed:
                    server.link.start()
                else:
                    server.link.stop()

    def _rebuild(self) -> None:
        """Servers for the addresses known; those that stay keep their sessions."""
        wanted = ordered(self._configured, self._known)
        former = {server.address: server for server in self._servers}
        self._servers = [former[a] if a in former else self._make(a) for a in wanted]
        for address, server in former.items():
            if address not in wanted:
                # Whoever serves now does so until it is gone.
                server.is_retired = True
                self._servers.append(server)

    def _make(self, address: ServerAddress) -> Server:
        return Server(
            *(self._env, self._journal, self._tasks, address, self._endpoint_of(address)),
            *(self._settings, self),
        )


def ordered(configured: list[ServerAddress], known: list[ServerAddress]) -> list[ServerAddress]:
    """Configured servers as they stand; others heard of beside them, sites first.

    Of a server that is both, the configured address counts.
    """
    found = list(configured)
    names = {(one.role, one.name) for one in configured}
    for address in known:
        if (address.role, address.name) in names or not address.port:
            continue
        names.add((address.role, address.name))
        roles = [one.role for one in found]
        is_before = address.role == "site" and "application" in roles
        found.insert(roles.index("application") if is_before else len(found), address)
    return found[:SERVERS_MAX]
