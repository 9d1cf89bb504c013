"""The administrator's certificate on the HTTPS port of real servers."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import time
from pathlib import Path

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo.installation import Installation
from papercutd.demo.processes import NotReady, Role, command
from papercutd.identity.authority import Authority
from papercutd.identity.names import peer_of
from papercutd.identity.tls import INSTALLATION_NAME, Credentials
from tests.support.certificates import Signer, dns, odd_credentials
from tests.support.installation import make_installation, run_role
from tests.support.waiting import PATIENCE_S, wait_for

HOST = "print.example.org"


class WebFiles:
    """Certificate and key as an ACME client leaves them."""

    def __init__(self, directory: Path) -> None:
        self.wall_s = time.time()
        self.root = Signer.make(self.wall_s)
        self.between = Signer.make(self.wall_s, above=self.root)
        self.certificate, self.key = directory / "web.pem", directory / "web.key"
        self.renew()

    def renew(self) -> x509.Certificate:
        """A new certificate on a new key; each file replaced whole."""
        pem, key = self.between.web(self.wall_s, (HOST,))
        for path, data in ((self.certificate, pem + self.between.pem), (self.key, key)):
            fresh = path.with_suffix(".new")
            fresh.write_bytes(data)
            os.replace(fresh, path)
        return x509.load_pem_x509_certificate(pem)

    @property
    def config(self) -> str:
        return f'[web]\ncertificate = "{self.certificate}"\nkey = "{self.key}"\n'


def shown(port: int, name: str, trusting: bytes) -> x509.Certificate:
    """What a client that asks for ``name`` and trusts one CA is shown, all of it checked."""
    context = ssl.create_default_context(cadata=trusting.decode())
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=name) as connection,
    ):
        der = connection.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


class WebCertificateTests(SynchronousTestCase):
    timeout = 240

    def setUp(self) -> None:
        self.installation: Installation = make_installation()
        self.addCleanup(shutil.rmtree, self.installation.directory, True)
        self.addCleanup(self.installation.close)
        self.app = self.installation.app
        self.branch = self.installation.branches[0]
        self.files = WebFiles(self.installation.directory)
        for role in (self.app, self.branch.site):
            role.config.write_text(role.config.read_text() + self.files.config)

    def wait(self, what: str, condition: object, limit_s: float = PATIENCE_S) -> None:
        self.assertTrue(wait_for(what, condition, limit_s), what)  # type: ignore[arg-type]

    def join(self, role: Role, token: str) -> None:
        server = f"127.0.0.1:{self.installation.https_port}"
        command(role.config, "join", "--token", token, "--server", server)

    def due(self, role: Role) -> None:
        """Its certificate has a sixth of its life left."""
        directory = role.data / "identity"
        peer = peer_of(Credentials.load(directory).certificate)
        authority = Authority.load(self.app.data / "ca")
        odd_credentials(authority, [dns(peer.role, peer.name)], time.time(), -300.0, 60.0).save(
            directory
        )

    def test_browsers_see_it_and_parts_of_the_installation_do_not(self) -> None:
        """Joining, links over the same port and renewal go on beside it, at a site as well."""
        self.app.start()
        self.installation.join_all()
        site, provider = self.branch.site, self.branch.provider
        https = f'https = {site_https(site)}\nover = "https"\n'
        for role in (site, provider):
            text = role.config.read_text().replace("[application]", '[application]\nover = "https"')
            role.config.write_text(text.replace("[site]\n", f"[site]\n{https}"))
            self.due(role)
        site.start()
        provider.start()
        for role in (site, provider):
            days_left = lambda r=role: r.call("status")["certificate"]["days_left"]  # noqa: E731
            self.wait("it is renewed", lambda d=days_left: d() > 390)
        connected = lambda: [  # noqa: E731
            server["connected"] for server in provider.call("status")["servers"].values()
        ]
        self.wait("all are connected", lambda: connected() == [True, True])

        expected = x509.load_pem_x509_certificate(self.files.certificate.read_bytes())
        ports = {self.app: self.installation.https_port, site: site_https(site)}
        for role, port in ports.items():
            self.assertEqual(shown(port, HOST, self.files.root.pem), expected)
            self.assertEqual(role.call("status")["web_certificate"]["names"], [HOST])
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(provider.data / "identity" / "ca.pem")
            context.check_hostname = False
            raw = socket.create_connection(("127.0.0.1", port), timeout=10)
            with self.assertRaises(OSError):
                # The CA is right and the handshake is ours to go on with: it is theirs to refuse.
                with context.wrap_socket(raw, server_hostname=INSTALLATION_NAME) as peer:
                    der = peer.getpeercert(binary_form=True)
                    assert der is not None
                    found = peer_of(x509.load_der_x509_certificate(der))
                    self.assertEqual(found.role, {"app": "application"}.get(role.role, role.role))
                    if not peer.recv(1):
                        raise OSError

    def test_a_renewal_needs_no_restart_and_ends_the_tokens_under_way(self) -> None:
        self.app.start()
        site = self.branch.site
        before = command(self.app.config, "site", "add", "north")["token"]
        port = self.installation.https_port
        renewed = self.files.renew()
        self.wait("it is shown", lambda: shown(port, HOST, self.files.root.pem) == renewed)
        with self.assertRaises(NotReady) as caught:
            self.join(site, before)
        for words in ("nothing was sent", "renewed since", "papercutd site token north"):
            self.assertIn(words, str(caught.exception))
        self.join(site, command(self.app.config, "site", "token", "north")["token"])
        # The key that 9192 shows at that moment, not at the last look.
        renewed = self.files.renew()
        self.join(site, command(self.app.config, "site", "token", "north")["token"])
        self.assertEqual(shown(port, HOST, self.files.root.pem), renewed)

    def test_a_token_made_while_no_server_runs(self) -> None:
        token = command(self.app.config, "site", "add", "north")["token"]
        self.app.start()
        self.join(self.branch.site, token)

    def test_what_cannot_be_used_stops_the_start(self) -> None:
        self.files.key.write_bytes(self.files.root.web(self.files.wall_s)[1])
        words = f"is not the certificate of the key {self.files.key}"
        done = run_role("app", "--config", str(self.app.config))
        self.assertEqual(done.returncode, 1)
        self.assertIn(words, done.stderr)
        done = run_role("app", "--config", str(self.app.config), "--check-config")
        self.assertEqual(done.returncode, 78)
        self.assertIn(words, done.stderr)


def site_https(site: Role) -> int:
    import tomllib

    return int(tomllib.loads(site.config.read_text())["listen"]["https"])
