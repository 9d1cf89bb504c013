"""The life of a job between CUPS and the provider: decided once, charged once, whatever dies."""

from __future__ import annotations

import os
import signal
from typing import Any

from tests.support.cups import RawPrinter
from tests.support.cups_case import CupsCase


class LifeCase(CupsCase):
    def setUp(self) -> None:
        super().setUp()
        self.printer = self.cups.ipp_printer("one")
        self.queue("q1", self.printer.uri, "everywhere")

    def until_cups(self, number: int, state: str) -> None:
        self.until(lambda: self.cups_state(number) == state, f"{state} at CUPS")

    def until_printing(self) -> dict[str, Any]:
        """The one job that is at the printer, which keeps it."""
        self.until(lambda: self.printer.documents > 0, "a document at the printer")
        (job,) = self.until_state("printing")
        return job


class DecisionTests(LifeCase):
    def test_denied(self) -> None:
        number = self.cups.lp("q1", self.pdf(), user="nobody-knows")
        (job,) = self.until_state("ended")
        self.assertEqual((job["outcome"], job["reason"]), ("denied", "unknown-user"))
        self.until_cups(number, "canceled")
        self.assertEqual((self.charges(), self.printer.paper), ([], []))

    def test_denied_for_want_of_money_and_printed_again_with_it(self) -> None:
        self.admin("user", "add", "poor")
        number = self.cups.lp("q1", self.pdf(), user="poor")
        (job,) = self.until_state("ended")
        self.assertEqual((job["outcome"], job["reason"]), ("denied", "funds"))
        self.until_cups(number, "canceled")
        self.admin("user", "adjust", "poor", "5.00")
        self.cups.run("lp", "-i", str(number), "-H", "restart")
        first, second = self.until_state("ended", 2)
        self.assertEqual((second["outcome"], second["reprint_of"]), ("completed", first["job"]))
        self.assertEqual(self.until_charged(1), [("3 pages.pdf", 3, "completed")])
        self.assert_in_order()

    def test_held_and_released(self) -> None:
        self.queue("secure", self.printer.uri, "everywhere", release="secure")
        number = self.cups.lp("secure", self.pdf())
        (job,) = self.until_state("held")
        self.assertEqual(job["reason"], "release")
        self.until_cups(number, "held")
        # A person at CUPS can ask again, and gets the same answer.
        self.cups.run("lp", "-i", str(number), "-H", "resume")
        self.until(lambda: self.jobs()[0]["step"] == "submit-2", "the next step")
        self.until_state("held")
        self.until_cups(number, "held")
        self.assertEqual(self.printer.paper, [])
        answer = self.at_provider("job", "release", job["job"], "--printer", "secure")
        self.assertEqual(answer["answer"], "released")
        self.assertEqual(self.until_charged(1), [("3 pages.pdf", 3, "completed")])
        self.until_cups(number, "completed")
        self.assertEqual(self.printer.paper, [3])
        self.assert_in_order()

    def test_released_at_another_printer_in_other_copies(self) -> None:
        other = self.cups.ipp_printer("two")
        self.queue("follow", self.printer.uri, "everywhere", release="find-me", group="g")
        self.queue("q2", other.uri, "everywhere", group="g")
        number = self.cups.lp("follow", self.pdf(5))
        (job,) = self.until_state("held")
        self.until_cups(number, "held")
        answer = self.admin("job", "release", job["job"], "--printer", "q2", "--copies", "2")
        self.assertEqual(answer["answer"], "released")
        self.assertEqual(self.until_charged(1), [("5 pages.pdf", 10, "completed")])
        self.assertEqual((self.printer.paper, other.paper), ([], [10]))
        self.assert_in_order()

    def test_released_at_a_queue_that_asks_nobody(self) -> None:
        other = self.cups.ipp_printer("two")
        self.queue("follow", self.printer.uri, "everywhere", release="find-me", group="g")
        self.queue("q2", other.uri, "everywhere", group="g")
        self.at_provider("provider", "cups", "disable", "q2")
        number = self.cups.lp("follow", self.pdf(5))
        (job,) = self.until_state("held")
        self.until_cups(number, "held")
        self.at_provider("job", "release", job["job"], "--printer", "q2")
        self.assertEqual(self.until_charged(1), [("5 pages.pdf", 5, "completed")])
        self.assertEqual(other.paper, [5])

    def test_released_at_a_queue_that_was_given_back(self) -> None:
        """It asks no more, and was asked for: it is charged."""
        self.queue("secure", self.printer.uri, "everywhere", release="secure")
        number = self.cups.lp("secure", self.pdf())
        (job,) = self.until_state("held")
        self.until_cups(number, "held")
        self.at_provider("provider", "cups", "disable", "secure")
        answer = self.at_provider("job", "release", job["job"], "--printer", "secure")
        self.assertEqual(answer["answer"], "released")
        self.until(lambda: self.printer.paper == [3], "the paper")
        self.assertEqual(self.until_charged(1), [("3 pages.pdf", 3, "completed")])
        self.assert_in_order()

    def test_canceled_by_its_owner_while_held(self) -> None:
        self.queue("secure", self.printer.uri, "everywhere", release="secure")
        number = self.cups.lp("secure", self.pdf())
        self.until_state("held")
        self.until_cups(number, "held")
        self.cups.run("cancel", "-u", "anna", f"secure-{number}")
        (job,) = self.until_state("ended")
        self.assertEqual(job["outcome"], "canceled")
        # And the other way round.
        number = self.cups.lp("secure", self.pdf())
        job = self.until_state("held")[-1]
        self.until_cups(number, "held")
        self.at_provider("job", "discard", job["job"])
        self.until_cups(number, "canceled")
        self.assertEqual((self.charges(), self.printer.paper), ([], []))

    def test_moved_by_a_person_it_is_another_question(self) -> None:
        other = self.cups.ipp_printer("two")
        self.queue("secure", self.printer.uri, "everywhere", release="secure")
        self.queue("q2", other.uri, "everywhere")
        number = self.cups.lp("secure", self.pdf())
        self.until_state("held")
        self.until_cups(number, "held")
        self.cups.run("lpmove", str(number), "q2")
        self.cups.run("lp", "-i", str(number), "-H", "resume")
        first, second = self.until_state("ended", 2)
        self.assertEqual((first["outcome"], second["outcome"]), ("canceled", "completed"))
        self.assertEqual(self.until_charged(1), [("3 pages.pdf", 3, "completed")])
        self.assertEqual((self.printer.paper, other.paper), ([], [3]))
        self.assert_in_order()

    def test_queue_that_the_server_does_not_know(self) -> None:
        """It waits, and nobody has to do anything else than add it."""
        self.cups.add_queue("new", self.printer.uri, "everywhere")
        self.at_provider("provider", "cups", "enable", "new")
        status = self.at_provider("provider", "cups", "status")
        self.assertEqual(status["not_known_to_the_server"], ["new"])
        self.cups.lp("new", self.pdf())
        self.until(lambda: "there is no printer" in self.cups.log(), "the reason in CUPS's log")
        self.admin("printer", "add", "new", "--provider", "p1", "--uri", "cups:new")
        self.assertEqual(self.until_charged(1), [("3 pages.pdf", 3, "completed")])


