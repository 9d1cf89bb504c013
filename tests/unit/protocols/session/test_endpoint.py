"""Tests of protocols.session.endpoint: one server session under a recording transport."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from protocols.codes import Code
from protocols.endpoint import ABORT_AFTER_S, Session, SessionClientFactory
from protocols.errors import LocalProtocolError, Refusal
from protocols.limits import (
    BAD_LINES_MAX,
    HANDSHAKE_TIMEOUT_S,
    IDLE_TIMEOUT_S,
    LINE_LENGTH_MAX,
    OUTBOUND_BYTES_MAX,
)
from protocols.machine import Connection, Side
from protocols.provider.messages import Config, Ping, Pong, PrinterSetting
from protocols.provider.spec import PROVIDER
from tests.unit.protocols.builders import (
    Recorder,
    RecordingTransport,
    hello,
    server_factory,
    welcome,
)

HELLO = Connection(PROVIDER, Side.CLIENT).send_hello(hello())


class SessionTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.handler = Recorder()
        self.factory = server_factory(self.clock, self.handler)
        self.transport = RecordingTransport()
        self.session = self.factory.buildProtocol(None)
        self.session.makeConnection(self.transport)

    def open(self) -> None:
        self.session.dataReceived(HELLO)
        self.transport.lines()
        self.assertTrue(self.session.is_open)

    @staticmethod
    def given(answer: Any) -> Callable[[Any], Any]:
        return lambda _: answer

    def lose(self) -> None:
        self.session.connectionLost(Failure(ConnectionDone()))


class RequestTests(SessionTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.open()

    def test_answered(self) -> None:
        self.session.dataReceived(b'a PING {"clock":1}\nb PING {"clock":2}\n')
        self.assertEqual(
            self.transport.lines(),
            ['a OK {"clock":1.0,"position":null}', 'b OK {"clock":2.0,"position":null}'],
        )

    def test_a_thousand_in_one_chunk_answered_at_once(self) -> None:
        self.session.dataReceived(b"".join(b"%d PING {}\n" % n for n in range(1000)))
        lines = self.transport.lines()
        self.assertEqual(len(lines), 1000)
        self.assertTrue(all(" OK " in line for line in lines))

    def test_a_thousand_in_flight(self) -> None:
        self.handler.respond = lambda _: Deferred()
        self.session.dataReceived(b"".join(b"%d PING {}\n" % n for n in range(1000)))
        lines = self.transport.lines()
        self.assertEqual(len(lines), 968)
        self.assertTrue(all(" NO busy " in line for line in lines))
        self.assertEqual(self.factory.counters["busy"], 968)
        self.assertTrue(self.session.is_open)

    def test_refused(self) -> None:
        def refuse(_: Any) -> Any:
            raise Refusal(Code.NOT_WRITER, {"servers": ["h:9195"]})

        self.handler.respond = refuse
        self.session.dataReceived(b"a PING {}\n")
        (line,) = self.transport.lines()
        self.assertTrue(line.startswith("a NO not-writer {"))
        self.assertIn('"servers":["h:9195"]', line)

    def test_failed(self) -> None:
        def fail(_: Any) -> Any:
            raise ZeroDivisionError("the password is swordfish")

        self.handler.respond = fail
        self.session.dataReceived(b"a PING {}\n")
        self.assertEqual(
            self.transport.lines(),
            ['a NO internal {"text":"the server failed at this request, its log says why"}'],
        )
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.session.is_open)
        self.assertEqual(self.factory.counters["internal"], 1)

    def test_an_answer_that_may_not_be_sent(self) -> None:
        answers = [Ping(), None, Pong(position="x")]  # type: ignore[arg-type]
        self.handler.respond = lambda _: answers.pop()
        for _ in range(3):
            self.session.dataReceived(b"a PING {}\n")
            (line,) = self.transport.lines()
            self.assertTrue(line.startswith("a NO internal "))
        self.assertEqual(len(self.flushLoggedErrors(LocalProtocolError)), 3)

    def test_an_answer_after_the_end_is_dropped(self) -> None:
        for outcome in (Pong(), Refusal(Code.BUSY), ZeroDivisionError()):
            self.setUp()
            slow: Deferred[Any] = Deferred()
            self.handler.respond = self.given(slow)
            self.session.dataReceived(b"a PING {}\n")
            self.session.end(Code.REPLACED)
            self.transport.lines()
            self.lose()
            if isinstance(outcome, Exception):
                slow.errback(outcome)
            else:
                slow.callback(outcome)
            self.assertEqual(self.transport.lines(), [])

    def test_a_handler_that_ends_the_session(self) -> None:
        def end(message: Any) -> Any:
            self.session.end(Code.REPLACED)
            return Pong()

        self.handler.respond = end
        self.session.dataReceived(b"a PING {}\nb PING {}\n")
        self.assertEqual(self.transport.lines(), ['* BYE {"code":"replaced","retry_after_s":0.0}'])
        self.assertEqual(self.handler.calls, ["opened"])
        self.clock.advance(0)
        self.assertEqual(self.handler.calls, ["opened", "closed ended: replaced"])

    def test_a_handler_that_aborts_the_session(self) -> None:
        heard: list[Any] = []

        def abort(message: Any) -> Pong:
            heard.append(message)
            self.session.abort()
            return Pong()

        self.handler.respond = abort
        self.session.dataReceived(b"a PING {}\nb PING {}\n")
        self.assertEqual(len(heard), 1)
        self.assertEqual(self.transport.lines(), [])

    def test_requests_before_bye_in_one_chunk_are_heard(self) -> None:
        heard: list[Any] = []

        def respond(message: Any) -> Pong:
            heard.append(message)
            return Pong()

        self.handler.respond = respond
        self.session.dataReceived(b'a PING {}\n* BYE {"code":"busy"}\nb PING {}\n')
        self.assertEqual(heard, [Ping()])
        self.assertEqual(len(self.transport.lines()), 1)
        self.assertEqual(self.handler.calls, ["opened", "closed bye: busy"])

    def test_a_server_may_not_ask_here(self) -> None:
        self.failureResultOf(self.session.call(Ping()), LocalProtocolError)
        self.assertRaises(LocalProtocolError, self.session.notify, Ping())


class HandlerFailureTests(SessionTestCase):
    def broken(self, *_: Any) -> None:
        raise ZeroDivisionError

    def test_opened(self) -> None:
        self.patch(self.handler, "opened", self.broken)
        self.session.dataReceived(HELLO)
        self.assertTrue(self.transport.lines()[-1].startswith('* BYE {"code":"internal"'))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(0)
        self.assertEqual(self.handler.calls, ["closed ended: internal"])

    def test_event(self) -> None:
        self.open()
        factory = SessionClientFactory(PROVIDER, self.clock, self.handler)
        client, transport = factory.buildProtocol(None), RecordingTransport()
        client.makeConnection(transport)
        server = Connection(PROVIDER, Side.SERVER)
        list(server.receive_data(transport.written))
        client.dataReceived(server.send_welcome(welcome()))
        self.patch(self.handler, "event", self.broken)
        client.dataReceived(b'* CONFIG {"printers":[],"servers":[],"price_version":1}\n')
        self.assertTrue(client.is_over)
        self.assertTrue(transport.lines()[-1].startswith('* BYE {"code":"internal"'))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_closed(self) -> None:
        self.open()
        self.patch(self.handler, "closed", self.broken)
        self.lose()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.successResultOf(self.session.when_disconnected())


class BadInputTests(SessionTestCase):
    def test_answers_and_counts(self) -> None:
        self.session.dataReceived(b"1 PING {}\n2 DANCE {}\nnonsense\n\xff\n")
        self.assertEqual(
            [line.partition(" {")[0] for line in self.transport.lines()],
            ["1 NO wrong-state", "2 NO unknown-verb", "nonsense NO bad-line", "? NO bad-line"],
        )
        self.assertEqual(self.factory.counters["bad_lines"], 4)
        self.open()
        self.session.dataReceived(b'3 PING [\n4 PING {[\n5 PING {"clock":"x"}\n6 OK {}\n')
        self.assertEqual(
            [line.partition(" {")[0] for line in self.transport.lines()],
            ["3 NO bad-json", "4 NO bad-json", "5 NO bad-fields", "? NO bad-line"],
        )

    def test_too_many(self) -> None:
        self.open()
        self.session.dataReceived(b"nonsense\n" * (BAD_LINES_MAX + 5) + b"1 PING {}\n")
        lines = self.transport.lines()
        self.assertEqual(len(lines), BAD_LINES_MAX)
        self.assertTrue(lines[-1].startswith('* BYE {"code":"bad-line"'))
        self.assertTrue(self.transport.is_closing)
        self.assertEqual(self.handler.calls, ["opened", "closed disconnected: bad-line"])
        self.session.dataReceived(b"1 PING {}\n")
        self.assertEqual(self.transport.lines(), [])

    def test_oversize(self) -> None:
        self.open()
        self.session.dataReceived(b"x" * (LINE_LENGTH_MAX + 2))
        (line,) = self.transport.lines()
        self.assertTrue(line.startswith('* BYE {"code":"too-long"'))
        self.assertTrue(self.transport.is_closing)
        self.assertEqual(self.factory.counters["too_long"], 1)

    def test_what_was_accepted_before_is_still_done(self) -> None:
        self.open()
        slow: Deferred[Any] = Deferred()
        done: list[str] = []
        slow.addCallback(lambda answer: done.append("done") or answer)  # type: ignore
        self.handler.respond = lambda _: slow
        self.session.dataReceived(b"1 PING {}\n" + b"x" * (LINE_LENGTH_MAX + 2))
        self.assertTrue(self.session.is_over)
        slow.callback(Pong())
        self.assertEqual(done, ["done"])

    def test_a_notice_is_counted_and_not_answered(self) -> None:
        self.open()
        self.session.dataReceived(b"? NO bad-line {}\n" * 50)
        self.assertEqual(self.transport.lines(), [])
        self.assertEqual(self.factory.counters["notices"], 50)


class TimeTests(SessionTestCase):
    def test_handshake(self) -> None:
        self.clock.advance(HANDSHAKE_TIMEOUT_S - 0.1)
        self.session.dataReceived(b"1 ")
        self.assertFalse(self.transport.is_closing)
        self.clock.advance(0.1)
        self.assertEqual(self.transport.lines(), ['* BYE {"code":"timeout","retry_after_s":0.0}'])
        self.assertTrue(self.transport.is_closing)
        self.assertEqual(self.handler.calls, [])
        self.assertEqual(self.factory.counters["timeouts"], 1)
        self.assertFalse(self.transport.is_aborted)
        self.clock.advance(ABORT_AFTER_S)
        self.assertTrue(self.transport.is_aborted)

    def test_a_slow_answer_to_hello(self) -> None:
        slow: Deferred[Any] = Deferred()
        self.handler.greet = lambda _: slow
        self.session.dataReceived(HELLO)
        self.clock.advance(HANDSHAKE_TIMEOUT_S)
        self.assertTrue(self.session.is_over)
        self.transport.lines()
        slow.callback(welcome())
        self.assertEqual(self.transport.lines(), [])
        self.lose()
        self.assertEqual(self.handler.calls, [])

    def test_a_hello_refused_after_the_end(self) -> None:
        slow: Deferred[Any] = Deferred()
        self.handler.greet = lambda _: slow
        self.session.dataReceived(HELLO)
        self.lose()
        slow.errback(Refusal(Code.BUSY))
        self.assertEqual((self.transport.lines(), self.handler.calls), ([], []))

    def test_idle(self) -> None:
        self.open()
        for _ in range(10):
            self.clock.advance(IDLE_TIMEOUT_S - 1)
            self.session.dataReceived(b"1 PING {}\n")
        self.transport.lines()
        self.clock.advance(IDLE_TIMEOUT_S - 0.5)
        self.assertTrue(self.session.is_open)
        self.clock.advance(0.5)
        self.assertEqual(self.transport.lines(), ['* BYE {"code":"timeout","retry_after_s":0.0}'])
        self.assertEqual(self.handler.calls, ["opened", "closed timeout"])

    def test_a_busy_session_sets_few_timers(self) -> None:
        self.open()
        for _ in range(100):
            self.session.dataReceived(b"1 PING {}\n")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)


class EndTests(SessionTestCase):
    def test_closed_is_called_once_whatever_ends_it(self) -> None:
        ways: list[tuple[str, Any]] = [
            ("closed ended: busy", lambda: self.session.end(Code.BUSY)),
            ("closed aborted", lambda: self.session.abort()),
            ("closed bye: busy", lambda: self.session.dataReceived(b'* BYE {"code":"busy"}\n')),
            ("closed lost: ConnectionDone", self.lose),
            ("closed timeout", lambda: self.clock.advance(IDLE_TIMEOUT_S)),
            (
                "closed disconnected: too-long",
                lambda: self.session.dataReceived(b"x" * (LINE_LENGTH_MAX + 2)),
            ),
        ]
        for is_turned in (True, False):
            for expected, way in ways:
                self.setUp()
                self.open()
                way()
                self.session.end(Code.INTERNAL)
                self.session.abort()
                if is_turned:
                    self.clock.advance(0)
                self.lose()
                self.clock.advance(ABORT_AFTER_S)
                self.assertEqual(self.handler.calls, ["opened", expected])
                self.assertEqual(self.clock.getDelayedCalls(), [])
                self.assertEqual(self.factory.sessions, set())

    def test_end_before_the_handshake(self) -> None:
        self.session.end(Code.UNAVAILABLE)
        self.assertTrue(self.transport.lines()[0].startswith('* BYE {"code":"unavailable"'))
        self.lose()
        self.assertEqual(self.handler.calls, [])

    def test_end_before_the_connection(self) -> None:
        session, transport = self.factory.buildProtocol(None), RecordingTransport()
        session.end(Code.UNAVAILABLE)
        session.makeConnection(transport)
        self.assertTrue(transport.is_aborted)
        self.assertEqual(transport.written, b"")

    def test_retry_after_is_kept_within_bounds(self) -> None:
        for given, said in ((-1.0, "0.0"), (1e9, "3600.0")):
            self.setUp()
            self.open()
            self.session.end(Code.BUSY, given)
            self.assertIn(f'"retry_after_s":{said}', self.transport.lines()[0])

    def test_the_producer_is_unregistered_so_that_tls_can_close(self) -> None:
        self.open()
        self.assertIs(self.transport.producer, self.session)
        self.session.end(Code.BUSY)
        self.assertIsNone(self.transport.producer)

    def test_no_timer_is_left(self) -> None:
        self.open()
        waiter = self.session.when_disconnected()
        self.assertNoResult(waiter)
        self.lose()
        self.successResultOf(waiter)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_who_is_told_of_the_end_is_told_once(self) -> None:
        self.open()
        told: list[Session] = []

        def fails(session: Session) -> None:
            raise ValueError("a waiter of ours")

        self.session.tell_disconnected(fails)
        self.session.tell_disconnected(told.append)
        self.assertEqual(told, [])
        self.lose()
        self.session.tell_disconnected(told.append)
        self.assertEqual(told, [self.session, self.session])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_what_each_session_has_is_small(self) -> None:
        for part in (self.session._machine, self.session._outbound, self.session._deadlines):
            self.assertFalse(hasattr(part, "__dict__"), part)


class SlowReaderTests(SessionTestCase):
    CONFIG = Config(
        printers=[PrinterSetting(id=n, name="x" * 60, uri="") for n in range(300)],
        servers=[],
        price_version=1,
    )

    def setUp(self) -> None:
        super().setUp()
        self.open()

    def test_lines_wait_while_paused(self) -> None:
        self.session.pauseProducing()
        self.session.notify(self.CONFIG)
        self.assertEqual(self.transport.lines(), [])
        self.assertGreater(self.session.waiting_bytes, 10_000)
        self.session.resumeProducing()
        self.assertEqual(len(self.transport.lines()), 1)
        self.assertEqual(self.session.waiting_bytes, 0)

    def test_too_much_waits(self) -> None:
        self.session.pauseProducing()
        sent = 0
        while self.session.is_open:
            self.session.notify(self.CONFIG)
            sent += 1
            self.assertLessEqual(self.session.waiting_bytes, OUTBOUND_BYTES_MAX)
        self.assertGreater(sent, 50)
        self.assertTrue(self.transport.is_aborted)
        self.assertEqual(self.factory.counters["overflows"], 1)
        self.assertEqual((self.transport.lines(), self.session.waiting_bytes), ([], 0))
        # Not in the midst of the handler's sending.
        self.assertEqual(self.handler.calls, ["opened"])
        self.clock.advance(0)
        self.assertEqual(self.handler.calls, ["opened", "closed slow peer"])

    def test_reading_goes_on_while_writing_waits(self) -> None:
        heard: list[Any] = []

        def respond(message: Any) -> Pong:
            heard.append(message)
            return Pong()

        self.handler.respond = respond
        self.session.pauseProducing()
        self.session.dataReceived(b"1 PING {}\n")
        self.assertEqual(len(heard), 1)

    def test_a_graceful_end_says_all_that_waits(self) -> None:
        self.session.pauseProducing()
        self.session.notify(self.CONFIG)
        self.session.end(Code.BUSY)
        lines = self.transport.lines()
        self.assertTrue(lines[0].startswith("* CONFIG "))
        self.assertTrue(lines[1].startswith("* BYE "))

    def test_stop_producing_waits_for_the_loss(self) -> None:
        self.session.stopProducing()
        self.lose()
        self.session.resumeProducing()
        self.session.pauseProducing()
        self.assertEqual(self.handler.calls, ["opened", "closed lost: ConnectionDone"])


class ClientCallTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.transport = Clock(), RecordingTransport()
        self.factory = SessionClientFactory(PROVIDER, self.clock, Recorder())
        self.session = self.factory.buildProtocol(None)
        self.session.makeConnection(self.transport)
        server = Connection(PROVIDER, Side.SERVER)
        list(server.receive_data(self.transport.written))
        self.session.dataReceived(server.send_welcome(welcome()))
        self.transport.lines()

    def test_a_cancelled_call_keeps_its_tag_until_the_answer(self) -> None:
        call = self.session.call(Ping())
        tag = self.transport.lines()[0].split()[0]
        call.cancel()
        self.failureResultOf(call, CancelledError)
        self.assertEqual(self.session.calls_in_flight, 1)
        self.session.dataReceived(f"{tag} OK {{}}\n".encode())
        self.assertEqual(self.session.calls_in_flight, 0)
        self.assertEqual(self.factory.counters["bad_lines"], 0)

    def test_refused(self) -> None:
        call = self.session.call(Ping())
        tag = self.transport.lines()[0].split()[0]
        self.session.dataReceived(f'{tag} NO not-writer {{"servers":["x"]}}\n'.encode())
        refusal = self.failureResultOf(call, Refusal).value
        self.assertEqual((refusal.code, refusal.fields), (Code.NOT_WRITER, {"servers": ["x"]}))

    def test_what_may_not_be_sent_is_not(self) -> None:
        self.failureResultOf(self.session.call(Pong()), LocalProtocolError)
        self.assertEqual(self.transport.lines(), [])
