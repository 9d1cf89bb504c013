"""What goes wrong around a CUPS job: each time one is hit, everybody else prints."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from papercutd.identity.authority import Authority
from tests.support.certificates import credentials
from tests.support.cups import IppPrinterProgram, RawPrinter, SilentPrinter
from tests.support.cups_case import CupsCase
from tests.support.raw_link import RawLink, job_id


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
                ("never answered", "mute", self.pdf(3)),
            )
        }
        self.until(lambda: self.states("never answered") == [("printing", "")], "it prints")
        self.until(lambda: self.states("never read") == [("printing", "")], "it prints")
        # Not before: on a slow machine the first is held for a moment, and the next one let by.
        numbers["behind it"] = self.cups.lp("silent", large, "-t", "behind it")
        self.others_print()
        self.assertEqual(self.states("behind it"), [])

        # Dies at page 60 of 100.
        ipp.behave("dies", value="60")
        self.cups.lp("one", self.pdf(100), "-t", "sixty")
        # CUPS's backend ends one way or the other, as it looks before the printer's end or after.
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


def fill(folder: Path) -> Path:
    """Write to the disk of ``folder`` until not one byte more goes onto it; what to delete."""
    filler = folder / "filler"
    with open(filler, "ab", buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


class SocketFaultTests(FaultCase):
    """The provider's sockets in a running installation; what each end bears: test_cups_backend."""

    def test_hostile_clients_and_a_socket_that_is_gone(self) -> None:
        place = self.provider.data / "cups.sock"
        for path in (place, self.provider.data / "submit.sock"):
            for said in (b"", b"x" * (4 << 20), b"\x00\xff\n" * 100):
                for _ in range(190 if said == b"" else 1):
                    connection = socket.socket(socket.AF_UNIX)
                    self.addCleanup(connection.close)
                    connection.connect(str(path))
                    with contextlib.suppress(ConnectionError):
                        connection.sendall(said)
        self.others_print()
        place.unlink()
        status = self.at_provider("provider", "cups", "status")
        self.assertEqual(status["socket"], f"{place}: gone")
        self.cups.lp("good", self.pdf(2), "-t", "waits")
        self.until(lambda: "Waiting for the print provider" in self.cups.log(), "a backend")
        self.provider.stop()
        self.provider.start()
        self.until_charge("waits", 2, "completed")
        self.assert_in_order()


class EndlessDocumentTests(FaultCase):
    provider_config = "[analysis]\ntime_max_s = 4.0\n"

    def test_printed_and_counted_by_the_printer(self) -> None:
        """Its time is over, then it is a document of which nothing is known."""
        self.admin("user", "add", "mallory", "--balance", "1.00")
        endless = self.cups.folder / "endless.ps"
        endless.write_bytes(b"%!PS\n{ } loop\n")
        # The two would take both places that there are.
        titles = ["endless 1", "endless 2"]
        for title in titles:
            self.cups.lp("good", endless, "-t", title, user="mallory")
        self.until(lambda: self.states(titles[0]) == [("received", "")], "it is looked into")
        self.others_print()
        self.assertNotIn(("ended", "completed"), self.states(titles[-1]))
        for title in titles:
            self.until_ended(title, "completed")
        self.until_owed_nothing()
        self.assertEqual(self.good.documents.count(endless.read_bytes()), 2)
        self.assert_in_order()


class ClaimTests(FaultCase):
    """``lp -U ceo`` on an open queue is a claim; what is held is authenticated at release."""

    def log_in(self, number: str) -> tuple[RawLink, str]:
        """A session of the device, and the login of who has that card."""
        word, person = self.link.ask("LOGIN", method="card", card=number)
        self.assertEqual(word, "OK", person)
        return self.link, person["login"]

    def test_held_for_who_is_claimed(self) -> None:
        for name, card in (("ceo", "0815"), ("mallory", "4711")):
            self.admin("user", "add", name, "--balance", "10.00")
            self.app.call("user.card", name=name, number=card)
        self.queue("secure", self.good.uri, "raw", release="secure")
        self.app.call("device.add", name="mfd", printer="secure", logins="card")
        identity = self.cups.folder / "device"
        identity.mkdir()
        authority = Authority.load(self.app.data / "ca")
        credentials(authority, "device", "mfd", time.time()).save(identity)
        self.link = RawLink(self.devices_port, identity)
        self.addCleanup(self.link.close)
        word, welcome = self.link.hello("mfd", role="device")
        self.assertEqual(word, "OK", welcome)

        # On an open queue the claim is believed.
        self.cups.lp("good", self.pdf(1), "-t", "believed", user="ceo")
        self.until_charge("believed", 1, "completed")
        self.assertEqual(self.payers(), ["ceo"])

        # On this one it is held, and only the one who is named gets at it.
        number = self.cups.lp("secure", self.pdf(2), "-t", "claimed", user="ceo")
        self.until(lambda: self.states("claimed") == [("held", "")], "it is held")
        self.until(lambda: self.cups_state(number) == "held", "held at CUPS")
        job = self.jobs()[-1]["job"]
        link, login = self.log_in("4711")
        self.assertEqual(link.ask("JOBS", login=login)[1]["jobs"], [])
        for verb in ("RELEASE", "DISCARD"):
            word, answer = link.ask(verb, login=login, release=job_id(1), job=job)
            self.assertNotEqual(answer.get("answer"), "released", (word, answer))
        self.assertEqual(self.states("claimed"), [("held", "")])
        link, login = self.log_in("0815")
        found = link.ask("JOBS", login=login)[1]["jobs"]
        self.assertEqual([one["job"] for one in found], [job])
        word, answer = link.ask("RELEASE", login=login, release=job_id(2), job=job)
        self.assertEqual((word, answer["answer"]), ("OK", "released"), answer)
        self.until_charge("claimed", 2, "completed")
        self.assertEqual(self.payers(), ["ceo", "ceo"])
        self.assertEqual(len(self.good.documents), 2)

        # CUPS lets anybody name anybody; its own word on it is a policy of the queue.
        held = self.cups.lp("secure", self.pdf(2), "-t", "thrown away", user="ceo")
        self.until(lambda: self.states("thrown away") == [("held", "")], "it is held")
        self.until(lambda: self.cups_state(held) == "held", "held at CUPS")
        self.assertEqual(
            self.link.ask("DISCARD", login=login, release=job_id(3), job=self.jobs()[-1]["job"])[0],
            "OK",
        )
        self.until_ended("thrown away", "discarded")
        self.until(lambda: self.cups_state(held) == "canceled", "canceled at CUPS")
        self.assert_in_order()

    def payers(self) -> list[str]:
        with sqlite3.connect(f"file:{self.app.data}/application.db?mode=ro", uri=True) as database:
            rows = database.execute("SELECT user_name FROM charge ORDER BY number").fetchall()
        database.close()
        return [row[0] for row in rows]