class ReprintTests(LifeCase):
    def test_reprint_is_a_new_job(self) -> None:
        number = self.cups.lp("q1", self.pdf())
        self.until_charged(1)
        self.until_cups(number, "completed")
        for count in (2, 3):
            self.cups.run("lp", "-i", str(number), "-H", "restart")
            self.until_charged(count)
        jobs = self.jobs()
        self.assertEqual(len({job["job"] for job in jobs}), 3)
        self.assertEqual({job["cups"] for job in jobs}, {f"q1-{number}"})
        before = ["", jobs[0]["job"], jobs[1]["job"]]
        self.assertEqual([job["reprint_of"] for job in jobs], before)
        self.assertEqual(self.printer.paper, [3, 3, 3])
        self.assert_in_order()

    def test_retry_is_the_same_job(self) -> None:
        printer = RawPrinter()
        self.addCleanup(printer.close)
        self.queue("raw", printer.uri, "raw")
        # More than the sockets hold between them.
        path = self.cups.folder / "large.pdf"
        path.write_bytes(self.pdf(4).read_bytes() + b"%" + b" " * 20_000_000)
        printer.breaks_off = 2
        number = self.cups.lp("raw", path, "-t", "large")
        self.assertEqual(self.until_charged(1), [("large", 4, "completed")])
        self.until_cups(number, "completed")
        (job,) = self.jobs()
        self.assertEqual((job["step"], job["reprint_of"]), ("submit-1", ""))
        self.assertEqual([len(data) for data in printer.documents], [path.stat().st_size])
        log = self.cups.log()
        # A slow machine has not looked into 20 MB within two seconds: it is held, and begun anew.
        held = log.count("(hold job)")
        self.assertEqual(log.count("Started backend") - held, 3)
        self.assert_in_order()

    def test_canceled_while_it_prints(self) -> None:
        self.printer.behave("wait")
        self.printer.behave("uncounted")
        number = self.cups.lp("q1", self.pdf())
        self.until_printing()
        self.cups.run("cancel", "-u", "anna", str(number))
        self.until_cups(number, "canceled")
        self.printer.behave("wait", False)
        (job,) = self.until_state("ended")
        self.assertEqual(job["outcome"], "canceled")
        # The printer has said nothing of sides: nothing is charged.
        self.until(lambda: self.provider.call("status")["owed"] == {"application": 0}, "peace")
        self.assertEqual(self.charges(), [])
        self.assert_in_order()


