"""What goes wrong around a CUPS job: each time one is hit, everybody else prints."""

from __future__ import annotations

from tests.support.cups import RawPrinter, SilentPrinter
from tests.support.cups_case import CupsCase


class FaultCase(CupsCase):
    """A queue ``good`` that everybody else prints at."""

    def setUp(self) -> None:
        super().setUp()
        self.good = RawPrinter()
        self.addCleanup(self.good.close)
        self.queue("good", self.good.uri, "raw")
        self.others = 0

    def others_print(self) -> None:
        self.others += 1
        title = f"other {self.others}"
        self.cups.lp("good", self.pdf(1), "-t", title)
        self.until_charge(title, 1, "completed")

    def until_charge(self, title: str, pages: int, *outcomes: str) -> None:
        charge = lambda: [one[1:] for one in self.charges() if one[0] == title]  # noqa: E731
        self.until(charge, f"the charge of {title}")
        self.assertEqual([pages], [found for found, _ in charge()])
        self.assertIn(charge()[0][1], outcomes)

    def until_ended(self, title: str, outcome: str) -> None:
        self.until(lambda: self.states(title) == [("ended", outcome)], f"{outcome}: {title}")

    def states(self, title: str) -> list[tuple[str, str]]:
        """State and outcome of the jobs of that title."""
        return [(job["state"], job["outcome"]) for job in self.jobs() if job["title"] == title]

    def until_owed_nothing(self) -> None:
        self.until(lambda: self.provider.call("status")["owed"] == {"application": 0}, "peace")


class PrinterFaultTests(FaultCase):
    def test_printers_that_never_answer_answer_late_and_die(self) -> None:
        silent = SilentPrinter()
        self.addCleanup(silent.close)
        ipp = self.cups.ipp_printer("one")
        breaking = RawPrinter()
        self.addCleanup(breaking.close)
        breaking.breaks_off = 1_000
        large = self.cups.folder / "large.pdf"
        large.write_bytes(self.pdf(4).read_bytes() + b"%" + b" " * 20_000_000)
        self.queue("silent", silent.uri, "raw")
        # It speaks no IPP either: whoever asks it for its count gets no answer.
        mute = f"ipp://127.0.0.1:{silent.port}/ipp/print"
        self.queue("mute", mute, "drv:///sample.drv/laserjet.ppd")
        self.queue("one", ipp.uri, "everywhere")
        self.queue("breaking", breaking.uri, "raw", "-o", "printer-error-policy=abort-job")

        # Accepts and never answers: its own queue waits.
        numbers = {
            title: self.cups.lp(queue, path, "-t", title)
            for title, queue, path in (
                ("never read", "silent", large),
                ("behind it", "silent", large),
                ("never answered", "mute", self.pdf(3)),
            )
        }
        self.until(lambda: self.states("never answered") == [("printing", "")], "it prints")
        self.until(lambda: self.states("never read") == [("printing", "")], "it prints")
        self.others_print()
        self.assertEqual(self.states("behind it"), [])

        # Dies at page 60 of 100.
        ipp.behave("dies", value="60")
        self.cups.lp("one", self.pdf(100), "-t", "sixty")
        # CUPS's backend ends in one way or the other, as it looks before the printer's end or after.
        self.until_charge("sixty", 60, "canceled", "completed")
        # Breaks off: it has reported nothing.
        self.cups.lp("breaking", large, "-t", "broken off")
        self.until_ended("broken off", "aborted")

        # Canceled, and says only later what came out till then.
        ipp.behave("dies", value="2")
        ipp.behave("wait")
        late = self.cups.lp("one", self.pdf(3), "-t", "late")
        self.until(lambda: len(list((ipp.folder / "jobs").glob("*.pdf"))) > 1, "it is printing")
        self.cups.run("cancel", str(late))
        self.until(lambda: self.cups_state(late) == "canceled", "its end at CUPS")
        self.others_print()
        self.assertEqual(self.states("late"), [("printing", "")])
        ipp.behave("wait", False)
        self.until_charge("late", 2, "canceled")

        # Given up by a person, those that never answered cost nothing.
        for number in numbers.values():
            self.cups.run("cancel", str(number))
        for title in ("never read", "never answered"):
            self.until_ended(title, "canceled")
        self.others_print()
        self.until_owed_nothing()
        charged = [title for title, _, _ in self.charges()]
        self.assertEqual(sorted(charged), ["late", "other 1", "other 2", "other 3", "sixty"])
        self.assert_in_order()
