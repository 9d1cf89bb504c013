"""Tests of protocols.endpoint: the factories, and both ends joined."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from protocols.codes import Code
from protocols.endpoint import (
    NamedPeer,
    ProvingServerFactory,
    Session,
    SessionClientFactory,
    SessionServerFactory,
)
from protocols.errors import Refusal, SessionLost
from protocols.handshake import VERSIONS
from protocols.limits import HANDSHAKE_TIMEOUT_S, IDLE_TIMEOUT_S
from protocols.machine import Connection, Side
from protocols.provider.messages import Bye, Config, Ping, Pong
from protocols.provider.spec import PROVIDER
from tests.unit.protocols.builders import (
    Recorder,
    RecordingTransport,
    Wire,
    authorize,
    decision,
    hello,
    server_factory,
    welcome,
)

CONFIG = Config(printers=[], servers=[], price_version=3)


class JoinedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.at_server, self.at_client = Recorder(), Recorder()
        self.servers = server_factory(self.clock, self.at_server)
        self.clients = SessionClientFactory(PROVIDER, self.clock, self.at_client)
        self.wire = Wire(self.clock)
        self.client = self.clients.buildProtocol(None)
        self.server = self.servers.buildProtocol(None)

    def join(self) -> None:
        self.wire.join(self.server, self.client)
        self.clock.pump([1 / 128] * 4)

    def test_a_session(self) -> None:
        self.at_server.respond = lambda message: decision()
        self.join()
        self.assertEqual((self.at_client.calls, self.at_server.calls), (["opened"], ["opened"]))
        self.assertEqual(self.server.peer, NamedPeer("provider", "p1"))
        self.assertEqual(self.client.peer, NamedPeer("application", "application"))
        self.assertEqual((self.client.welcome, self.server.hello), (welcome(), hello()))
        self.assertEqual((self.client.version, self.server.version), (1, 1))
        answer = self.client.call(authorize())
        self.assertNoResult(answer)
        self.clock.pump([1 / 128] * 2)
        self.assertEqual(self.successResultOf(answer), decision())
        self.server.notify(CONFIG)
        self.clock.pump([1 / 128] * 2)
        self.assertEqual(self.at_client.events, [CONFIG])
        self.client.end(Code.UNAVAILABLE, 3.0)
        self.clock.pump([1 / 128] * 4)
        self.assertEqual(self.at_client.calls, ["opened", "closed ended: unavailable"])
        self.assertEqual(self.at_server.calls, ["opened", "closed bye: unavailable"])
        self.assertEqual(self.server.retry_after_s, 3.0)
        self.successResultOf(self.client.when_disconnected())
        self.assertEqual(self.servers.sessions, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_opened_comes_after_the_welcome_is_written(self) -> None:
        def opened(session: Session) -> None:
            session.notify(CONFIG)

        self.patch(self.at_server, "opened", opened)
        self.join()
        # Had CONFIG come first, the client would have refused it.
        self.assertEqual(self.at_client.events, [CONFIG])
        self.assertEqual(self.clients.counters["bad_lines"], 0)

    def test_wrong_role_or_name(self) -> None:
        for fields in ({"role": "site"}, {"name": "p2"}):
            self.setUp()
            self.patch(self.at_client, "make_hello", lambda fields=fields: hello(**fields))
            self.join()
            self.assertEqual(self.at_client.calls, ["refused identity"])
            self.assertEqual(self.at_server.calls, [])
            self.assertTrue(self.wire.is_gone)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_certificate_is_refused(self) -> None:
        def revoked(_: Any) -> NamedPeer:
            raise Refusal(Code.REVOKED)

        self.servers = SessionServerFactory(PROVIDER, self.clock, self.at_server, revoked)
        self.server = self.servers.buildProtocol(None)
        self.join()
        self.assertEqual(self.at_client.calls, ["refused revoked"])
        self.assertEqual(self.servers.counters["refused"], 1)

    def test_the_handler_refuses_and_says_when_to_come_back(self) -> None:
        def busy(_: Any) -> None:
            raise Refusal(Code.BUSY, {"retry_after_s": 9})

        self.at_server.greet = busy
        self.join()
        self.assertEqual(self.at_client.calls, ["refused busy"])
        self.assertEqual(self.client.retry_after_s, 9.0)

    def test_the_handler_fails_at_hello(self) -> None:
        def broken(_: Any) -> None:
            raise ZeroDivisionError("secret")

        self.at_server.greet = broken
        self.join()
        self.assertEqual(self.at_client.calls, ["refused internal"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_welcome_of_another_version_is_our_bug(self) -> None:
        self.at_server.greet = lambda _: welcome(version=2)
        self.join()
        self.assertEqual(self.at_client.calls, ["refused internal"])
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_no_version_in_common(self) -> None:
        self.patch(self.at_client, "make_hello", lambda: hello(versions=[7]))
        self.join()
        self.assertEqual(self.at_client.calls, ["refused version"])
        (refusal,) = self.at_client.refusals
        self.assertEqual(refusal.fields, {"spoken": list(VERSIONS), "offered": [7]})
        self.assertEqual(self.at_server.calls, ["provider p1 speaks [7]"])
        self.assertTrue(self.wire.is_gone)

    def test_bye_before_the_welcome_is_a_refusal(self) -> None:
        transport = RecordingTransport()
        self.client.makeConnection(transport)
        self.client.dataReceived(b'* BYE {"code":"unavailable","retry_after_s":5}\n')
        self.assertEqual(self.at_client.calls, ["refused unavailable"])
        self.assertEqual(self.client.retry_after_s, 5.0)
        self.assertTrue(transport.is_closing)

    def test_a_hello_that_cannot_be_made(self) -> None:
        def broken() -> Any:
            raise ZeroDivisionError

        self.patch(self.at_client, "make_hello", broken)
        self.join()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.wire.is_gone)
        self.assertEqual((self.at_client.calls, self.at_server.calls), ([], []))

    def test_calls_of_a_lost_session(self) -> None:
        self.join()
        order: list[str] = []
        self.patch(self.at_client, "closed", lambda session, reason: order.append("closed"))

        def note(failure: Failure) -> None:
            order.append(type(failure.value).__name__)

        self.client.call(authorize()).addErrback(note)
        self.wire.is_cut = True
        self.client.abort()
        self.assertEqual(order, [])
        self.clock.advance(0)
        self.assertEqual(order, ["closed", "SessionLost"])
        self.failureResultOf(self.client.call(Ping()), SessionLost)
        self.client.notify(Bye(code="busy"))

    def test_a_cut_wire_is_noticed_by_silence(self) -> None:
        self.join()
        self.wire.is_cut = True
        self.clock.advance(IDLE_TIMEOUT_S + 1)
        self.assertEqual(self.at_server.calls, ["opened", "closed timeout"])
        self.assertFalse(self.wire.is_gone)
        self.clock.advance(5.0)
        self.clock.advance(0)
        self.assertTrue(self.wire.is_gone)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_more_connections_than_admitted_are_dropped(self) -> None:
        self.servers = server_factory(self.clock, self.at_server, connections_max=1)
        transports = [RecordingTransport() for _ in range(3)]
        for transport in transports:
            self.servers.buildProtocol(None).makeConnection(transport)
        self.assertEqual([t.is_aborted for t in transports], [False, True, True])
        self.assertEqual(self.servers.counters["turned_away"], 2)

    def test_many_calls_at_once(self) -> None:
        self.join()
        calls = [self.client.call(Ping(clock=float(n))) for n in range(40)]
        for call in calls[32:]:
            self.assertIs(self.failureResultOf(call, Refusal).value.code, Code.BUSY)
        self.assertEqual(self.client.calls_in_flight, 32)
        self.clock.pump([1 / 128] * 2)
        for number, call in enumerate(calls[:32]):
            self.assertEqual(self.successResultOf(call), Pong(clock=float(number)))


class ProvedTests(SynchronousTestCase):
    """Where no certificate says who it is."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.at_server, self.at_client = Recorder(), Recorder()
        self.nonces = [f"{number:064x}" for number in range(9, 0, -1)]
        self.asked: list[tuple[str, str, str]] = []
        self.is_admitted = True
        self.servers = ProvingServerFactory(
            *(PROVIDER, self.clock, self.at_server, self.admit, self.prove, self.nonces.pop)
        )
        self.clients = SessionClientFactory(PROVIDER, self.clock, self.at_client)

    def admit(self, transport: object) -> None:
        if not self.is_admitted:
            raise Refusal(Code.LOCKED_OUT, {"retry_after_s": 30})

    def prove(self, transport: object, said: Any, nonce: str) -> NamedPeer:
        self.asked.append((said.name, nonce, said.proof))
        if said.proof != nonce[::-1]:
            raise Refusal(Code.IDENTITY)
        return NamedPeer("provider", said.name)

    def join(self, prove: Any = None) -> Wire:
        wire = Wire(self.clock)
        self.client = self.clients.buildProtocol(None)
        self.client.prove = prove
        wire.join(self.servers.buildProtocol(None), self.client)
        self.clock.pump([1 / 128] * 8)
        return wire

    def typed(self, *lines: bytes) -> tuple[RecordingTransport, list[str]]:
        """What a server says to ``lines``."""
        transport = RecordingTransport()
        session = self.servers.buildProtocol(None)
        session.makeConnection(transport)
        for line in lines:
            session.dataReceived(line)
        return transport, transport.lines()

    def line(self, **fields: Any) -> bytes:
        return Connection(PROVIDER, Side.CLIENT).send_hello(hello(**fields))

    def test_let_in(self) -> None:
        self.join(lambda nonce: nonce[::-1])
        self.assertEqual((self.at_client.calls, self.at_server.calls), (["opened"], ["opened"]))
        nonce = f"{1:064x}"
        self.assertEqual(self.asked, [("p1", nonce, nonce[::-1])])
        self.assertEqual(self.servers.counters["challenged"], 1)

    def test_each_connection_has_its_own_nonce(self) -> None:
        for _ in range(2):
            self.join(lambda nonce: nonce[::-1])
        first, second = (nonce for _, nonce, _ in self.asked)
        self.assertNotEqual(first, second)
        # What was said in the first is worth nothing in another.
        _, said = self.typed(self.line(), self.line(proof=first[::-1]))
        self.assertIn(" NO identity ", said[1])

    def test_a_proof_that_nobody_asked_for(self) -> None:
        """Neither looked at nor counted: a nonce comes first."""
        _, said = self.typed(self.line(proof="0" * 64))
        self.assertIn(" NO prove ", said[0])
        self.assertEqual(self.asked, [])

    def test_wrong_and_missing(self) -> None:
        for proof in ("0" * 64, "", "x"):
            transport, said = self.typed(self.line(), self.line(proof=proof), self.line())
            self.assertIn(" NO prove ", said[0])
            self.assertTrue(said[1].startswith("1 NO identity "))
            # One try, then it is over.
            self.assertEqual(len(said), 2)
            self.assertTrue(transport.is_closing)
        self.assertEqual(self.at_server.calls, [])

    def test_nothing_else_before_the_proof(self) -> None:
        _, said = self.typed(self.line(), b"2 PING {}\n", b"3 OPEN {}\n", self.line(proof="0" * 64))
        codes = [line.split()[2] for line in said]
        self.assertEqual(codes, ["prove", "wrong-state", "wrong-state", "identity"])

    def test_a_client_without_a_secret(self) -> None:
        wire = self.join()
        self.assertEqual(self.at_client.calls, ["refused prove"])
        self.assertTrue(wire.is_gone)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_client_with_a_wrong_one(self) -> None:
        self.join(lambda nonce: "0" * 64)
        self.assertEqual(self.at_client.calls, ["refused identity"])

    def test_a_client_that_cannot_prove_it_now(self) -> None:
        def broken(nonce: str) -> str:
            raise ZeroDivisionError

        wire = self.join(broken)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(wire.is_gone)

    def test_a_server_that_asks_for_ever(self) -> None:
        self.client = self.clients.buildProtocol(None)
        self.client.prove = lambda nonce: nonce
        transport = RecordingTransport()
        self.client.makeConnection(transport)
        for tag in (1, 2, 3):
            self.client.dataReceived(f'{tag} NO prove {{"nonce":"{tag:064x}"}}\n'.encode())
        self.assertEqual(len(transport.lines()), 2)
        self.assertEqual(self.at_client.calls, ["refused prove"])

    def test_not_admitted(self) -> None:
        self.is_admitted = False
        _, said = self.typed(self.line())
        self.assertTrue(said[0].startswith("1 NO locked-out "))
        self.assertIn('"retry_after_s":30', said[0])
        self.assertEqual(self.asked, [])

    def test_the_handshake_ends_in_time(self) -> None:
        transport, _ = self.typed(self.line())
        self.clock.advance(HANDSHAKE_TIMEOUT_S + 0.1)
        self.assertIn("timeout", transport.lines()[-1])
        self.assertTrue(transport.is_closing)
