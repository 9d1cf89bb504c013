"""Databases move under roles whose sites and print providers go on: nothing but a pause."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import sys
from contextlib import closing

from papercutd.demo.installation import Branch
from papercutd.demo.processes import Role, run
from papercutd.demo.scenario import is_ready
from papercutd.roles.crash_points import VARIABLE
from tests.support.outage import OutageCase
from tests.support.postgres import shared_cluster


class MoveTests(OutageCase):
    def print_everywhere(self) -> None:
        for branch in self.installation.branches:
            self.print_at(branch)

    def move(self, role: Role, *words: str, point: str = "") -> str:
        """What the command says; killed at ``point`` it says nothing."""
        done = run(
            *(sys.executable, "-m", "papercutd.commands.main", "-c", str(role.config)),
            *("migrate-store", *words),
            environment={**os.environ, **({VARIABLE: f"at.{point}"} if point else {})},
        )
        self.assertEqual(done.returncode, -signal.SIGKILL if point else 0, done.stderr)
        return done.stdout

    def write_store(self, role: Role, said: str) -> None:
        """The line of the configuration that the command says."""
        (line,) = re.findall(r"^    (store = .*)$", said, re.M)
        text = re.sub(r"^store = .*\n", "", role.config.read_text(), flags=re.M)
        role.config.write_text(f"{line}\n{text}")

    def known(self, branch: Branch) -> tuple[object, ...]:
        """By what a site and its print provider are known to have begun nothing anew."""
        status = branch.site.call("status")
        with closing(sqlite3.connect(branch.provider.data / "provider.db")) as database:
            (journal,) = database.execute("SELECT journal FROM identity").fetchone()
        return status["stream"], status["streams_taken"], journal

    def snapshot(self, dsn: str) -> tuple[object, ...]:
        """By which snapshot the copy of the site at the north came."""
        select = "SELECT (SELECT replica FROM {0}identity), first, first_chain FROM {1}position"
        if dsn:
            (found,) = shared_cluster().run(
                select.format("journal.", "replica."), dsn.partition("///")[2].partition("?")[0]
            )
            return found
        data = self.installation.branches[0].site.data
        with closing(sqlite3.connect(data / "journal.db")) as database:
            (number,) = database.execute("SELECT replica FROM identity").fetchone()
            database.execute("ATTACH ? AS replica", (str(data / f"replica-{number}.db"),))
            return tuple(database.execute(select.format("main.", "replica.")).fetchone())

    def test_there_and_back(self) -> None:
        app, branches = self.installation.app, self.installation.branches
        north = branches[0].site
        self.print_everywhere()
        self.wait_settled()
        before = [self.known(branch) for branch in branches]
        snapshot = self.snapshot("")
        dsn = shared_cluster().create_database("move_app")
        app.stop()
        # Sites decide. Killed wherever, it is done again; at the last point it is done.
        self.print_everywhere()
        for point in ("store-filled", "store-written"):
            self.move(app, "--to", dsn, point=point)
            self.assertTrue((app.data / "application.db").exists())
        self.move(app, "--to", dsn, point="store-in-force")
        self.assertFalse((app.data / "application.db").exists())
        self.write_store(app, f'    store = "{dsn}"\n')
        app.start()
        self.print_everywhere()
        self.wait("everybody is back", is_ready)
        self.wait_settled()

        site_dsn = shared_cluster().create_database("move_north")
        north.stop()
        self.print_everywhere()
        self.write_store(north, self.move(north, "sqlite:", site_dsn))
        north.start()
        self.print_everywhere()
        self.wait("everybody is back", is_ready)
        self.assertEqual(self.snapshot(site_dsn), snapshot)

        app.stop()
        self.print_everywhere()
        self.write_store(app, self.move(app, dsn, "sqlite:"))
        app.start()
        self.wait("everybody is back", is_ready)
        self.print_everywhere()
        self.check()
        self.assertEqual([self.known(branch) for branch in branches], before)
        self.assertEqual(self.snapshot(site_dsn), snapshot)
        self.assertEqual(self.installation.app.call("status")["position"].split(".")[0], "1")
        self.assertEqual(self.count("charge"), len(self.accepted))
        self.assertEqual(self.count("listed WHERE kind NOT IN ('forced')"), 0)
