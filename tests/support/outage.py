"""A whole installation of real processes that something happens to, and what must hold then."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands.control_client import ControlError
from papercutd.demo import measure
from papercutd.demo.documents import make_pdf
from papercutd.demo.installation import Branch, Installation
from papercutd.demo.processes import start_together
from papercutd.demo.scenario import is_ready
from tests.support.installation import joined_installation
from tests.support.waiting import wait_for


def unsettled(branch: Branch) -> int:
    """Steps that its provider has still to make: jobs that are not over, and what it owes."""
    status = branch.provider.call("status")
    over = {"ended", "held"}
    jobs = sum(count for state, count in status["jobs"].items() if state not in over)
    # Whoever was let through will owe a completion.
    return 2 * jobs + sum(status["owed"].values())


def described(installation: Installation) -> str:
    """How everybody sees it, for whoever reads that a test failed."""
    found: dict[str, Any] = {}
    for role in installation.roles():
        if role.is_running():
            try:
                found[role.name] = role.call("status")
            except ControlError as error:
                found[role.name] = str(error)
    for branch in installation.branches:
        if branch.provider.is_running():
            jobs = branch.provider.call("job.list")
            found[f"{branch.name}: not over"] = [j for j in jobs if j["state"] != "ended"][:20]
    return json.dumps(found, indent=1)


class OutageCase(SynchronousTestCase):
    """Two branches that print; at south the site is asked first, and forwards."""

    timeout = 240
    #: Sites take new streams here, and the administrator is told so.
    loses_journals = False

    def setUp(self) -> None:
        self.installation = joined_installation()
        self.addCleanup(shutil.rmtree, self.installation.directory, True)
        self.addCleanup(self.installation.close)
        self.handed_in = 0
        #: Jobs whose id was told: ours from then on.
        self.accepted: list[tuple[Branch, str]] = []
        installation = self.installation
        installation.app.start()
        installation.app.call("user.add", name="anna", restricted=False)
        installation.app.call("provider.set", name="south-provider", preferred="site")
        start_together(*installation.roles()[1:])
        self.wait("everybody is connected", is_ready)

    def wait(self, what: str, condition: Any) -> None:
        for branch in self.installation.branches:
            came = wait_for(what, lambda b=branch: condition(b))
            self.assertTrue(came, "" if came else f"{what}: {described(self.installation)}")

    def wait_settled(self) -> None:
        """Until every document is over and told; on a slow machine as long as that goes on."""
        for branch in self.installation.branches:
            left = unsettled(branch)
            while left:
                wait_for("it goes on", lambda b=branch, n=left: unsettled(b) < n)
                now = unsettled(branch)
                stuck = "" if now < left else described(self.installation)
                self.assertLess(now, left, f"nothing goes on: {stuck}")
                left = now

    def print_at(self, branch: Branch) -> None:
        self.handed_in += 1
        data = make_pdf(f"document {self.handed_in}", 1, False)
        try:
            self.accepted.append((branch, branch.print_file(data, "a document", "anna")))
        except (OSError, ValueError, RuntimeError):
            # The provider died before it took it, or before it said so.
            pass

    def count(self, what: str) -> int:
        """Rows of the application server's database: a table, or one with its condition."""
        with closing(measure.open_read(self.installation.app.data / "application.db")) as database:
            (count,) = database.execute(f"SELECT COUNT(*) FROM {what}").fetchone()
        return int(count)

    def check_offered_again(self) -> None:
        """``check``, once everybody has offered again what they kept."""
        printed = len(self.accepted)
        self.wait("everything printed is charged", lambda branch: self.count("charge") == printed)
        self.wait("everybody is connected", is_ready)
        self.check()

    def check(self) -> None:
        """Every accepted job is on paper or assumed, each paper charged once, all verified."""
        self.wait_settled()
        branches = self.installation.branches
        forwarded = lambda b: b.site.call("status")["waiting_records"] == 0  # noqa: E731
        self.wait("all is forwarded", forwarded)
        journals = [str(branch.provider.data / "provider.db") for branch in branches]
        verified = self.installation.app.call("verify", provider_journals=journals)
        self.assertEqual(verified["problems"], [])
        for branch in branches:
            self.assertEqual(branch.site.call("verify")["problems"], [])
            self.assertEqual(branch.provider.call("verify")["problems"], [])
        stores = measure.Stores(
            application=self.installation.app.data / "application.db",
            providers=[Path(path) for path in journals],
            replicas=[],
            printers=[branch.printer.directory for branch in branches],
        )
        paper = measure.read_paper(stores)
        money = measure.measure_money(stores, paper)
        lost_journal = lambda one: one.startswith("a site's journal was lost")  # noqa: E731
        found = [one for one in money["found"] if not (self.loses_journals and lost_journal(one))]
        self.assertEqual((money["lost"], money["duplicated"], found), (0, 0, []))
        states = {job["job"]: job["state"] for job in paper.jobs}
        for _, job in self.accepted:
            self.assertEqual(states[job], "ended", job)
        connection = measure.open_read(stores.application)
        charges = connection.execute("SELECT key, amount_e4, assumed FROM charge").fetchall()
        (balance_e4,) = connection.execute(
            "SELECT credits_e4 - debits_e4 FROM account WHERE kind = 'personal'"
        ).fetchone()
        (open_count,) = connection.execute(
            "SELECT COUNT(*) FROM decision WHERE state = 'open'"
        ).fetchone()
        connection.close()
        self.assertEqual((balance_e4, open_count), (-sum(c[1] for c in charges), 0))
        on_paper = {paper.keys[digest] for digest in paper.received}
        phantoms = [key for key, _, assumed in charges if key not in on_paper and not assumed]
        self.assertEqual(phantoms, [])
