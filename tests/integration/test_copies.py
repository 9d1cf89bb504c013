"""Copies at devices of real sites: online, cut in mid-copy, the site killed, the centre killed."""

from __future__ import annotations

from typing import Any

from papercutd.demo import measure
from papercutd.demo.installation import Branch
from papercutd.demo.scenario import is_ready
from tests.support.devices import DeviceCase
from tests.support.raw_link import RawLink, job_id
from tests.support.waiting import wait_for

BEN = {"method": "card-pin", "card": "0815", "pin": "4711"}


class CopyTests(DeviceCase):
    def setUp(self) -> None:
        super().setUp()
        self.login_id = ""
        #: What devices counted, by key: what has to be charged.
        self.counted: dict[str, int] = {}

    def log_in(self, link: RawLink, **shown: str) -> dict[str, Any]:
        person = self.login(link, **(shown or BEN))
        self.login_id = person["login"]
        return person

    def run_of(self, link: RawLink, pages: int, **more: Any) -> dict[str, Any]:
        word, started = link.ask("RUN", login=self.login_id, function="copy", pages=pages, **more)
        self.assertEqual(word, "OK", started)
        return started

    def page(self, link: RawLink, started: dict[str, Any], pages: int) -> int:
        key = {"job": started["job"], "step": started["step"]}
        word, progress = link.ask("PAGES", **key, pages=pages)
        self.assertEqual(word, "OK", progress)
        return int(progress["left"])

    def finish(self, link: RawLink, started: dict[str, Any], pages: int) -> dict[str, Any]:
        self.counted[f"{started['job']}/{started['step']}"] = pages
        word, receipt = link.ask("FINISH", grant=started["grant"], pages=pages)
        self.assertEqual(word, "OK", receipt)
        return receipt

    def kept(self, started: dict[str, Any], pages: int) -> list[dict[str, Any]]:
        return [{"grant": started["grant"], "pages": pages}]

    def stops(self, link: RawLink) -> int:
        return [name for name, _ in link.events].count("STOP")

    def is_cut(self, branch: Branch) -> None:
        cut = lambda: branch.site.call("status")["state"] == "cut"  # noqa: E731
        self.assertTrue(wait_for("it is cut", cut))

    def charged(self) -> None:
        """Each run once, as the device counted it; nothing reserved, all verified."""
        app = self.installation.app
        forwarded = lambda b: b.site.call("status")["waiting_records"] == 0  # noqa: E731
        self.wait("all is forwarded", forwarded)
        self.assertEqual(app.call("verify")["problems"], [])
        for branch in self.installation.branches:
            self.assertEqual(branch.site.call("verify")["problems"], [])
        connection = measure.open_read(app.data / "application.db")
        rows = connection.execute("SELECT key, pages, amount_e4 FROM charge").fetchall()
        (pending,) = connection.execute("SELECT SUM(pending_e4) FROM account").fetchone()
        (parked,) = connection.execute("SELECT COUNT(*) FROM parked").fetchone()
        connection.close()
        found = {key: pages for key, pages, _ in rows}
        self.assertEqual(found, {key: n for key, n in self.counted.items() if n})
        self.assertEqual(sum(row[2] for row in rows), 500 * sum(self.counted.values()))
        self.assertEqual((pending, parked), (0, 0))

    def test_online_cut_and_healed(self) -> None:
        link = self.device(self.branch.site, self.branch)
        person = self.log_in(link)
        self.assertEqual((person["available_e4"], person["state"]), (10_000, "online"))
        online = self.run_of(link, 4)
        self.assertEqual((online["granted"], online["pages"], online["unit_e4"]), (True, 4, 500))
        self.assertEqual([self.page(link, online, n) for n in (1, 2, 3)], [3, 2, 1])
        # The link is cut between two pages: the device hears nothing of it.
        self.branch.cut()
        self.assertEqual((self.page(link, online, 4), self.stops(link)), (0, 1))
        self.assertEqual(self.finish(link, online, 4)["amount_e4"], 2_000)
        self.is_cut(self.branch)
        alone = self.run_of(link, 100)
        self.assertEqual(alone["pages"], 16)
        self.assertEqual(self.page(link, alone, 7), 9)
        self.branch.heal()
        self.wait("everybody is back", is_ready)
        self.assertEqual(self.page(link, alone, 16), 0)
        self.assertEqual(self.stops(link), 2)
        self.finish(link, alone, 16)
        word, started = link.ask("RUN", login=self.login_id, function="copy")
        self.assertEqual((word, started["granted"], started["reason"]), ("OK", False, "funds"))
        self.charged()

    def test_the_site_is_killed_in_mid_copy(self) -> None:
        """The device goes on at the application server; the site is told by the change stream."""
        link = self.device(self.branch.site, self.branch)
        self.log_in(link)
        online = self.run_of(link, 5)
        self.branch.cut()
        self.is_cut(self.branch)
        alone = self.run_of(link, 6)
        self.page(link, online, 2)
        self.page(link, alone, 3)
        self.branch.site.kill()
        kept = [*self.kept(online, 3), *self.kept(alone, 4)]
        at_app = self.device(self.installation.app, self.branch, kept)
        self.assertEqual(self.page(at_app, online, 4), 1)
        self.assertEqual((self.page(at_app, alone, 6), self.stops(at_app)), (0, 1))
        self.assertEqual(self.finish(at_app, online, 4)["state"], "posted")
        self.assertEqual(self.finish(at_app, alone, 6)["state"], "posted")
        self.log_in(at_app)
        self.finish(at_app, self.run_of(at_app, 1), 1)
        self.branch.site.start()
        self.branch.heal()
        self.wait("everybody is back", is_ready)
        # An answer that was lost: asked again, at the other server.
        link = self.device(self.branch.site, self.branch, self.kept(alone, 6))
        self.finish(link, alone, 6)
        self.charged()

    def test_the_application_server_is_killed_in_mid_copy(self) -> None:
        link = self.device(self.installation.app, self.branch)
        self.log_in(link)
        started = self.run_of(link, 5)
        self.page(link, started, 2)
        self.installation.app.kill()
        self.is_cut(self.branch)
        at_site = self.device(self.branch.site, self.branch, self.kept(started, 3))
        self.assertEqual(self.page(at_site, started, 4), 1)
        self.assertEqual(self.finish(at_site, started, 4)["state"], "journalled")
        self.log_in(at_site)
        never_heard = self.run_of(at_site, 3)
        at_site.close()
        self.installation.app.start()
        self.wait("everybody is back", is_ready)
        # The device lost the answer to its last RUN: what it does not list is given back.
        self.device(self.branch.site, self.branch)
        self.counted[f"{never_heard['job']}/{never_heard['step']}"] = 0
        self.charged()

    def test_each_verb_in_a_wrong_state(self) -> None:
        south = self.installation.branches[1]
        link = self.device(self.branch.site, self.branch)
        other = self.device(south.site, south)
        self.log_in(link)
        started = self.run_of(link, 5)
        self.page(link, started, 2)
        key = {"job": started["job"], "step": started["step"]}
        for session, verb, fields, word in (
            (link, "PAGES", {**key, "pages": 1}, "fewer-pages"),
            (link, "PAGES", {**key, "pages": -1}, "bad-fields"),
            (link, "PAGES", {**key, "pages": 10**7}, "bad-fields"),
            (link, "PAGES", {**key, "step": "run-2", "pages": 1}, "no-run"),
            (other, "PAGES", {**key, "pages": 3}, "no-run"),
            (other, "FINISH", {"grant": started["grant"], "pages": 1}, "not-yours"),
            (link, "FINISH", {"grant": "x", "pages": 1}, "bad-grant"),
            (link, "FINISH", {"grant": "x" * 9000, "pages": 1}, "bad-fields"),
            (link, "FINISH", {"grant": started["grant"], "pages": -1}, "bad-fields"),
            (link, "OPEN", {"page": 1, "last": True, "runs": []}, "wrong-state"),
            (link, "RUN", {"login": job_id(1), "function": "copy"}, "no-login"),
            (link, "RUN", {"login": self.login_id, "function": "scan"}, "not-allowed"),
            (link, "RUN", {"login": self.login_id, "function": "brew"}, "bad-fields"),
            (link, "RUN", {"login": self.login_id, "function": "copy", "pages": 0}, "bad-fields"),
            (link, "ACCOUNTS", {"login": job_id(1)}, "no-login"),
        ):
            found = session.ask(verb, **fields)
            self.assertEqual(found[0], word, (verb, fields, found))
        word, refused = link.ask("RUN", login=self.login_id, function="copy", account=4711)
        self.assertEqual((word, refused["reason"]), ("OK", "closed"))
        status = self.branch.site.call("status")
        self.assertEqual(status["counts_that_fell"], {"north-mfd": 1})
        self.finish(link, started, 2)
        self.assertEqual(self.page_refused(link, started), "no-run")
        self.charged()

    def page_refused(self, link: RawLink, started: dict[str, Any]) -> str:
        return link.ask("PAGES", job=started["job"], step=started["step"], pages=3)[0]