class CupsFaultTests(FaultCase):
    def set_up_cups(self, **directives: str) -> None:
        """CUPS with other words in its configuration, started anew."""
        path = self.cups.folder / "etc" / "cupsd.conf"
        lines = path.read_text().splitlines()
        for name, value in directives.items():
            lines = [line for line in lines if not line.startswith(f"{name} ")]
            lines.insert(0, f"{name} {value}")
        path.write_text("\n".join(lines) + "\n")
        self.cups.stop()
        self.cups.start()

    def test_spool_full(self) -> None:
        """Nothing new is taken in, by CUPS's own word; what is under way goes on."""
        cups = self.cups
        printer = cups.ipp_printer("one")
        self.queue("one", printer.uri, "everywhere")
        cups.stop()
        spool = cups.folder / "spool"
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0710", "papercutd-test", str(spool)],
            check=True,
        )
        self.addCleanup(subprocess.run, ["umount", "-l", str(spool)], check=True)
        (spool / "tmp").mkdir()
        subprocess.run(["chown", "-R", "root:lp", str(spool)], check=True)
        (spool / "tmp").chmod(0o1770)
        cups.start()
        printer.behave("wait")
        cups.lp("one", self.pdf(3), "-t", "under way")
        self.until(lambda: self.states("under way") == [("printing", "")], "it prints")
        # Of an unknown format, so that what goes to the printer is looked into.
        unknown = cups.folder / "unknown"
        unknown.write_bytes(b"\x01\x02 nobody knows this " * 1000)
        held = cups.lp("good", unknown, "-t", "unknown", "-H", "indefinite")
        filler = fill(spool)
        said = cups.run(*("lp", "-d", "good", "-U", "anna", str(self.pdf(40))), fails=True)
        self.assertIn("lp:", said)
        printer.behave("wait", False)
        self.until_charge("under way", 3, "completed")
        cups.run("lp", "-i", str(held), "-H", "resume")
        self.until(lambda: self.states("unknown") == [("ended", "completed")], "it is printed")
        self.assertEqual(self.good.documents, [unknown.read_bytes()])
        filler.unlink()
        self.others_print()
        self.assert_in_order()

    def test_history_not_kept(self) -> None:
        """CUPS forgets jobs as they end: how they ended is heard, and only else assumed."""
        self.set_up_cups(PreserveJobHistory="No", PreserveJobFiles="No")
        printer = self.cups.ipp_printer("one")
        self.queue("one", printer.uri, "everywhere")
        numbers = [self.cups.lp("good", self.pdf(2), "-t", f"many {n}") for n in range(3)]
        for n in range(3):
            self.until_charge(f"many {n}", 2, "completed")
        self.assertEqual({self.cups_state(number) for number in numbers}, {"unknown"})
        self.assertEqual({job["assumed"] for job in self.jobs()}, {False})
        self.assert_unseen_is_assumed(printer, "first", lambda: None)

        # MaxJobs makes CUPS forget the oldest, also of those nobody has followed to the end.
        self.cups.add_queue("free", self.good.uri, "raw")
        self.set_up_cups(PreserveJobHistory="Yes", MaxJobs="2")
        free = lambda: [self.cups.lp("free", self.pdf(1)) for _ in range(3)]  # noqa: E731
        self.assert_unseen_is_assumed(printer, "second", free)
        self.others_print()
        self.assert_in_order()

    def assert_unseen_is_assumed(
        self, printer: IppPrinterProgram, title: str, before_the_look: Callable[[], object]
    ) -> None:
        """A job that ends and is forgotten while the provider is away is charged as analysed."""
        printer.behave("wait")
        known = printer.documents
        number = self.cups.lp("one", self.pdf(3), "-t", title)
        self.until(lambda: self.states(title) == [("printing", "")], "it prints")
        # Before that the backend may not have heard yet that it prints.
        self.until(lambda: printer.documents > known, "a document at the printer")
        self.provider.kill()
        printer.behave("wait", False)
        self.until(lambda: self.cups_state(number) in ("completed", "unknown"), "its end")
        before_the_look()
        self.until(lambda: self.cups_state(number) == "unknown", "CUPS has forgotten it")
        self.provider.start()
        self.until_charge(title, 3, "completed")
        self.assertEqual([j["assumed"] for j in self.jobs() if j["title"] == title], [True])
        listed = [item["kind"] for item in self.admin("statement", "--since", "0")["listed"]]
        self.assertIn("assumed", listed)
