"""HTTP and the line protocol on one port, told apart by the first bytes."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from papercutd.identity.switch import PlainSwitch
from protocols.limits import HANDSHAKE_TIMEOUT_S

LISTED = IPv4Address("TCP", "192.0.2.7", 40_000)
OTHER = IPv4Address("TCP", "192.0.2.8", 40_000)


class Kept(Protocol):
    def __init__(self) -> None:
        self.data = b""
        self.is_lost = False

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_lost = True


class KeptFactory(Factory):
    def __init__(self) -> None:
        self.made: list[Kept] = []

    def buildProtocol(self, addr: Any) -> Kept:
        self.made.append(Kept())
        return self.made[-1]


class PlainSwitchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.web, self.lines = KeptFactory(), KeptFactory()
        self.switch = PlainSwitch(
            self.clock, self.web, self.lines, may_speak=lambda address: address == LISTED
        )

    def connect(self, address: IPv4Address = LISTED) -> Any:
        protocol: Any = self.switch.buildProtocol(address)
        transport = StringTransportWithDisconnection()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return protocol

    def told(self, data: bytes) -> tuple[list[bytes], list[bytes]]:
        """What the two got, whole and byte by byte alike."""
        found = []
        for parts in ([data], [data[at : at + 1] for at in range(len(data))]):
            self.web.made.clear()
            self.lines.made.clear()
            protocol = self.connect()
            for part in parts:
                protocol.dataReceived(part)
            found.append(([k.data for k in self.web.made], [k.data for k in self.lines.made]))
            protocol.transport.loseConnection()
        self.assertEqual(*found)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return found[0]

    def test_a_session(self) -> None:
        for data in (
            b"1 HELLO {}\n",
            b'GET HELLO {"versions":[1]}\nmore',
            b"a:b.c_d-9 HELLO \x00",
            b"a" * 32 + b" HELLO {",
        ):
            self.assertEqual(self.told(data), ([], [data]))

    def test_http(self) -> None:
        for data in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"HELLO / HTTP/1.1\r\n",
            b"GET /HELLO HTTP/1.1\r\n",
            b"GET HELLOO ",
            b"GET hello x",
            b"\r\nGET / ",
            b"\x16\x03\x01",
            b" HELLO {}",
            b"1 PING {}\n",
            b"a" * 33,
            b"* BYE {}\n",
        ):
            self.assertEqual(self.told(data), ([data], []))

    def test_who_is_not_listed_gets_http(self) -> None:
        protocol = self.connect(OTHER)
        protocol.dataReceived(b"1 HELLO {}\n")
        self.assertIs(protocol, self.web.made[0])
        self.assertEqual(self.lines.made, [])

    def test_silence(self) -> None:
        for said in (b"", b"1 HEL"):
            protocol = self.connect()
            protocol.dataReceived(said)
            self.clock.advance(HANDSHAKE_TIMEOUT_S - 0.1)
            self.assertTrue(protocol.transport.connected)
            self.clock.advance(0.2)
            self.assertFalse(protocol.transport.connected)
        self.assertEqual((self.web.made, self.lines.made), ([], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_end_is_passed_on(self) -> None:
        protocol = self.connect()
        protocol.dataReceived(b"1 HELLO {}\n")
        protocol.transport.loseConnection()
        self.assertTrue(self.lines.made[0].is_lost)
