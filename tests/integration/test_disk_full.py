"""A full disk at each real role: writing is refused by code, reading goes on, nothing is lost.

The disk is a small tmpfs, so these tests need root, as CI has it.
"""

from __future__ import annotations

import os
import shutil

from papercutd.commands.control_client import ControlError
from papercutd.demo.processes import Role
from papercutd.demo.scenario import is_ready
from tests.support.outage import OutageCase
from tests.support.small_disk import SmallDisk
from tests.support.waiting import wait_for


def move_to_small_disk(role: Role) -> SmallDisk:
    """The data directory of a stopped role, moved to a disk of its own."""
    former = role.data.with_name("data.former")
    role.data.rename(former)
    disk = SmallDisk(role.data)
    # Sockets and locks of the former process are of no use.
    shutil.copytree(former, role.data, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.sock"))
    return disk


class DiskFullTests(OutageCase):
    def setUp(self) -> None:
        self.assertEqual(os.geteuid(), 0, "mounting a small disk needs root")
        super().setUp()

    def small_disk(self, role: Role) -> SmallDisk:
        role.stop()
        disk = move_to_small_disk(role)
        # Before the directory is removed, after the processes are ended.
        self.addCleanup(disk.close)
        role.start()
        self.wait("everybody is connected", is_ready)
        self.addCleanup(role.stop)
        return disk

    def print_some(self, count: int) -> None:
        for number in range(count):
            self.print_at(self.installation.branches[number % 2])

    def test_application_server(self) -> None:
        app = self.installation.app
        disk = self.small_disk(app)
        self.print_some(4)
        disk.fill()
        error = self.assertRaises(ControlError, app.call, "user.adjust", name="anna", amount="1.00")
        self.assertEqual(error.code, "storage-full")
        self.assertIn("disk is full", str(error))
        # It reads, and the sites decide.
        self.assertEqual(app.call("user.show", name="anna")["name"], "anna")
        before = len(self.accepted)
        self.print_some(6)
        self.assertEqual(len(self.accepted), before + 6)
        for branch, job in self.accepted[before:]:
            self.assertTrue(
                wait_for("printed", lambda b=branch, j=job: b.job(j)["state"] == "ended")
            )
            self.assertNotEqual(branch.job(job)["decider"], "application")
        disk.free()
        self.wait("everybody is back", is_ready)
        self.print_some(4)
        self.check()

    def test_site_server(self) -> None:
        branch = self.installation.branches[1]
        disk = self.small_disk(branch.site)
        self.print_some(4)
        disk.fill()
        self.assertEqual(branch.site.call("status")["role"], "site")
        # The site cannot decide; the application server, or nobody, does.
        self.print_some(4)
        branch.cut()
        self.print_some(4)
        disk.free()
        branch.heal()
        self.wait("everybody is back", is_ready)
        self.print_some(4)
        self.check()

    def test_provider(self) -> None:
        branch = self.installation.branches[0]
        disk = self.small_disk(branch.provider)
        self.print_some(4)
        disk.fill()
        error = self.assertRaises(
            RuntimeError, branch.print_file, b"%PDF-1.4 one too many" * 1000, "a", "anna"
        )
        self.assertIn("No space left", str(error))
        self.assertEqual(branch.provider.call("status")["role"], "provider")
        disk.free()
        self.wait("everybody is back", is_ready)
        self.print_some(4)
        self.check()
