"""kill -9 at the points of papercutd/points.py: what was acknowledged is there, nothing twice."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

from papercutd.commands.control_client import ControlError
from papercutd.demo.installation import Branch
from papercutd.demo.processes import command, run
from papercutd.demo.scenario import is_ready, is_settled
from papercutd.roles.crash_points import VARIABLE
from tests.integration.test_device import CARD, DeviceCase
from tests.support.crash import CrashCase
from tests.support.waiting import wait_for


class ProviderPointsTests(CrashCase):
    def test_records_of_a_job(self) -> None:
        for number, point in enumerate(
            (
                *("write.received", "written.received", "write.decided:2", "written.decided:2"),
                *("written.printing", "write.ended", "written.ended:2", "written.acknowledged"),
            )
        ):
            self.crash(self.installation.branches[number % 2].provider, f"at.{point}")
        self.check()

    def test_a_release(self) -> None:
        """It is held again, or was released, never both and never neither."""
        branch = self.installation.branches[0]
        self.installation.app.call("printer.set", name="north-1", release="secure", group="")
        self.print_at(branch)
        (_, job) = self.accepted[-1]
        self.assertTrue(wait_for("held", lambda: branch.job(job)["state"] == "held"))
        for point in ("at.write.releasing", "at.written.releasing"):
            branch.provider.stop()
            branch.provider.start(**{VARIABLE: point})
            self.wait("everybody is back", is_ready)
            self.assertRaises(ControlError, self.release, branch, job)
            self.until_dead(branch.provider, point)
            branch.provider.start()
            self.wait("everybody is back", is_ready)
            self.assertTrue(wait_for("held", lambda: branch.job(job)["state"] == "held"))
        self.release(branch, job)
        self.check()

    @staticmethod
    def release(branch: Branch, job: str) -> None:
        branch.provider.call("job.release", job=job)


class SitePointsTests(CrashCase):
    def test_journal_and_anchor(self) -> None:
        site = self.installation.branches[1].site
        for point in ("anchored:3", "journal-acknowledged:2", "open-compared"):
            self.crash(site, f"at.{point}")
        self.check()

    def test_a_new_replica(self) -> None:
        """Whole or not, the next start has one: the old, or the new."""
        site = self.installation.branches[1].site
        for point in ("at.snapshot-whole", "at.snapshot-named", "at.snapshot-in-force"):
            site.stop()
            for path in site.data.glob("replica-*"):
                path.unlink()
            self.begin(site, point)
            self.until_dead(site, point)
            site.start()
            self.wait(f"everybody is back after {point}", is_ready)
            for branch in self.installation.branches:
                self.print_at(branch)
        self.check()

    def test_what_is_passed_on(self) -> None:
        """What was printed alone reaches the application server through the site."""
        branch = self.installation.branches[1]
        branch.site.stop()
        branch.relays[1].cut()
        self.print_at(branch)
        (_, job) = self.accepted[-1]
        self.assertTrue(wait_for("printed", lambda: branch.job(job)["state"] == "ended"))
        for point in ("at.relaying", "at.relayed"):
            self.begin(branch.site, point)
            wait_for("dead", lambda: not branch.site.is_running())
            self.until_dead(branch.site, point)
        branch.site.start()
        branch.relays[1].heal()
        self.wait("everybody is back", is_ready)
        self.check()


class NewStreamPointsTests(CrashCase):
    loses_journals = True

    def test_a_new_stream(self) -> None:
        """A journal that was put back takes one, killed in the midst of it or not."""
        branch = self.installation.branches[1]
        site, image = branch.site, self.installation.directory / "image"
        self.print_at(branch)
        self.wait("all is settled", is_settled)
        site.stop()
        shutil.copytree(site.data, image, ignore=shutil.ignore_patterns("*.sock"))
        site.start()
        self.wait("everybody is back", is_ready)
        for _ in range(2):
            self.print_at(branch)
        self.wait("all is settled", is_settled)
        site.stop()
        for name in ("journal.db", "journal.db-wal", "journal.db-shm"):
            (site.data / name).unlink(missing_ok=True)
        shutil.copy(image / "journal.db", site.data / "journal.db")
        for point in ("at.stream-begins", "at.stream-begun"):
            self.begin(site, point)
            self.until_dead(site, point)
        site.start()
        self.wait("everybody is back", is_ready)
        self.print_at(branch)
        self.check_offered_again()


class ApplicationPointsTests(CrashCase):
    def test_what_sites_and_providers_tell(self) -> None:
        for point in ("batch-applied:2", "batch-committed:2", "open-compared"):
            self.crash(self.installation.app, f"at.{point}")
        self.check()


class RestorePointsTests(CrashCase):
    def setUp(self) -> None:
        super().setUp()
        self.backup = self.installation.directory / "backup.db"
        command(self.installation.app.config, "backup", str(self.backup))
        for branch in self.installation.branches:
            self.print_at(branch)
        self.wait("all is settled", is_settled)

    def timeline(self) -> int:
        return int(self.installation.app.call("status")["position"].split(".")[0])

    def test_found_out(self) -> None:
        app = self.installation.app
        app.kill()
        for ending in ("", "-wal", "-shm"):
            Path(f"{app.data / 'application.db'}{ending}").unlink(missing_ok=True)
        shutil.copy(self.backup, app.data / "application.db")
        self.begin(app, "at.timeline-begins")
        self.until_dead(app, "at.timeline-begins")
        app.start()
        self.wait("it was found out", lambda b: self.timeline() == 2)
        self.check_offered_again()

    def test_the_verb(self) -> None:
        app = self.installation.app
        app.stop()
        words = (sys.executable, "-m", "papercutd.commands.main", "-c", str(app.config))
        for point in ("restore-copied", "restore-begun", "restore-kept", "restore-placed"):
            done = run(
                *(*words, "restore", str(self.backup)),
                environment={**os.environ, VARIABLE: f"at.{point}"},
            )
            self.assertEqual(done.returncode, -signal.SIGKILL, (point, done.stderr))
        command(app.config, "restore", str(self.backup))
        app.start()
        self.assertGreaterEqual(self.timeline(), 2)
        self.check_offered_again()


class DevicePointsTests(DeviceCase):
    def test_a_copy(self) -> None:
        """Each page that came out is charged once, wherever the power went."""
        for point in (
            *("write.begun", "written.begun", "write.counted:2", "written.counted:2"),
            *("write.finished", "written.finished", "write.acknowledged", "written.acknowledged"),
        ):
            self.mfd.start(**{VARIABLE: f"at.{point}"})
            self.do(f"login card {CARD}")
            if self.mfd.do("copy 3"):
                # What is acknowledged comes after the answer.
                try:
                    self.mfd.say("wait settled")
                except BrokenPipeError:
                    pass
            self.assertEqual(self.mfd.wait(), -signal.SIGKILL, point)
            self.mfd.start()
            self.do("wait settled")
            self.mfd.stop()
        self.mfd.start()
        self.do("wait settled")
        self.check(self.mfd.paper())
        self.assertGreater(self.mfd.paper(), 8)
