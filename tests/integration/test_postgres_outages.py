"""Faults of PostgreSQL, and kill -9 of the roles on it, while people print."""

from __future__ import annotations

import time

from papercutd.commands.control_client import ControlError
from papercutd.demo.documents import make_pdf
from papercutd.demo.installation import Branch
from papercutd.demo.processes import NotReady, Role
from papercutd.demo.scenario import is_ready
from papercutd.roles.crash_points import VARIABLE
from tests.integration.test_postgres import PostgresCase
from tests.support.postgres import shared_cluster
from tests.support.postgres_faults import FaultyCluster, faulty_cluster
from tests.support.waiting import wait_for

#: Documents handed in until a process is dead.
DOCUMENTS_MAX = 40


class OutageTests(PostgresCase):
    """The application server is on a PostgreSQL that is hurt, a site on another."""

    on_postgres = ("app", "north")
    cluster: FaultyCluster

    def make_stores(self) -> dict[str, str]:
        self.cluster = faulty_cluster()
        others = shared_cluster()
        for cluster, name in ((self.cluster, "app"), (others, "north")):
            self.addCleanup(cluster.run, f"DROP DATABASE {name} WITH (FORCE)")
        return {
            "app": self.cluster.create_database("app"),
            "north": others.create_database("north"),
        }

    def print_without(self) -> None:
        """Documents at both branches: their sites decide, the application server does not."""
        for branch in self.installation.branches:
            before = len(self.accepted)
            while True:
                self.print_at(branch)
                _, job = self.accepted[-1]
                ended = lambda b=branch, j=job: b.job(j)["state"] == "ended"  # noqa: E731
                self.assertTrue(wait_for("printed", ended))
                decider = branch.job(job)["decider"]
                self.assertNotEqual(decider, "application")
                # On a machine that is busy two seconds may be over first: nobody decides then.
                if decider != "tracker":
                    break
                self.assertLess(len(self.accepted), before + 10, "its site never decides")

    def back(self) -> None:
        """The application server decides again."""
        before = len(self.accepted)
        until = time.monotonic() + 60
        while True:
            self.print_everywhere()
            deciders = {branch.job(job)["decider"] for branch, job in self.accepted[before:]}
            if "application" in deciders:
                return
            self.assertLess(time.monotonic(), until, "it does not come back")

    def test_faults_and_kill_points(self) -> None:
        """One after the other: an installation takes as long to start as they do."""
        self.faults()
        self.kill_points()
        self.check()

    def faults(self) -> None:
        self.back()
        told = {"engine": "postgresql", "warnings": []}
        self.assertEqual(self.app.call("status")["database"], told)
        self.cluster.freeze()
        try:
            self.print_without()
            self.print_without()
        finally:
            self.cluster.wake()
        self.back()
        self.cluster.kill_listener()
        try:
            error = self.assertRaises(ControlError, self.app.call, "user.add", name="bert")
            self.assertIn("see that it runs", str(error))
            self.print_without()
        finally:
            self.cluster.start()
        self.back()
        self.cluster.disk.fill()
        try:
            self.print_everywhere()
        finally:
            self.cluster.disk.free()
        if not self.cluster.is_running():
            # Its journal of changes found no space: it is started by hand.
            self.cluster.start()
        self.back()

    # kill -9 of the roles.

    def print_at(self, branch: Branch) -> None:
        data = make_pdf(f"document {len(self.accepted)}", 1, False)
        self.accepted.append((branch, branch.print_file(data, "a document", "anna")))

    @staticmethod
    def dies_within(role: Role, limit_s: float) -> bool:
        until = time.monotonic() + limit_s
        while role.is_running() and time.monotonic() < until:
            time.sleep(0.02)
        return not role.is_running()

    def crash(self, role: Role, point: str) -> None:
        """Start ``role`` to die at ``point``, and print until it does."""
        role.stop()
        role.begin(**{VARIABLE: point})
        try:
            role.until_ready()
        except NotReady:
            pass
        for _ in range(DOCUMENTS_MAX // 2):
            if not role.is_running():
                break
            for branch in self.installation.branches:
                self.print_at(branch)
            self.dies_within(role, 0.5)
        self.assertTrue(self.dies_within(role, 5.0), f"{role.name} never came to {point}")
        role.kill()

    def kill_points(self) -> None:
        app, site = self.app, self.installation.branches[0].site
        for point in (
            *("at.set-read:2", "at.set-worked:2", "at.commit-sent:9", "after-commit:9"),
            *("at.batch-applied", "at.batch-committed"),
        ):
            self.crash(app, point)
        app.start()
        # Its provider asks the site first: that forwards, and has records of all.
        app.call("provider.set", name="north-provider", preferred="site")
        self.wait("everybody is back", is_ready)
        for point in (
            *("at.commit-sent:5", "after-commit:5"),
            *("at.anchored:3", "at.journal-acknowledged"),
        ):
            self.crash(site, point)
        for point in ("at.snapshot-whole", "at.snapshot-named"):
            shared_cluster().run("DROP SCHEMA replica CASCADE", "north")
            self.crash(site, point)
        site.start()
