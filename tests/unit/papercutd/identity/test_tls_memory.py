"""Tests of papercutd.identity.tls_memory, with two ends in memory."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport, connect
from twisted.trial.unittest import SynchronousTestCase

from papercutd.identity.endpoints import TimedTlsFactory
from papercutd.identity.tls import ClientTls, ServerTls
from papercutd.identity.tls_memory import release_buffers
from protocols.limits import HANDSHAKE_TIMEOUT_S
from tests.support.certificates import credentials, make_authority

NOW = 1_800_000_000.0


class ReleaseBuffersTests(SynchronousTestCase):
    def setUp(self) -> None:
        shown = credentials(make_authority(NOW), "site", "north", NOW)
        self.server = ServerTls(shown).serverConnectionForTLS(None)
        self.client = ClientTls(shown, "site", "north").clientConnectionForTLS(None)
        self.server.set_accept_state()
        self.client.set_connect_state()
        for _ in range(3):
            for end in (self.client, self.server):
                try:
                    end.do_handshake()
                except SSL.WantReadError:
                    pass
                self.carry()

    def carry(self) -> None:
        """All that waits for the network, to the other end."""
        for one, other in ((self.client, self.server), (self.server, self.client)):
            try:
                while True:
                    other.bio_write(one.bio_read(65_536))
            except SSL.WantReadError:
                pass

    def received(self, end: SSL.Connection) -> bytes:
        found = b""
        try:
            while True:
                found += end.recv(65_536)
        except SSL.WantReadError:
            return found

    def check_both_ways(self, data: bytes) -> None:
        for one, other in ((self.client, self.server), (self.server, self.client)):
            sent = 0
            while sent < len(data):
                sent += one.send(data[sent : sent + 16_384])
            self.carry()
            self.assertEqual(self.received(other), data)

    def test_both_ends_go_on(self) -> None:
        self.check_both_ways(b"before")
        for _ in range(3):
            self.assertTrue(release_buffers(self.server))
            self.assertTrue(release_buffers(self.client))
            self.check_both_ways(b"after")
            self.check_both_ways(bytes(range(256)) * 400)

    def test_what_waits_is_not_lost(self) -> None:
        self.check_both_ways(b"before")
        self.client.send(b"sent")
        self.assertFalse(release_buffers(self.client))
        # Half of it arrives; the rest later.
        data = self.client.bio_read(65_536)
        self.server.bio_write(data[:7])
        self.assertFalse(release_buffers(self.server))
        self.assertEqual(self.received(self.server), b"")
        # OpenSSL has taken that half in.
        self.assertTrue(release_buffers(self.server))
        self.server.bio_write(data[7:])
        self.assertEqual(self.received(self.server), b"sent")
        self.check_both_ways(b"after")

    def test_an_end_is_still_an_end(self) -> None:
        self.check_both_ways(b"before")
        self.assertTrue(release_buffers(self.server))
        self.client.shutdown()
        self.carry()
        self.assertRaises(SSL.ZeroReturnError, self.server.recv, 10)

    def test_a_connection_without_buffers(self) -> None:
        self.assertFalse(release_buffers(object()))  # type: ignore[arg-type]


class Kept(Protocol):
    """Keeps what came."""

    def connectionMade(self) -> None:
        self.came = b""

    def dataReceived(self, data: bytes) -> None:
        self.came += data


class TimedTlsTests(SynchronousTestCase):
    def test_after_the_handshake(self) -> None:
        shown = credentials(make_authority(NOW), "site", "north", NOW)
        clock: Any = Clock()
        factory = Factory.forProtocol(Kept)
        address = IPv4Address("TCP", "127.0.0.1", 9193)
        ends: list[Any] = [
            TimedTlsFactory(tls, is_client, factory, clock).buildProtocol(address)
            for tls, is_client in (
                (ServerTls(shown), False),
                (ClientTls(shown, "site", "north"), True),
            )
        ]
        server, client = ends
        pump = connect(server, FakeTransport(server, True), client, FakeTransport(client, False))
        before = [end.getHandle()._into_ssl for end in ends]
        clock.advance(HANDSHAKE_TIMEOUT_S)
        self.assertNotIn(True, [end.getHandle()._into_ssl in before for end in ends])
        for one, other in ((client, server), (server, client)):
            one.write(b"after")
            clock.advance(0)
            pump.flush()
            self.assertEqual(other.wrappedProtocol.came, b"after")
        self.assertEqual(clock.getDelayedCalls(), [])
