"""Find-Me through CUPS while everything is restarted or killed: nothing twice, nothing lost."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from typing import Any

from papercutd.commands.control_client import ControlError
from papercutd.demo.processes import NotReady
from papercutd.roles.crash_points import VARIABLE
from tests.support.find_me_case import FindMeCase, Visit
from tests.support.raw_link import job_id


class RestartTests(FindMeCase):
    def test_everything_between_hold_and_release(self) -> None:
        """cupsd, the provider and both servers, one after the other and then all at once."""
        site = self.add_site()
        mfd = self.add_device(site="north")
        jobs = [self.hold("follow", pages) for pages in (1, 2, 3)]
        restarts: list[Callable[[], None]] = [self.cups.stop, self.cups.start]
        restarts += [self.provider.stop, self.provider.start, site.stop, site.start]
        restarts += [self.app.stop, self.app.start]
        for restart in restarts:
            restart()
        self.until(self.is_connected, "sessions to both servers")
        self.release_at(mfd, *jobs[0])
        self.cups.stop(signal.SIGKILL)
        for role in (self.provider, site, self.app):
            role.kill()
        for role in (self.app, site, self.provider):
            role.start()
        self.cups.start()
        self.until(self.is_connected, "sessions to both servers")
        self.release_at(mfd, *jobs[1])
        # The provider comes back before CUPS does: nobody is let wait.
        self.cups.stop()
        visit = self.visit(mfd, self.site_devices, "north")
        self.until_listed_at(visit, jobs[2][1])
        self.assertEqual(visit.release(jobs[2][1])["answer"], "unanswered")
        self.provider.kill()
        self.provider.start()
        self.until(self.is_connected, "sessions to both servers")
        self.cups.start()
        self.release_at(mfd, *jobs[2])
        self.assertEqual(self.two.paper, [1, 2, 3])
        self.assertEqual(sorted(pages for _, pages, _ in self.until_charged(3)), [1, 2, 3])
        self.assertEqual(self.one.paper, [])
        self.assert_in_order()

    def release_at(self, mfd: Any, number: int, job: str) -> None:
        visit = self.visit(mfd, self.site_devices, "north")
        self.until_listed_at(visit, job)
        self.assertEqual(visit.release(job)["answer"], "released")
        self.until_cups(number, "completed")
        # Until then, as to CUPS itself, a crash leaves open whether it came out.
        self.until(lambda: self.job(job)["state"] == "ended", "the provider knows")

    def until_listed_at(self, visit: Visit, job: str) -> None:
        self.until(
            lambda: job in [one["job"] for one in visit.jobs() if one["reachable"]],
            "the job at the device",
        )

    def test_cups_forgets_that_it_printed(self) -> None:
        """Killed before it wrote that down, it begins again: held, for its person to say."""
        visit = self.visit(self.add_device(), self.devices_port)
        number, job = self.hold()
        visit.until_jobs(1)
        # As CUPS has it on the disk while the job is held.
        kept = {path: path.read_bytes() for path in self.until_on_disk(number)}
        self.assertEqual(visit.release(job)["answer"], "released")
        self.until_charged(1)
        self.until_cups(number, "completed")
        self.cups.stop(signal.SIGKILL)
        for path, data in kept.items():
            path.write_bytes(data)
        self.cups.start()
        again = self.until_state("held")[-1]
        self.assertEqual(again["reprint_of"], job)
        self.until_cups(number, "held")
        # Nor does a person at CUPS get it past the hold.
        self.cups.run("lp", "-i", str(number), "-H", "resume")
        self.until(lambda: self.job(again["job"])["step"] == "submit-2", "asked again")
        self.until_cups(number, "held")
        self.assertEqual(self.two.paper, [3])
        self.until_listed_at(visit, again["job"])
        self.assertEqual(visit.release(again["job"])["answer"], "released")
        self.until_charged(2)
        self.assertEqual(self.two.paper, [3, 3])
        self.assert_in_order()

    def test_cups_between_the_release_and_the_paper(self) -> None:
        """CUPS is stopped while the printer chosen has the job: printed and charged once."""
        self.two.behave("wait")
        visit = self.visit(self.add_device(), self.devices_port)
        _, job = self.hold()
        visit.until_jobs(1)
        self.assertEqual(visit.release(job)["answer"], "released")
        # Before that CUPS cannot know whether it was sent, and sends it again.
        kept = self.two.folder / "jobs"
        self.until(lambda: len(list(kept.glob("*.pdf"))) > 0, "a document at the printer")
        self.assertEqual(self.job(job)["state"], "printing")
        self.cups.stop()
        self.two.behave("wait", False)
        self.cups.start()
        self.assertEqual(len(self.until_charged(1)), 1)
        self.assertEqual((self.one.paper, self.two.paper), ([], [3]))
        self.assert_in_order()


class KilledTests(FindMeCase):
    """kill -9 of the provider at each step of a release; the person presses again."""

    #: Claimed, asked, decided and printing, each on the disk and no more than that.
    POINTS = (
        *("before-commit:4", "before-commit:5", "before-commit:6", "before-commit:7"),
        *("after-send.AUTHORIZE", "before-send.RELEASED", "after-send.COMPLETE"),
    )

    def test_at_every_step(self) -> None:
        mfd = self.add_device()
        for pages, point in enumerate(self.POINTS, 1):
            self.crash(mfd, pages, point)
        self.assertEqual(sorted(self.two.paper), list(range(1, len(self.POINTS) + 1)))
        self.assertEqual(self.one.paper, [])
        charged = sorted(pages for _, pages, _ in self.until_charged(len(self.POINTS)))
        self.assertEqual(charged, sorted(self.two.paper))
        self.assert_in_order()

    def crash(self, mfd: Any, pages: int, point: str) -> None:
        number, job = self.hold("follow", pages)
        visit = self.visit(mfd, self.devices_port)
        visit.until_jobs(1)
        self.provider.stop()
        # Its start commits too: the first of the points may be passed by that.
        with contextlib.suppress(NotReady, ControlError, OSError):
            self.provider.start(**{VARIABLE: point})
            self.until(self.is_connected, "a session")
            visit.try_release(job, job_id(pages))
        self.until(lambda: not self.provider.is_running(), point)
        self.provider.kill()
        self.provider.start()
        self.until(self.is_connected, "a session")

        def is_over() -> bool:
            """The same press again, and another where that one was not decided."""
            if self.job(job)["state"] == "held":
                visit.try_release(job, job_id(pages))
                visit.try_release(job, job_id(100 + pages))
            return bool(self.job(job)["state"] == "ended")

        self.until(is_over, f"{point}: it ended")
        self.assertEqual(self.job(job)["outcome"], "completed", point)
        self.until_cups(number, "completed")
