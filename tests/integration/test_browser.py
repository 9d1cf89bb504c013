"""Chromium at the HTTPS port: pages load, and no certificate is ever asked for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from playwright.sync_api import Page, sync_playwright
from twisted.trial.unittest import SynchronousTestCase

from papercutd.identity.authority import Authority
from papercutd.identity.tls import INSTALLATION_NAME
from tests.integration.test_web_certificate import HOST, WebFiles
from tests.support.certificates import credentials, private_key
from tests.support.installation import make_installation

CHROMIUM = "/usr/bin/chromium"
ASKED = "SSL_CLIENT_CERT_REQUESTED"


class Profile:
    """The home directory of a browser, and what is in its store of certificates."""

    def __init__(self, home: Path, trusted: bytes) -> None:
        self.home = home
        self.net_log = home / "net.json"
        self._store = home / ".pki" / "nssdb"
        self._store.mkdir(parents=True)
        self._run("certutil", "-N", "--empty-password")
        path = home / "trusted.pem"
        path.write_bytes(trusted)
        self._run("certutil", "-A", "-n", "trusted", "-t", "C,,", "-i", str(path))

    def _run(self, program: str, *words: str) -> str:
        done = subprocess.run(
            [program, "-d", f"sql:{self._store}", *words],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
        return done.stdout

    def add_client_certificate(self, key_pem: bytes, certificate: x509.Certificate) -> None:
        path = self.home / "client.p12"
        path.write_bytes(
            pkcs12.serialize_key_and_certificates(
                *(b"mine", private_key(key_pem), certificate, None),
                serialization.BestAvailableEncryption(b"x"),
            )
        )
        self._run("pk12util", "-i", str(path), "-W", "x")

    def client_certificates(self) -> int:
        """How many it could show."""
        lines = self._run("certutil", "-L").splitlines()
        return sum(line.rstrip().endswith("u,u,u") for line in lines)

    def times_asked(self) -> int:
        """How often a server asked for a certificate, by the browser's own log."""
        found = json.loads(self.net_log.read_text())
        number = found["constants"]["logEventTypes"][ASKED]
        return sum(event["type"] == number for event in found["events"])


class BrowserTests(SynchronousTestCase):
    timeout = 60

    def setUp(self) -> None:
        self.installation = make_installation()
        self.addCleanup(shutil.rmtree, self.installation.directory, True)
        self.addCleanup(self.installation.close)
        app = self.installation.app
        self.files = WebFiles(self.installation.directory)
        app.config.write_text(app.config.read_text() + self.files.config)
        app.start()
        self.port = self.installation.https_port
        authority = Authority.load(app.data / "ca")
        self.member = credentials(authority, "provider", "p1", time.time())

    def profile(self, name: str, with_certificate: bool) -> Profile:
        home = self.installation.directory / name
        home.mkdir()
        made = Profile(home, self.files.root.pem)
        if with_certificate:
            made.add_client_certificate(self.member.key_pem, self.member.certificate)
        self.assertEqual(made.client_certificates(), int(with_certificate))
        return made

    def browse(self, profile: Profile, visit: Any, *options: str) -> None:
        """``visit(page)`` in a browser that finds every name on this machine."""
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM,
                args=[
                    "--no-sandbox",
                    "--host-resolver-rules=MAP * 127.0.0.1",
                    f"--log-net-log={profile.net_log}",
                    *options,
                ],
                env={**os.environ, "HOME": str(profile.home)},
            )
            try:
                visit(browser.new_page())
            finally:
                # The log is whole once it has ended.
                browser.close()

    def pages(self, page: Page) -> None:
        """Every page there is: loaded, by the administrator's certificate, without a complaint."""
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(request.url))
        for path, words in (("/", "papercutd"), ("/api/health", '"ok": true')):
            response = page.goto(f"https://{HOST}:{self.port}{path}")
            assert response is not None
            self.assertEqual(response.status, 200)
            self.assertIn(words, page.content())
            details = response.security_details()
            assert details is not None
            self.assertEqual(details["protocol"], "TLS 1.3")
            self.assertEqual(details["subjectName"], "a web server")
        self.assertEqual(complaints, [])

    def test_it_is_asked_for_nothing(self) -> None:
        """With and without a certificate of the installation in the browser's store."""
        for with_certificate in (False, True):
            profile = self.profile(f"home-{with_certificate}", with_certificate)
            self.browse(profile, self.pages)
            self.assertEqual(profile.times_asked(), 0)

        # Its log would tell: under the installation's name it is asked, and not let in.
        def pose(page: Page) -> None:
            with self.assertRaises(Exception) as caught:
                page.goto(f"https://{INSTALLATION_NAME}:{self.port}/")
            self.assertIn("ERR_", str(caught.exception))

        posing = self.profile("home-posing", False)
        self.browse(posing, pose, "--ignore-certificate-errors")
        self.assertGreater(posing.times_asked(), 0)

    def test_statements(self) -> None:
        """Behind a log-in, with nothing that the browser refuses under our policy."""
        call = self.installation.app.call
        call("user.add", name="root", administrator=True)
        call("user.secret", name="root", kind="password", secret="a long secret")
        profile = self.profile("home-statements", False)
        complaints: list[str] = []

        def visit(page: Page) -> None:
            browser = page.context.browser
            assert browser is not None
            login: Any = {"username": "root", "password": "a long secret"}
            shown = browser.new_context(http_credentials=login).new_page()
            shown.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
            response = shown.goto(f"https://{HOST}:{self.port}/outages")
            assert response is not None
            self.assertEqual(response.status, 200)
            self.assertIn("There has been no outage.", shown.content())
            # The stylesheet is in force.
            self.assertEqual(shown.evaluate("getComputedStyle(document.body).marginTop"), "0px")
            with self.assertRaises(Exception) as caught:
                page.goto(f"https://{HOST}:{self.port}/outages")
            self.assertIn("ERR_INVALID_AUTH_CREDENTIALS", str(caught.exception))

        self.browse(profile, visit)
        self.assertEqual([one for one in complaints if "401" not in one], [])

    def test_the_flight_of_the_server(self) -> None:
        """Message by message, as OpenSSL's client sees them."""
        for name, is_asked in ((HOST, False), ("", False), (INSTALLATION_NAME, True)):
            words = ["-servername", name] if name else ["-noservername"]
            done = subprocess.run(
                ["openssl", "s_client", "-msg", "-connect", f"127.0.0.1:{self.port}", *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=20,
            )
            self.assertIn("EncryptedExtensions", done.stdout, name)
            self.assertEqual("CertificateRequest" in done.stdout, is_asked, name)
            self.assertEqual("CN = a web server" in done.stdout, not is_asked, name)
