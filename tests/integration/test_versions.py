"""Releases one apart, as real processes: version 1 is the frozen one, version 2 that of this tree.

Through an outage, in every order, everything printed and copied is charged once; and a
release further apart is refused, naming both.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.demo import measure
from papercutd.demo.documents import make_pdf
from papercutd.demo.installation import Installation
from papercutd.demo.processes import Role, command, run, start_together
from papercutd.demo.scenario import is_ready, is_settled
from papercutd.storage.site.site_journal import append_body
from tests.support.frozen import NOW, unpacked
from tests.support.raw_link import RawLink
from tests.support.waiting import wait_for

USER, CARD = "anna", "04:A2:2B:91"
PAGE_E4 = 500
BALANCE_E4 = 500_000
_made: list[Installation] = []


def installation_of_version_1() -> Installation:
    """One that release 1 has made and joined, with a device at north; off. Made once."""
    if not _made:
        before = os.environ.get("PYTHONPATH", "")
        os.environ["PYTHONPATH"] = unpacked("version1")
        try:
            made = Installation.make(Path(tempfile.mkdtemp(prefix="pc-")))
            atexit.register(shutil.rmtree, made.directory, True)
            atexit.register(made.close)
            made.branches[1:] = []
            made.app.start()
            made.join_all(tells_https=False)
            made.furnish()
            command(made.app.config, "user", "add", USER, "--balance", "50.00")
            command(made.app.config, "user", "card", USER, CARD)
            made.app.stop()
        finally:
            os.environ["PYTHONPATH"] = before or NOW
        for directory in homes(made):
            shutil.copytree(directory, kept(directory), ignore=shutil.ignore_patterns("*.sock"))
        _made.append(made)
    return _made[0]


def homes(installation: Installation) -> list[Path]:
    """What its nodes have on their disks."""
    (branch,) = installation.branches
    return [*(role.data for role in installation.roles()), branch.mfd.home]


def kept(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}-kept")


class VersionsCase(SynchronousTestCase):
    """One branch, every node of the release a test says."""

    timeout = 300

    def setUp(self) -> None:
        self.installation = installation_of_version_1()
        (self.branch,) = self.installation.branches
        self.app = self.installation.app
        for directory in homes(self.installation):
            shutil.rmtree(directory, True)
            shutil.copytree(kept(directory), directory)
        shutil.rmtree(self.branch.printer.directory, True)
        self.branch.printer.directory.mkdir()
        self.branch.heal()
        self.jobs: list[str] = []
        self.copied = 0
        self.addCleanup(self.stop_all)

    def stop_all(self) -> None:
        self.branch.mfd.stop()
        for role in reversed(self.installation.roles()):
            role.stop()

    def run_at(self, release: int, *roles: Role) -> None:
        """Start, or start anew, these at that release."""
        for role in roles:
            role.stop()
            role.environment["PYTHONPATH"] = NOW if release == 2 else unpacked("version1")
        start_together(*roles)

    def device_at(self, release: int) -> None:
        self.branch.mfd.stop()
        self.branch.mfd.start(PYTHONPATH=NOW if release == 2 else unpacked("version1"))

    def begin(self, app: int, site: int, provider: int) -> None:
        self.run_at(app, self.app)
        self.run_at(site, self.branch.site)
        self.run_at(provider, self.branch.provider)
        self.device_at(provider)
        self.ready()

    def wait(self, what: str, condition: Any) -> None:
        self.assertTrue(wait_for(what, condition, 60.0), what)

    def ready(self) -> None:
        self.wait("everybody is connected", lambda: is_ready(self.branch))

    def cut(self) -> None:
        self.branch.cut()
        site = self.branch.site
        self.wait("the site is cut", lambda: site.call("status")["state"] == "cut")

    def heal(self) -> None:
        self.branch.heal()
        self.ready()

    def print_one(self, state: str = "ended") -> str:
        data = make_pdf(f"document {len(self.jobs)}", 1, False)
        job = self.branch.print_file(data, "a document", USER)
        self.jobs.append(job)
        self.wait(f"it is {state}", lambda: self.branch.states().get(job) == state)
        return job

    def copy(self, pages: int) -> None:
        mfd = self.branch.mfd
        for line in (f"login card {CARD}", f"copy {pages}", "logout"):
            done = mfd.do(line)
            self.assertTrue(done.get("ok"), (line, done, mfd.stderr()))
        self.copied += pages

    def use(self) -> None:
        """Somebody prints a page and copies two."""
        self.print_one()
        self.copy(2)

    def check(self, copies: int) -> None:
        """``check_books``, and the site shows what is left.

        ``copies``: how often something was copied.
        """
        self.check_books(copies)
        own = self.branch.site.data
        self.wait("the site has heard", lambda: self.balance_at_site(own) == self.charged()[2])

    def check_books(self, copies: int) -> None:
        """Everything once, to the last page; all verified by whatever release keeps it."""
        branch = self.branch
        self.wait("all is settled", lambda: is_settled(branch))
        self.wait("all is forwarded", lambda: branch.site.call("status")["waiting_records"] == 0)
        self.wait("all is charged", lambda: self.charged()[0] == len(self.jobs) + copies)
        journal = str(branch.provider.data / "provider.db")
        found = self.app.call("verify", provider_journals=[journal])
        # A copy is no job of the print provider, which is what this compares.
        self.assertEqual(found["problems"], [])
        for role in (branch.site, branch.provider):
            self.assertEqual(role.call("verify")["problems"], [], role.name)
        pages = len(self.jobs) + self.copied
        self.assertEqual(
            self.charged(), (len(self.jobs) + copies, pages, BALANCE_E4 - pages * PAGE_E4, 0, 0)
        )

    def charged(self) -> tuple[int, int, int, int, int]:
        """Charges, their pages, the balance; open reservations and parked records."""
        with closing(measure.open_read(self.app.data / "application.db")) as database:
            count, pages = database.execute(
                "SELECT COUNT(*), COALESCE(SUM(pages), 0) FROM charge"
            ).fetchone()
            (balance_e4,) = database.execute(
                # What a site holds of it is the person's too.
                "SELECT SUM(credits_e4 - debits_e4) FROM account"
                " WHERE kind IN ('personal', 'escrow')"
            ).fetchone()
            (reserved,) = database.execute(
                "SELECT COUNT(*) FROM decision WHERE state = 'open'"
            ).fetchone()
            (parked,) = database.execute("SELECT COUNT(*) FROM parked").fetchone()
        return count, pages, balance_e4, reserved, parked

    @staticmethod
    def balance_at_site(data: Path) -> int:
        with closing(measure.open_read(data / "journal.db")) as journal:
            (number,) = journal.execute("SELECT replica FROM identity").fetchone()
        with closing(measure.open_read(data / f"replica-{number}.db")) as replica:
            (balance_e4,) = replica.execute(
                "SELECT credits_e4 - debits_e4 FROM account WHERE kind = 'personal'"
            ).fetchone()
        return int(balance_e4)


class OneApartTests(VersionsCase):
    """Through an outage, with one release at each end."""

    def outage(self, app: int, site: int, provider: int) -> None:
        self.begin(app, site, provider)
        self.use()
        self.cut()
        self.use()
        self.use()
        self.heal()
        self.use()
        self.check(copies=4)

    def test_a_newer_application_server(self) -> None:
        self.outage(app=2, site=1, provider=1)
        status = self.app.call("status")
        self.assertEqual(status["speaks"], [1, 2])
        older = [(one["name"], one["speaks"]) for one in status["older_peers"]]
        self.assertEqual(
            older, [("provider:north-provider", 1), ("site:north", 1)], "the device is at its site"
        )
        self.assertEqual(status["refused_versions"], [])
        # A comparison between the two finds nothing to repair.
        found = self.branch.site.call("verify", repair=True)
        self.assertEqual((found["damaged_rows"], found["ok"]), (0, True))
        self.assertGreater(found["compared_rows"], 0)

    def test_an_older_application_server(self) -> None:
        self.outage(app=1, site=2, provider=2)
        status = self.branch.site.call("status")
        self.assertEqual(status["application_speaks"], 1)
        found = self.branch.site.call("verify", repair=True)
        self.assertEqual((found["damaged_rows"], found["ok"]), (0, True))
        self.assertGreater(found["compared_rows"], 0)
        refused = self.failed(self.branch.site, "parked", "list")
        self.assertIn("the application server is older: upgrade it", refused)

    def test_an_older_provider(self) -> None:
        self.outage(app=2, site=2, provider=1)
        self.assertEqual(self.branch.site.call("status")["application_speaks"], 2)
        self.assertEqual(command(self.branch.site.config, "parked", "list"), [])

    def failed(self, role: Role, *words: str) -> str:
        done = run(
            *(sys.executable, "-m", "papercutd.commands.main", "-c", str(role.config), *words)
        )
        self.assertEqual(done.returncode, 1, done.stdout)
        return done.stderr

    def test_a_rule_that_only_the_newer_can_evaluate(self) -> None:
        """The older site holds what it cannot price; after the heal it prints at the new price."""
        self.begin(app=2, site=1, provider=1)
        self.use()
        prices = {"A4": ["0.05", "0.20", "0.03", "0.15"], "*": ["0.10", "0.40"]}
        version = self.app.call("price.set", prices=prices)["version"]
        shown = [f"price {version} needs duplex-prices"]
        (site,) = self.app.call("status")["sites"]
        self.assertEqual(site["cannot_evaluate"], shown)
        self.print_one()
        self.cut()
        job = self.print_one(state="held")
        self.assertEqual(self.branch.job(job)["reason"], "capability")
        self.heal()
        self.wait("it prints", lambda: self.branch.states()[job] == "ended")
        self.run_at(2, self.branch.site)
        self.ready()
        self.cut()
        self.assertEqual(self.branch.site.call("status")["cannot_evaluate"], [])
        self.print_one()
        self.heal()
        self.check(copies=1)


class ParkedTests(VersionsCase):
    """A record that only the newer release can read reaches the older application server."""

    def test_it_waits_for_the_upgrade(self) -> None:
        self.begin(app=1, site=2, provider=2)
        self.print_one()
        self.cut()
        self.print_one()
        site = self.branch.site
        # It is on paper before its site has heard so.
        self.wait("the site has heard", lambda: self.newest_completed(site) is not None)
        site.stop()
        self.append_newer(site)
        site.start()
        self.print_one()
        self.heal()
        self.wait("all is forwarded", lambda: site.call("status")["waiting_records"] == 0)
        # Those behind it landed.
        self.wait("the others are charged", lambda: self.charged()[0] == 3)
        self.assertEqual(self.charged()[4], 1)
        self.assertEqual(self.app.call("status")["parked"], 1)
        self.run_at(2, self.app)
        self.ready()
        (shown,) = command(self.app.config, "parked", "list")
        self.assertEqual((shown["site"], shown["kind"]), ("north", "completed"))
        (shown,) = command(site.config, "parked", "list")
        self.assertEqual(shown["kind"], "completed")
        retried = command(self.app.config, "parked", "retry")
        self.assertEqual(retried, {"applied": 1, "still_parked": 0})
        retried = command(self.app.config, "parked", "retry")
        self.assertEqual(retried, {"applied": 0, "still_parked": 0})
        self.assertEqual(self.charged(), (4, 4, BALANCE_E4 - 4 * PAGE_E4, 0, 0))
        self.assertEqual(self.app.call("verify")["problems"], [])
        self.assertEqual(site.call("verify")["problems"], [])

    @staticmethod
    def newest_completed(site: Role) -> str | None:
        """The site's newest record of a job that is over."""
        with closing(measure.open_read(site.data / "journal.db")) as journal:
            found = journal.execute(
                "SELECT body FROM journal WHERE body LIKE '%\"completed\"%'"
                " ORDER BY number DESC LIMIT 1"
            ).fetchone()
        return None if found is None else str(found[0])

    def append_newer(self, site: Role) -> None:
        """One more job of the site, with a word in its decision that version 1 has not."""
        body = self.newest_completed(site)
        assert body is not None
        with closing(sqlite3.connect(site.data / "journal.db", isolation_level=None)) as journal:
            record = json.loads(body)
            job = "01960a2e-0000-7000-8000-00000000abcd"
            record["key"] = f"{job}/submit-1"
            record["completion"]["job"] = job
            record["completion"]["decision"]["reason"] = "held"
            append_body(journal, json.dumps(record), record["at"])


