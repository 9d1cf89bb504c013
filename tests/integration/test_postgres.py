"""The main job with application server and sites on PostgreSQL, in every combination."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo import measure
from papercutd.demo.documents import make_pdf
from papercutd.demo.installation import Branch, Installation
from papercutd.demo.processes import NotReady, command, start_together
from papercutd.demo.scenario import is_ready, is_settled
from tests.support.installation import ROOT
from tests.support.postgres import Cluster
from tests.support.waiting import wait_for


class PostgresCase(SynchronousTestCase):
    timeout = 240
    cluster: Cluster
    #: Who is on PostgreSQL: app, north, south.
    on_postgres: ClassVar[tuple[str, ...]] = ()

    def make_stores(self) -> dict[str, str]:
        """The databases of ``on_postgres``."""
        directory = tempfile.mkdtemp(prefix="pc-pg-")
        self.addCleanup(shutil.rmtree, directory, True)
        self.cluster = Cluster(directory)
        self.addCleanup(self.cluster.kill)
        self.cluster.create()
        self.cluster.start()
        return {name: self.cluster.create_database(name) for name in self.on_postgres}

    def setUp(self) -> None:
        stores = self.make_stores()
        self.patch(os, "environ", {**os.environ, "PYTHONPATH": str(ROOT)})
        place = Path(tempfile.mkdtemp(prefix="pc-"))
        self.addCleanup(shutil.rmtree, place, True)
        self.installation = Installation.make(place, stores=stores)
        self.addCleanup(self.installation.close)
        self.accepted: list[tuple[Branch, str]] = []
        self.app = self.installation.app
        self.app.start()
        self.installation.join_all()
        self.app.call("user.add", name="anna", restricted=True, balance="100")
        start_together(*self.installation.roles()[1:])
        self.wait("everybody is connected", is_ready)

    def wait(self, what: str, condition: Any) -> None:
        for branch in self.installation.branches:
            self.assertTrue(wait_for(what, lambda b=branch: condition(b)), what)

    def print_everywhere(self) -> None:
        for branch in self.installation.branches:
            data = make_pdf(f"document {len(self.accepted)}", 1, False)
            job = branch.print_file(data, "a document", "anna")
            self.accepted.append((branch, job))
        self.wait(
            "all is printed",
            lambda branch: all(
                branch.job(job)["state"] == "ended" for at, job in self.accepted if at is branch
            ),
        )

    def check(self) -> None:
        """Everything is charged once, printed once, and verified."""
        branches = self.installation.branches
        self.wait("everybody is connected", is_ready)
        self.wait("all is settled", is_settled)
        forwarded = lambda b: b.site.call("status")["waiting_records"] == 0  # noqa: E731
        self.wait("all is forwarded", forwarded)
        providers = [branch.provider.data / "provider.db" for branch in branches]
        journals = [str(path) for path in providers]
        verified = self.app.call("verify", provider_journals=journals)
        self.assertEqual(verified["problems"], [])
        for branch in branches:
            self.assertEqual(branch.site.call("verify")["problems"], [])
        self.assertEqual(self.app.call("status")["charges"], len(self.accepted))
        printers = [branch.printer.directory for branch in branches]
        paper = measure.read_paper(measure.Stores(self.app.data, providers, [], printers))
        self.assertEqual(sorted(paper.received.values()), [1] * len(self.accepted))
        (anna,) = self.app.call("user.list")
        self.assertEqual((anna["balance_e4"], anna["pending_e4"]), (self.left_e4(), 0))

    def left_e4(self) -> int:
        return 1_000_000 - 500 * len(self.accepted)

    def main_job(self) -> None:
        """Online; cut, with one site killed meanwhile; healed and forwarded."""
        self.print_everywhere()
        for branch in self.installation.branches:
            branch.cut()
        self.print_everywhere()
        self.installation.branches[0].site.kill()
        self.installation.branches[0].site.start()
        self.print_everywhere()
        for branch in self.installation.branches:
            branch.heal()
        self.print_everywhere()
        self.check()


class ApplicationServerTests(PostgresCase):
    """On PostgreSQL, with one site on it and one on SQLite."""

    on_postgres = ("app", "north")

    def test_main_job(self) -> None:
        self.main_job()
        self.check_commands()

    def check_commands(self) -> None:
        """What they do here that they do with SQLite, and what they leave to PostgreSQL."""
        for words in (("backup", "copy"), ("restore", "copy")):
            config = self.app.config
            if words[0] == "restore":
                self.app.stop()
            with self.assertRaises(NotReady) as caught:
                command(config, words[0], str(self.app.data / words[1]))
            self.assertIn("PostgreSQL's", str(caught.exception))
        self.assertEqual(command(self.app.config, "verify"), {"ok": True, "problems": []})

    def test_killed_and_restarted(self) -> None:
        """The server and PostgreSQL, with no warning: what was answered is there."""
        self.print_everywhere()
        self.app.kill()
        self.print_everywhere()
        self.app.start()
        self.print_everywhere()
        self.cluster.kill()
        self.cluster.start()
        self.print_everywhere()
        self.check()

    def test_a_site_joins_again(self) -> None:
        """Its journal is set aside in the database; what it still owed is forwarded."""
        branch = self.installation.branches[0]
        branch.cut()
        self.print_everywhere()
        branch.site.stop()
        branch.heal()
        token = command(self.app.config, "site", "token", branch.name)["token"]
        server = f"127.0.0.1:{self.installation.https_port}"
        done = command(branch.site.config, "join", "--token", token, "--server", server)
        self.assertEqual(len(done["journals_kept"]), 1)
        branch.site.start()
        self.check()


class SiteTests(PostgresCase):
    """A site on PostgreSQL, the application server and the other site on SQLite."""

    on_postgres = ("north",)

    def test_main_job(self) -> None:
        self.main_job()
