"""The client's sessions: an ordered list of servers, and which of them serves now.

The application server is preferred. When it is gone the next is connected at once; it takes
over again when it answers, after a jitter, since nothing is lost by changing over: what a
person is asked is asked again at every log-in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.logger import Logger

from papercutd import __version__
from papercutd.environment import Environment
from papercutd.services.link import LinkSettings
from papercutd.services.server_link import ServerLink
from protocols.client import messages
from protocols.client.spec import CLIENT
from protocols.common import Mark
from protocols.endpoint import Session
from protocols.handshake import VERSIONS, Hello
from protocols.provider.messages import ServerAddress

_log = Logger()
#: Seconds that the first server has at the start before the others are tried too.
FIRST_S = 1.0
#: Seconds unanswered after which another server is turned to: a person waits, no paper does.
SUSPECT_S = 5.0
SERVERS_MAX = 32
_NO_MARK = Mark(0, "0" * 64)


@attrs.frozen
class Self:
    """What the client says of itself."""

    name: str
    id: str


class Watcher(Protocol):
    """Who uses the sessions."""

    def serving(self, server: Server) -> None:
        """``server`` serves from now on: nobody is logged in there yet."""

    def left(self) -> None:
        """Who served does not any more; another may."""

    def event(self, server: Server, event: Any) -> None:
        """A server said something unasked."""


class Server(ServerLink):
    """Handler of the link to one server."""

    def __init__(
        self,
        env: Environment,
        me: Self,
        address: ServerAddress,
        endpoint: IStreamClientEndpoint,
        settings: LinkSettings,
        owner: Servers,
    ) -> None:
        super().__init__(env, address, (endpoint, CLIENT, settings), owner.changed)
        self._me = me
        self._owner = owner

    @property
    def key(self) -> str:
        """``application``, or ``site:NAME``."""
        is_site = self.address.role == "site"
        return f"site:{self.address.name}" if is_site else self.address.role

    # As a LinkHandler.

    def make_hello(self) -> Hello:
        return Hello(
            versions=list(VERSIONS),
            role="client",
            name=self._me.name,
            journal=self._me.id,
            mark=_NO_MARK,
            software=__version__,
            clock=self._env.wall_s(),
        )

    def link_up(self, session: Session) -> None:
        self.problem = ""
        # The link itself is told of it only after this.
        self._env.clock.callLater(0, self._owner.changed)

    def event(self, session: Session, event: Any) -> None:
        if isinstance(event, messages.Servers):
            self._owner.learn(self, event.servers)
        elif self is self._owner.active:
            self._owner.watcher.event(self, event)


class Servers:
    """All of them, in order."""

    def __init__(
        self,
        env: Environment,
        me: Self,
        configured: Sequence[ServerAddress],
        known: Sequence[ServerAddress],
        endpoint_of: Callable[[ServerAddress], IStreamClientEndpoint],
        settings: LinkSettings,
        watcher: Watcher,
        on_known: Callable[[list[ServerAddress]], None] = lambda servers: None,
    ) -> None:
        """``on_known``: called with what is to be remembered."""
        self._env = env
        self._me = me
        self._configured = list(configured)
        self._known = list(known)
        self._endpoint_of = endpoint_of
        self._settings = settings
        self._on_known = on_known
        self.watcher = watcher
        self._servers: list[Server] = []
        self._is_running = False
        self._is_first_alone = True
        self._timer: IDelayedCall | None = None
        #: Who serves now, and the session in which it does.
        self.active: Server | None = None
        self._session: Session | None = None

    def start(self) -> None:
        self._is_running = True
        self._rebuild()
        self._timer = self._env.clock.callLater(FIRST_S, self._try_others)
        self.changed()

    async def stop(self) -> None:
        self._is_running = False
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        stopping: list[Deferred[None]] = [server.link.stop() for server in self._servers]
        for one in stopping:
            await one

    @property
    def all(self) -> list[Server]:
        """In the order in which they are preferred."""
        return list(self._servers)

    def learn(self, server: Server, named: Sequence[ServerAddress]) -> None:
        """What ``server`` says of where servers are: a site may only add to what we know."""
        known = list(named)
        if server.address.role == "site":
            names = {(one.role, one.name) for one in self._known}
            known = [*self._known, *(one for one in named if (one.role, one.name) not in names)]
        known = known[:SERVERS_MAX]
        if known != self._known:
            self._known = known
            self._on_known(known)
            self._rebuild()
            self.changed()

    def changed(self) -> None:
        """Look again at who serves and who is tried."""
        if not self._is_running:
            return
        best = self._best()
        session = None if best is None else best.link.session
        if best is not self.active or session is not self._session:
            was, self.active, self._session = self.active, best, session
            if was is not None:
                self.watcher.left()
            if best is not None:
                _log.info("{name} serves us", name=best.address.name)
                self._env.clock.callLater(0, self._serving, best, session)
        self._try_those_needed()

    def _serving(self, server: Server, session: Session | None) -> None:
        if self._is_running and server is self.active and session is self._session:
            self.watcher.serving(server)

    def _try_others(self) -> None:
        self._is_first_alone = False
        self.changed()

    def _best(self) -> Server | None:
        ready = [server for server in self._servers if server.link.session is not None]
        trusted = [server for server in ready if not server.link.suspect]
        return next(iter(trusted or ready), None)

    def _try_those_needed(self) -> None:
        """Those before who serves, always; those after it only while it is in doubt."""
        last = len(self._servers) - 1
        if self.active is not None:
            self._is_first_alone = False
            if not self.active.link.suspect:
                last = self._servers.index(self.active)
        elif self._is_first_alone and not any(server.problem for server in self._servers):
            last = 0
        for number, server in enumerate(self._servers):
            is_needed = number <= last
            if is_needed is not server.is_tried:
                server.is_tried = is_needed
                if is_needed:
                    server.link.start()
                else:
                    server.link.stop()

    def _rebuild(self) -> None:
        """Servers for the addresses known; those that stay keep their sessions."""
        former = {server.address: server for server in self._servers}
        wanted = ordered(self._configured, self._known)
        self._servers = [former.pop(a) if a in former else self._make(a) for a in wanted]
        for server in former.values():
            server.link.stop()
            if server is self.active:
                self.active = self._session = None

    def _make(self, address: ServerAddress) -> Server:
        endpoint = self._endpoint_of(address)
        return Server(self._env, self._me, address, endpoint, self._settings, self)


def ordered(
    configured: Sequence[ServerAddress], known: Sequence[ServerAddress]
) -> list[ServerAddress]:
    """Configured servers as they stand, then others heard of; of one that is both the former."""
    found = list(configured)
    names = {(one.role, one.name) for one in configured}
    for address in known:
        if (address.role, address.name) not in names and address.port and address.host:
            names.add((address.role, address.name))
            found.append(address)
    return found[:SERVERS_MAX]
