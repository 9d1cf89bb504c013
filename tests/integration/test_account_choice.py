"""Who pays, asked for and decided where nobody answers: real processes, a device, kill -9."""

from __future__ import annotations

from typing import Any

from papercutd.demo import measure
from papercutd.demo.documents import make_pdf
from tests.integration.test_device import BEN, PAGE_E4, PIN, DeviceCase
from tests.support.waiting import wait_for

#: The shortest time for which a person is waited for.
WAITS_S = 10


class AccountChoiceTests(DeviceCase):
    def print_it(self) -> str:
        return self.branch.print_file(make_pdf("one", 1, False), "one", "ben")

    def is_over(self, job: str) -> bool:
        return self.branch.job(job)["state"] == "ended"

    def waits(self, job: str) -> bool:
        found = self.branch.job(job)
        return bool(found["state"] == "held" and found["reason"] == "account")

    def paid_by(self) -> list[str]:
        """Whose accounts paid one page each, in the order in which it was charged."""
        connection = measure.open_read(self.app.data / "application.db")
        try:
            rows: list[Any] = connection.execute(
                "SELECT account.name, amount_e4 FROM charge JOIN account ON account.id = account"
                " ORDER BY charge.received_at"
            ).fetchall()
        finally:
            connection.close()
        self.assertEqual({amount_e4 for _, amount_e4 in rows} - {PAGE_E4}, set())
        return [name for name, _ in rows]

    def test_a_day_of_somebody_who_is_asked(self) -> None:
        app, provider = self.app, self.branch.provider
        physics = app.call("account.add", name="Physics", balance="10.00")["account"]
        app.call("account.add", name="Chemistry", balance="10.00")
        app.call("user.set", name="ben", account_mode="popup")
        settings = {"account": "shared:Chemistry"}
        app.call("policy.set", site="north", settings=settings)
        app.call("policy.set", settings={"account-choice-timeout": f"{WAITS_S}s"})
        app.call("printer.set", name="north-1", release="immediate")
        shown = lambda: self.site.call("policy.show", user="ben")["account"]  # noqa: E731
        self.assertTrue(wait_for("the site knows it", lambda: shown() != "personal"))
        self.assertEqual(app.call("user.show", name="ben")["account_mode"], "popup")

        # At the device: an account, and their own.
        self.mfd.start()
        for words in (f" account {physics}", ""):
            job = self.print_it()
            self.assertTrue(wait_for("it waits for ben", lambda: self.waits(job)))  # noqa: B023
            held = lambda: app.call("job.held", user="ben")  # noqa: E731
            self.assertTrue(wait_for("the server has heard of it", held))
            self.assertEqual([(j["job"], j["reason"]) for j in held()], [(job, "account")])
            self.do(f"login card {BEN} {PIN}")
            listed = lambda: len(self.mfd.do("list")["jobs"]) == 1  # noqa: E731
            self.assertTrue(wait_for("it is listed", listed))
            self.assertEqual(self.do(f"release 1{words}")["answers"][0]["answer"], "released")
            self.do("logout")
            self.assertTrue(wait_for("it prints", lambda: self.is_over(job)))  # noqa: B023
        self.do("quit")

        # Nobody answers, and the print server dies meanwhile: the rule for any site, their own.
        job = self.print_it()
        self.assertTrue(wait_for("it waits for ben", lambda: self.waits(job)))
        provider.kill()
        provider.start()
        over = lambda: self.is_over(job)  # noqa: E731
        self.assertTrue(wait_for("the policy has decided", over, limit_s=60))
        self.assertEqual(self.branch.job(job)["outcome"], "completed")

        # At a cut site nobody is in reach: the site's rule, at once.
        self.branch.cut()
        cut = lambda: self.site.call("status")["state"] == "cut"  # noqa: E731
        self.assertTrue(wait_for("it is cut", cut))
        job = self.print_it()
        self.assertTrue(wait_for("it is printed", lambda: self.is_over(job)))
        self.branch.heal()
        everybody = ["Physics", "ben", "ben", "Chemistry"]
        self.assertTrue(
            wait_for("all is charged", lambda: self.paid_by() == everybody), self.paid_by()
        )
        for role in (self.app, self.site):
            self.assertEqual(role.call("verify")["problems"], [])
