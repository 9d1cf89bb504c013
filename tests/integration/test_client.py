"""``papercut-client`` over real TLS: at the application server, and at a site that is cut."""

from __future__ import annotations

import shutil
import stat
import tomllib
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo.clients import Desk
from papercutd.demo.documents import make_pdf
from papercutd.demo.network import Relay
from papercutd.demo.scenario import is_ready
from tests.support.installation import joined_installation
from tests.support.waiting import wait_for

PASSWORD = "correct horse"


class ClientTests(SynchronousTestCase):
    """One installation, one day at a desk: its parts take a while to start."""

    timeout = 240

    def setUp(self) -> None:
        self.installation = joined_installation()
        self.addCleanup(shutil.rmtree, self.installation.directory, True)
        self.addCleanup(self.installation.close)
        app = self.app = self.installation.app
        app.start()
        south = self.installation.branches.pop()
        south.printer.close()
        for relay in south.relays:
            relay.close()
        self.branch = self.installation.branches[0]
        self.site = self.branch.site
        app.call("user.add", name="anna", balance="10.00")
        app.call("user.secret", name="anna", kind="password", secret=PASSWORD)
        app.call("user.add", name="ben", balance="0.05")
        app.call("user.secret", name="ben", kind="password", secret="other")
        app.call("account.add", name="Physics", balance="5.00")
        # Nobody answers: she pays herself. That is the shortest time there is.
        app.call("policy.set", settings={"account-choice-timeout": "10s", "account": "personal"})
        self.site.start()
        self.branch.provider.start()
        self.assertTrue(wait_for("all is there", lambda: is_ready(self.branch)))
        self.relay = Relay(self.installation.https_port)
        self.addCleanup(self.relay.close)
        https = tomllib.loads(self.site.config.read_text())["listen"]["https"]
        # Anna's client is told where the site is, ben's knows it from the beginning.
        app.call("site.set", name="north", https_port=https)
        self.where = (f"127.0.0.1:{self.relay.port}",)
        self.known = ("--site", f"north=127.0.0.1:{https}")
        self.desk = self.make_desk("anna")

    def make_desk(self, name: str) -> Desk:
        desk = Desk(self.installation.directory / f"desk-{name}")
        self.addCleanup(desk.stop)
        return desk

    def wait_told(self, desk: Desk, event: str, **fields: Any) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            return next((one for one in desk.events(event) if fields.items() <= one.items()), None)

        self.assertTrue(wait_for(f"{event} {fields}", lambda: found() is not None), desk.told)
        one = found()
        assert one is not None
        return one

    def print(self, title: str, pages: int, user: str) -> None:
        self.branch.print_file(make_pdf(title, pages, False), title, user)

    def balances(self) -> dict[str, int]:
        (account,) = self.app.call("account.list")
        anna = self.app.call("user.show", name="anna")
        return {"anna": anna["balance_e4"], "Physics": account["balance_e4"]}

    def errors(self, desk: Desk) -> str:
        return (desk.home / "stderr").read_text()

    def test_a_day(self) -> None:
        desk = self.desk
        shown = self.app.call("client.show")
        # Whoever does not know the pin is told so, and nothing is kept.
        done = desk.run("setup", *self.where, "--pin", "00" * 32)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("another key", done.stderr)
        self.assertEqual(desk.run("balance").returncode, 78)
        desk.do("setup", *self.where, "--pin", shown["pin"])
        self.assertEqual(desk.run("balance").returncode, 4)
        self.assertEqual(desk.run("login", "anna", stdin="wrong\n").returncode, 4)
        (person,) = desk.do("login", "anna", stdin=f"{PASSWORD}\n")
        self.assertEqual((person["balance_e4"], person["state"]), (100_000, "online"))
        tokens = desk.home / "tokens.json"
        self.assertEqual(stat.S_IMODE(tokens.stat().st_mode), 0o600)
        self.assertNotIn(PASSWORD, tokens.read_text())
        # The authority by its file does as well, and another's token is nothing.
        other = self.make_desk("ben")
        ca = str(self.app.data / "ca" / "ca.pem")
        other.do("setup", *self.where, *self.known, "--ca", ca)
        other.home.joinpath("tokens.json").write_text(tokens.read_text().replace('"anna"', '"ben"'))
        other.home.joinpath("tokens.json").chmod(0o600)
        self.assertEqual(other.run("balance").returncode, 4)
        other.do("login", "ben", stdin="other\n")
        self.assertEqual([one["name"] for one in desk.do("accounts", "phy")], ["Physics"])

        # What waited for the log-in is told, also that it was denied while nobody was there.
        self.print("too long", 9, "ben")
        ended = lambda: list(self.branch.states().values()) == ["ended"]  # noqa: E731
        self.assertTrue(wait_for("it is denied", ended))
        told = other.do("messages")
        self.assertEqual([(one["code"], one["reason"]) for one in told], [("denied", "funds")])

        # She is asked, and a shared account pays; ben is not asked.
        self.app.call("user.set", name="anna", account_mode="popup")
        desk.watch("--answer", "shared:Physics", "--comment", "for the board")
        self.wait_told(desk, "logged-in", server="application")
        self.print("two pages", 2, "anna")
        asked = self.wait_told(desk, "question", title="two pages", kind="account")
        self.assertEqual((asked["pages"], asked["amount_e4"]), (2, 1_000))
        self.wait_told(desk, "answered", state="taken")
        message = self.wait_told(desk, "message", code="charged", title="two pages")
        self.assertEqual(message["amount_e4"], 1_000)
        self.assertEqual(self.balances(), {"anna": 100_000, "Physics": 49_000})

        # The same at the site, while it and she are cut off.
        self.branch.cut()
        self.relay.cut()
        self.wait_told(desk, "logged-in", server="north")
        cut = lambda: self.site.call("status")["state"] == "cut"  # noqa: E731
        self.assertTrue(wait_for("it is cut", cut))
        self.print("three pages", 3, "anna")
        self.wait_told(desk, "question", title="three pages")
        self.wait_told(desk, "message", code="charged", title="three pages")
        # Nobody answers: the rule decides, and the question goes.
        self.assertEqual(desk.stop(), 0, self.errors(desk))
        desk.watch()
        self.wait_told(desk, "logged-in", server="north")
        self.print("one page", 1, "anna")
        self.wait_told(desk, "question", title="one page")
        gone = self.wait_told(desk, "withdrawn")
        self.assertEqual(gone["reason"], "timed-out")
        self.wait_told(desk, "message", code="charged", title="one page")
        # Typed by a person, who pays herself.
        self.print("four pages", 4, "anna")
        self.wait_told(desk, "question", title="four pages")
        desk.say("7")
        self.wait_told(desk, "error")
        desk.say("p gladly")
        self.wait_told(desk, "answered", choice="personal")
        self.wait_told(desk, "message", code="charged", title="four pages")
        self.wait_told(desk, "balance", balance_e4=97_500)

        self.branch.heal()
        self.relay.heal()
        back = lambda: desk.events("logged-in")[-1]["server"] == "application"  # noqa: E731
        self.assertTrue(wait_for("it is back", back), desk.told)
        settled = lambda: self.balances() == {"anna": 97_500, "Physics": 47_500}  # noqa: E731
        self.assertTrue(wait_for("all is charged", settled), self.balances())
        self.assertTrue(wait_for("all is there", lambda: is_ready(self.branch)))
        # Asked and given up: another client of hers cancels it by the job's id.
        self.print("five pages", 5, "anna")
        asked = self.wait_told(desk, "question", title="five pages")
        done = other.run("answer", asked["job"], "cancel")
        self.assertEqual(done.returncode, 1)
        self.assertIn("not-yours", done.stdout)
        self.assertEqual(desk.do("answer", asked["job"], "cancel")[0]["state"], "taken")
        self.wait_told(desk, "withdrawn", job=asked["job"], reason="answered")
        self.assertEqual(desk.stop(), 0, self.errors(desk))
        self.assertEqual([one for one in desk.told if one.get("title") == "too long"], [])

        # Logged out everywhere: what lies on the disk is worth nothing.
        self.app.call("user.log-out", name="anna")
        self.assertEqual(desk.run("balance").returncode, 4)
        self.assertEqual(other.do("balance")[0]["balance_e4"], 500)
        for role in (self.app, self.site):
            self.assertEqual(role.call("verify")["problems"], [])
