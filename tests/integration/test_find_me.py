"""Find-Me through a real CUPS: printed with lp, held, released at a printer, charged once."""

from __future__ import annotations

import re

from papercutd.demo.processes import NotReady
from tests.support.cups import RawPrinter
from tests.support.find_me_case import FindMeCase
from tests.unit.papercutd.provider.documents import RED_DOT, Page

#: A driver of a printer without colour.
PCL = "drv:///sample.drv/laserjet.ppd"


class ReleaseTests(FindMeCase):
    def test_at_the_device_of_a_printer(self) -> None:
        """Held jobs are listed there and print there; a command prints at another printer."""
        visit = self.visit(self.add_device(), self.devices_port)
        number, job = self.hold("follow", 5, "-t", "Minutes", "-o", "sides=two-sided-long-edge")
        other_number, other = self.hold("follow", 2)
        listed = visit.until_jobs(2)
        self.assertEqual([one["job"] for one in listed], [job, other])
        self.assertEqual(
            [(one["title"], one["pages"], one["duplex"], one["reachable"]) for one in listed],
            [("Minutes", 5, True, True), ("2 pages.pdf", 2, False, True)],
        )
        self.assertEqual(len(self.admin("job", "held", "--user", "anna")), 2)
        answer = visit.release(job)
        self.assertEqual(answer["answer"], "released")
        self.assertEqual(answer["amount_e4"], listed[0]["amount_e4"])
        self.assertEqual(self.until_charged(1), [("Minutes", 5, "completed")])
        self.until_cups(number, "completed")
        # Each copy ends with its sheet.
        self.assertEqual((self.one.paper, self.two.paper), ([], [6]))
        visit.until_jobs(1)
        self.assertIn(f"q2-{number} ", self.cups.run("lpstat", "-W", "completed", "-o"))
        said = self.admin("job", "release", other, "--printer", "q1")
        self.assertEqual(said["answer"], "released")
        self.assertEqual(len(self.until_charged(2)), 2)
        self.until_cups(other_number, "completed")
        self.assertEqual((self.one.paper, self.two.paper), ([2], [6]))
        visit.until_jobs(0)
        self.assert_in_order()

    def test_at_the_price_of_the_printer_chosen(self) -> None:
        """The driver of the find-me queue knows colour, the printer does not."""
        grey = RawPrinter()
        self.addCleanup(grey.close)
        self.queue("grey", grey.uri, PCL, group="house")
        pdf = self.pdf([Page(), Page(content=RED_DOT), Page()])
        jobs = []
        for _ in range(2):
            self.cups.lp("follow", pdf)
            jobs.append(self.until_state("held", len(jobs) + 1)[-1])
        held = self.until_listed(2)[0]["amount_e4"]
        said = self.admin("job", "release", jobs[0]["job"], "--printer", "grey")
        self.assertLess(said["amount_e4"], held)
        self.until_charged(1)
        self.assertEqual([item.rpartition(" ")[2] for item, _ in self.lines()[0]], ["grey"])
        self.assertEqual(len(re.findall(rb"\x1b\*r0B", grey.documents[0])), 3)
        # At a printer in colour as before.
        said = self.admin("job", "release", jobs[1]["job"], "--printer", "q2")
        self.assertEqual(said["amount_e4"], held)
        self.until_charged(2)
        self.assertEqual(self.two.paper, [3])
        self.assert_in_order()

    def test_not_where_it_may_not(self) -> None:
        """The find-me queue is no printer, and other groups are none of its."""
        self.queue("far", self.two.uri, "everywhere", group="garden")
        number, job = self.hold()
        self.until_listed(1)
        for printer in ("follow", "far"):
            with self.assertRaisesRegex(NotReady, "cannot be printed there"):
                self.admin("job", "release", job, "--printer", printer)
        self.assertEqual(self.job(job)["state"], "held")
        self.until_cups(number, "held")
        # A person at CUPS cannot print it by moving it there either: it is asked for.
        self.cups.run("lpmove", str(number), "q2")
        self.cups.run("lp", "-i", str(number), "-H", "resume")
        self.assertEqual(len(self.until_charged(1)), 1)
        self.assertEqual(self.two.paper, [3])
        self.assert_in_order()

    def test_at_the_printer_it_was_sent_to(self) -> None:
        self.queue("secure", self.two.uri, "everywhere", release="secure")
        visit = self.visit(self.add_device(printer="secure"), self.devices_port)
        number, job = self.hold("secure")
        visit.until_jobs(1)
        self.assertEqual(visit.release(job, copies=2)["answer"], "released")
        self.assertEqual(self.until_charged(1), [("3 pages.pdf", 6, "completed")])
        self.until_cups(number, "completed")
        self.assertEqual(self.two.paper, [6])
        self.assert_in_order()


