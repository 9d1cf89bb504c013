"""A session on Twisted: bytes, timers, flow control and nothing else.

What is legal is protocols/machine.py's business, what is right the handler's. Any
transport with ``write``, ``loseConnection``, ``abortConnection``, ``registerProducer``
and ``unregisterProducer`` will do.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar
from typing import Protocol as Interface

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from protocols.codes import Code
from protocols.errors import Challenge, LocalProtocolError, NotSpoken, Refusal, SessionLost
from protocols.handlers import NamedPeer, Peer, SessionHandler
from protocols.handshake import Hello, Welcome
from protocols.keepalive import Deadlines
from protocols.limits import TAGS_IN_FLIGHT_MAX
from protocols.machine import (
    Answered,
    Bad,
    ByeReceived,
    Connection,
    Fatal,
    HelloChallenged,
    HelloReceived,
    HelloRefused,
    Noticed,
    Occurred,
    Prepared,
    ProtocolSpec,
    Refused,
    Requested,
    Side,
    Unspoken,
    WelcomeReceived,
)
from protocols.outbound import OutboundQueue
from protocols.session.watch import Watch
from protocols.sockets import tune

_log = Logger()
_numbers = itertools.count(1)
#: Seconds from the end of a session to the abort of a connection that does not close.
ABORT_AFTER_S = 5.0


class Tap(Interface):
    """Whoever watches the lines that leave: tests of crashes."""

    def before_send(self, line: bytes) -> None: ...

    def after_send(self, line: bytes) -> None:
        """Called as the line is handed on: it leaves in the reactor's next turn."""


class Owner(Interface):
    """The factory of a session: what all its sessions share."""

    spec: ProtocolSpec
    clock: IReactorTime
    sessions: set[Session]

    @property
    def handler(self) -> SessionHandler: ...

    @property
    def watch(self) -> Watch[Session]: ...

    def count(self, what: str) -> None: ...

    def greet(self, session: Session) -> None: ...

    async def welcome(self, session: Session, hello: Hello) -> Welcome: ...

    def refused(self, refusal: Refusal) -> None: ...

    def unspoken(self, session: Session, unspoken: Unspoken) -> None: ...


