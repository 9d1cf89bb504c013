"""Print providers in plaintext on 9191, where their address is listed: real processes."""

from __future__ import annotations

import json
import shutil
import socket
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo.documents import make_pdf
from papercutd.demo.processes import NotReady, Role, command
from protocols.proof import parse_secret, proof_of
from tests.support.installation import make_installation, run_role
from tests.support.raw_link import JOURNAL
from tests.support.waiting import PATIENCE_S, wait_for

HELLO = {
    "versions": [1],
    "role": "provider",
    "journal": JOURNAL,
    "mark": {"number": 0, "chain": "00" * 32},
}


class PlainLink:
    """A session typed by hand, from an address of the loopback."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(
            ("127.0.0.1", port), timeout=10, source_address=(source, 0)
        )
        self._lines = self.socket.makefile("rb")

    def close(self) -> None:
        self._lines.close()
        self.socket.close()

    def say(self, line: str) -> str:
        """The next line that is no event; empty at the end."""
        self.socket.sendall(line.encode())
        try:
            while (heard := self._lines.readline()).startswith(b"* CONFIG"):
                pass
        except ConnectionError:
            return ""
        return heard.decode()

    def hello(self, name: str, **fields: Any) -> str:
        return self.say(f"1 HELLO {json.dumps({**HELLO, 'name': name, **fields})}\r\n")

    def prove(self, name: str, secret: str) -> str:
        """HELLO twice; the second answer."""
        nonce = nonce_of(self.hello(name))
        return self.hello(name, proof=proof_of(parse_secret(secret), nonce))


def nonce_of(answer: str) -> str:
    tag, no, code, body = answer.split(" ", 3)
    assert (tag, no, code) == ("1", "NO", "prove"), answer
    return str(json.loads(body)["nonce"])


def port_of(role: Role, name: str = "http") -> int:
    return int(tomllib.loads(role.config.read_text())["listen"][name])


class PlainTests(SynchronousTestCase):
    timeout = 240

    def setUp(self) -> None:
        self.installation = make_installation()
        self.addCleanup(shutil.rmtree, self.installation.directory, True)
        self.addCleanup(self.installation.close)
        self.app = self.installation.app
        self.branch = self.installation.branches[0]

    def wait(self, what: str, condition: Any, limit_s: float = PATIENCE_S) -> None:
        self.assertTrue(wait_for(what, condition, limit_s), what)

    def list_address(self, role: Role) -> None:
        role.config.write_text(role.config.read_text() + '[plain]\naddresses = ["127.0.0.1"]\n')

    def link(self, role: Role, source: str = "127.0.0.1") -> PlainLink:
        link = PlainLink(port_of(role), source)
        self.addCleanup(link.close)
        return link

    def secret(self, role: Role, name: str) -> str:
        return str(command(role.config, "provider", "secret", name)["secret"])

    def health(self, role: Role) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{port_of(role)}/", timeout=10) as answer:
            return int(answer.status)

    def connected(self) -> list[bool]:
        servers = self.branch.provider.call("status")["servers"].values()
        return [server["connected"] for server in servers]


class AppTests(PlainTests):
    """One server, and what is typed at its port."""

    def setUp(self) -> None:
        super().setUp()
        self.list_address(self.app)
        self.app.start()
        for name in ("p1", "p2"):
            command(self.app.config, "provider", "add", name)

    def test_let_in_and_replaced(self) -> None:
        secret = self.secret(self.app, "p1")
        first = self.link(self.app)
        self.assertTrue(first.prove("p1", secret).startswith("1 OK "))
        self.assertTrue(first.say('2 OPEN {"page":0,"last":true,"keys":[]}\n').startswith("2 OK "))
        status = self.app.call("status")["plain"]
        self.assertEqual(status["connected"], ["provider:p1"])
        self.assertEqual(status["addresses"], ["127.0.0.1"])
        self.assertIn("plaintext", status["warning"])
        self.assertIn("in plaintext", self.app.log.read_text())
        self.assertNotIn(secret, json.dumps(status) + self.app.log.read_text())
        second = self.link(self.app)
        self.assertTrue(second.prove("p1", secret).startswith("1 OK "))
        self.assertTrue(first.say("").startswith("* BYE "))

    def test_http_goes_on_beside_it(self) -> None:
        self.assertEqual(self.health(self.app), 200)
        link = self.link(self.app)
        link.socket.sendall(b"GET / HT")
        self.assertTrue(link.say("TP/1.1\r\nHost: x\r\n\r\n").startswith("HTTP/1.1 200"))

    def test_another_address_gets_http_alone(self) -> None:
        secret = self.secret(self.app, "p1")
        answer = self.link(self.app, "127.0.0.9").hello("p1", proof="0" * 64)
        self.assertTrue(answer.startswith("HTTP/1.1 400 "), answer)
        self.assertTrue(self.link(self.app).prove("p1", secret).startswith("1 OK "))

    def test_wrong_proofs(self) -> None:
        mine, others = self.secret(self.app, "p1"), self.secret(self.app, "p2")
        for name, secret in (("p1", others), ("p1", "00" * 32), ("nobody", mine), ("../p1", mine)):
            link = self.link(self.app)
            self.assertTrue(link.prove(name, secret).startswith("1 NO identity "))
            # It is over: no second try in one connection.
            self.assertEqual(link.hello("p1"), "")
        self.assertEqual(self.app.call("status")["plain"]["wrong_proofs"], 4)

    def test_a_proof_heard_on_the_way(self) -> None:
        secret = self.secret(self.app, "p1")
        first = self.link(self.app)
        nonce = nonce_of(first.hello("p1"))
        proof = proof_of(parse_secret(secret), nonce)
        # Before its owner uses it, after that, and with the nonce of another.
        eavesdropper = self.link(self.app)
        self.assertNotEqual(nonce_of(eavesdropper.hello("p1", proof=proof)), nonce)
        self.assertTrue(eavesdropper.hello("p1", proof=proof).startswith("1 NO identity "))
        self.assertTrue(first.hello("p1", proof=proof).startswith("1 OK "))
        again = self.link(self.app)
        again.hello("p1")
        self.assertTrue(again.hello("p1", proof=proof).startswith("1 NO identity "))

    def test_guesses(self) -> None:
        for _ in range(10):
            self.link(self.app).prove("p1", "00" * 32)
        answer = self.link(self.app).hello("p1")
        self.assertTrue(answer.startswith("1 NO locked-out "), answer)
        self.assertIn("retry_after_s", answer)
        self.assertEqual(self.health(self.app), 200)

    def test_other_roles(self) -> None:
        secret = self.secret(self.app, "p1")
        for role in ("site", "device"):
            link = self.link(self.app)
            nonce = nonce_of(link.hello("p1", role=role))
            proof = proof_of(parse_secret(secret), nonce)
            answer = link.hello("p1", role=role, proof=proof)
            self.assertTrue(answer.startswith("1 NO not-allowed "), answer)

    def test_nothing_in_the_database_or_its_backup(self) -> None:
        secret = self.secret(self.app, "p1")
        copy = self.installation.directory / "copy.db"
        command(self.app.config, "backup", str(copy))
        for path in (copy, *self.app.data.glob("application.db*")):
            data = path.read_bytes()
            self.assertNotIn(secret.encode(), data)
            self.assertNotIn(bytes.fromhex(secret), data)

    def test_taken_away(self) -> None:
        secret = self.secret(self.app, "p1")
        link = self.link(self.app)
        link.prove("p1", secret)
        command(self.app.config, "provider", "secret", "p1", "--remove")
        self.assertTrue(link.say("").startswith("* BYE "))
        self.assertTrue(self.link(self.app).prove("p1", secret).startswith("1 NO identity "))
        for words in (("p1", "--remove"), ("nobody",)):
            with self.assertRaises(NotReady) as caught:
                command(self.app.config, "provider", "secret", *words)
            self.assertIn("there is no", str(caught.exception))


class ShutTests(PlainTests):
    def test_by_default_it_is_http_alone(self) -> None:
        self.app.start()
        command(self.app.config, "provider", "add", "p1")
        self.secret(self.app, "p1")
        answer = self.link(self.app).hello("p1")
        self.assertTrue(answer.startswith("HTTP/1.1 400 "), answer)
        self.assertNotIn("plain", self.app.call("status"))

    def test_what_cannot_be_used_is_said(self) -> None:
        self.app.config.write_text(
            self.app.config.read_text() + '[plain]\naddresses = ["printserver"]\n'
        )
        done = run_role("app", "--config", str(self.app.config), "--check-config")
        self.assertEqual(done.returncode, 78)
        self.assertIn("'printserver' is not an IP address", done.stderr)
        done = run_role("app", "--config", str(self.app.config))
        self.assertEqual(done.returncode, 1)
        self.assertIn("'printserver' is not an IP address", done.stderr)
        config = self.branch.provider.config
        config.write_text(
            config.read_text().replace("[application]\n", '[application]\nover = "plain"\n')
        )
        done = run_role("provider", "--config", str(config), "--check-config")
        self.assertEqual(done.returncode, 78)
        self.assertIn("application.secret: is needed", done.stderr)


class ProviderTests(PlainTests):
    """A provider whose links to both its servers are plaintext."""

    def start(self) -> None:
        site, provider = self.branch.site, self.branch.provider
        for role in (self.app, site):
            self.list_address(role)
        self.app.start()
        self.installation.join_all()
        site.start()
        self.wait("the site is there", lambda: site.call("status")["position"])
        name = f"{self.branch.name}-provider"
        text = provider.config.read_text()
        for section, role in (("application", self.app), ("site", site)):
            path = Path(self.installation.directory, f"{section}.secret")
            path.touch(mode=0o600)
            path.write_text(self.secret(role, name) + "\n")
            added = f'[{section}]\nover = "plain"\nhttp = {port_of(role)}\nsecret = "{path}"\n'
            text = text.replace(f"[{section}]\n", added)
        provider.config.write_text(text)
        provider.start()
        self.wait("it is connected to both", lambda: self.connected() == [True, True])

    def prints(self, title: str) -> None:
        job = self.branch.print_file(make_pdf(title, 2), title, "anna")
        self.wait(f"{title} is printed", lambda: self.branch.job(job)["state"] == "ended")

    def test_it_prints_by_either_server(self) -> None:
        self.start()
        command(self.app.config, "user", "add", "anna", "--balance", "5.00")
        connected = [f"provider:{self.branch.name}-provider"]
        for role in (self.app, self.branch.site):
            self.assertEqual(role.call("status")["plain"]["connected"], connected)
        self.prints("online")
        self.app.kill()
        self.wait("it is gone", lambda: self.connected() == [False, True])
        self.prints("by the site")
        self.app.start()
        balance = lambda: command(self.app.config, "user", "show", "anna")["balance"]  # noqa: E731
        self.wait("both are charged", lambda: balance() == "4.80", 20.0)
        self.wait("it is connected to both", lambda: self.connected() == [True, True])
        self.assertTrue(self.app.call("verify")["ok"])

    def test_revoked_at_both_servers(self) -> None:
        self.start()
        command(self.app.config, "revoke", "provider", f"{self.branch.name}-provider")
        self.wait("it is alone", lambda: self.connected() == [False, False], 10.0)
        for role in (self.app, self.branch.site):
            self.assertEqual(role.call("status")["plain"]["connected"], [])
        before = [role.call("status")["plain"]["let_in"] for role in (self.app, self.branch.site)]
        self.branch.provider.stop()
        self.branch.provider.start()
        refused = lambda: "revoked" in self.branch.provider.log.read_text()  # noqa: E731
        self.wait("it is refused", refused)
        after = [role.call("status")["plain"]["let_in"] for role in (self.app, self.branch.site)]
        self.assertEqual(before, after)
