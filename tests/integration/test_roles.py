"""The roles as processes: what stops a start is said, and what comes over a port is answered."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo.installation import Installation
from papercutd.demo.processes import NotReady, command
from papercutd.identity.authority import Authority
from papercutd.identity.names import peer_of
from papercutd.identity.tls import Credentials
from tests.support.certificates import dns, odd_credentials
from tests.support.installation import ROOT, environment, make_installation, run_role
from tests.support.waiting import PATIENCE_S, wait_for


class StartTests(SynchronousTestCase):
    timeout = 120

    def setUp(self) -> None:
        self.installation = make_installation()
        self.addCleanup(shutil.rmtree, self.installation.directory, True)
        self.addCleanup(self.installation.close)

    def test_configuration(self) -> None:
        path = Path(self.mktemp())
        path.write_text('x = 1\n[listen]\nhttp = "a"\n')
        done = run_role("app", "--config", str(path), "--check-config")
        self.assertEqual(done.returncode, 78)
        self.assertIn("x: there is no such key", done.stderr)
        self.assertIn("listen.http", done.stderr)
        path.write_text("")
        done = run_role("app", "--config", str(path), "--check-config")
        self.assertEqual((done.returncode, done.stdout.count("no problems")), (0, 1))

    def test_without_identity(self) -> None:
        path = Path(self.mktemp())
        path.write_text(f'data_dir = "{Path(self.mktemp()).resolve()}"\n')
        done = run_role("app", "--config", str(path))
        self.assertEqual(done.returncode, 1)
        self.assertIn("papercutd init", done.stderr)

    def test_two_starts_on_one_directory(self) -> None:
        self.installation.app.start()
        done = run_role("app", "--config", str(self.installation.app.config))
        self.assertEqual(done.returncode, 1)
        self.assertIn("another process already runs", done.stderr)

    def test_port_in_use(self) -> None:
        with socket.create_server(("127.0.0.1", self.installation.http_port)):
            done = run_role("app", "--config", str(self.installation.app.config))
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"port {self.installation.http_port}", done.stderr)

    def test_newer_and_damaged_database(self) -> None:
        path = self.installation.app.data / "application.db"
        connection = sqlite3.connect(path)
        connection.execute("INSERT INTO schema_migration VALUES (9999, 'future', '')")
        connection.commit()
        connection.close()
        done = run_role("app", "--config", str(self.installation.app.config))
        self.assertEqual(done.returncode, 1)
        self.assertIn("start the newer release", done.stderr)
        for rest in path.parent.glob("application.db*"):
            rest.unlink()
        path.write_bytes(b"not a database at all" * 100)
        done = run_role("app", "--config", str(self.installation.app.config))
        self.assertEqual(done.returncode, 1)
        self.assertIn("restore a backup", done.stderr)

    def test_init_twice(self) -> None:
        with self.assertRaises(NotReady) as caught:
            command(self.installation.app.config, "init")
        self.assertIn("already", str(caught.exception))


class PortsTests(SynchronousTestCase):
    timeout = 180

    def setUp(self) -> None:
        self.installation: Installation = make_installation()
        self.addCleanup(shutil.rmtree, self.installation.directory, True)
        self.addCleanup(self.installation.close)
        self.installation.app.start()

    def links_port(self) -> int:
        import tomllib

        config = tomllib.loads(self.installation.app.config.read_text())
        return int(config["listen"]["links"])

    def test_health(self) -> None:
        url = f"http://127.0.0.1:{self.installation.http_port}/api/health"
        with urllib.request.urlopen(url) as response:
            self.assertTrue(json.load(response)["ok"])
        command(self.installation.app.config, "site", "add", "lonely")
        with self.assertRaises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url)
        self.assertEqual(caught.exception.code, 500)
        self.assertIn("lonely", caught.exception.read().decode())

    def test_plaintext_on_a_tls_port(self) -> None:
        with socket.create_connection(("127.0.0.1", self.links_port()), timeout=10) as peer:
            peer.sendall(b"1 HELLO {}\n")
            answer = b""
            try:
                while block := peer.recv(1000):
                    answer += block
            except ConnectionResetError:
                pass
        self.assertNotIn(b"OK", answer)

    def test_no_certificate_gets_no_word(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        raw = socket.create_connection(("127.0.0.1", self.links_port()), timeout=10)
        with self.assertRaises((ssl.SSLError, ConnectionError, EOFError)):
            with context.wrap_socket(raw, server_hostname="x") as peer:
                peer.sendall(b"1 HELLO {}\n")
                if not peer.recv(1000):
                    raise EOFError

    def test_old_tls_is_refused(self) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        raw = socket.create_connection(("127.0.0.1", self.installation.https_port), timeout=10)
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(raw)

    def test_a_token_is_good_once_and_for_its_server(self) -> None:
        added = command(self.installation.app.config, "site", "add", "north")
        site = self.installation.branches[0].site
        server = f"127.0.0.1:{self.installation.https_port}"
        pin = added["token"].rpartition(":")[2]
        wrong = added["token"].replace(pin, "0" * 64)
        for token, words in ((wrong, "nothing was sent"), ("x", "is not one")):
            with self.assertRaises(NotReady) as caught:
                command(site.config, "join", "--token", token, "--server", server)
            self.assertIn(words, str(caught.exception))
        command(site.config, "join", "--token", added["token"], "--server", server)
        with self.assertRaises(NotReady) as caught:
            command(site.config, "join", "--token", added["token"], "--server", server)
        self.assertIn("used already", str(caught.exception))


class RevocationTests(SynchronousTestCase):
    """On live links, at both servers, and by those who only connect."""

    timeout = 240

    def setUp(self) -> None:
        self.installation = make_installation()
        self.addCleanup(shutil.rmtree, self.installation.directory, True)
        self.addCleanup(self.installation.close)
        self.installation.app.start()
        self.installation.join_all()
        self.branch = self.installation.branches[0]

    def wait(self, what: str, condition: Any, limit_s: float = PATIENCE_S) -> None:
        self.assertTrue(wait_for(what, condition, limit_s), what)

    def connected(self) -> dict[str, bool]:
        """To which servers the provider has a session."""
        servers = self.branch.provider.call("status")["servers"]
        return {role: server["connected"] for role, server in servers.items()}

    def start(self) -> None:
        self.branch.site.start()
        self.branch.provider.start()
        self.wait("all are connected", lambda: all(self.connected().values()))

    def revoke(self, role: str, name: str) -> None:
        command(self.installation.app.config, "revoke", role, name)

    def test_a_site(self) -> None:
        self.start()
        self.revoke("site", self.branch.name)
        self.wait("the site is cut", lambda: not self.branch.site.call("status")["connected"])
        only = {"application": True, "site": False}
        self.wait("its provider turns away", lambda: self.connected() == only)
        time.sleep(2)
        self.assertFalse(self.branch.site.call("status")["connected"])
        self.assertEqual(self.connected(), only)

    def test_a_provider(self) -> None:
        self.start()
        self.revoke("provider", f"{self.branch.name}-provider")
        self.wait("it is alone", lambda: not any(self.connected().values()))
        time.sleep(2)
        self.assertFalse(any(self.connected().values()))

    def test_known_from_the_first_snapshot(self) -> None:
        self.revoke("provider", f"{self.branch.name}-provider")
        self.branch.site.start()
        self.wait("the site is there", lambda: self.branch.site.call("status")["position"])
        self.branch.provider.start()
        time.sleep(2)
        self.assertFalse(any(self.connected().values()))

    def test_links_over_the_https_port(self) -> None:
        """Where a firewall lets nothing else through; a browser there sees HTTP as ever."""
        for role in (self.branch.site, self.branch.provider):
            section, over = "[application]\n", 'over = "https"\n'
            role.config.write_text(role.config.read_text().replace(section, section + over))
        self.start()
        server = f"https://127.0.0.1:{self.installation.https_port}/"
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(server, timeout=10, context=context) as answer:
            self.assertIn(b"papercutd", answer.read())
        # Cut at the relays of 9195, nothing is noticed: the links do not go there.
        self.branch.cut()
        time.sleep(2)
        self.assertEqual(self.connected(), {"application": True, "site": True})
        self.assertEqual(self.branch.site.call("status")["state"], "online")

    def test_renewed_at_the_start(self) -> None:
        """With a third of its life left a role has a new certificate within seconds."""
        authority = Authority.load(self.installation.app.data / "ca")
        for role in (self.branch.site, self.branch.provider):
            directory = role.data / "identity"
            certificate = Credentials.load(directory).certificate
            peer = peer_of(certificate)
            names = [dns(peer.role, peer.name)]
            due = odd_credentials(authority, names, time.time(), -300.0, 60.0)
            due.save(directory)
        self.start()
        for role in (self.branch.site, self.branch.provider):
            days_left = lambda r=role: r.call("status")["certificate"]["days_left"]  # noqa: E731
            self.wait("it is renewed", lambda d=days_left: d() > 390)
            self.assertFalse(role.call("status")["certificate"]["alarm"])
        self.branch.site.stop()
        self.branch.site.start()
        self.wait("all are connected again", lambda: all(self.connected().values()))


class PackagingTests(SynchronousTestCase):
    timeout = 240

    def test_installed_plugins_are_listed_from_anywhere(self) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch, "site")
            copy = Path(scratch, "source")
            subprocess.run(
                ["git", "checkout-index", "--all", f"--prefix={copy}/"], cwd=ROOT, check=True
            )
            subprocess.run(
                [
                    *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
                    *("--no-build-isolation", "--target", str(target), str(copy)),
                ],
                check=True,
                capture_output=True,
            )
            code = (
                "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
            )
            done = subprocess.run(
                [sys.executable, "-c", code, "--help"],
                cwd=scratch,
                capture_output=True,
                text=True,
                env={**environment(), "PYTHONPATH": str(target)},
            )
            for role in ("app", "site", "provider"):
                self.assertIn(f"papercut-{role}", done.stdout)
            schema = target / "papercutd" / "storage" / "schema" / "application"
            self.assertTrue(list(schema.glob("*.sql")))
