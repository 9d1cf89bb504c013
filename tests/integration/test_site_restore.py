"""A site's journal goes back to an older state while it is cut: nothing is lost or doubled."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

from papercutd.demo.installation import Branch
from papercutd.storage.proof.anchor import ANCHOR
from tests.support.outage import OutageCase


class SiteRestoreTests(OutageCase):
    """What the site acknowledged in the lost part, its provider has kept."""

    loses_journals = True

    def go_back(self, *with_it: str) -> None:
        """South prints while cut, and its journal is put back to the middle of that."""
        branch = self.installation.branches[1]
        site, image = branch.site, self.installation.directory / "image"
        branch.cut()
        self.print_settled(2)
        site.stop()
        shutil.copytree(site.data, image, ignore=shutil.ignore_patterns("*.sock"))
        site.start()
        self.print_settled(2)
        site.kill()
        for name in ("journal.db", "journal.db-wal", "journal.db-shm", *with_it):
            (site.data / name).unlink(missing_ok=True)
            if (image / name).exists():
                shutil.copy(image / name, site.data / name)

    def print_settled(self, count: int) -> None:
        branch = self.installation.branches[1]
        # Without it the provider would decide alone, and its site would have nothing to forget.
        self.wait("the provider has its site", self.has_site)
        for _ in range(count):
            self.print_at(branch)
        self.wait("printed", lambda b: set(b.states().values()) <= {"ended"})
        self.wait("the site has it", self.has_told)

    def has_site(self, branch: Branch) -> bool:
        site = branch.provider.call("status")["servers"]["site"]
        return bool(site["connected"] and not site["suspect"])

    def has_told(self, branch: Branch) -> bool:
        """The site has what it is owed; what is for the application server waits for it."""
        with closing(sqlite3.connect(branch.provider.data / "provider.db")) as database:
            (owed,) = database.execute(
                "SELECT COUNT(*) FROM taken WHERE acked = 0 AND completion IS NOT NULL"
                " AND target <> 'application'"
            ).fetchone()
        return bool(owed == 0)

    def heal_and_check(self) -> None:
        branch = self.installation.branches[1]
        self.print_settled(1)
        branch.heal()
        self.check_offered_again()
        self.assertGreaterEqual(branch.site.call("status")["streams_taken"], 1)

    def test_its_database(self) -> None:
        """The anchor beside it tells, before anybody is answered."""
        self.go_back()
        site = self.installation.branches[1].site
        site.start()
        self.assertEqual(site.call("status")["streams_taken"], 1)
        self.heal_and_check()

    def test_the_whole_machine(self) -> None:
        """Its anchor went back with it: its provider shows what it was told."""
        self.go_back(ANCHOR)
        site = self.installation.branches[1].site
        site.start()
        self.wait(
            "found out", lambda b: b.name != "south" or b.site.call("status")["streams_taken"]
        )
        self.heal_and_check()
