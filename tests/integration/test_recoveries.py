"""What is lost, copied, stuck or damaged, and how it goes on (design 4.12), with real processes."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from papercutd.demo.installation import Branch
from papercutd.demo.network import free_port
from papercutd.demo.processes import Role, command
from papercutd.demo.scenario import is_ready, is_settled
from papercutd.roles.crash_points import VARIABLE
from papercutd.storage.site.site_journal import append_body
from tests.support.outage import OutageCase
from tests.support.waiting import wait_for


class RecoveryCase(OutageCase):
    def join(self, role: Role, kind: str, name: str) -> list[str]:
        """What the manual says: a new token, and join."""
        token = command(self.installation.app.config, kind, "token", name)["token"]
        server = f"127.0.0.1:{self.installation.https_port}"
        done = command(role.config, "join", "--token", token, "--server", server)
        return list(done["journals_kept"])

    def print_settled(self, branch: Branch, count: int) -> None:
        for _ in range(count):
            self.print_at(branch)
        printed = lambda: set(branch.states().values()) <= {"ended"}  # noqa: E731
        self.assertTrue(wait_for("printed", printed))


class LostSiteTests(RecoveryCase):
    loses_journals = True

    def test_its_disk(self) -> None:
        """It joins again with nothing; its provider has kept what it was told there."""
        branch = self.installation.branches[1]
        branch.cut()
        self.print_settled(branch, 3)
        self.assertTrue(wait_for("the site has it all", lambda: is_settled(branch)))
        self.assertEqual(self.count("charge"), 0)
        branch.site.kill()
        shutil.rmtree(branch.site.data)
        branch.heal()
        self.assertEqual(self.join(branch.site, "site", branch.name), [])
        branch.site.start()
        self.wait("everybody is back", is_ready)
        self.print_settled(branch, 1)
        self.check_offered_again()

    def test_a_clone(self) -> None:
        """Both run: it is seen. Then the original alone: nothing is lost, nothing twice."""
        branch = self.installation.branches[1]
        self.print_settled(branch, 1)
        branch.site.stop()
        config = branch.site.config.read_text().split("\n", 1)[1]
        lines = [
            f"{line.split(' = ')[0]} = {free_port()}"
            if line.split(" = ")[0] in ("http", "https", "links", "devices")
            else line
            for line in config.splitlines()
        ]
        clone = Role("site", "clone", self.installation.directory / "clone", "\n".join(lines))
        self.addCleanup(clone.stop)
        shutil.copytree(branch.site.data, clone.data, ignore=shutil.ignore_patterns("*.sock"))
        branch.site.start()
        self.wait("everybody is back", is_ready)
        clone.start()
        fighting = lambda: "site:south" in self.installation.app.call("status")["fighting"]  # noqa: E731
        for _ in range(40):
            self.print_at(branch)
            if fighting():
                break
            time.sleep(0.5)
        self.assertTrue(fighting())
        clone.stop()
        self.wait("the original is back", is_ready)
        self.print_settled(branch, 1)
        self.check_offered_again()


class LostProviderTests(RecoveryCase):
    def test_its_disk(self) -> None:
        """What was acknowledged is charged; what was not is shown as open, and nothing twice."""
        branch = self.installation.branches[0]
        self.print_settled(branch, 2)
        self.assertTrue(wait_for("all is told", lambda: is_settled(branch)))
        branch.provider.stop()
        branch.provider.start(**{VARIABLE: "at.written.printing"})
        self.wait("everybody is back", is_ready)
        self.print_at(branch)
        self.assertTrue(wait_for("dead", lambda: not branch.provider.is_running()))
        branch.provider.kill()
        shutil.rmtree(branch.provider.data)
        self.assertEqual(self.join(branch.provider, "provider", "north-provider"), [])
        branch.provider.start()
        self.wait("everybody is back", is_ready)
        self.print_settled(branch, 1)
        self.assertTrue(wait_for("three are charged", lambda: self.count("charge") == 3))
        # The lost journal's answer costs nothing and stands there until somebody says what it was.
        self.assertEqual(self.count("decision WHERE state = 'open'"), 1)
        self.assertEqual(self.installation.app.call("verify")["problems"], [])
        lost = "SELECT key FROM decision WHERE state = 'open'"
        with closing(sqlite3.connect(self.installation.app.data / "application.db")) as database:
            ((key,),) = database.execute(lost).fetchall()
        self.assertIn(key, str(branch.provider.call("status")))


class StuckTests(RecoveryCase):
    def break_stream(self, stream: str) -> None:
        """The application server cannot apply anything of ``stream``."""
        with closing(sqlite3.connect(self.installation.app.data / "application.db")) as database:
            database.execute(
                "CREATE TRIGGER stuck BEFORE UPDATE ON stream"
                f" WHEN old.id = '{stream}' AND new.number > old.number"
                " BEGIN SELECT RAISE(ABORT, 'stuck'); END"
            )

    def test_a_journal(self) -> None:
        """It is seen at the site; joining again gets it going, with everything it held."""
        branch = self.installation.branches[1]
        self.print_settled(branch, 1)
        self.wait("all is settled", is_settled)
        self.break_stream(branch.site.call("status")["stream"])
        self.print_settled(branch, 3)
        refused = lambda: branch.site.call("status")["journal_refused"]  # noqa: E731
        self.assertTrue(wait_for("it is seen", refused))
        self.assertGreater(branch.site.call("status")["waiting_records"], 0)
        branch.site.stop()
        self.assertTrue(self.join(branch.site, "site", branch.name))
        branch.site.start()
        self.wait("everybody is back", is_ready)
        self.print_settled(branch, 1)
        self.loses_journals = True
        self.check_offered_again()
        self.assertIsNone(refused())

    def test_a_poison_record(self) -> None:
        """It is parked and shown; those behind it go on."""
        branch = self.installation.branches[1]
        branch.cut()
        self.print_settled(branch, 1)
        self.assertTrue(wait_for("the site has it", lambda: is_settled(branch)))
        branch.site.stop()
        poison = '{"kind": "potion", "key": "a/submit-1", "at": 1.0}'
        with closing(sqlite3.connect(branch.site.data / "journal.db")) as journal, journal:
            append_body(journal, poison, time.time())
        branch.site.start()
        self.print_settled(branch, 2)
        branch.heal()
        self.wait("everybody is back", is_ready)
        self.check()
        status = self.installation.app.call("status")
        self.assertEqual(status["parked"], 1)
        (shown,) = command(self.installation.app.config, "parked", "list")
        self.assertEqual(shown["site"], "south")
        self.assertTrue(shown["reason"])
        self.assertEqual(self.count("charge"), len(self.accepted))


class DamagedReplicaTests(RecoveryCase):
    def test_a_flipped_byte(self) -> None:
        """``verify`` finds it, ``verify --repair`` has it sent again."""
        site = self.installation.branches[0].site
        self.wait("everybody is connected", is_ready)
        (path,) = (p for p in site.data.glob("replica-*.db") if self.has_users(p))
        with closing(sqlite3.connect(path, timeout=10)) as replica, replica:
            changed = replica.execute("UPDATE user SET name = 'bnna' WHERE name = 'anna'")
            self.assertEqual(changed.rowcount, 1)
        found = command(site.config, "verify")
        self.assertFalse(found["ok"])
        self.assertIn("user", str(found["problems"]))
        mended = command(site.config, "verify", "--repair")
        self.assertEqual(
            (mended["ok"], mended["damaged_rows"], mended["repaired_rows"]), (True, 1, 1)
        )
        self.assertEqual(command(site.config, "verify"), {"ok": True, "problems": []})
        self.check()

    @staticmethod
    def has_users(path: Path) -> bool:
        with closing(sqlite3.connect(path)) as replica:
            return bool(replica.execute("SELECT 1 FROM user").fetchall())
