"""One paper has one name, in a price list as in what analysis says of a job."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.paper_sizes import SIZES, charged_name, paper_name
from papercutd.errors import InvalidValue
from papercutd.provider.cups.options import paper_of


class PaperSizes(SynchronousTestCase):
    def test_every_size_is_called_as_analysis_calls_it(self) -> None:
        self.assertGreaterEqual(len(SIZES), 50)
        for name, (width, height) in SIZES.items():
            points = (width / 25.4 * 72, height / 25.4 * 72)
            for w, h in (points, (round(points[0]), round(points[1]))):
                self.assertEqual(charged_name(name), paper_name(w, h), name)
                self.assertEqual(charged_name(name), paper_name(h, w), name)

    def test_no_two_sizes_share_a_name(self) -> None:
        self.assertEqual(len({charged_name(name) for name in SIZES}), len(SIZES))

    def test_other_names(self) -> None:
        for text in ("a4", " A4 ", "iso_a4", "iso_a4_210x297mm", "210x297mm", "297x210mm"):
            self.assertEqual(charged_name(text), "A4", text)
        self.assertEqual(charged_name("11x17"), "Tabloid")
        self.assertEqual(charged_name("na_letter_8.5x11in"), paper_of("na_letter_8.5x11in"))
        self.assertEqual(charged_name("216x279mm"), "Letter")
        self.assertEqual(charged_name("EnvC5"), "162x229mm")

    def test_a_size_that_analysis_takes_for_another_is_that_other(self) -> None:
        self.assertEqual(charged_name("212x296mm"), "A4")

    def test_unknown(self) -> None:
        for text in ("", "A44", "Leter", "0x5mm", "tray-1", "A4" * 1_000, "210,297"):
            error = self.assertRaises(InvalidValue, charged_name, text)
            self.assertIn("no paper size we know", str(error))
