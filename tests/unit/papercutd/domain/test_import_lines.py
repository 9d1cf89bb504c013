"""Lines of a file from elsewhere, and what is said of those that cannot be taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.import_formats import FORMATS, RowReader, write_row
from papercutd.domain.import_lines import LINE_LENGTH_MAX, LineReader
from papercutd.domain.user_fields import parse_until, show_end, show_until
from papercutd.errors import InvalidValue


def lines_of(data: bytes, size: int, encoding: str = "utf-8"):
    reader = LineReader(encoding)
    found = []
    for at in range(0, len(data), size):
        found += reader.feed(data[at : at + size])
    return [(one.number, one.text, bool(one.problem)) for one in [*found, *reader.finish()]]


class LineReaderTests(SynchronousTestCase):
    @given(
        st.lists(st.text(st.characters(exclude_characters="\n\r\ufeff", codec="utf-8"))),
        st.integers(1, 50),
        st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    )
    def test_any_parts(self, texts, size, encoding) -> None:
        data = "".join(f"{text}\n" for text in texts).encode(encoding)
        expected = [(number, text, False) for number, text in enumerate(texts, 1)]
        self.assertEqual(lines_of(data, size), expected)

    @given(st.binary(max_size=300), st.integers(1, 60))
    def test_any_bytes(self, data, size) -> None:
        try:
            whole = lines_of(data, 1_000)
        except InvalidValue:
            with self.assertRaises(InvalidValue):
                lines_of(data, size)
        else:
            self.assertEqual(lines_of(data, size), whole)

    def test_a_line_that_is_too_long(self) -> None:
        long = b"x" * (3 * LINE_LENGTH_MAX)
        found = lines_of(b"a\n" + long + b"\nb\n", 1_000)
        self.assertEqual(found, [(1, "a", False), (2, "", True), (3, "b", False)])

    def test_half_a_line(self) -> None:
        reader = LineReader()
        self.assertEqual([*reader.feed(b"a\nbcd"), *reader.finish()][1].text, "bcd")
        self.assertFalse(reader.is_whole)


class RowReaderTests(SynchronousTestCase):
    def why(self, *lines, format="users"):
        reader = RowReader(FORMATS[format])
        for number, line in enumerate(lines[:-1], 1):
            reader.read(number, line)
        with self.assertRaises(InvalidValue) as caught:
            reader.read(len(lines), lines[-1])
        return str(caught.exception)

    def test_words(self) -> None:
        for lines, words in (
            (["a\t1,50"], "comma"),
            (["a\t€5"], "currency"),
            (["a\t5 EUR"], "currency"),
            (["a\t1e5"], "exponent"),
            (["a\t" + "9" * 20], "eleven digits"),
            (["a\t1.23456"], "four digits"),
            (["a\t--1"], "no amount"),
            (["a\t1\tmaybe"], "Y or N"),
            (["a" + "\t" * 9_999], "has 10000 columns, the format has 14"),
            (["a\t1\tY", "b\t1"], "has 2 columns, the first line 3: is it cut off"),
            (["a,1,Y"], "separated by tabs"),
            (["a\0b"], "NUL"),
            (["x" * 256], "longer than 255 characters: it has 256"),
            (["\t1"], "empty"),
            (["Anna", "anna"], "line 1: differs only in capital letters"),
            (["SCHOOL\\anna", "LAB\\anna"], "differs only in the domain"),
            (["jos\N{LATIN SMALL LETTER E WITH ACUTE}", "jose\u0301"], "how accents are written"),
            (["a", "a"], "is the same name"),
            (["a" + "\t" * 12 + "x", "b" + "\t" * 12 + "X"], "line 1 too"),
        ):
            self.assertIn(words, self.why(*lines), lines)
        self.assertIn("longer than 50", self.why("x" * 51, format="internal-users"))
        self.assertIn("at least 2", self.why("anna", format="cards"))
        self.assertIn("card", self.why("anna\t1\u00e92", format="cards"))

    @given(st.lists(st.text(max_size=30), max_size=20))
    def test_whatever_it_is(self, fields) -> None:
        """It is taken, or refused in words."""
        for format in FORMATS.values():
            try:
                RowReader(format).read(1, "\t".join(fields))
            except InvalidValue as error:
                self.assertTrue(str(error))

    def test_what_is_written_is_one_line(self) -> None:
        self.assertEqual(write_row(["a", "b\tc\nd", ""]), "a\tb c d\t")


class UntilTests(SynchronousTestCase):
    def test_a_day_is_whole(self) -> None:
        self.assertEqual(show_until(parse_until("2027-01-31")), "2027-02-01 00:00 UTC")
        self.assertEqual(show_end(parse_until("2027-01-31")), "2027-01-31")
        self.assertEqual(show_end(parse_until("2027-01-31 18:00")), "2027-01-31 18:00 UTC")
        self.assertEqual(show_end(None), "never")
        self.assertEqual(show_until(parse_until("2027-01-31 18:00")), "2027-01-31 18:00 UTC")
        self.assertEqual((parse_until("never"), show_until(None)), (None, "never"))
        for bad in ("", "31.1.2027", "2027-13-01", "9999-12-31", "tomorrow"):
            with self.assertRaises(InvalidValue):
                parse_until(bad)
