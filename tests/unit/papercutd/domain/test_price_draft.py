"""Prices as a file: read whole and written as they were read, or refused with words."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.price_csv import HEADING, from_csv, to_csv
from papercutd.domain.price_draft import as_document, parse_draft
from papercutd.errors import InvalidValue

PAIR = ["0.05", "0.20"]
WHOLE: dict[str, Any] = {
    "currency": "EUR",
    "effective_from": 0.0,
    "lines": {"A4": PAIR, "Tabloid": [*PAIR, "0.03", "0.15"], "<=A3": PAIR, "*": PAIR},
    **{"duplex_discount": "12.50%", "grey_discount": "5.00%"},
    **{"first_page": "0.02", "minimum": "0.10", "scan": "0.01", "fax": "0.005"},
    "multipliers": {"staff": "0.50", "guests": "1.25"},
    "lists": [{"name": "plotter", "printers": ["lp1"], "groups": ["staff"], "lines": {"*": PAIR}}],
}
AMOUNTS = st.integers(0, 10**8).map(lambda n: f"{n // 10_000}.{n % 10_000:04}")
LINES = st.dictionaries(
    st.sampled_from(["A4", "A3", "Legal", "420x594mm", "<=A5", "<=A4", "<=A2"]),
    st.sampled_from([2, 4]).flatmap(lambda n: st.lists(AMOUNTS, min_size=n, max_size=n)),
).map(lambda lines: {**lines, "*": PAIR})


class DraftTests(SynchronousTestCase):
    def test_it_is_written_as_it_was_read(self) -> None:
        draft = parse_draft(WHOLE)
        self.assertEqual(as_document(draft), WHOLE)
        self.assertEqual(parse_draft(from_csv(to_csv(WHOLE))), draft)

    @given(LINES, AMOUNTS, st.integers(0, 10_000), LINES)
    def test_whatever_it_says(self, lines, amount, share, own) -> None:
        discount = f"{share // 100}.{share % 100:02}%"
        lists = [{"name": "=a,\"b'", "printers": [], "groups": ["g, h"], "lines": own}]
        document = {"lines": lines, "minimum": amount, "grey_discount": discount, "lists": lists}
        draft = parse_draft(document)
        again = as_document(draft)
        self.assertEqual(parse_draft(again), draft)
        self.assertEqual(parse_draft(from_csv(to_csv(again))), draft)

    def test_sizes_that_share_a_line(self) -> None:
        table = parse_draft({"lines": {"A3, Tabloid a2": PAIR, "*": PAIR}}).table
        self.assertEqual([line.paper for line in table.papers], ["A3", "Tabloid", "420x594mm"])

    def assert_refused(self, change: dict[str, Any], *words: str) -> None:
        error = self.assertRaises(InvalidValue, parse_draft, {**WHOLE, **change})
        for word in words:
            self.assertIn(word, str(error))

    def test_gap_overlap_and_unknown_size(self) -> None:
        self.assert_refused({"lines": {"A4": PAIR}}, "line *")
        self.assert_refused({"lines": {"A4, A3": PAIR, "iso_a4": PAIR, "*": PAIR}}, "A4")
        self.assert_refused({"lines": {"A4, A4": PAIR, "*": PAIR}}, "A4", "twice")
        self.assert_refused({"lines": {"<=A44": PAIR, "*": PAIR}}, "A44", "no paper size")
        own = {"name": "plotter", "printers": ["lp1"], "lines": {"A4": PAIR}}
        self.assert_refused({"lists": [own]}, "plotter", "line *")

    def test_multipliers(self) -> None:
        for text in ("0", "-1", "1000000000", "1e9", "0,5", "", "0.00001", None, "nan"):
            self.assert_refused({"multipliers": {"staff": text}}, "multiplier of staff")

    def test_amounts_and_discounts(self) -> None:
        for text in ("0,05", "€0.05", "5e-2", "1" * 20, "", "-0.05", None, [], {}):
            self.assert_refused({"minimum": text}, "minimum")
            self.assert_refused({"lines": {"A4": [text, "1"], "*": PAIR}}, "A4")
            self.assert_refused({"lines": {"<=A4": [text, "1"], "*": PAIR}}, "<=A4")
        for text in ("101%", "-1%", "5", "1,5%", "0.001%", 5, None, "%"):
            self.assert_refused({"grey_discount": text}, "grey_discount")

    def test_nothing_that_is_not_known_or_of_another_kind(self) -> None:
        own = {"name": "a", "printers": ["p"], "lines": {"*": PAIR}}
        cases: list[dict[str, Any]] = [
            *({"price": 1}, {"lines": []}, {"lines": None}, {"lists": {}}, {"lists": [1]}),
            *({"currency": ""}, {"currency": 5}, {"currency": "€"}),
            *({"effective_from": text} for text in ("x", -1, True, float("nan"), 1e300)),
            *({"multipliers": []}, {"lists": [{**own, "name": ""}]}, {"lists": [{**own, "a": 1}]}),
            {"lists": [{**own, "printers": []}]},
            {"lists": [{**own, "printers": "p"}]},
            {"lists": [{**own, "printers": [1]}]},
        ]
        for change in cases:
            self.assert_refused(change)
        for document in (None, [], "x", 1):
            self.assertRaises(InvalidValue, parse_draft, document)

    def test_rows_that_are_none(self) -> None:
        heading = ",".join(HEADING)
        for row in (
            *("x", ",A4", ",A4,1", ",A4,1,2,3", ",A4,1,2,3,4,5", ",minimum,1,2", ",,1,2"),
            *(",multiplier,1", ",printer,p", "a,multiplier,1,g", ",effective_from,x"),
            *(',A4,"1', "a,currency,EUR", "x," * 10_000),
        ):
            error = self.assertRaises(InvalidValue, from_csv, f"{heading}\n{row}\n")
            self.assertTrue(str(error).startswith(("row 2", "file")), error)
        twice = f"{heading}\n,A4,1,2\n,A4,1,2\n"
        self.assertIn("row 3", str(self.assertRaises(InvalidValue, from_csv, twice)))
        for text in ("", "A4,1,2", "\0"):
            self.assertRaises(InvalidValue, from_csv, text)

    @given(st.text(max_size=200))
    def test_any_text(self, text) -> None:
        for found in (text, ",".join(HEADING) + "\n" + text):
            try:
                parse_draft(from_csv(found))
            except InvalidValue:
                pass
