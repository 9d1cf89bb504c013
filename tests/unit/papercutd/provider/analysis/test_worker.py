"""What a document is found to be: pages, sizes, colour, and why nothing was found."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.provider.analysis import worker as worker_module
from papercutd.provider.analysis.formats import PDF, guess_format
from papercutd.provider.analysis.worker import analyse, paper_name
from tests.unit.papercutd.provider.documents import (
    A4,
    GREY_AS_RGB,
    RED_DOT,
    Page,
    make_encrypted,
    make_many_pages,
    make_pdf,
)


class ReadyTests(SynchronousTestCase):
    def test_it_gets_ready_by_looking_into_a_word(self) -> None:
        pages = worker_module.pdf_pages(worker_module._FIRST_PDF)
        self.assertEqual([(page.paper, page.is_colour) for page in pages], [("A4", True)])
        worker_module.get_ready()

    def test_it_starts_without_twisted(self) -> None:
        program = f"import sys, {worker_module.__name__}; print(*sys.modules)"
        ran = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {program}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        self.assertIn("attr", ran.stdout.split())
        self.assertNotIn("twisted", ran.stdout.split())


class AnalyseTests(SynchronousTestCase):
    def found(self, data: bytes) -> dict[str, Any]:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(data)
        return analyse(path)

    def groups(self, *pages: Page) -> list[list[Any]]:
        return self.found(make_pdf(pages))["groups"]  # type: ignore[no-any-return]

    def test_pages_by_size(self) -> None:
        found = self.groups(Page(), Page((842, 1191)), Page(), Page((612, 792)))
        self.assertEqual(found, [["A4", 2, 0], ["A3", 1, 0], ["Letter", 1, 0]])

    def test_a_page_turned_is_the_same_paper(self) -> None:
        found = self.groups(Page((842, 595)), Page(rotate=90), Page(rotate=180), Page(rotate=270))
        self.assertEqual(found, [["A4", 4, 0]])

    def test_a_size_nobody_sells_is_named_by_its_measures(self) -> None:
        self.assertEqual(self.groups(Page((283.5, 566.9))), [["100x200mm", 1, 0]])

    def test_a_little_off_is_still_that_size(self) -> None:
        self.assertEqual(self.groups(Page((590.1, 849.9))), [["A4", 1, 0]])
        self.assertEqual(paper_name(A4[0] + 13, A4[1]), "214x297mm")

    def test_a_small_coloured_dot_is_colour(self) -> None:
        self.assertEqual(self.groups(Page(content=RED_DOT), Page()), [["A4", 2, 1]])

    def test_grey_in_the_words_of_colour_is_grey(self) -> None:
        self.assertEqual(self.groups(Page(content=GREY_AS_RGB)), [["A4", 1, 0]])

    def test_an_empty_page_counts(self) -> None:
        self.assertEqual(self.groups(Page(content=b"")), [["A4", 1, 0]])

    def test_too_many_pages(self) -> None:
        data = make_many_pages(worker_module.PAGES_MAX + 1)
        self.assertEqual(self.found(data), {"failed": "too-many-pages"})

    def test_beyond_the_rendered_ones_pages_count_as_grey(self) -> None:
        self.patch(worker_module, "RENDERED_MAX", 1)
        self.assertEqual(self.groups(Page(content=RED_DOT), Page(content=RED_DOT)), [["A4", 2, 1]])


class MainTests(SynchronousTestCase):
    """The worker's words, without its limits."""

    def said(self, data: bytes) -> Any:
        import io

        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(data)
        out = io.StringIO()
        self.patch(worker_module, "limit", lambda: None)
        self.patch(worker_module.sys, "argv", ["worker", path])
        self.patch(worker_module.sys, "stdout", out)
        worker_module.main()
        return json.loads(out.getvalue())

    def test_what_cannot_be_read_says_so(self) -> None:
        whole = make_pdf([Page()])
        for data in (
            b"",
            b"not a PDF",
            b"%PDF-1.4\n",
            whole[: len(whole) // 3],
            make_encrypted(),
            b"%PDF-1.4\n" + bytes(range(256)) * 40,
        ):
            said = self.said(data)
            self.assertEqual(list(said), ["failed"], data[:20])

    def test_no_pages(self) -> None:
        self.assertIn("failed", self.said(make_pdf([])))

    def test_a_count_that_lies_ends(self) -> None:
        said = self.said(make_pdf([Page()], count=1_000_000))
        self.assertTrue(said.get("failed") or said["groups"] == [["A4", 1, 0]], said)


class FormatTests(SynchronousTestCase):
    def test_by_the_first_bytes(self) -> None:
        for head, expected in (
            (b"%PDF-1.7", PDF),
            (b"\n\n%PDF-1.7", PDF),
            (b"%!PS-Adobe-3.0", "application/postscript"),
            (b"\x1b%-12345X@PJL", "application/vnd.hp-pjl"),
            (b"RaS2", "image/raster"),
            (b"UNIRAST\0", "image/raster"),
            (b"hello", "application/octet-stream"),
        ):
            self.assertEqual(guess_format(head), expected)
