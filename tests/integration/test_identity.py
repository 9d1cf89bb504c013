"""Who is let in and who is not: real sockets, real handshakes, on the loopback."""

from __future__ import annotations

import json
import random
import socket
import ssl
import stat
import time
from pathlib import Path
from typing import Any

from cryptography import x509
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from papercutd.environment import Environment, real_environment
from papercutd.errors import InvalidValue
from papercutd.faces.web import make_web
from papercutd.identity.authority import Authority, pin_of
from papercutd.identity.endpoints import NOT_SENT_BYTES_MAX, tls_endpoint, tls_server_factory
from papercutd.identity.join_client import JoinFailed, join
from papercutd.identity.joining import JoinService
from papercutd.identity.names import CertificatePeer
from papercutd.identity.tls import ClientTls, Credentials, Revocations, ServerTls, identifier
from protocols.codes import Code
from protocols.errors import Refusal
from tests.support.certificates import (
    MemoryCertificates,
    Signer,
    credentials,
    dns,
    make_authority,
    odd_credentials,
    pem_of_key,
    signing_key,
)

reactor: Any = installed_reactor
SECRET = b"what only the right server may read\n"
SETTLE_S = 0.15


class Recorder(Protocol):
    """Keeps what comes and how it ended; says ``greeting`` when TCP is up."""

    factory: RecorderFactory

    def connectionMade(self) -> None:
        self.factory.open.add(self)
        if self.factory.greeting:
            self.transport.write(self.factory.greeting)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.factory.received += data
        waiter, self.factory.waiter = self.factory.waiter, None
        if waiter is not None:
            waiter.callback(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.open.discard(self)
        self.factory.lost.append(reason)
        if not self.factory.ended.called:
            self.factory.ended.callback(None)


class RecorderFactory(Factory):
    protocol = Recorder  # type: ignore[assignment]
    noisy = False

    def __init__(self, greeting: bytes = b"") -> None:
        self.greeting = greeting
        self.received = b""
        self.lost: list[Failure] = []
        self.open: set[Recorder] = set()
        self.said: Deferred[Any] = Deferred()
        self.waiter: Deferred[Any] | None = self.said
        self.ended: Deferred[None] = Deferred()


class TlsCase(TestCase):
    """One server, one client, and what passed between them."""

    timeout = 30

    def setUp(self) -> None:
        self.wall_s = time.time()
        self.authority = make_authority(self.wall_s)
        self.ports: list[Any] = []
        self.factories: list[RecorderFactory] = []

    async def tearDown(self) -> None:  # type: ignore[override]
        for port in self.ports:
            await port.stopListening()
        for factory in self.factories:
            for protocol in list(factory.open):
                protocol.transport.abortConnection()  # type: ignore[union-attr]
        while any(factory.open for factory in self.factories):
            await deferLater(reactor, 0.01, lambda: None)
        await deferLater(reactor, 0.02, lambda: None)

    def credentials(self, role: str, name: str) -> Credentials:
        return credentials(self.authority, role, name, self.wall_s)

    def recorder(self, greeting: bytes = b"") -> RecorderFactory:
        factory = RecorderFactory(greeting)
        self.factories.append(factory)
        return factory

    def listen(self, factory: Factory) -> int:
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.ports.append(port)
        return int(port.getHost().port)

    def serve(
        self, tls: ServerTls, handshake_timeout_s: float = 5.0
    ) -> tuple[int, RecorderFactory]:
        inner = self.recorder()
        factory: Any = tls_server_factory(tls, inner, reactor, handshake_timeout_s)
        return self.listen(factory), inner

    async def connect(self, port: int, tls: ClientTls, timeout_s: float = 5.0) -> RecorderFactory:
        factory = self.recorder(SECRET)
        endpoint = tls_endpoint(reactor, "127.0.0.1", port, tls, handshake_timeout_s=timeout_s)
        await endpoint.connect(factory)
        return factory

    async def try_it(
        self,
        server: ServerTls,
        client: ClientTls,
    ) -> tuple[bool, RecorderFactory, RecorderFactory]:
        """Whether the greeting arrived, and both ends."""
        port, served = self.serve(server)
        connected = await self.connect(port, client)
        first: Deferred[Any] = Deferred()
        for one in (served.said, served.ended, connected.ended):
            one.addBoth(lambda result: None if first.called else first.callback(None))
        await first
        await deferLater(reactor, SETTLE_S, lambda: None)
        return served.received == SECRET, served, connected


class MutualTests(TlsCase):
    """A client of our CA at a server of our CA, and every way to be neither."""

    def server(self, shown: Credentials | None = None, **options: Any) -> ServerTls:
        return ServerTls(shown or self.credentials("application", "application"), **options)

    def client(self, shown: Credentials | None = None, **options: Any) -> ClientTls:
        mine = shown or self.credentials("site", "north")
        return ClientTls(mine, "application", "application", **options)

    async def accepted(self, server: ServerTls, client: ClientTls) -> None:
        arrived, served, _ = await self.try_it(server, client)
        self.assertTrue(arrived, served.lost)

    async def refused(self, server: ServerTls, client: ClientTls) -> None:
        arrived, served, connected = await self.try_it(server, client)
        self.assertFalse(arrived)
        self.assertEqual(served.received, b"")
        self.assertEqual(len(connected.lost), 1)

    async def test_right(self) -> None:
        await self.accepted(self.server(), self.client())

    async def test_server_of_another_ca(self) -> None:
        other = make_authority(self.wall_s)
        shown = credentials(other, "application", "application", self.wall_s, self.authority)
        await self.refused(self.server(shown), self.client())

    async def test_client_of_another_ca(self) -> None:
        other = make_authority(self.wall_s)
        shown = credentials(other, "site", "north", self.wall_s, self.authority)
        await self.refused(self.server(), self.client(shown))

    async def test_server_with_another_name_or_role(self) -> None:
        for role, name in (("site", "north"), ("provider", "application"), ("site", "application")):
            await self.refused(self.server(self.credentials(role, name)), self.client())

    async def test_server_with_odd_names(self) -> None:
        right = dns("application", "application")
        odd: list[list[x509.GeneralName] | None] = [
            None,
            [],
            [right, dns("site", "north")],
            [right, x509.RFC822Name("a@example.org")],
            [x509.DNSName("*.application.papercut.internal")],
            [x509.DNSName("application.application.papercut.internal.example.org")],
            [x509.DNSName("application.papercut.internal")],
            [x509.UniformResourceIdentifier("https://application.application.papercut.internal")],
        ]
        for names in odd:
            shown = odd_credentials(self.authority, names, self.wall_s)
            await self.refused(self.server(shown), self.client())

    async def test_self_signed(self) -> None:
        names = [dns("application", "application")]
        shown = odd_credentials(self.authority, names, self.wall_s, self_signed=True)
        await self.refused(self.server(shown), self.client())
        names = [dns("site", "north")]
        shown = odd_credentials(self.authority, names, self.wall_s, self_signed=True)
        await self.refused(self.server(), self.client(shown))

    async def test_client_without_certificate(self) -> None:
        port, served = self.serve(self.server())
        refused = await self.raw_tls(port, ssl.TLSVersion.TLSv1_3)
        self.assertIsInstance(refused, (ssl.SSLError, ConnectionError, EOFError))
        self.assertEqual(served.received, b"")

    async def test_tls_1_2_is_refused(self) -> None:
        port, served = self.serve(self.server(demand=False))
        refused = await self.raw_tls(port, ssl.TLSVersion.TLSv1_2)
        self.assertIsInstance(refused, (ssl.SSLError, ConnectionError))
        self.assertIsNone(await self.raw_tls(port, ssl.TLSVersion.TLSv1_3))
        self.assertEqual(served.received, SECRET)

    async def raw_tls(self, port: int, newest: ssl.TLSVersion) -> Exception | None:
        """The standard library as the client, in a thread: what stopped it, or None."""

        def run() -> Exception | None:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.maximum_version = newest
            try:
                raw = socket.create_connection(("127.0.0.1", port), timeout=5)
                with context.wrap_socket(raw) as peer:
                    peer.sendall(SECRET)
                    peer.settimeout(0.3)
                    try:
                        # Under TLS 1.3 a refusal arrives with the first read.
                        return None if peer.recv(1) else EOFError()
                    except TimeoutError:
                        return None
            except (ssl.SSLError, OSError) as error:
                return error

        return await deferToThread(run)

    async def test_dates_are_enforced_where_asked(self) -> None:
        for from_days, to_days in ((-10.0, -1.0), (1.0, 10.0)):
            names = [dns("site", "north")]
            shown = odd_credentials(self.authority, names, self.wall_s, from_days, to_days)
            await self.refused(self.server(enforce_dates=True), self.client(shown))

    async def test_dates_raise_an_alarm_elsewhere(self) -> None:
        for from_days, to_days in ((-10.0, -1.0), (1.0, 10.0)):
            alarms: list[str] = []
            names = [dns("site", "north")]
            shown = odd_credentials(self.authority, names, self.wall_s, from_days, to_days)
            server = self.server(enforce_dates=False, alarm=alarms.append)
            await self.accepted(server, self.client(shown))
            self.assertEqual(len(alarms), 1)

    async def test_dates_of_the_server(self) -> None:
        for from_days, to_days in ((-10.0, -1.0), (1.0, 10.0)):
            alarms: list[str] = []
            names = [dns("application", "application")]
            shown = odd_credentials(self.authority, names, self.wall_s, from_days, to_days)
            await self.accepted(self.server(shown), self.client(alarm=alarms.append))
            self.assertEqual(len(alarms), 1)
            await self.refused(self.server(shown), self.client(enforce_dates=True))

    async def test_dates_excuse_nothing_else(self) -> None:
        other = make_authority(self.wall_s)
        alarms: list[str] = []
        for shown in (
            # Expired, and of another CA.
            odd_credentials(
                self.authority,
                [dns("application", "application")],
                self.wall_s,
                *(-10.0, -1.0, other._key),
            ),
            # Expired, and of another name.
            odd_credentials(self.authority, [dns("site", "north")], self.wall_s, -10.0, -1.0),
        ):
            await self.refused(self.server(shown), self.client(alarm=alarms.append))

    async def test_an_alarm_that_fails_ends_nothing(self) -> None:
        def alarm(why: str) -> None:
            raise RuntimeError(why)

        names = [dns("application", "application")]
        shown = odd_credentials(self.authority, names, self.wall_s, -10.0, -1.0)
        await self.accepted(self.server(shown), self.client(alarm=alarm))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    async def test_intermediate_under_the_administrators(self) -> None:
        above = Signer.make(self.wall_s)
        under = Authority.create_under(
            Path(self.mktemp()), self.wall_s, above.pem, pem_of_key(above.key)
        )
        server = credentials(under, "application", "application", self.wall_s)
        client = credentials(under, "site", "north", self.wall_s)
        await self.accepted(self.server(server), self.client(client))
        # What the administrator's CA signs itself is not of this installation.
        foreign = odd_credentials(
            under, [dns("site", "north")], self.wall_s, signed_by=signing_key(above)
        )
        await self.refused(self.server(server), self.client(foreign))


class IdentifyTests(TlsCase):
    """Role and name of the peer, from its transport."""

    async def identified(
        self, shown: Credentials, revocations: Revocations
    ) -> CertificatePeer | Refusal:
        application = self.credentials("application", "application")
        _, served, _ = await self.try_it(
            ServerTls(application), ClientTls(shown, "application", "application")
        )
        (protocol,) = served.open
        try:
            return identifier(revocations)(protocol.transport)
        except Refusal as refusal:
            return refusal

    async def test_peer(self) -> None:
        shown = self.credentials("provider", "p1")
        peer = await self.identified(shown, Revocations())
        assert isinstance(peer, CertificatePeer)
        self.assertEqual((peer.role, peer.name), ("provider", "p1"))
        self.assertEqual(peer.serial, f"{shown.certificate.serial_number:x}")

    async def test_revoked(self) -> None:
        shown = self.credentials("provider", "p1")
        revocations = Revocations()
        revocations.add([f"{shown.certificate.serial_number:x}"])
        refusal = await self.identified(shown, revocations)
        assert isinstance(refusal, Refusal)
        self.assertEqual(refusal.code, Code.REVOKED)

    async def test_odd(self) -> None:
        names = [dns("provider", "p1"), dns("site", "north")]
        for shown in (
            odd_credentials(self.authority, names, self.wall_s),
            odd_credentials(self.authority, None, self.wall_s),
        ):
            refusal = await self.identified(shown, Revocations())
            assert isinstance(refusal, Refusal)
            self.assertEqual(refusal.code, Code.IDENTITY)


class TimeLimitTests(TlsCase):
    """Peers that do not speak TLS, or do not speak."""

    async def lost_after(self, port: int, say: bytes) -> float:
        factory = self.recorder(say)
        began = time.monotonic()
        await HostnameEndpoint(reactor, "127.0.0.1", port).connect(factory)
        await factory.ended
        return time.monotonic() - began

    async def test_silent_on_a_tls_port(self) -> None:
        shown = self.credentials("application", "application")
        port, served = self.serve(ServerTls(shown), 0.2)
        took_s = await self.lost_after(port, b"")
        self.assertTrue(0.15 < took_s < 3.0, took_s)
        await served.ended

    async def test_plaintext_on_a_tls_port(self) -> None:
        shown = self.credentials("application", "application")
        port, served = self.serve(ServerTls(shown), 3.0)
        # Not a handshake: refused at once. The beginning of one: at the limit.
        self.assertLess(await self.lost_after(port, b"1 HELLO {}\n"), 2.0)
        self.assertEqual(served.received, b"")

    async def test_half_a_handshake(self) -> None:
        shown = self.credentials("application", "application")
        port, served = self.serve(ServerTls(shown), 0.2)
        began_with = b"\x16\x03\x01\x02\x00"
        self.assertGreater(await self.lost_after(port, began_with), 0.15)
        self.assertEqual(served.received, b"")

    async def test_tls_client_at_a_silent_or_plaintext_port(self) -> None:
        client = ClientTls(self.credentials("site", "north"), "application", "application")
        for greeting in (b"", b"* WELCOME\n"):
            plain = self.recorder(greeting)
            connected = await self.connect(self.listen(plain), client, 0.2)
            await connected.ended
            self.assertNotIn(SECRET, plain.received)

    async def test_the_limit_ends_with_the_handshake(self) -> None:
        shown = self.credentials("application", "application")
        port, served = self.serve(ServerTls(shown), 0.2)
        client = ClientTls(self.credentials("site", "north"), "application", "application")
        connected = await self.connect(port, client, 0.2)
        await deferLater(reactor, 0.5, lambda: None)
        self.assertEqual((served.lost, connected.lost), ([], []))
        self.assertEqual(served.received, SECRET)

    async def test_options_of_the_socket(self) -> None:
        shown = self.credentials("application", "application")
        client = ClientTls(self.credentials("site", "north"), "application", "application")
        _, served, connected = await self.try_it(ServerTls(shown), client)
        for factory in (served, connected):
            (protocol,) = factory.open
            transport: Any = protocol.transport
            handle = transport.transport.socket
            tcp = socket.IPPROTO_TCP
            self.assertTrue(handle.getsockopt(tcp, socket.TCP_NODELAY))
            self.assertTrue(handle.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
            self.assertEqual(handle.getsockopt(tcp, socket.TCP_USER_TIMEOUT), 10_000)
            unsent = handle.getsockopt(tcp, socket.TCP_NOTSENT_LOWAT)
            self.assertEqual(unsent, NOT_SENT_BYTES_MAX)


class JoinTests(TlsCase):
    """A new machine over HTTPS, to the files it keeps."""

    def setUp(self) -> None:
        super().setUp()
        self.clock_s = 0.0
        self.shown = self.credentials("application", "application")
        real = real_environment(reactor)
        self.env = Environment(real.clock, lambda: self.wall_s + self.clock_s, random.Random(5))
        self.store = MemoryCertificates()
        pin = pin_of(self.shown.certificate)
        self.joining = JoinService(self.authority, self.store, self.env, lambda: pin)
        self.directory = Path(self.mktemp()) / "identity"

    def serve_joining(self) -> int:
        async def health() -> dict[str, Any]:
            return {"ok": True}

        web = make_web(self.env, health, self.joining)
        tls = ServerTls(self.shown, demand=False)
        factory: Any = tls_server_factory(tls, web, reactor)
        return self.listen(factory)

    async def join(self, token: str, port: int, host: str = "127.0.0.1") -> None:
        await join(reactor, token, host, port, self.directory, timeout_s=5.0)

    async def fails(self, token: str, port: int, *words: str) -> None:
        try:
            await self.join(token, port)
        except JoinFailed as error:
            for word in words:
                self.assertIn(word, str(error))
            secret = token.split(":")[2]
            self.assertNotIn(secret, str(error))
        else:
            self.fail("joined")
        self.assertFalse(self.directory.exists())

    async def test_join(self) -> None:
        token = await self.joining.make_token("site", "north")
        await self.join(token, self.serve_joining())
        kept = Credentials.load(self.directory)
        ClientTls(kept, "application", "application")
        self.assertEqual(stat.S_IMODE(self.directory.stat().st_mode), 0o700)
        self.assertEqual(stat.S_IMODE((self.directory / "key.pem").stat().st_mode), 0o600)
        self.assertEqual(
            sorted(path.name for path in self.directory.iterdir()),
            ["ca.pem", "chain.pem", "key.pem"],
        )
        serial = f"{kept.certificate.serial_number:x}"
        self.assertEqual(self.store.certificates[serial], ("site", "north"))

    async def test_join_again(self) -> None:
        port = self.serve_joining()
        await self.join(await self.joining.make_token("site", "north"), port)
        first = Credentials.load(self.directory)
        await self.join(await self.joining.make_token("site", "north"), port)
        second = Credentials.load(self.directory)
        self.assertNotEqual(first.key_pem, second.key_pem)
        self.assertNotEqual(first.chain_pem, second.chain_pem)
        ClientTls(second, "application", "application")

    async def test_used_stale_and_unknown(self) -> None:
        port = self.serve_joining()
        token = await self.joining.make_token("site", "north")
        self.clock_s = 3_601.0
        await self.fails(token, port, "refused", "older than an hour")
        self.clock_s = 0.0
        changed = token.replace("site:north", "site:south")
        await self.fails(changed, port, "refused", "not one of this installation's")
        await self.join(token, port)
        with self.assertRaises(JoinFailed) as caught:
            await self.join(token, port)
        self.assertIn("used already", str(caught.exception))

    async def test_garbled(self) -> None:
        token = await self.joining.make_token("site", "north")
        plain = self.recorder()
        port = self.listen(plain)
        for text in ("", "x", token[:-1], token.replace("site", "application")):
            with self.assertRaises(InvalidValue):
                await self.join(text, port)
        self.assertEqual(plain.received, b"")

    async def test_another_key_gets_no_token(self) -> None:
        # It even has a certificate of the installation's CA, with the right name.
        token = await self.joining.make_token("site", "north")
        man_in_the_middle = self.credentials("application", "application")
        port, served = self.serve(ServerTls(man_in_the_middle, demand=False))
        await self.fails(token, port, "nothing was sent")
        await served.ended
        self.assertEqual(served.received, b"")

    async def test_plaintext_gets_no_token(self) -> None:
        token = await self.joining.make_token("site", "north")
        plain = self.recorder(b"HTTP/1.1 200 OK\r\n\r\n{}")
        await self.fails(token, self.listen(plain), "nothing was sent")
        self.assertNotIn(token.split(":")[2].encode(), plain.received)

    async def test_nobody_there(self) -> None:
        token = await self.joining.make_token("site", "north")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = int(taken.getsockname()[1])
        await self.fails(token, port, "cannot be reached")

    async def test_a_redirect_is_not_followed(self) -> None:
        token = await self.joining.make_token("site", "north")
        elsewhere = self.recorder()
        target = self.listen(elsewhere)
        port, served = self.serve(ServerTls(self.shown, demand=False))
        served.waiter = Deferred()
        served.waiter.addCallback(
            lambda protocol: protocol.transport.write(
                b"HTTP/1.1 307 Elsewhere\r\nContent-Length: 0\r\n"
                b"Location: http://127.0.0.1:%d/api/join\r\n\r\n" % target
            )
        )
        await self.fails(token, port, "refused", "307")
        self.assertEqual(elsewhere.received, b"")

    async def test_answers_that_are_none(self) -> None:
        token = await self.joining.make_token("site", "north")
        other = make_authority(self.wall_s)
        stranger = credentials(self.authority, "site", "north", self.wall_s)
        for chain, ca, words in (
            ("", "", "no certificate"),
            (stranger.chain_pem.decode(), other.pem.decode(), "another CA"),
            (stranger.chain_pem.decode(), self.authority.pem.decode(), "somebody else's"),
        ):
            await self.fails(token, self.answering({"chain": chain, "ca": ca}), words)

    async def test_answers_without_end(self) -> None:
        token = await self.joining.make_token("site", "north")
        await self.fails(token, self.answering({"chain": "x" * 200_000}), "broke off")

    def answering(self, answer: dict[str, str]) -> int:
        body = json.dumps(answer).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        port, served = self.serve(ServerTls(self.shown, demand=False))
        served.said.addCallback(lambda protocol: protocol.transport.write(head + body))
        return port