@implementer(IPushProducer)
class Session(Protocol):
    """One session, as handlers see it. Made by the factories of protocols/endpoint.py."""

    tap: ClassVar[Tap | None] = None

    def __init__(self, owner: Owner, side: Side) -> None:
        self._owner = owner
        self._machine = Connection(owner.spec, side)
        self._clock = owner.clock
        self._number = next(_numbers)
        #: Server: what ``identify`` said. Client: what the WELCOME said.
        self.peer: Peer | None = None
        #: Server: what the next HELLO has to prove, once; where no certificate does.
        self.nonce = ""
        #: Client: given a nonce, the proof; None where a certificate is all there is.
        self.prove: Callable[[str], str] | None = None
        self.hello: Hello | None = None
        self.welcome: Welcome | None = None
        #: The version of the wire in this session; 0 before the handshake.
        self.version = 0
        #: From the end of the handshake to the end of the session.
        self.is_open = False
        #: The session has ended, or never will open.
        self.is_over = False
        #: What the peer's BYE or refusal asked for: seconds to stay away.
        self.retry_after_s = 0.0
        self._calls: dict[str, Deferred[Any]] = {}
        #: What the notes above ask for, more than ITransport has.
        self._transport: Any = None
        self._outbound: OutboundQueue | None = None
        self._deadlines: Deadlines | None = None
        self._abort_timer: IDelayedCall | None = None
        self._finish_call: IDelayedCall | None = None
        self._reason = ""
        self._was_opened = False
        self._is_disconnected = False
        self._disconnect_waiters: list[Callable[[Session], object]] = []

    @property
    def id(self) -> str:
        """For logs: unique in the process."""
        return f"{self._machine.spec.name}-{self._machine.side.value}-{self._number}"

    # For handlers.

    def call(self, request: object) -> Deferred[Any]:
        """Send ``request``; fires with its answer.

        Errbacks with Refusal (the peer's, or BUSY at once when 32 are in flight),
        SessionLost, or LocalProtocolError when ``request`` may not be sent. What came with a
        later version than the session's is refused at once, as the peer would: UNKNOWN_VERB.
        Cancelling forgets the answer, not the request: its tag stays in flight.
        """
        if not self.is_open:
            return fail(SessionLost("the session is not open"))
        if self.calls_in_flight >= TAGS_IN_FLIGHT_MAX:
            return fail(Refusal(Code.BUSY))
        try:
            tag, line = self._machine.send_request(request)
        except NotSpoken:
            return fail(Refusal(Code.UNKNOWN_VERB))
        except LocalProtocolError as error:
            return fail(error)
        answer: Deferred[Any] = Deferred()
        self._calls[tag] = answer
        self._write(line)
        return answer

    def notify(self, event: object) -> None:
        """Send ``event``; dropped silently unless the session is open and its version has it."""
        if not self.is_open:
            return
        try:
            line = self._machine.send_event(event)
        except NotSpoken:
            return
        self._write(line)

    def notify_prepared(self, prepared: Prepared) -> None:
        """As ``notify``, of a line that was made once for many sessions."""
        if not self.is_open:
            return
        try:
            line = self._machine.send_prepared(prepared)
        except NotSpoken:
            return
        self._write(line)

    def end(self, code: Code, retry_after_s: float = 0.0) -> None:
        """Say BYE and close; abort if that takes longer than 5 s."""
        if not self.is_over:
            line = self._machine.send_bye(code, min(max(retry_after_s, 0.0), 3600.0))
            self._close(line)
            self._finish_soon(f"ended: {code.value}")

    def abort(self) -> None:
        """Drop the connection at once, unsaid and unsent things with it."""
        if not self._is_disconnected:
            self._drop()
            self._finish_soon("aborted")

    def when_disconnected(self) -> Deferred[None]:
        """Fires when the transport is gone too."""
        if self._is_disconnected:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._disconnect_waiters.append(lambda session: waiter.callback(None))
        return waiter

    def tell_disconnected(self, waiter: Callable[[Session], object]) -> None:
        """Call ``waiter(self)`` when the transport is gone too: a Deferred is 0.6 kB a session."""
        if self._is_disconnected:
            waiter(self)
        else:
            self._disconnect_waiters.append(waiter)

    @property
    def calls_in_flight(self) -> int:
        """Requests of this side that are not answered, cancelled ones included."""
        return self._machine.asked

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait for a slow peer: producers of much stop while there are any."""
        return self._outbound.waiting_bytes if self._outbound is not None else 0

    # From the transport.

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self._transport = transport
        tune(transport)
        if self.is_over:
            self.abort()
            return
        self._outbound = OutboundQueue(transport.write)
        transport.registerProducer(self, True)
        self._deadlines = Deadlines(self._clock.seconds())
        self._owner.watch.add(self)
        self._owner.count("connections")
        self._owner.sessions.add(self)
        self._owner.greet(self)

    def dataReceived(self, data: bytes) -> None:
        if self.is_over or self._deadlines is None:
            return
        self._deadlines.heard_at = self._clock.seconds()
        for received in self._machine.receive_data(data):
            if self.is_over:
                # Ended by what answered the line before; the rest is not ours any more.
                return
            self._dispatch[type(received)](self, received)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.is_over and not self.is_open:
            # A refused certificate, most often: only here is it known why.
            _log.info("{id}: lost in the handshake: {why}", id=self.id, why=reason.value)
        self._is_disconnected = True
        self._machine.lost()
        self._owner.watch.remove(self)
        if self._abort_timer is not None and self._abort_timer.active():
            self._abort_timer.cancel()
        if self._outbound is not None:
            self._outbound.clear()
        self._owner.sessions.discard(self)
        self._finish(f"lost: {reason.type.__name__ if reason.type is not None else 'unknown'}")
        waiters, self._disconnect_waiters = self._disconnect_waiters, []
        for waiter in waiters:
            self._guard("disconnected", functools.partial(waiter, self))

    def pauseProducing(self) -> None:
        if self._outbound is not None:
            self._outbound.pause()

    def resumeProducing(self) -> None:
        if self._outbound is not None:
            self._outbound.resume()

    def stopProducing(self) -> None:
        """The transport is going; ``connectionLost`` follows."""

    # What the machine made of it.

    def _on_hello(self, received: HelloReceived) -> None:
        assert isinstance(received.hello, Hello)
        self.hello = received.hello
        self.version = received.version
        self._spawn(self._answer_hello(received.hello))

    async def _answer_hello(self, hello: Hello) -> None:
        try:
            welcome = await self._owner.welcome(self, hello)
            if self.is_over:
                return
            line = self._machine.send_welcome(welcome)
        except Challenge as challenge:
            if not self.is_over:
                self._owner.count("challenged")
                self._write(self._machine.challenge_hello(challenge.nonce))
            return
        except Exception as error:
            if self.is_over:
                return
            refusal = self._refusal_of(error, "HELLO")
            self._owner.count("refused")
            self._close(self._machine.refuse_hello(refusal))
            self._finish(f"refused: {refusal.code.value}")
            return
        self._write(line)
        self._open()

    def greet(self, make_hello: Callable[[], Hello]) -> None:
        """Client: send the HELLO."""
        try:
            self.hello = make_hello()
            line = self._machine.send_hello(self.hello)
        except Exception:
            _log.failure("{id}: HELLO failed", id=self.id)
            self.abort()
            return
        self._write(line)

    def _on_welcome(self, received: WelcomeReceived) -> None:
        assert isinstance(received.welcome, Welcome)
        self.welcome = received.welcome
        self.version = received.welcome.version
        self.peer = NamedPeer(received.welcome.role, received.welcome.name)
        self._open()

    def _open(self) -> None:
        if self.is_over:
            return
        assert self._deadlines is not None
        self._deadlines.opened()
        self.is_open = self._was_opened = True
        self._owner.count("opened")
        self._guard("opened", lambda: self._owner.handler.opened(self))

    def _on_hello_challenged(self, received: HelloChallenged) -> None:
        assert self.hello is not None
        if self.prove is None or self.hello.proof:
            # There is nothing to prove with, or what we had does not do.
            self._not_wanted(Refusal(Code.PROVE), 0.0)
            return
        try:
            self.hello = attrs.evolve(self.hello, proof=self.prove(received.nonce))
            line = self._machine.send_hello(self.hello)
        except Exception:
            _log.failure("{id}: HELLO could not be proved", id=self.id)
            self.abort()
            return
        self._write(line)

    def _on_hello_refused(self, received: HelloRefused) -> None:
        retry = received.refusal.fields.get("retry_after_s")
        self._not_wanted(received.refusal, retry if isinstance(retry, int | float) else 0.0)

    def _not_wanted(self, refusal: Refusal, retry_after_s: float) -> None:
        self.retry_after_s = min(max(float(retry_after_s), 0.0), 3600.0)
        self._owner.count("refused")
        self._close(b"")
        self._guard("refused", lambda: self._owner.refused(refusal))
        self._finish(f"refused: {refusal.code.value}")

    def _on_request(self, received: Requested) -> None:
        self._owner.count("requests")
        self._spawn(self._answer(received.tag, received.message))

    async def _answer(self, tag: str, message: object) -> None:
        try:
            answer = await self._owner.handler.request(self, message)
            if self.is_over:
                return
            line = self._machine.send_answer(tag, answer)
        except Exception as error:
            if self.is_over:
                return
            refusal = self._refusal_of(error, type(message).__name__)
            self._owner.count("refusals")
            line = self._machine.send_refusal(tag, refusal)
        self._write(line)

    def _refusal_of(self, error: Exception, what: str) -> Refusal:
        """What the peer is told of ``error``, which is being handled."""
        if isinstance(error, Refusal):
            return error
        self._owner.count("internal")
        _log.failure("{id}: {what} failed", id=self.id, what=what)
        return Refusal(Code.INTERNAL)

    def _on_answer(self, received: Answered) -> None:
        self._calls.pop(received.tag).callback(received.message)

    def _on_refusal(self, received: Refused) -> None:
        self._calls.pop(received.tag).errback(received.refusal)

    def _on_event(self, received: Occurred) -> None:
        self._guard("event", lambda: self._owner.handler.event(self, received.message))

    def _on_bye(self, received: ByeReceived) -> None:
        if not self._was_opened:
            code = Code(received.code) if received.code in set(Code) else Code.INTERNAL
            self._not_wanted(Refusal(code), received.retry_after_s)
            return
        self.retry_after_s = received.retry_after_s
        self._close(b"")
        self._finish(f"bye: {received.code[:32]}")

    def _on_notice(self, received: Noticed) -> None:
        self._owner.count("notices")
        _log.warn(
            "{id}: the peer could not read a line: {code}",
            id=self.id,
            code=received.refusal.code.value,
        )

    def _on_bad(self, received: Bad) -> None:
        self._owner.count("busy" if received.code is Code.BUSY else "bad_lines")
        self._write(received.line)

    def _on_fatal(self, received: Fatal) -> None:
        self._owner.count("too_long" if received.code is Code.TOO_LONG else "bad_lines")
        _log.info("{id}: disconnected for {code}", id=self.id, code=received.code.value)
        self._close(received.line)
        self._finish(f"disconnected: {received.code.value}")
        unspoken = received.unspoken
        if unspoken is not None:
            self._guard("unspoken", lambda: self._owner.unspoken(self, unspoken))

    _dispatch: ClassVar[dict[type, Callable[[Session, Any], None]]] = {
        HelloReceived: _on_hello,
        WelcomeReceived: _on_welcome,
        HelloChallenged: _on_hello_challenged,
        HelloRefused: _on_hello_refused,
        Requested: _on_request,
        Answered: _on_answer,
        Refused: _on_refusal,
        Occurred: _on_event,
        ByeReceived: _on_bye,
        Noticed: _on_notice,
        Bad: _on_bad,
        Fatal: _on_fatal,
    }

    # The end.

    def _write(self, line: bytes) -> None:
        if self.is_over or self._outbound is None:
            return
        tap = self.tap
        if tap is not None:
            tap.before_send(line)
            tap.after_send(line)
        if not self._outbound.send(line):
            self._owner.count("overflows")
            _log.warn("{id}: the peer is too slow, disconnected", id=self.id)
            self._drop()
            # Not at once: a handler may be in the midst of sending.
            self._finish_soon("slow peer")

    def _close(self, last_line: bytes) -> None:
        """Write what waits and ``last_line``, then close."""
        self.is_open, self.is_over = False, True
        self._owner.watch.remove(self)
        if self._is_disconnected or self._outbound is None:
            return
        self._outbound.drain()
        if last_line:
            self._transport.write(last_line)
        # TLS does not close while a producer is registered.
        self._transport.unregisterProducer()
        self._abort_timer = self._clock.callLater(ABORT_AFTER_S, self._drop)
        self._transport.loseConnection()

    def _drop(self) -> None:
        self.is_open, self.is_over = False, True
        self._owner.watch.remove(self)
        if self._outbound is not None:
            self._outbound.clear()
        if self._transport is not None and not self._is_disconnected:
            self._transport.abortConnection()

    def _finish_soon(self, reason: str) -> None:
        if self._finish_call is None:
            self._reason = reason
            self._finish_call = self._clock.callLater(0, self._finish, reason)

    def _finish(self, reason: str) -> None:
        """Tell everybody who waits for this session, once."""
        self.is_open, self.is_over = False, True
        self._owner.watch.remove(self)
        reason = self._reason or reason
        if self._finish_call is not None and self._finish_call.active():
            self._finish_call.cancel()
        if self._was_opened:
            self._was_opened = False
            self._guard("closed", lambda: self._owner.handler.closed(self, reason))
        calls, self._calls = self._calls, {}
        for answer in calls.values():
            answer.errback(SessionLost(reason))

    def next_deadline(self) -> float:
        """When this session is over if nothing is heard of it meanwhile."""
        assert self._deadlines is not None
        return self._deadlines.next_at()

    def time_out(self) -> None:
        """A deadline has come."""
        self._owner.count("timeouts")
        self._close(self._machine.send_bye(Code.TIMEOUT))
        self._finish("timeout")

    def _guard(self, what: str, call: Callable[[], object]) -> None:
        """A handler's exception ends its session, not the process."""
        try:
            call()
        except Exception:
            self._owner.count("internal")
            _log.failure("{id}: {what} failed", id=self.id, what=what)
            self.end(Code.INTERNAL)

    def _spawn(self, work: Coroutine[Deferred[Any], Any, None]) -> None:
        # The coroutines above catch what handlers raise; only a defect of ours is left.
        Deferred.fromCoroutine(work).addErrback(self._defect)

    def _defect(self, failure: Failure) -> None:
        _log.failure("{id}: a defect of the endpoint", failure=failure, id=self.id)
        self.abort()
