"""A kept-up session to one server, and whether that server is suspect (design 4.5).

A server becomes suspect when its session ends or a request is unanswered for
``suspect_after_s``. It stops being so when it answers anything that was sent after
that, plus jitter, so that not every asker comes back in the same second. Who is asked
while a server is suspect is not decided here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import attrs
from attrs.validators import ge, gt
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from papercutd.environment import Environment
from papercutd.services.peer_versions import told_versions
from papercutd.services.places import Places
from protocols.codes import ASK_ELSEWHERE, Code
from protocols.endpoint import Session, SessionClientFactory
from protocols.errors import Refusal, SessionLost
from protocols.handshake import VERSIONS, Hello, advise
from protocols.limits import PING_INTERVAL_S, PING_SUSPECT_INTERVAL_S, TAGS_IN_FLIGHT_MAX
from protocols.machine import ProtocolSpec
from protocols.provider.messages import Ping, Pong

_log = Logger()
#: Growth of the reconnect delay ends here, long after any sensible maximum.
_DOUBLINGS_MAX = 20
#: So often in a row another server is asked without growing waits: one takes over just now.
_SENT_ON_MAX = 30
#: The first waits where there are several: the next one writes within a second or two.
_TAKEN_OVER_WAITS = 3


@attrs.frozen
class LinkSettings:
    """Times of a link, all in seconds (design 4.5, TIMES)."""

    #: Jitter of the way back to a server that was suspect: uniform between 0 and this.
    back_jitter_s: float = attrs.field(default=10.0, validator=ge(0))
    reconnect_min_s: float = attrs.field(default=1.0, validator=gt(0))
    reconnect_max_s: float = attrs.field(default=60.0, validator=gt(0))
    suspect_after_s: float = attrs.field(default=1.0, validator=gt(0))
    connect_timeout_s: float = attrs.field(default=4.0, validator=gt(0))
    ping_interval_s: float = attrs.field(default=PING_INTERVAL_S, validator=gt(0))
    ping_suspect_interval_s: float = attrs.field(default=PING_SUSPECT_INTERVAL_S, validator=gt(0))
    #: A session whose ping is unanswered for so long is half-open, and aborted.
    ping_timeout_s: float = attrs.field(default=10.0, validator=gt(0))
    #: Versions of the wire that are offered; fewer than there are only to try an older one.
    versions: tuple[int, ...] = VERSIONS


class LinkHandler(Protocol):
    """What a link is for. No method may block; ``session`` is always the link's."""

    def make_hello(self) -> Hello:
        """The HELLO to send now."""

    def link_up(self, session: Session) -> None:
        """A session is open; ``session.welcome`` is set. An exception ends it."""

    def link_down(self, reason: str) -> None:
        """The session of the last ``link_up`` is over; its calls errback after this."""

    def trust_changed(self, suspect: bool) -> None:
        """``Link.suspect`` has changed."""

    def request(self, session: Session, message: Any) -> Awaitable[Any]:
        """The answer to a request of the server; raise Refusal to refuse."""

    def event(self, session: Session, event: Any) -> None:
        """The server sent an event."""

    def make_ping(self) -> Ping:
        """The PING to send now."""

    def pong(self, pong: Pong) -> None:
        """The answer to a PING."""

    def refused(self, code: Code) -> None:
        """The server refused the handshake; the link tries again later."""


