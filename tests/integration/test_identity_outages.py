"""Certificates, revocation, tokens and the CA where somebody was away meanwhile (F48-F50, F52).

What was recorded and is said again (F51): test_secrets.py.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from papercutd.demo.installation import Branch
from papercutd.demo.processes import NotReady, Role, command
from papercutd.demo.scenario import is_ready, is_settled
from papercutd.identity.authority import Authority
from papercutd.identity.names import peer_of
from papercutd.identity.tls import Credentials
from tests.support.certificates import credentials, dns, odd_credentials
from tests.support.outage import OutageCase
from tests.support.waiting import wait_for


class IdentityCase(OutageCase):
    def setUp(self) -> None:
        super().setUp()
        self.branch = self.installation.branches[1]

    def print_settled(self, branch: Branch, count: int) -> None:
        for _ in range(count):
            self.print_at(branch)
        printed = lambda: set(branch.states().values()) <= {"ended"}  # noqa: E731
        self.assertTrue(wait_for("printed", printed))
        self.assertTrue(wait_for("the site has it", lambda: is_settled(branch)))

    def token(self, role: str, name: str) -> str:
        return str(command(self.installation.app.config, role, "token", name)["token"])

    def join(self, role: Role, token: str) -> None:
        server = f"127.0.0.1:{self.installation.https_port}"
        command(role.config, "join", "--token", token, "--server", server)

    def is_linked(self) -> bool:
        return bool(self.branch.site.call("status")["connected"])


class ExpiredTests(IdentityCase):
    def test_while_cut(self) -> None:
        """F48: printing at the site goes on, an alarm is raised, and it is renewed afterwards."""
        authority = Authority.load(self.installation.app.data / "ca")
        branch = self.branch
        self.installation.app.stop()
        for role in (branch.site, branch.provider):
            role.stop()
            directory = role.data / "identity"
            peer = peer_of(Credentials.load(directory).certificate)
            names = [dns(peer.role, peer.name)]
            odd_credentials(authority, names, time.time(), -400.0, -3.0).save(directory)
            role.start()
        connected = lambda: branch.provider.call("status")["servers"]["site"]["connected"]  # noqa: E731
        self.assertTrue(wait_for("the provider has its site", connected))
        self.print_settled(branch, 3)
        for role in (branch.site, branch.provider):
            self.assertTrue(role.call("status")["certificate"]["alarm"])
        deciders = {branch.job(job)["decided_by"] for _, job in self.accepted}
        self.assertEqual(deciders, {"the site"})
        # Within thirty days it renews: at a start, or within the hour.
        self.installation.app.start()
        for role in (branch.site, branch.provider):
            role.stop()
            role.start()
        self.wait("everybody is back", is_ready)
        for role in (branch.site, branch.provider):
            self.assertFalse(role.call("status")["certificate"]["alarm"])
        self.check()


class RevokedTests(IdentityCase):
    def test_a_site_that_returns(self) -> None:
        """F49: revoked while away it gets no session, and what it says is not taken."""
        branch = self.branch
        branch.cut()
        self.print_settled(branch, 2)
        branch.site.stop()
        command(self.installation.app.config, "revoke", "site", branch.name)
        before = self.count("charge")
        branch.site.start()
        branch.heal()
        self.print_at(self.installation.branches[0])
        charged = lambda: self.count("charge") == before + 1  # noqa: E731
        self.assertTrue(wait_for("the other site's is charged", charged))
        time.sleep(2)
        self.assertFalse(self.is_linked())
        self.assertEqual(branch.site.call("status")["waiting_records"] > 0, True)
        self.assertTrue(charged())
        # Found again and trusted again: it joins, and what it held comes in.
        branch.site.stop()
        self.join(branch.site, self.token("site", branch.name))
        branch.site.start()
        self.wait("everybody is back", is_ready)
        self.loses_journals = True
        self.check_offered_again()


class TokenTests(IdentityCase):
    def test_used_again(self) -> None:
        """F50: a token is good once; the second machine gets nothing, the first is not hurt."""
        token = self.token("site", "south")
        site = self.branch.site
        site.stop()
        self.join(site, token)
        thief = Role("site", "thief", self.installation.directory / "thief", "")
        with self.assertRaises(NotReady) as caught:
            self.join(thief, token)
        self.assertIn("used already", str(caught.exception))
        self.assertFalse((thief.data / "identity" / "key.pem").exists())
        site.start()
        self.wait("everybody is back", is_ready)
        self.loses_journals = True
        self.check_offered_again()


class AuthorityTests(IdentityCase):
    def test_another_ca_while_away(self) -> None:
        """F52: neither side talks to the other until the site joins again; it serves meanwhile."""
        branch, app = self.branch, self.installation.app
        branch.cut()
        self.print_settled(branch, 2)
        self.change_authority()
        branch.heal()
        time.sleep(2)
        self.assertFalse(self.is_linked())
        self.print_settled(branch, 1)
        self.assertEqual(self.count("charge"), 0)
        beside = self.installation.branches[0]
        for one in (branch, beside):
            for role, kind, name in (
                (one.site, "site", one.name),
                (one.provider, "provider", f"{one.name}-provider"),
            ):
                role.stop()
                self.join(role, self.token(kind, name))
        for one in (branch, beside):
            one.site.start()
            one.provider.start()
        self.wait("everybody is back", is_ready)
        self.assertTrue(wait_for("all is charged", lambda: self.count("charge") == 3))
        self.assertEqual(app.call("verify")["problems"], [])

    def change_authority(self) -> None:
        """As after the loss of the CA's key: a new one, and a certificate under it."""
        app = self.installation.app
        app.stop()
        shutil.rmtree(app.data / "ca")
        authority = Authority.create(Path(app.data / "ca"), time.time())
        credentials(authority, "application", "application", time.time()).save(
            app.data / "identity"
        )
        app.start()
