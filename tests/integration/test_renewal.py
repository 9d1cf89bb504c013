"""Renewing over HTTPS: real handshakes, certificates with every kind of date."""

from __future__ import annotations

import random
import socket
import ssl
from pathlib import Path
from typing import Any

from cryptography import x509
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from papercutd.environment import Environment, real_environment
from papercutd.errors import Rejected
from papercutd.faces.web import make_web
from papercutd.identity.authority import pin_of
from papercutd.identity.endpoints import tls_server_factory
from papercutd.identity.join_client import JoinFailed, ask_renewal
from papercutd.identity.joining import JoinService
from papercutd.identity.renewal import NodeIdentity
from papercutd.identity.tls import INSTALLATION_NAME, ClientTls, Credentials, ServerTls, WebTls
from tests.integration.test_identity import TlsCase
from tests.support.certificates import (
    MemoryCertificates,
    credentials,
    dns,
    make_authority,
    odd_credentials,
)

reactor: Any = installed_reactor


class RenewalCase(TlsCase):
    def setUp(self) -> None:
        super().setUp()
        self.shown = self.credentials("application", "application")
        env = Environment(real_environment(reactor).clock, lambda: self.wall_s, random.Random(5))
        self.store = MemoryCertificates()
        pin = pin_of(self.shown.certificate)
        self.joining = JoinService(self.authority, self.store, env, lambda: pin)

        async def health() -> dict[str, Any]:
            return {"ok": True}

        # The administrator's own certificate, of another CA, for browsers.
        self.web = credentials(
            make_authority(self.wall_s), "application", "application", self.wall_s
        )
        tls: Any = WebTls(ServerTls(self.web, demand=False), ServerTls(self.shown))
        factory: Any = tls_server_factory(
            tls,
            make_web(env, health, self.joining),
            installed_reactor,  # type: ignore[arg-type]
        )
        self.port = self.listen(factory)

    def present(self, to_days: float, role: str = "site", name: str = "north") -> Credentials:
        """A certificate that ends in so many days."""
        return odd_credentials(self.authority, [dns(role, name)], self.wall_s, -300.0, to_days)

    async def renew(self, present: Credentials) -> Credentials:
        return await ask_renewal(reactor, present, "127.0.0.1", self.port, timeout_s=5.0)

    async def refused(self, present: Credentials, word: str = "") -> None:
        try:
            await self.renew(present)
        except JoinFailed as error:
            self.assertIn(word, str(error))
        else:
            self.fail("renewed")
        self.assertEqual(self.store.certificates, {})


class AskTests(RenewalCase):
    async def test_due(self) -> None:
        for role, name in (("site", "north"), ("provider", "north-provider")):
            present = self.present(60.0, role, name)
            fresh = await self.renew(present)
            self.assertNotEqual(fresh.key_pem, present.key_pem)
            serial = f"{fresh.certificate.serial_number:x}"
            self.assertEqual(self.store.certificates[serial], (role, name))
            ClientTls(fresh, "application", "application")

    async def test_expired_at_most_thirty_days_ago(self) -> None:
        fresh = await self.renew(self.present(-29.0))
        self.assertGreater(fresh.certificate.not_valid_after_utc.timestamp(), self.wall_s)

    async def test_expired_longer_ago(self) -> None:
        await self.refused(self.present(-31.0), "30 days too late")

    async def test_not_due(self) -> None:
        await self.refused(self.present(200.0), "too early")

    async def test_revoked(self) -> None:
        present = self.present(60.0)
        self.store.revoked.add(f"{present.certificate.serial_number:x}")
        await self.refused(present, "join again")

    async def test_of_another_ca(self) -> None:
        stranger = make_authority(self.wall_s)
        names = [dns("site", "north")]
        present = odd_credentials(stranger, names, self.wall_s, -300.0, 60.0)
        await self.refused(Credentials(present.key_pem, present.chain_pem, self.authority.pem))

    async def test_of_odd_names(self) -> None:
        for names in (
            [x509.DNSName("north.example.org")],
            [dns("site", "north"), dns("provider", "p")],
        ):
            present = odd_credentials(self.authority, names, self.wall_s, -300.0, 60.0)
            answer = self.joining.renew(present.certificate, b"")
            await self.assertFailure(Deferred.fromCoroutine(answer), Rejected)


class BrowserTests(RenewalCase):
    """The same port, without the name that parts of the installation ask for."""

    def shake_hands(self, name: str) -> tuple[bytes, bytes]:
        """(certificate shown, what /api/renew answers without one of ours)."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=5) as raw,
            context.wrap_socket(raw, server_hostname=name) as connection,
        ):
            shown = connection.getpeercert(binary_form=True)
            connection.sendall(
                b"POST /api/renew HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
                b"Connection: close\r\n\r\n{}"
            )
            answer = b""
            while data := connection.recv(65_536):
                answer += data
        assert shown is not None
        return shown, answer

    async def test_is_asked_for_no_certificate(self) -> None:
        shown, answer = await deferToThread(self.shake_hands, "print.example.org")
        self.assertEqual(x509.load_der_x509_certificate(shown), self.web.certificate)
        self.assertTrue(answer.startswith(b"HTTP/1.1 403 "), answer)

    async def test_posing_as_a_part_of_the_installation(self) -> None:
        try:
            await deferToThread(self.shake_hands, INSTALLATION_NAME)
        except OSError:
            # TLS 1.3: the alert comes with the first read.
            return
        self.fail("it was served without a certificate")


class ReplaceTests(TlsCase):
    """New connections show the new pair; those that live go on."""

    async def test_without_a_restart(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        self.credentials("site", "north").save(directory)
        identity = NodeIdentity(directory)
        server = ServerTls(self.credentials("application", "application"))
        client = identity.client_tls("application", "application")
        port, served = self.serve(server)
        first = await self.connect(port, client)
        await served.said
        (before,) = served.open
        fresh = self.credentials("site", "north")
        identity.replace(fresh)
        self.assertEqual(Credentials.load(directory), fresh)
        port, again = self.serve(server)
        await self.connect(port, client)
        await again.said
        (after,) = again.open
        shown: Any = after.transport
        self.assertEqual(shown.getPeerCertificate().to_cryptography(), fresh.certificate)
        self.assertTrue(before.connected)
        self.assertEqual(first.lost, [])
