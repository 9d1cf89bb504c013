"""kill -9 of each real role before and after its commits and sends; then everything adds up.

papercutd/roles/crash_points.py has the points. At north the application server is asked
first, at south the site, which forwards.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo import measure
from papercutd.demo.documents import make_pdf
from papercutd.demo.installation import Branch
from papercutd.demo.processes import Role, command
from papercutd.demo.scenario import _ready, _settled, wait_for
from papercutd.roles.crash_points import VARIABLE
from tests.support.installation import make_installation

#: Documents handed in until the process is dead.
DOCUMENTS_MAX = 60


class CrashTests(SynchronousTestCase):
    timeout = 240

    def setUp(self) -> None:
        self.installation = make_installation()
        self.addCleanup(shutil.rmtree, self.installation.directory, True)
        self.addCleanup(self.installation.close)
        self.handed_in = 0
        #: Jobs whose id was told: ours from then on.
        self.accepted: list[tuple[Branch, str]] = []
        installation = self.installation
        installation.app.start()
        command(installation.app.config, "user", "add", "anna", "--unrestricted")
        installation.join_all()
        installation.app.call("provider.set", name="south-provider", preferred="site")
        for branch in installation.branches:
            branch.site.start()
            branch.provider.start()
        self.wait("everybody is connected", _ready)

    def wait(self, what: str, condition: Any) -> None:
        for branch in self.installation.branches:
            self.assertTrue(wait_for(what, lambda b=branch: condition(b)), what)

    def print_at(self, branch: Branch) -> None:
        self.handed_in += 1
        data = make_pdf(f"document {self.handed_in}", 1, False)
        try:
            self.accepted.append((branch, branch.print_file(data, "a document", "anna")))
        except (OSError, ValueError, RuntimeError):
            # The provider died before it took it, or before it said so.
            pass

    def crash(self, role: Role, point: str) -> None:
        role.stop()
        role.start(**{VARIABLE: point})
        for number in range(DOCUMENTS_MAX):
            if not role.is_running():
                break
            self.print_at(self.installation.branches[number % 2])
            if number > 8:
                wait_for("a while", lambda: not role.is_running(), 0.2)
        wait_for(point, lambda: not role.is_running(), 5.0)
        self.assertFalse(role.is_running(), f"{role.name} never came to {point}")
        role.kill()
        for branch in self.installation.branches:
            self.print_at(branch)
        role.start()
        self.wait(f"everybody is back after {point} of {role.name}", _ready)

    def check(self) -> None:
        """Every accepted job is on paper or assumed, each paper charged once, all verified."""
        self.wait("all is settled", _settled)
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
        self.assertEqual((money["lost"], money["duplicated"], money["found"]), (0, 0, []))
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

    def test_application_server(self) -> None:
        for point in (
            *("before-commit:12", "after-commit:12", "before-send.OK:9", "after-send.OK:9"),
            *("before-send.CHANGES:4", "after-send.CHANGES:4"),
        ):
            self.crash(self.installation.app, point)
        self.check()

    def test_site_server(self) -> None:
        site = self.installation.branches[1].site
        for point in (
            *("before-commit:9", "after-commit:9", "before-send.OK:5", "after-send.OK:5"),
            *("before-send.AUTHORIZE:2", "after-send.AUTHORIZE:2"),
            *("before-send.JOURNAL:2", "after-send.JOURNAL:2"),
        ):
            self.crash(site, point)
        self.check()

    def test_provider(self) -> None:
        for number, point in enumerate(
            (
                *("before-commit:6", "after-commit:6", "before-commit:9", "after-commit:9"),
                *("before-send.AUTHORIZE:2", "after-send.AUTHORIZE:2"),
                *("before-send.COMPLETE:2", "after-send.COMPLETE:2"),
            )
        ):
            self.crash(self.installation.branches[number % 2].provider, point)
        self.check()
