"""STRICT with real processes: what cut sites spend is theirs to spend, and nobody is refused
online for what lies at a branch."""

from __future__ import annotations

import shutil
from typing import Any

from papercutd.demo.documents import make_pdf
from papercutd.demo.installation import Branch
from papercutd.demo.processes import command
from papercutd.demo.scenario import is_ready, is_settled
from papercutd.domain.money import parse_amount_e4
from tests.support.outage import OutageCase

#: Grey A4 pages that the opening balance is enough for.
PAGES = 100


class StrictTests(OutageCase):
    """Bea has money for a hundred pages, and prints at both sites."""

    loses_journals = True

    def setUp(self) -> None:
        super().setUp()
        self.app = self.installation.app
        self.north, self.south = self.installation.branches
        grey, _colour = self.app.call("price.export")["lines"]["A4"]
        self.page_e4 = page_e4 = parse_amount_e4(grey)
        self.app.call("user.add", name="bea", balance=f"{PAGES * page_e4 / 10_000:.4f}")
        for branch in (self.north, self.south):
            self.app.call("site.set", name=branch.name, policy="strict")
            self.print_as_bea(branch, 1)
            self.wait("printed", lambda b: set(b.states().values()) <= {"ended"})
        self.wait("granted", lambda b: self.escrow_e4(b) > 0)

    def print_as_bea(self, branch: Branch, pages: int) -> str:
        self.handed_in += 1
        title = f"document {self.handed_in}"
        return branch.print_file(make_pdf(title, pages, False), title, "bea")

    def streams(self, branch: Branch) -> list[dict[str, Any]]:
        return [one for one in self.app.call("site.allowances") if one["site"] == branch.name]

    def escrow_e4(self, branch: Branch) -> int:
        return int(sum(one["escrow_e4"] for one in self.streams(branch)))

    def balance_e4(self) -> int:
        return int(self.app.call("user.show", name="bea")["balance_e4"])

    def settled(self) -> None:
        self.wait("all is settled", is_settled)
        forwarded = lambda b: b.site.call("status")["waiting_records"] == 0  # noqa: E731
        self.wait("all is forwarded", forwarded)
        self.assertEqual(self.app.call("verify")["problems"], [])
        for branch in (self.north, self.south):
            self.assertEqual(branch.site.call("verify")["problems"], [])

    def test_cut_sites_spend_what_they_hold_and_the_rest_is_recalled(self) -> None:
        held = {branch.name: self.escrow_e4(branch) // self.page_e4 for branch in self.both()}
        for branch in self.both():
            branch.cut()
            branch.site.call("status")
        self.wait("cut", lambda b: b.site.call("status")["state"] == "cut")
        for branch in self.both():
            # Together they would be more than she has; each alone is what was granted there.
            self.print_as_bea(branch, held[branch.name])
            too_many = self.print_as_bea(branch, 1)
            self.wait("held", lambda b, j=too_many, m=branch: b is not m or b.states()[j] == "held")
        for branch in self.both():
            branch.heal()
        self.wait("everybody is connected", is_ready)
        self.wait("what was held is asked again", lambda b: "held" not in b.states().values())
        self.settled()
        spent = 2 + sum(held.values()) + 2
        self.assertEqual(self.balance_e4(), (PAGES - spent) * self.page_e4)
        # All that is left, wherever it is.
        job = self.print_as_bea(self.south, PAGES - spent)
        self.wait("printed", lambda b: set(b.states().values()) <= {"ended"})
        self.assertEqual(self.south.job(job)["outcome"], "completed")
        self.settled()
        self.assertEqual(self.balance_e4(), 0)
        self.assertGreater(self.app.call("status")["recalls"], 0)
        self.assertNotIn("forced", [one["kind"] for one in self.listed()])

    def test_a_lost_sites_allowance_is_given_back(self) -> None:
        held_e4 = self.escrow_e4(self.north)
        before_e4 = self.balance_e4()
        site = self.north.site
        site.kill()
        for path in site.data.iterdir():
            if path.name != "site.log":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        token = self.app.call("token", role="site", name="north")["token"]
        server = f"127.0.0.1:{self.installation.https_port}"
        command(site.config, "join", "--token", token, "--server", server)
        site.start()
        self.wait("everybody is connected", is_ready)
        retired = self.app.call("site.retire", name="north")
        self.assertEqual([one["returned_e4"] for one in retired["retired"]], [held_e4])
        self.assertEqual(retired["not_reported"], [])
        self.assertEqual(self.balance_e4(), before_e4)
        self.assertEqual(
            [one["escrow_e4"] for one in self.streams(self.north) if one["state"] == "retired"], [0]
        )
        self.settled()

    def both(self) -> tuple[Branch, Branch]:
        return self.north, self.south

    def listed(self) -> list[dict[str, Any]]:
        return list(self.app.call("statement")["listed"])
