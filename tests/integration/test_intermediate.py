"""The installation's CA under the administrator's: every port, with real processes."""

from __future__ import annotations

import shutil
import tempfile
import time
import tomllib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo.documents import make_pdf
from papercutd.demo.processes import NotReady, Role, command
from papercutd.identity.authority import Authority, is_renewable
from papercutd.identity.names import APPLICATION, dns_name, peer_of
from papercutd.identity.tls import Credentials
from tests.integration.test_web_certificate import shown
from tests.support.certificates import (
    Signer,
    credentials,
    dns,
    odd_credentials,
    pem_of_key,
    signing_key,
)
from tests.support.installation import make_installation
from tests.support.raw_link import RawLink
from tests.support.waiting import PATIENCE_S, wait_for


class IntermediateTests(SynchronousTestCase):
    """An RSA root, an elliptic CA of the administrator's below it, ours below that."""

    timeout = 240

    def setUp(self) -> None:
        now = time.time()
        self.scratch = Path(tempfile.mkdtemp(prefix="pc-ca-"))
        self.addCleanup(shutil.rmtree, self.scratch, True)
        self.root = Signer.make(now, key=rsa.generate_private_key(65537, 2048))
        self.above = Signer.make(now, above=self.root)
        self.certificate, self.key = self.scratch / "ca.pem", self.scratch / "ca.key"
        self.certificate.write_bytes(self.above.pem + self.root.pem)
        self.key.write_bytes(pem_of_key(self.above.key))
        words = ("--ca-cert", str(self.certificate), "--ca-key", str(self.key))
        self.installation = make_installation(*words)
        self.addCleanup(shutil.rmtree, self.installation.directory, True)
        self.addCleanup(self.installation.close)

    def wait(self, what: str, condition: object, limit_s: float = PATIENCE_S) -> None:
        self.assertTrue(wait_for(what, condition, limit_s), what)  # type: ignore[arg-type]

    def port(self, role: Role, name: str) -> int:
        return int(tomllib.loads(role.config.read_text())["listen"][name])

    def make_due(self, role: Role) -> None:
        directory = role.data / "identity"
        present = Credentials.load(directory)
        peer = peer_of(present.certificate)
        authority = Authority.load(self.installation.app.data / "ca")
        due = odd_credentials(authority, [dns(peer.role, peer.name)], time.time(), -300.0, 60.0)
        due.save(directory)
        self.assertTrue(is_renewable(due.certificate, time.time()))

    def test_the_whole_chain(self) -> None:
        app = self.installation.app
        app.start()
        self.installation.join_all()
        north, south = self.installation.branches
        # North's links take 9195, south's provider 9192.
        south.provider.config.write_text(
            south.provider.config.read_text().replace(
                "[application]\n", '[application]\nover = "https"\n'
            )
        )
        for role in (north.site, north.provider):
            self.make_due(role)
        for role in (north.site, north.provider, south.provider):
            role.start()
        for provider, expected in ((north.provider, [True, True]), (south.provider, [True, False])):
            self.wait(
                "it is connected",
                lambda p=provider, e=expected: (
                    [one["connected"] for one in p.call("status")["servers"].values()] == e
                ),
            )
        for role in (north.site, north.provider):
            days_left = lambda r=role: r.call("status")["certificate"]["days_left"]  # noqa: E731
            self.wait("it is renewed", lambda d=days_left: d() > 390)
            chain = x509.load_pem_x509_certificates(
                (role.data / "identity" / "chain.pem").read_bytes()
            )
            self.assertEqual(len(chain), 3)
            self.assertEqual(chain[2], self.above.certificate)

        command(app.config, "user", "add", "anna", "--balance", "5.00")
        job = north.print_file(make_pdf("one page", 1), "one page", "anna")
        self.wait("it is printed", lambda: north.job(job)["state"] == "ended")

        # Who trusts the administrator's root alone can follow the chain.
        name = dns_name(APPLICATION, APPLICATION)
        self.assertEqual(
            peer_of(shown(self.installation.https_port, name, self.root.pem)).role, APPLICATION
        )

        command(app.config, "device", "add", "mfd", "--printer", "north-1", "--site", "north")
        identity = self.scratch / "device"
        identity.mkdir()
        authority = Authority.load(app.data / "ca")
        credentials(authority, "device", "mfd", time.time()).save(identity)
        link = RawLink(self.port(app, "devices"), identity)
        self.addCleanup(link.close)
        self.assertEqual(link.hello("mfd", role="device")[0], "OK")

        # What the administrator's CA signs itself is not of this installation.
        foreign = odd_credentials(
            authority,
            [dns("provider", "north-provider")],
            time.time(),
            signed_by=signing_key(self.above),
        )
        foreign.save(identity)
        with self.assertRaises((OSError, AssertionError)):
            RawLink(self.port(app, "links"), identity).open()

    def test_what_cannot_be_used_is_said(self) -> None:
        config = self.scratch / "papercut-app.toml"
        config.write_text(f'data_dir = "{self.scratch}/data"\n')
        paths = [str(self.certificate), str(self.key)]
        for pair, words in (
            (["/nowhere/ca.pem", paths[1]], "No such file"),
            ([paths[1], paths[1]], "ca-cert: is not the PEM of a CA's certificate"),
            ([paths[0], paths[0]], "ca-key: is not the PEM of a private key"),
        ):
            with self.assertRaises(NotReady) as caught:
                command(config, "init", "--ca-cert", pair[0], "--ca-key", pair[1])
            self.assertIn(words, str(caught.exception))
        with self.assertRaises(NotReady) as caught:
            command(config, "init", "--ca-cert", paths[0])
        self.assertIn("go together", str(caught.exception))
        # Nothing is left that stands in the way of doing it right.
        command(config, "init", "--ca-cert", paths[0], "--ca-key", paths[1])