class RestartTests(LifeCase):
    def test_provider_killed_while_it_prints(self) -> None:
        self.printer.behave("wait")
        self.cups.lp("q1", self.pdf())
        job = self.until_printing()
        self.provider.kill()
        self.provider.start()
        self.assertEqual([one["state"] for one in self.jobs()], ["printing"])
        self.printer.behave("wait", False)
        (ended,) = self.until_state("ended")
        self.assertEqual((ended["job"], ended["assumed"]), (job["job"], False))
        self.assertEqual(self.until_charged(1), [("3 pages.pdf", 3, "completed")])
        self.assert_in_order()

    def test_ended_while_the_provider_was_away(self) -> None:
        self.printer.behave("wait")
        number = self.cups.lp("q1", self.pdf())
        self.until_printing()
        self.provider.kill()
        self.printer.behave("wait", False)
        self.until_cups(number, "completed")
        self.provider.start()
        self.assertEqual(self.until_charged(1), [("3 pages.pdf", 3, "completed")])
        self.assertEqual([job["assumed"] for job in self.jobs()], [False])
        self.assert_in_order()

    def test_forgotten_by_cups_it_is_assumed(self) -> None:
        self.printer.behave("wait")
        number = self.cups.lp("q1", self.pdf())
        self.until_printing()
        self.provider.kill()
        self.printer.behave("wait", False)
        self.until_cups(number, "completed")
        self.cups.run("cancel", "-a", "-x")
        self.provider.start()
        self.assertEqual(self.until_charged(1), [("3 pages.pdf", 3, "completed")])
        self.assertEqual([job["assumed"] for job in self.jobs()], [True])
        self.assert_in_order()

    def test_submitted_while_the_provider_is_away(self) -> None:
        self.provider.kill()
        number = self.cups.lp("q1", self.pdf())
        self.until(lambda: "Waiting for the print provider" in self.cups.log(), "a backend")
        self.assertEqual(self.cups_state(number), "processing")
        self.provider.start()
        self.assertEqual(self.until_charged(1), [("3 pages.pdf", 3, "completed")])
        self.assert_in_order()

    def test_held_over_restarts_of_both(self) -> None:
        self.queue("secure", self.printer.uri, "everywhere", release="secure")
        number = self.cups.lp("secure", self.pdf())
        (job,) = self.until_state("held")
        self.until_cups(number, "held")
        self.provider.kill()
        self.cups.stop()
        self.cups.start()
        self.provider.start()
        self.until_state("held")
        self.assertEqual(self.printer.paper, [])
        self.until(
            lambda: (
                self.at_provider("job", "release", job["job"], "--printer", "secure")["answer"]
                in ("released", "already-released")
            ),
            "a release",
        )
        self.assertEqual(self.until_charged(1), [("3 pages.pdf", 3, "completed")])
        self.assertEqual(self.printer.paper, [3])
        self.assert_in_order()

    def test_cups_stopped_while_it_prints(self) -> None:
        """CUPS calls it completed among its own; what the printer counted is charged."""
        self.printer.behave("wait")
        self.cups.lp("q1", self.pdf())
        job = self.until_printing()
        self.cups.stop()
        self.printer.behave("wait", False)
        self.until(lambda: self.printer.paper == [3], "the paper")
        self.cups.start()
        self.assertEqual(self.until_charged(1), [("3 pages.pdf", 3, "completed")])
        self.assertEqual([one["job"] for one in self.jobs()], [job["job"]])
        self.assert_in_order()

    def test_cups_killed_while_it_prints(self) -> None:
        """It prints again, and is charged once."""
        self.printer.behave("wait")
        number = self.cups.lp("q1", self.pdf())
        job = self.until_printing()
        self.until_on_disk(number)
        self.cups.stop(signal.SIGKILL)
        self.printer.behave("wait", False)
        self.cups.start()
        self.until_cups(number, "completed")
        self.assertEqual(self.until_charged(1), [("3 pages.pdf", 3, "completed")])
        self.assertEqual([one["job"] for one in self.jobs()], [job["job"]])
        self.assertEqual(self.printer.paper, [3, 3])
        self.assert_in_order()

    def test_a_provider_that_sleeps_loses_nothing(self) -> None:
        """The backend waits two seconds; the job is held, and released when it was decided."""
        os.kill(self.provider.pid, signal.SIGSTOP)
        number = self.cups.lp("q1", self.pdf())
        self.until_cups(number, "held")
        os.kill(self.provider.pid, signal.SIGCONT)
        self.assertEqual(self.until_charged(1), [("3 pages.pdf", 3, "completed")])
        self.until_cups(number, "completed")
        self.assertEqual((len(self.jobs()), self.printer.paper), (1, [3]))
        self.assert_in_order()

    def test_nobody_to_ask(self) -> None:
        self.app.stop()
        number = self.cups.lp("q1", self.pdf())
        (job,) = self.until_state("ended")
        self.assertEqual((job["decider"], job["outcome"]), ("tracker", "completed"))
        self.until_cups(number, "completed")
        self.app.start()
        self.assertEqual(self.until_charged(1), [("3 pages.pdf", 3, "completed")])
        self.assert_in_order()
