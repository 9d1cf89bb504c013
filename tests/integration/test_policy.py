"""A policy of site and group, obeyed by a cut site: real processes, a device, real TLS."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from typing import Any

from papercutd.demo.documents import make_pdf
from papercutd.demo.processes import run
from tests.integration.test_device import BEN, CARD, PAGE_E4, DeviceCase
from tests.support.waiting import wait_for


class PolicyTests(DeviceCase):
    def papercutd(self, *words: str) -> dict[str, Any]:
        """The command, as an administrator types it."""
        done = run(
            *(sys.executable, "-m", "papercutd.commands.main"),
            *("-c", str(self.app.config), "--role", "app", "--json", *words),
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def state(self) -> str:
        return str(self.site.call("status")["state"])

    def log_in_by_password(self) -> dict[str, Any]:
        self.mfd.say("login ben")
        found: dict[str, Any] = self.mfd.do("correct horse")
        return found

    def cap_here(self, user: str) -> int | None:
        found: int | None = self.site.call("policy.show", user=user)["cap_e4"]
        return found

    def people_there(self) -> list[str]:
        """Whom the site's replica has."""
        with closing(sqlite3.connect(f"file:{self.site.data}/journal.db?mode=ro", uri=True)) as at:
            (number,) = at.execute("SELECT replica FROM identity").fetchone()
        replica = f"file:{self.site.data}/replica-{number}.db?mode=ro"
        with closing(sqlite3.connect(replica, uri=True)) as at:
            return [row[0] for row in at.execute("SELECT name FROM user ORDER BY name")]

    def print_it(self, pages: int, user: str) -> dict[str, Any]:
        """What became of a job that is not held for release."""
        job = self.branch.print_file(make_pdf(f"{user} {pages}", pages, False), "report", user)
        over = lambda: self.branch.job(job)["state"] in ("held", "ended")  # noqa: E731
        self.assertTrue(wait_for("it is decided", over), self.branch.job(job))
        return self.branch.job(job)

    def test_a_group_at_a_cut_site(self) -> None:
        self.papercutd("group", "add", "students")
        self.papercutd("group", "add-users", "students", "anna")
        said = self.papercutd("policy", "set", "cap=3pages", "--group", "students")
        self.assertEqual(said["warnings"], [])
        # Nothing of this site's replica is young enough once it is cut.
        self.papercutd("policy", "set", "stale-after=0s", "account=personal", "--site", "north")
        shown = self.papercutd("policy", "show", "--user", "anna")
        self.assertEqual(shown["overspend_bound"]["bound_e4"], 6 * PAGE_E4)
        self.app.call("printer.set", name="north-1", release="immediate")
        self.assertTrue(wait_for("it is known", lambda: self.cap_here("anna") == 3 * PAGE_E4))
        self.mfd.start()
        # Online nothing of it counts: neither caps nor the age of passwords.
        self.assertTrue(self.log_in_by_password()["ok"])
        self.do("logout")
        self.assertEqual(self.print_it(4, "anna")["outcome"], "completed")
        settled = lambda: self.site.call("status")["waiting_records"] == 0  # noqa: E731
        self.assertTrue(wait_for("all is settled", settled))

        self.branch.cut()
        stale = lambda: self.state() == "cut-and-stale"  # noqa: E731
        self.assertTrue(wait_for("it is cut and stale", stale), self.site.call("status"))
        # Passwords stop; cards, printing and caps go on.
        self.assertEqual(self.log_in_by_password()["code"], "not-allowed")
        person = self.do(f"login card {CARD}")
        self.assertEqual((person["state"], person["available_e4"]), ("cut-and-stale", 3 * PAGE_E4))
        self.do("copy 2")
        self.do("logout")
        beyond = self.print_it(2, "anna")
        self.assertEqual((beyond["state"], beyond["reason"]), ("held", "funds"))
        self.assertEqual(self.print_it(1, "anna")["outcome"], "completed")
        self.assertEqual(self.do(f"login card {BEN} giraffe")["available_e4"], 5 * PAGE_E4)
        self.do("logout")

        # What the process knew of its age outlives it.
        self.site.kill()
        self.site.start()
        self.assertTrue(wait_for("it is stale still", stale), self.site.call("status"))

        self.branch.heal()
        self.assertTrue(wait_for("it is online", lambda: self.state() == "online"))
        # Asked again as soon as the application server answers.
        ended = lambda: self.branch.job(beyond["job"])["state"] == "ended"  # noqa: E731
        self.assertTrue(wait_for("what was held is printed", ended))
        served = lambda: self.log_in_by_password()["ok"]  # noqa: E731
        self.assertTrue(wait_for("passwords count again", served))
        self.do("quit")
        paid = lambda: sum(e4 for _, e4 in self.charges().values()) == 9 * PAGE_E4  # noqa: E731
        self.assertTrue(wait_for("all is charged", paid), self.charges())
        for role in (self.app, self.site):
            self.assertEqual(role.call("verify")["problems"], [])

    def test_a_site_of_one_group(self) -> None:
        """It knows its own people, whole and at once; through a cut, too."""
        self.papercutd("group", "add", "northerners")
        self.papercutd("group", "add-users", "northerners", "anna")
        said = self.papercutd("site", "scope", "north", "--groups", "northerners")
        self.assertEqual(said, {"name": "north", "scope": ["northerners"]})
        self.mfd.start()
        known = self.people_there
        self.assertTrue(wait_for("it knows anna alone", lambda: known() == ["anna"]), known())
        self.assertFalse(self.mfd.do(f"login card {BEN} giraffe")["ok"])
        self.papercutd("group", "add-users", "northerners", "ben")
        came = lambda: self.mfd.do(f"login card {BEN} giraffe")["ok"]  # noqa: E731
        self.assertTrue(wait_for("ben has come", came))
        self.do("logout")
        self.branch.cut()
        self.papercutd("group", "remove-users", "northerners", "anna")
        self.assertTrue(self.do(f"login card {CARD}")["ok"])
        self.do("copy 2")
        self.do("logout")
        self.branch.heal()
        self.assertTrue(wait_for("anna has gone", lambda: known() == ["ben"]), known())
        paid = lambda: sum(e4 for _, e4 in self.charges().values()) == 2 * PAGE_E4  # noqa: E731
        self.assertTrue(wait_for("she paid", paid), self.charges())
        self.papercutd("site", "scope", "north", "--everybody")
        self.assertTrue(wait_for("it knows both", lambda: len(known()) == 2), known())
        for role in (self.app, self.site):
            self.assertEqual(role.call("verify")["problems"], [])
        self.assertEqual(self.site.call("verify", repair=True)["problems"], [])