class RollingUpgradeTests(VersionsCase):
    """F20: everything was release 1, and is upgraded node by node while the site is cut."""

    def test_the_site_first(self) -> None:
        self.begin(1, 1, 1)
        self.use()
        self.cut()
        self.use()
        self.run_at(2, self.branch.site)
        self.use()
        self.run_at(2, self.branch.provider)
        self.device_at(2)
        self.use()
        self.assertEqual(self.branch.site.call("verify")["problems"], [])
        self.heal()
        self.check(copies=4)
        self.run_at(2, self.app)
        self.ready()
        self.speaks(2)
        self.use()
        self.check(copies=5)

    def test_the_application_server_first(self) -> None:
        self.begin(1, 1, 1)
        self.use()
        self.cut()
        self.use()
        self.run_at(2, self.app)
        self.assertEqual(self.app.call("verify")["problems"], [])
        self.use()
        self.heal()
        self.check(copies=3)
        self.cut()
        self.use()
        self.run_at(2, self.branch.site)
        self.run_at(2, self.branch.provider)
        self.device_at(2)
        self.use()
        self.heal()
        self.speaks(2)
        self.check(copies=5)
        self.refuses_the_older_release()

    def test_allowances_after_the_upgrade(self) -> None:
        """STRICT works from then on; before, no money is parked where it cannot be spent."""
        self.begin(app=2, site=1, provider=1)
        self.app.call("site.set", name="north", policy="strict")
        self.use()
        self.check(copies=1)
        self.assertEqual(self.granted(), 0)
        self.run_at(2, self.branch.site)
        self.ready()
        self.use()
        self.wait("the site was granted something", lambda: self.granted() > 0)
        self.cut()
        self.use()
        self.heal()
        self.check_books(copies=3)

    def granted(self) -> int:
        """What the site's replica says that its stream holds."""
        with closing(measure.open_read(self.app.data / "application.db")) as database:
            (centre,) = database.execute(
                "SELECT COALESCE(SUM(granted_e4), 0) FROM allowance"
            ).fetchone()
        if centre:
            with closing(measure.open_read(self.replica())) as replica:
                (own,) = replica.execute(
                    "SELECT COALESCE(SUM(granted_e4), 0) FROM allowance"
                ).fetchone()
            return int(own)
        return 0

    def replica(self) -> Path:
        data = self.branch.site.data
        with closing(measure.open_read(data / "journal.db")) as journal:
            (number,) = journal.execute("SELECT replica FROM identity").fetchone()
        return data / f"replica-{number}.db"

    def speaks(self, version: int) -> None:
        """The site has a replica with all that this version has."""

        def is_anew() -> bool:
            with closing(measure.open_read(self.replica())) as replica:
                found = replica.execute("SELECT version, complete FROM position").fetchone()
            return bool(found == (version, 1))

        self.wait("the replica is of now", is_anew)
        self.assertEqual(self.branch.site.call("status")["application_speaks"], version)

    def refuses_the_older_release(self) -> None:
        """Nobody goes back to the older release by accident."""
        for role in self.installation.roles():
            role.stop()
            role.environment["PYTHONPATH"] = unpacked("version1")
            role.begin()
            self.wait(f"{role.name} gives up", lambda role=role: not role.is_running())
            self.assertIn("start the newer release", role.log.read_text(errors="replace")[-2000:])


class FurtherApartTests(VersionsCase):
    def test_version_4_is_refused_naming_both(self) -> None:
        self.run_at(2, self.app)
        identity = self.branch.provider.data / "identity"
        port = links_port(self.app)
        with closing(RawLink(port, identity)) as link:
            word, fields = link.hello(
                "north-provider", versions=[4], software="4.0.0", answers_unknown=[True]
            )
            self.assertEqual(word, "version")
            self.assertEqual((fields["spoken"], fields["offered"]), ([1, 2], [4]))
            self.assertEqual(link.line(), b"")
        said = (
            "provider north-provider speaks 4, we speak 1 and 2: upgrade this side"
            " (its release is 4.0.0)"
        )
        self.assertEqual(self.app.call("status")["refused_versions"], [said])
        self.assertIn("speaks 4, we speak 1 and 2", self.app.log.read_text(errors="replace"))
        # It is no more once it speaks what we do.
        self.run_at(2, self.branch.site, self.branch.provider)
        self.ready()
        self.assertEqual(self.app.call("status")["refused_versions"], [])


def links_port(role: Role) -> int:
    return int(tomllib.loads(role.config.read_text())["listen"]["links"])
