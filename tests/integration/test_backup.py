"""``papercutd backup`` of every role, and what ``restore`` refuses, with real processes."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from papercutd.demo.processes import NotReady, Role, command, run
from papercutd.demo.scenario import is_ready, is_settled
from papercutd.roles.common import DataDirectory
from papercutd.storage.sqlite.backup import part_of
from tests.support.installation import make_installation
from tests.support.outage import OutageCase


class BackupCase(OutageCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = self.installation.directory / "backups"
        self.folder.mkdir()

    def backup(self, role: Role) -> Path:
        path = self.folder / f"{role.directory.name}.db"
        done = command(role.config, "backup", str(path))
        self.assertEqual(done, {"path": str(path), "bytes": path.stat().st_size})
        return path

    def refused(self, role: Role, word: str, path: Path, text: str) -> None:
        done = run(
            *(sys.executable, "-m", "papercutd.commands.main", "-c", str(role.config)),
            *(word, str(path)),
        )
        self.assertEqual(done.returncode, 1, (path, done.stderr))
        self.assertIn(text, done.stderr)
        self.assertNotIn("Traceback", done.stderr)


class BackupTests(BackupCase):
    def test_every_role(self) -> None:
        """Running and stopped; whole, for the owner alone, nothing overwritten, nothing left."""
        for branch in self.installation.branches:
            self.print_at(branch)
        self.wait("all is settled", is_settled)
        for role in self.installation.roles()[:3]:
            path = self.backup(role)
            with closing(sqlite3.connect(path)) as copy:
                self.assertEqual(copy.execute("PRAGMA quick_check").fetchall(), [("ok",)])
                (whose,) = copy.execute("SELECT role FROM backup_of").fetchone()
            self.assertEqual(whose, role.role)
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
            before = path.read_bytes()
            self.refused(role, "backup", path, "overwrites nothing")
            self.refused(role, "backup", self.folder / "nowhere" / "a.db", "is not there")
            role.stop()
            path.rename(path.with_suffix(".former"))
            self.backup(role)
            self.refused(role, "backup", path, "overwrites nothing")
            self.assertEqual(path.with_suffix(".former").read_bytes(), before)
            self.assertFalse(part_of(str(path)).exists())
            role.start()
        self.wait("everybody is back", is_ready)
        self.check()

    def test_what_is_refused(self) -> None:
        """Of another installation, role or name; edited; none of ours; while somebody restores."""
        _, north, provider, south, _ = self.installation.roles()
        self.print_at(self.installation.branches[0])
        self.wait("all is settled", is_settled)
        others = self.backup(south)
        own, journal = self.backup(north), self.backup(provider)
        edited = self.folder / "edited.db"
        shutil.copy(own, edited)
        with closing(sqlite3.connect(edited)) as copy, copy:
            copy.execute("UPDATE journal SET body = replace(body, 'north', 'n0rth')")
            copy.execute("UPDATE identity SET number = number + 1")
        foreign = self.folder / "foreign.db"
        shutil.copy(own, foreign)
        with closing(sqlite3.connect(foreign)) as copy, copy:
            copy.execute("UPDATE backup_of SET authority = ?", ("0" * 64,))
        self.refused(north, "restore", own, "runs on")
        north.stop()
        raw = self.folder / "raw.db"
        shutil.copy(north.data / "journal.db", raw)
        before = (north.data / "journal.db").read_bytes()
        for path, text in (
            (others, "is of site south"),
            (journal, "is of provider north-provider"),
            (edited, "not what was written"),
            (foreign, "another installation"),
            (raw, "not made by"),
            (north.data / "journal.db", "in force"),
        ):
            self.refused(north, "restore", path, text)
            self.assertEqual((north.data / "journal.db").read_bytes(), before)
            self.assertFalse((north.data / "restoring.db").exists())
        # Another administrator is at it.
        lock = DataDirectory(str(north.data))
        lock.acquire()
        try:
            self.refused(north, "restore", own, "runs on")
        finally:
            lock.release()
        self.assertEqual((north.data / "journal.db").read_bytes(), before)
        north.start()
        self.wait("everybody is back", is_ready)
        self.check()


class RestoreTests(BackupCase):
    loses_journals = True

    def test_a_site_and_its_provider(self) -> None:
        """What they journalled since is with others, who offer it again."""
        branch = self.installation.branches[1]
        for _ in range(2):
            self.print_at(branch)
        self.wait("all is settled", is_settled)
        site, provider = self.backup(branch.site), self.backup(branch.provider)
        for _ in range(2):
            self.print_at(branch)
        self.wait("all is settled", is_settled)
        branch.site.kill()
        kept = command(branch.site.config, "restore", str(site))["kept"]
        self.assertTrue(Path(kept).exists())
        branch.site.start()
        self.assertEqual(branch.site.call("status")["streams_taken"], 1)
        self.wait("everybody is back", is_ready)
        self.print_at(branch)
        self.check_offered_again()
        # Of its provider the last jobs are known to the servers alone.
        before = self.count("charge")
        branch.provider.kill()
        command(branch.provider.config, "restore", str(provider))
        branch.provider.start()
        self.wait("everybody is back", is_ready)
        self.print_at(branch)
        self.wait("it is charged", lambda b: self.count("charge") == before + 1)
        self.assertEqual(self.installation.app.call("verify")["problems"], [])

    def test_another_installation(self) -> None:
        other = make_installation()
        self.addCleanup(shutil.rmtree, other.directory, True)
        self.addCleanup(other.close)
        path = self.folder / "other.db"
        command(other.app.config, "backup", str(path))
        self.installation.app.stop()
        with self.assertRaises(NotReady) as caught:
            command(self.installation.app.config, "restore", str(path))
        self.assertIn("another installation", str(caught.exception))
        self.installation.app.start()
        self.wait("everybody is back", is_ready)
        self.check()
