"""A site and a provider that join again: an empty journal, and what the old one owed goes on."""

from __future__ import annotations

import time

from papercutd.demo.processes import Role, command
from papercutd.demo.scenario import is_ready
from tests.support.outage import OutageCase
from tests.support.waiting import wait_for


class JoinAgainTests(OutageCase):
    def join(self, role: Role, kind: str, name: str) -> None:
        token = command(self.installation.app.config, kind, "token", name)["token"]
        server = f"127.0.0.1:{self.installation.https_port}"
        done = command(role.config, "join", "--token", token, "--server", server)
        self.assertTrue(done["journals_kept"])

    def test_a_site_with_records_that_wait(self) -> None:
        branch = self.installation.branches[1]
        for _ in range(2):
            self.print_at(branch)
        branch.cut()
        for _ in range(4):
            self.print_at(branch)
        waiting = lambda: branch.site.call("status")["waiting_records"] >= 4  # noqa: E731
        self.assertTrue(wait_for("records wait", waiting))
        first = branch.site.call("status")["stream"]
        branch.site.stop()
        self.join(branch.site, "site", branch.name)
        branch.site.start()
        branch.heal()
        self.wait("everybody is back", is_ready)
        self.assertNotEqual(branch.site.call("status")["stream"], first)
        self.print_at(branch)
        self.check_all_but_the_replaced_stream()

    def test_a_provider_that_owes(self) -> None:
        branch = self.installation.branches[0]
        self.print_at(branch)
        self.installation.app.kill()
        for _ in range(3):
            self.print_at(branch)
        branch.site.kill()
        self.print_at(branch)
        ended = lambda: set(branch.provider.call("status")["jobs"]) == {"ended"}  # noqa: E731
        self.assertTrue(wait_for("all are printed", ended))
        branch.provider.stop()
        self.installation.app.start()
        self.join(branch.provider, "provider", f"{branch.name}-provider")
        # Jobs of the old journal are known to it alone.
        self.accepted.clear()
        branch.site.start()
        branch.provider.start()
        self.wait("everybody is back", is_ready)
        self.print_at(branch)
        charged = lambda: self.installation.app.call("status")["charges"] == 6  # noqa: E731
        self.assertTrue(wait_for("all is charged", charged), self.installation.app.call("status"))
        time.sleep(0.5)
        self.assertTrue(charged())
        self.assertEqual(self.installation.app.call("verify")["problems"], [])

    def check_all_but_the_replaced_stream(self) -> None:
        """That the stream was replaced is listed, and nothing else is wrong."""
        with self.assertRaises(self.failureException) as caught:
            self.check()
        self.assertIn("its stream", str(caught.exception))
        self.assertIn("(0, 0, [", str(caught.exception))
