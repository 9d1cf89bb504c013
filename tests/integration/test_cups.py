"""Printing through a real CUPS: what is charged are the sides that came out."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.cups import RawPrinter
from tests.support.cups_case import CupsCase
from tests.support.paper import raster_pages
from tests.unit.papercutd.provider.documents import RED_DOT, Page

RASTER = "drv:///cupsfilters.drv/pwgrast.ppd"
PCL = "drv:///sample.drv/laserjet.ppd"
PCL_XL = "lsb/usr/cupsfilters/pxlcolor.ppd"


class IppPrinterTests(CupsCase):
    """A printer of IPP Everywhere, which counts."""

    def test_options(self) -> None:
        printer = self.cups.ipp_printer("one")
        self.queue("q1", printer.uri, "everywhere")
        expected = []
        for pages, words, sides in (
            (3, (), 3),
            (3, ("-n", "2"), 6),
            (3, ("-o", "sides=two-sided-long-edge"), 3),
            # Each copy begins on a sheet of its own: the empty backs are nobody's.
            (3, ("-n", "2", "-o", "sides=two-sided-long-edge"), 6),
            (5, ("-o", "page-ranges=2-3"), 2),
            (5, ("-o", "page-ranges=1,4-"), 3),
            (5, ("-o", "number-up=2"), 3),
            (5, ("-o", "number-up=4", "-o", "sides=two-sided-short-edge"), 2),
            (5, ("-o", "number-up=2", "-o", "page-ranges=1-2", "-n", "3"), 6),
            (5, ("-o", "page-set=even"), 2),
        ):
            title = f"job {len(expected)}"
            self.cups.lp("q1", self.pdf(pages), "-t", title, *words)
            expected.append((title, sides, "completed"))
        self.assertEqual(sorted(self.until_charged(len(expected))), expected)
        # What came out, empty backs included.
        self.assertEqual(printer.paper, [3, 6, 4, 8, 2, 3, 3, 2, 6, 2])
        self.assert_in_order()

    def test_documents_of_every_kind(self) -> None:
        """What is counted before is what comes out, whatever it was before it was filtered."""
        printer = self.cups.ipp_printer("one")
        self.queue("q1", printer.uri, "everywhere")
        printer.behave("uncounted")
        folder = self.cups.folder
        pdf = self.pdf([Page(), Page(content=RED_DOT), Page()])
        (folder / "text.txt").write_text("".join(f"line {n}\n" for n in range(150)))
        # Text to CUPS and nothing to us: what the filters make of it is counted.
        lines = "".join(f"<p>{n}</p>\n" for n in range(150))
        (folder / "page.html").write_text(f"<!DOCTYPE html>\n<html>{lines}</html>")
        for command in (
            ("-sDEVICE=ps2write", "-o", "a.ps"),
            ("-sDEVICE=png16m", "-r50", "-dLastPage=1", "-o", "a.png"),
            ("-sDEVICE=pwgraster", "-r100", "-o", "a.pwg"),
        ):
            ghostscript(folder, *command, str(pdf))
        names = ["text.txt", "a.ps", "a.png", "a.pwg", "page.html"]
        for name in names:
            self.cups.lp("q1", folder / name, "-n", "2")
        charged = {title: pages for title, pages, _ in self.until_charged(len(names))}
        self.assertEqual(
            charged, {"text.txt": 6, "a.ps": 6, "a.png": 2, "a.pwg": 6, "page.html": 6}
        )
        self.assertEqual(sorted(printer.paper), sorted(charged.values()))
        self.assert_in_order()


class SocketPrinterTests(CupsCase):
    """Printers that take bytes and say nothing: what is analysed is charged."""

    def setUp(self) -> None:
        super().setUp()
        self.printer = RawPrinter()
        self.addCleanup(self.printer.close)

    def received(self, count: int) -> list[bytes]:
        self.until(
            lambda: len(self.printer.documents) >= count, f"{count} documents at the printer"
        )
        return self.printer.documents

    def charged(self, count: int) -> list[int]:
        return [pages for _, pages, _ in sorted(self.until_charged(count))]

    def print_all(self, queue: str) -> list[int]:
        """Sides charged of six jobs of a document of five pages, one in colour."""
        pdf = self.pdf([Page(), Page(content=RED_DOT), Page(), Page(), Page()])
        jobs = (
            (),
            ("-n", "3"),
            ("-o", "sides=two-sided-long-edge"),
            ("-o", "page-ranges=2-4"),
            ("-o", "number-up=2"),
            ("-o", "number-up=2", "-o", "page-ranges=1-2", "-n", "2"),
        )
        for number, words in enumerate(jobs):
            self.cups.lp(queue, pdf, "-t", f"job {number}", *words)
        return self.charged(len(jobs))

    def test_raw_queue(self) -> None:
        """No filter runs: of the options only copies count, which the backend makes."""
        self.queue("raw", self.printer.uri, "raw")
        pdf = self.pdf(3)
        self.cups.lp("raw", pdf, "-t", "job 0", "-n", "2", "-o", "number-up=2")
        self.assertEqual(self.charged(1), [6])
        # The socket backend sends copies one after the other.
        self.assertEqual(b"".join(self.received(1)), pdf.read_bytes() * 2)
        ljet = self.cups.folder / "made.pcl"
        ghostscript(self.cups.folder, "-sDEVICE=ljet4", "-o", str(ljet), str(pdf))
        self.cups.lp("raw", ljet, "-t", "job 1", "-o", "raw")
        self.assertEqual(self.charged(2), [6, 3])
        self.assert_in_order()

    def test_raster_queue(self) -> None:
        self.queue("raster", self.printer.uri, RASTER)
        charged = self.print_all("raster")
        self.assertEqual(charged, [5, 15, 5, 3, 3, 4])
        came = [raster_pages(data) for data in self.received(6)]
        # Copies are made by the filter here; an even number of sides in each where duplex.
        self.assertEqual(came, [5, 15, 5, 3, 3, 4])
        self.assert_in_order()

    def test_pcl_queue(self) -> None:
        self.queue("pcl", self.printer.uri, PCL)
        charged = self.print_all("pcl")
        self.assertEqual(charged, [5, 15, 5, 3, 3, 4])
        self.assertEqual([pcl_sides(data) for data in self.received(6)], charged)
        # The driver is of a grey printer: nothing of it is charged as colour.
        items = {item for lines in self.lines() for item, _ in lines}
        self.assertEqual({item.rpartition(" ")[2] for item in items}, {"grey"})
        self.assert_in_order()

    def test_pcl_xl_queue(self) -> None:
        self.queue("xl", self.printer.uri, PCL_XL)
        charged = self.print_all("xl")
        self.assertEqual(charged, [5, 15, 5, 3, 3, 4])
        self.received(6)
        items = {item.rpartition(" ")[2] for lines in self.lines() for item, _ in lines}
        self.assertEqual(items, {"grey", "colour"})
        self.assert_in_order()


class SeveralDocumentsTests(CupsCase):
    """Several files in one job, and sheets before and after it, which cost nobody anything."""

    def print_all(self, queue: str, *which: int) -> tuple[list[int], list[int]]:
        """What was charged and what came out of jobs of two documents and with sheets."""
        four, three = self.pdf(4), self.pdf(3)
        jobs: tuple[tuple[Path | str, ...], ...] = (
            (four, three),
            ("-n", "2", "-o", "number-up=2", four, three),
            ("-o", "job-sheets=standard,standard", three),
            ("-n", "2", "-o", "page-ranges=1-2", "-o", "job-sheets=standard,standard", three),
            ("-n", "2", "-o", "job-sheets=none,standard", three, four),
        )
        before = len(self.charges())
        for number in which:
            words = ("-t", f"{queue} {number}", *jobs[number])
            self.cups.run("lp", "-d", queue, "-U", "anna", *map(str, words))
        charged = sorted(self.until_charged(before + len(which))[before:])
        return [pages for _, pages, _ in charged], self.came(len(which))

    def came(self, count: int) -> list[int]:
        self.until(lambda: len(self.printer.documents) >= count, f"{count} documents")
        found = [self.sides(data) for data in self.printer.documents[-count:]]
        self.printer.documents.clear()
        return found

    def sides(self, data: bytes) -> int:
        if data.startswith(b"RaS2"):
            return raster_pages(data)
        return pcl_sides(data) if data.startswith(b"\x1b") else -1

    def test_charged_without_sheets(self) -> None:
        self.printer = RawPrinter()
        self.addCleanup(self.printer.close)
        self.queue("pcl", self.printer.uri, PCL)
        charged, came = self.print_all("pcl", 0, 1, 2, 3, 4)
        self.assertEqual(charged, [7, 8, 3, 4, 14])
        self.assertEqual(came, [7, 8, 3 + 2, 4 + 2, 14 + 1])
        self.queue("raster", self.printer.uri, RASTER)
        charged, came = self.print_all("raster", 1, 3)
        self.assertEqual((charged, came), ([8, 4], [8, 4 + 2]))
        # No filter: options but copies mean nothing.
        self.queue("raw", self.printer.uri, "raw")
        four, three = self.pdf(4), self.pdf(3)
        self.cups.run(
            *("lp", "-d", "raw", "-U", "anna", "-t", "z1", "-n", "2"),
            *("-o", "number-up=2", str(four), str(three)),
        )
        self.cups.run(
            *("lp", "-d", "pcl", "-U", "anna", "-t", "z2", "-o", "raw"),
            *("-o", "number-up=2", str(four), str(three)),
        )
        charged = sorted(self.until_charged(9))[-2:]
        self.assertEqual([pages for _, pages, _ in charged], [14, 7])
        self.until(lambda: len(self.printer.documents) == 2, "both")
        self.assertEqual({data.count(b"%PDF-") for data in self.printer.documents}, {4, 2})
        self.assertEqual(len(self.jobs()), 9)
        self.assert_in_order()

    def test_printer_that_counts(self) -> None:
        """It counts the sheets too."""
        printer = self.cups.ipp_printer("one", "image/pwg-raster")
        self.queue("q1", printer.uri, "everywhere")
        words = ("-o", "job-sheets=standard,none")
        for number, more in enumerate(((), ("-o", "sides=two-sided-long-edge"))):
            self.cups.lp("q1", self.pdf(3), "-t", f"job {number}", *words, *more)
        charged = sorted(self.until_charged(2))
        self.assertEqual(printer.paper, [4, 6])
        self.assertEqual([pages for _, pages, _ in charged], [3, 3])
        self.assert_in_order()


def pcl_sides(data: bytes) -> int:
    """Sides of what the LaserJet driver of CUPS made: each is a raster of its own."""
    sides, copies = 0, 1
    for found in re.finditer(rb"\x1b&l(\d+)X|\x1b\*r0B", data):
        if found[1] is None:
            sides += copies
        else:
            copies = int(found[1])
    return sides


def ghostscript(folder: Path, *words: str) -> None:
    command = ["gs", "-q", "-dNOPAUSE", "-dBATCH", *words]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
