"""Queues of CUPS under the provider, and given back exactly as they were."""

from __future__ import annotations

import hashlib
import re

from papercutd.demo.processes import NotReady
from tests.support.cups import RawPrinter
from tests.support.cups_case import CupsCase

#: What CUPS writes by itself, of times and of its own state.
OWN = re.compile(r"^(ConfigTime|StateTime|State|Reason) .*\n", re.MULTILINE)


class QueueTests(CupsCase):
    def configuration(self) -> tuple[str, dict[str, str]]:
        """The file of queues without what changes by itself, and the digest of each PPD."""
        etc = self.cups.folder / "etc"
        text = OWN.sub("", (etc / "printers.conf").read_text())
        text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        ppds = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (etc / "ppd").glob("*.ppd")
        }
        return text, ppds

    def until_written(self, text: str) -> None:
        path = self.cups.folder / "etc" / "printers.conf"
        self.until(lambda: path.exists() and text in path.read_text(), f"{text} in its file")

    def refused(self, *words: str) -> str:
        try:
            self.at_provider("provider", "cups", *words)
        except NotReady as error:
            return str(error)
        raise AssertionError("it was not refused")

    def test_there_and_back(self) -> None:
        printer = self.cups.ipp_printer("one")
        words = ("-o", "sides-default=two-sided-long-edge", "-L", "2nd floor", "-D", "A printer")
        self.cups.add_queue("q1", printer.uri, "everywhere", *words)
        self.cups.add_queue("other", printer.uri, "everywhere")
        self.until_written("Printer other")
        before = self.configuration()
        shown = self.at_provider("provider", "cups", "enable", "q1")
        self.assertEqual((shown["enabled"], shown["prints_at"]), (True, printer.uri))
        # Again is the same.
        self.assertEqual(self.at_provider("provider", "cups", "enable", "q1"), shown)
        self.until_written(f"DeviceURI papercut:{printer.uri}")
        between = self.configuration()
        self.assertEqual(between[1], before[1])
        self.assertEqual(between[0].replace("papercut:", ""), before[0])
        found = {q["queue"]: q["enabled"] for q in self.at_provider("provider", "cups", "list")}
        self.assertEqual(found, {"q1": True, "other": False})
        status = self.at_provider("provider", "cups", "status")
        self.assertEqual((status["enabled"], status["backend"]), (["q1"], "installed"))
        for _ in range(2):
            shown = self.at_provider("provider", "cups", "disable", "q1")
            self.assertFalse(shown["enabled"])
        self.until(lambda: self.configuration() == before, "what there was before")

    def test_a_password_is_kept_from_everybody(self) -> None:
        printer = RawPrinter()
        self.addCleanup(printer.close)
        uri = printer.uri.replace("//", "//anna:secret@")
        self.cups.add_queue("raw", uri, "raw")
        self.admin("printer", "add", "raw", "--provider", "p1", "--uri", "cups:raw")
        self.until_written(uri)
        before = self.configuration()
        self.at_provider("provider", "cups", "enable", "raw")
        self.assertNotIn("secret", self.cups.run("lpstat", "-v"))
        self.until_written("DeviceURI papercut:")
        pdf = self.pdf()
        self.cups.lp("raw", pdf)
        self.until_charged(1)
        self.assertEqual(printer.documents, [pdf.read_bytes()])
        self.at_provider("provider", "cups", "disable", "raw")
        self.until(lambda: self.configuration() == before, "what there was before")

    def test_what_it_refuses(self) -> None:
        self.assertIn("no queue 'nowhere'", self.refused("enable", "nowhere"))
        self.cups.add_queue("raw", "socket://127.0.0.1:9", "raw")
        other = "socket://127.0.0.1:10"
        self.assertIn("is not that of the queue", self.refused("enable", "raw", "--uri", other))
        self.cups.backend.unlink()
        stated = ("enable", "raw", "--uri", "socket://127.0.0.1:9")
        self.assertIn("is missing", self.refused(*stated))
        self.cups.backend.write_text("#!/bin/sh\n")
        self.assertIn("not executable", self.refused(*stated))
        self.cups.backend.chmod(0o755)
        self.assertIn("of another release", self.refused(*stated))
        self.assertIn("socket://127.0.0.1:9", self.cups.run("lpstat", "-v", "raw"))

    def test_cups_away(self) -> None:
        self.cups.stop()
        self.assertIn("no answer", self.refused("list"))
        self.assertEqual(self.provider.call("status")["role"], "provider")
        self.cups.start()
        self.until(lambda: self.at_provider("provider", "cups", "status")["reachable"], "CUPS")