class Link:
    """A kept-up session to one server, and whether that server is suspect (design 4.5)."""

    def __init__(
        self,
        env: Environment,
        endpoint: IStreamClientEndpoint,
        spec: ProtocolSpec,
        handler: LinkHandler,
        settings: LinkSettings | None = None,
    ) -> None:
        self._env = env
        self._endpoint = endpoint
        self._handler = handler
        self._settings = settings if settings is not None else LinkSettings()
        self._versions = list(self._settings.versions)
        spec = attrs.evolve(spec, versions=self._settings.versions)
        self._factory = SessionClientFactory(spec, env.clock, _Sessions(self, handler))
        #: How the server refused the last handshake; None: it did not.
        self.refusal: Refusal | None = None
        #: True until the first answer.
        self.suspect = True
        self._session: Session | None = None
        self._is_running = False
        self._connecting: Deferred[Any] | None = None
        #: A connection of ours exists, open or not.
        self._connected: Session | None = None
        self._timers: dict[str, IDelayedCall] = {}
        self._stop_waiters: list[Deferred[None]] = []
        #: Times waited for another attempt since the last welcome.
        self._waits = 0
        self._welcomes = 0
        #: Times in a row that another server was named, or none that writes just now.
        self._sent_on = 0
        self._is_named = self._is_sent_on = False
        #: Requests are numbered as they are sent; only an answer to one beyond this
        #: number clears the suspicion.
        self._sent = 0
        self._suspect_at = 0
        self._ping_at = 0.0

    # For the rest of papercutd.

    @property
    def session(self) -> Session | None:
        """The open session (handshake done), or None."""
        session = self._session
        return session if session is not None and session.is_open else None

    @property
    def speaks(self) -> int | None:
        """The version of the open session."""
        session = self.session
        return None if session is None else session.version

    def start(self) -> None:
        """Connect, and go on connecting until ``stop``."""
        if not self._is_running:
            self._is_running = True
            self._waits = self._welcomes = 0
            if self._connected is None and self._connecting is None:
                self._connect()

    def stop(self) -> Deferred[None]:
        """End the session or the attempt; fires when the connection is gone."""
        self._is_running = False
        self._cancel("reconnect")
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connected is not None:
            self._connected.end(Code.UNAVAILABLE)
        if self._connected is None and self._connecting is None:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._stop_waiters.append(waiter)
        return waiter

    def request(self, message: object) -> Deferred[Any]:
        """Send ``message``; fires with its answer.

        Errbacks with Refusal, or SessionLost (at once when there is no session).
        Unanswered for ``suspect_after_s`` the server becomes suspect and the Deferred
        goes on waiting; cancelling it changes nothing of that.
        """
        session = self.session
        if session is None:
            return fail(SessionLost("there is no session"))
        outcome: Deferred[Any] = Deferred()
        self._follow(session, message).addBoth(outcome.callback)
        return outcome

    def mark_suspect(self) -> None:
        """Somebody else found out that this server does not answer."""
        self._suspect_at = self._sent
        self._cancel("trust")
        self._set_suspect(True)
        if self.session is not None:
            # Sooner than the next regular ping would be, never later.
            self._set_ping_timer(self._settings.ping_suspect_interval_s)

    # Suspicion.

    def _follow(self, session: Session, message: object) -> Deferred[Any]:
        """``session.call``, watched; what it returns is never given to others to cancel."""
        if session.calls_in_flight >= TAGS_IN_FLIGHT_MAX:
            # Refused by ourselves, which says nothing of the server.
            return session.call(message)
        self._sent += 1
        number = self._sent
        late = self._env.clock.callLater(self._settings.suspect_after_s, self._unanswered, session)

        def settled(result: Any) -> Any:
            if late.active():
                late.cancel()
            refusal = result.value if isinstance(result, Failure) else None
            if refusal is None or isinstance(refusal, Refusal):
                self._heard(session)
                if refusal is None or refusal.code not in ASK_ELSEWHERE:
                    self._answered(session, number)
            return result

        return session.call(message).addBoth(settled)

    def _unanswered(self, session: Session) -> None:
        # Of an earlier session there is nothing to learn: its end was the suspicion.
        if session is self._session:
            self.mark_suspect()

    def _answered(self, session: Session, number: int) -> None:
        if self.suspect and session is self._session and number > self._suspect_at:
            self._regain()

    def _regain(self) -> None:
        """It answered: trust it again, after the jitter."""
        if "trust" in self._timers:
            return
        after_s = self._env.rng.uniform(0.0, self._settings.back_jitter_s)
        if after_s > 0:
            self._later("trust", after_s, self._set_suspect, False)
        else:
            self._set_suspect(False)

    def _set_suspect(self, suspect: bool) -> None:
        if self.suspect is not suspect:
            self.suspect = suspect
            self._tell("trust_changed", self._handler.trust_changed, suspect)

    # Pings.

    def _ping_interval_s(self) -> float:
        settings = self._settings
        return settings.ping_suspect_interval_s if self.suspect else settings.ping_interval_s

    def _set_ping_timer(self, at_most_s: float) -> None:
        ping_at = self._env.now() + at_most_s
        if "ping" in self._timers:
            if self._ping_at <= ping_at:
                return
            self._cancel("ping")
        self._ping_at = ping_at
        self._later("ping", at_most_s, self._ping)

    def _ping(self) -> None:
        session = self.session
        if session is None:
            return
        if "half-open" not in self._timers:
            self._later("half-open", self._settings.ping_timeout_s, self._half_open, session)
        if session.calls_in_flight >= TAGS_IN_FLIGHT_MAX:
            # Whatever is answered next will do as well; otherwise it is half-open.
            self._set_ping_timer(self._settings.ping_suspect_interval_s)
            return
        try:
            ping = self._handler.make_ping()
        except Exception:
            _log.failure("making a ping failed")
            ping = Ping()
        self._follow(session, ping).addCallbacks(self._ponged, self._no_pong)
        self._set_ping_timer(self._ping_interval_s())

    def _ponged(self, pong: Pong) -> None:
        self._tell("pong", self._handler.pong, pong)

    def _no_pong(self, failure: Failure) -> None:
        # Lost with its session, or refused: then the server is there, and busy perhaps.
        if not isinstance(failure.value, Refusal | SessionLost):
            _log.failure("a ping could not be sent", failure=failure)

    def _heard(self, session: Session) -> None:
        """Any answer proves that the peer is there, whatever it says."""
        if session is self._session:
            self._cancel("half-open")

    def _half_open(self, session: Session) -> None:
        _log.warn("{id}: no answer to a ping, aborted", id=session.id)
        session.abort()

    # The session.

    def _opened(self, session: Session) -> None:
        if not self._is_running or self._session is not None:
            # The late fruit of an attempt that was given up.
            session.abort()
            return
        self._session = session
        self.refusal = None
        self._waits = self._sent_on = 0
        self._welcomes += 1
        # The HELLO was sent after whatever made the server suspect.
        self._suspect_at = self._sent
        is_first = self._welcomes == 1
        self._handler.link_up(session)
        if session is self.session:
            if is_first:
                # Nobody was served elsewhere before, who would come back all at once now.
                self._set_suspect(False)
            else:
                self._regain()
            self._set_ping_timer(self._ping_interval_s())

    def _closed(self, session: Session, reason: str) -> None:
        if session is not self._session:
            return
        self._session = None
        self._suspect_at = self._sent
        for name in ("ping", "half-open", "trust"):
            self._cancel(name)
        was_suspect, self.suspect = self.suspect, True
        self._tell("link_down", self._handler.link_down, reason)
        if not was_suspect and self.suspect:
            self._tell("trust_changed", self._handler.trust_changed, True)

    # Connecting.

    def _connect(self) -> None:
        self._cancel("reconnect")
        connecting = self._connecting = maybeDeferred(self._endpoint.connect, self._factory)
        self._later("connect", self._settings.connect_timeout_s, connecting.cancel)
        connecting.addCallbacks(self._made, self._not_made)
        connecting.addErrback(lambda failure: _log.failure("a defect of the link", failure=failure))

    def _made(self, session: Session) -> None:
        self._connecting = None
        self._cancel("connect")
        self._connected = session
        session.when_disconnected().addCallback(lambda _: self._disconnected(session))
        if not self._is_running:
            session.abort()

    def _not_made(self, failure: Failure) -> None:
        self._connecting = None
        self._cancel("connect")
        _log.debug("no connection: {why}", why=failure.type)
        self._again(0.0)

    def _disconnected(self, session: Session) -> None:
        self._connected = None
        was_sent_on, self._is_sent_on = self._is_sent_on, False
        if session.welcome is None and not was_sent_on and isinstance(self._endpoint, Places):
            # It took the connection and said nothing: frozen perhaps.
            self._endpoint.pass_over()
        self._again(session.retry_after_s)

    def _not_writer(self, refusal: Refusal) -> None:
        """Another application server on that database writes: it is asked (design 4.5)."""
        self._sent_on += 1
        self._is_sent_on = True
        if isinstance(self._endpoint, Places):
            self._is_named = self._endpoint.follow(refusal.fields.get("servers"))

    @property
    def _has_others(self) -> bool:
        return isinstance(self._endpoint, Places) and len(self._endpoint.all()) > 1

    def _again(self, retry_after_s: float) -> None:
        waiters, self._stop_waiters = self._stop_waiters, []
        for waiter in waiters:
            waiter.callback(None)
        # Whoever waited for the stop may have started it again, and it may be connected by now.
        is_under_way = self._connecting is not None or self._connected is not None
        if not self._is_running or is_under_way or "reconnect" in self._timers:
            return
        settings, uniform = self._settings, self._env.rng.uniform
        is_taken_over = self._waits < _TAKEN_OVER_WAITS and self._has_others and not retry_after_s
        if 0 < self._sent_on <= _SENT_ON_MAX or is_taken_over:
            # Where we are sent at once, but not in a circle of two who name each other.
            self._waits += is_taken_over
            wait_s = min(1.0, settings.reconnect_min_s)
            at_once = self._is_named and self._sent_on == 1
            self._later("reconnect", 0.0 if at_once else uniform(wait_s / 2, wait_s), self._connect)
            return
        self._waits = min(self._waits + 1, _DOUBLINGS_MAX)
        growth = 2.0**self._waits
        longest_s = min(settings.reconnect_max_s, settings.reconnect_min_s * growth)
        wait_s = uniform(settings.reconnect_min_s, max(longest_s, settings.reconnect_min_s))
        if retry_after_s > 0:
            # Not all in the second in which the server said it would be back.
            wait_s = max(wait_s, retry_after_s + uniform(0.0, settings.reconnect_min_s))
        self._later("reconnect", wait_s, self._connect)

    # Timers and calls out.

    def _later(self, name: str, after_s: float, call: Callable[..., object], *args: object) -> None:
        def run() -> None:
            del self._timers[name]
            call(*args)

        assert name not in self._timers, name
        self._timers[name] = self._env.clock.callLater(after_s, run)

    def _cancel(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _tell(self, what: str, call: Callable[..., object], *args: object) -> None:
        """A handler's exception must not stop the link's own timers."""
        try:
            call(*args)
        except Exception:
            _log.failure("{what} failed", what=what)


@attrs.frozen
class _Sessions:
    """What the sessions of a link see: its private side, so that Link shows only its own."""

    link: Link
    handler: LinkHandler

    def make_hello(self) -> Hello:
        return attrs.evolve(self.handler.make_hello(), versions=self.link._versions)

    def refused(self, refusal: Refusal) -> None:
        before, self.link.refusal = told_versions(self.link.refusal), refusal
        found = told_versions(refusal)
        if found is not None:
            # Said once, and shown by status until it is over.
            if found != before:
                _log.error("{advice}", advice=advise("the server", found, self.link._versions))
        else:
            _log.info("the server refused the session: {code}", code=refusal.code.value)
        if refusal.code is Code.NOT_WRITER:
            self.link._not_writer(refusal)
        self.handler.refused(refusal.code)

    def opened(self, session: Session) -> None:
        self.link._opened(session)

    def request(self, session: Session, message: Any) -> Awaitable[Any]:
        return self.handler.request(session, message)

    def event(self, session: Session, event: Any) -> None:
        self.handler.event(session, event)

    def closed(self, session: Session, reason: str) -> None:
        self.link._closed(session, reason)