class NotPrintedTests(FindMeCase):
    """Nothing on paper, nothing charged; CUPS, the journal and the lists agree on it."""

    def check_nothing(self, outcome: str, number: int, job: str) -> None:
        self.until(lambda: self.job(job)["outcome"] == outcome, outcome)
        self.until_cups(number, "canceled")
        self.until_listed(0)
        self.assertEqual((self.charges(), self.one.paper, self.two.paper), ([], [], []))
        owed = lambda: any(self.provider.call("status")["owed"].values())  # noqa: E731
        self.until(lambda: not owed(), "nothing owed")
        self.assert_in_order()

    def test_discarded_at_a_device(self) -> None:
        visit = self.visit(self.add_device(), self.devices_port)
        number, job = self.hold()
        visit.until_jobs(1)
        self.assertEqual(visit.discard(job)["answer"], "discarded")
        visit.until_jobs(0)
        self.check_nothing("discarded", number, job)
        self.assertEqual(visit.release(job)["answer"], "unknown-job")

    def test_canceled_at_cups_by_its_user(self) -> None:
        number, job = self.hold()
        self.until_listed(1)
        self.cups.run("cancel", "-u", "anna", f"follow-{number}")
        self.check_nothing("canceled", number, job)

    def test_held_too_long(self) -> None:
        """It is deleted, also when that came due while the provider was down."""
        number, job = self.hold()
        self.provider.stop()
        # The shortest that an administrator can set is a minute: the job is made older.
        with self.journal() as journal:
            journal.execute("UPDATE job SET held_at = held_at - 86400")
        self.provider.start()
        self.check_nothing("expired", number, job)

    def test_its_document_is_gone(self) -> None:
        """A person is told so, and it is over: not held for ever, not charged, not half printed."""
        visit = self.visit(self.add_device(), self.devices_port)
        number, job = self.hold()
        visit.until_jobs(1)
        for path in (self.cups.folder / "spool").glob(f"d{number:05}-*"):
            path.unlink()
        self.assertEqual(
            visit.release(job, "01960a2e-0000-7000-8000-000000000001")["answer"], "no-document"
        )
        self.check_nothing("canceled", number, job)
        self.assertEqual(self.job(job)["reason"], "no-document")
        # The same press of the button again hears the same.
        again = visit.release(job, "01960a2e-0000-7000-8000-000000000001")
        self.assertEqual(again["answer"], "no-document")

    def test_cups_lost_its_spool(self) -> None:
        number, job = self.hold()
        self.until_listed(1)
        self.cups.stop()
        for path in (self.cups.folder / "spool").glob("[cd]0*"):
            path.unlink()
        (self.cups.folder / "cache" / "job.cache").unlink(missing_ok=True)
        self.cups.start()
        self.until(lambda: self.job(job)["outcome"] == "canceled", "canceled")
        self.until_listed(0)
        self.assertEqual((self.charges(), self.cups_state(number)), ([], "unknown"))
        self.assert_in_order()
