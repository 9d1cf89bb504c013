"""A person's client: logged in at whichever server serves, as long as a token counts there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger

from papercutd.client.home import Home, Keyring, Token
from papercutd.client.servers import Self, Server, Servers
from papercutd.environment import Environment
from papercutd.errors import PapercutError
from papercutd.services.link import LinkSettings
from papercutd.services.tasks import Tasks
from protocols.client import messages
from protocols.codes import Code
from protocols.errors import Refusal, SessionLost
from protocols.provider.messages import ServerAddress

_log = Logger()
#: Times an answer is sent again, here or elsewhere, under the same id.
TRIES_MAX = 5
#: Refusals that say nothing of the answer, and seconds until it is sent again.
_AGAIN = frozenset({Code.UNAVAILABLE, Code.UNREACHABLE, Code.TIMEOUT, Code.BUSY})
AGAIN_S = 1.0
#: Seconds between two looks whether somebody has logged in by another command.
LOOK_S = 3.0


class NoServer(PapercutError):
    """No server is in reach: look at the network, or wait; it is tried again all the time."""


class NotLoggedIn(PapercutError):
    """Nobody is logged in: run `papercut-client login NAME`."""


class Shower(Protocol):
    """Who shows it to a person."""

    def logged_in(self, server: Server, person: messages.Person) -> None: ...
    def not_logged_in(self, refusal: Refusal) -> None: ...
    def left(self) -> None: ...
    def event(self, event: Any) -> None: ...


class Silent:
    """Nobody looks."""

    def logged_in(self, server: Server, person: messages.Person) -> None: ...
    def not_logged_in(self, refusal: Refusal) -> None: ...
    def left(self) -> None: ...
    def event(self, event: Any) -> None: ...


class Client:
    """One person's."""

    def __init__(
        self,
        env: Environment,
        home: Home,
        name: str,
        endpoint_of: Callable[[ServerAddress], IStreamClientEndpoint],
        settings: LinkSettings,
        shower: Shower | None = None,
    ) -> None:
        """``name``: what it calls itself."""
        kept = home.settings()
        self._env = env
        self._home = home
        self._keyring = home.keyring()
        self._tasks = Tasks()
        self._shower: Shower = shower or Silent()
        host, port = kept.application[0]
        configured = [ServerAddress("application", "application", host, port), *kept.sites]
        self._servers = Servers(
            *(env, Self(name, kept.id), configured, home.known(), endpoint_of, settings, self),
            home.keep_known,
        )
        #: Fires once somebody is logged in, or cannot be.
        self._waiters: list[Deferred[None]] = []
        #: A new log-in is typed: no token is tried.
        self.is_asking = False
        self._looking: IDelayedCall | None = None
        self.person: messages.Person | None = None
        self.refusal: Refusal | None = None

    def start(self) -> None:
        self._servers.start()

    async def stop(self) -> None:
        if self._looking is not None and self._looking.active():
            self._looking.cancel()
        await self._tasks.stop()
        await self._servers.stop()

    @property
    def server(self) -> Server | None:
        """Who serves now."""
        return self._servers.active

    # What a person asks.

    async def until_served(self, wait_s: float) -> Server:
        """Raises NoServer."""
        deadline = self._env.now() + wait_s
        while self.server is None:
            await self._wait(deadline, NoServer())
        return self.server

    async def until_logged_in(self, wait_s: float) -> messages.Person:
        """Raises NoServer, NotLoggedIn, or the server's Refusal."""
        deadline = self._env.now() + wait_s
        while self.person is None:
            if self.refusal is not None:
                raise self.refusal
            if self.server is not None and self._token(self.server) is None:
                raise NotLoggedIn
            await self._wait(deadline, NoServer())
        return self.person

    async def log_in(self, user: str, password: str, wait_s: float) -> messages.Person:
        """By password, where we are served; raises Refusal, SessionLost or NoServer."""
        self.is_asking = True
        try:
            server = await self.until_served(wait_s)
            if user != self._keyring.user:
                # Of whoever was logged in before.
                self._keyring = Keyring(user)
            person = await self._say_login(server, messages.Login(user, password))
        finally:
            self.is_asking = False
        self._entered(server, person)
        return person

    def log_out(self) -> None:
        """Forget what logs in again."""
        self._keyring = Keyring()
        self._home.forget_keyring()

    async def request(self, message: object, wait_s: float) -> Any:
        """The answer of whoever serves, once somebody is logged in there; raises as above."""
        await self.until_logged_in(wait_s)
        server = self.server
        if server is None:
            raise NoServer
        return await server.link.request(message)

    async def answer(self, answer: messages.Answer, wait_s: float) -> messages.Answered:
        """Asked again, here or elsewhere, where the answer is lost: it is the same answer."""
        for _ in range(TRIES_MAX - 1):
            try:
                return await self._answer(answer, wait_s)
            except SessionLost:
                # Whoever serves next is logged in at first.
                self.person = None
            except Refusal as refusal:
                if refusal.code not in _AGAIN:
                    raise
                await deferLater(self._env.clock, AGAIN_S, lambda: None)
        return await self._answer(answer, wait_s)

    async def _answer(self, answer: messages.Answer, wait_s: float) -> messages.Answered:
        found = await self.request(answer, wait_s)
        assert isinstance(found, messages.Answered)
        return found

    # As a Watcher.

    def serving(self, server: Server) -> None:
        self.person = self.refusal = None
        self._wake()
        if self.is_asking:
            return
        self._keyring = self._home.keyring()
        if self._token(server) is not None:
            self._tasks.spawn(self._log_in_again(server), "logging in again")
        else:
            self._not_logged_in(Refusal(Code.NO_LOGIN))

    def left(self) -> None:
        self.person = self.refusal = None
        if self.server is None:
            self._shower.left()

    def event(self, server: Server, event: Any) -> None:
        self._shower.event(event)

    # Logging in.

    def _token(self, server: Server) -> str | None:
        """What a server itself gave counts there, and what the application server gave."""
        now = self._env.wall_s()
        for key in (server.key, "application"):
            token = self._keyring.tokens.get(key)
            if token is not None and token.ends_at > now:
                return token.text
        return None

    async def _log_in_again(self, server: Server) -> None:
        text = self._token(server)
        assert text is not None
        try:
            person = await self._say_login(server, messages.Login(self._keyring.user, token=text))
        except SessionLost:
            return
        except Refusal as refusal:
            if refusal.code is Code.BAD_CREDENTIALS:
                self._forget(text)
                if self._token(server) is not None:
                    await self._log_in_again(server)
                    return
            self.refusal = refusal
            self._not_logged_in(refusal)
            self._wake()
            return
        self._entered(server, person)

    def _not_logged_in(self, refusal: Refusal) -> None:
        self._shower.not_logged_in(refusal)
        if self._looking is None or not self._looking.active():
            self._looking = self._env.clock.callLater(LOOK_S, self._look)

    def _look(self) -> None:
        """Whether somebody has logged in meanwhile, by another command."""
        server = self.server
        if server is None or self.person is not None or self.is_asking:
            return
        before, self._keyring = self._keyring, self._home.keyring()
        if self._keyring != before and self._token(server) is not None:
            self.refusal = None
            self._tasks.spawn(self._log_in_again(server), "logging in again")
        else:
            self._looking = self._env.clock.callLater(LOOK_S, self._look)

    async def _say_login(self, server: Server, login: messages.Login) -> messages.Person:
        session = server.link.session
        if session is None:
            raise SessionLost("there is no session")
        # Not over the link: a password takes its time where many log in, and says nothing of
        # the server.
        found = await session.call(login)
        assert isinstance(found, messages.Person)
        return found

    def _entered(self, server: Server, person: messages.Person) -> None:
        if server is not self.server:
            return
        if person.token:
            token = Token(person.token, person.token_ends_at)
            tokens = {**self._keyring.tokens, server.key: token}
            self._keyring = Keyring(person.user_name, tokens)
            self._home.keep_keyring(self._keyring)
        self.person, self.refusal = person, None
        self._shower.logged_in(server, person)
        self._wake()

    def _forget(self, text: str) -> None:
        tokens = {k: one for k, one in self._keyring.tokens.items() if one.text != text}
        self._keyring = attrs.evolve(self._keyring, tokens=tokens)
        self._home.keep_keyring(self._keyring)

    # Waiting.

    async def _wait(self, deadline: float, late: Exception) -> None:
        """Until something changed; raises ``late`` after ``deadline``."""
        left_s = deadline - self._env.now()
        if left_s <= 0:
            raise late
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        timer = self._env.clock.callLater(left_s, self._wake)
        try:
            await waiter
        finally:
            if timer.active():
                timer.cancel()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)
