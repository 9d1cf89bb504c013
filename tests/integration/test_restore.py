"""The application server goes back to a backup while sites and providers are ahead of it."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from papercutd.demo.processes import NotReady, command, run
from tests.support.installation import make_installation
from tests.support.outage import OutageCase


class RestoreTests(OutageCase):
    """Nothing a provider or a site holds a record of is lost, and nothing is charged twice."""

    def setUp(self) -> None:
        super().setUp()
        self.backup = self.installation.directory / "backup.db"

    def print_everywhere(self, count: int) -> None:
        for _ in range(count):
            for branch in self.installation.branches:
                self.print_at(branch)
        self.wait("all is settled", lambda b: set(b.states().values()) <= {"ended"})

    def timeline(self) -> int:
        return int(self.installation.app.call("status")["position"].split(".")[0])

    def test_by_the_verb(self) -> None:
        app = self.installation.app
        self.print_everywhere(1)
        command(app.config, "backup", str(self.backup))
        self.print_everywhere(2)
        # Not under a running server.
        with self.assertRaises(NotReady) as caught:
            command(app.config, "restore", str(self.backup))
        self.assertIn("runs on", str(caught.exception))
        app.stop()
        done = command(app.config, "restore", str(self.backup))
        self.assertTrue(Path(done["kept"]).exists())
        app.start()
        self.assertEqual(self.timeline(), 2)
        self.check_offered_again()
        self.assertEqual(self.count("listed WHERE kind = 'restored'"), 1)
        self.print_everywhere(1)
        self.check_offered_again()

    def test_silently(self) -> None:
        app = self.installation.app
        self.print_everywhere(1)
        command(app.config, "backup", str(self.backup))
        self.print_everywhere(2)
        app.kill()
        for ending in ("", "-wal", "-shm"):
            Path(f"{app.data / 'application.db'}{ending}").unlink(missing_ok=True)
        shutil.copy(self.backup, app.data / "application.db")
        app.start()
        self.wait("it was found out", lambda b: self.timeline() == 2)
        self.check_offered_again()
        self.assertEqual(self.count("listed WHERE kind = 'restored'"), 1)
        self.print_everywhere(1)
        self.check_offered_again()

    def test_what_is_no_backup_of_ours(self) -> None:
        app = self.installation.app
        self.print_everywhere(1)
        app.stop()
        before = (app.data / "application.db").read_bytes()
        other = make_installation()
        self.addCleanup(shutil.rmtree, other.directory, True)
        self.addCleanup(other.close)
        edited = self.installation.directory / "edited.db"
        shutil.copy(app.data / "application.db", edited)
        with closing(sqlite3.connect(edited)) as database, database:
            database.execute("UPDATE account SET credits_e4 = credits_e4 + 1 WHERE name = 'anna'")
        noise = self.installation.directory / "noise.db"
        noise.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 40)
        for path, text in (
            (other.app.data / "application.db", "another installation"),
            (edited, "not what was written"),
            (noise, "no database"),
            (self.installation.directory / "nowhere.db", "not there"),
            (app.data / "application.db", "in force"),
        ):
            done = run(
                *(sys.executable, "-m", "papercutd.commands.main"),
                *("-c", str(app.config), "restore", str(path)),
            )
            self.assertNotEqual(done.returncode, 0, path)
            self.assertIn(text, done.stderr)
            self.assertNotIn("Traceback", done.stderr)
            self.assertEqual((app.data / "application.db").read_bytes(), before)
        app.start()
        self.check_offered_again()
