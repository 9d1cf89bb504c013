"""``papercutd price`` and ``papercutd explain`` as somebody types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands import main
from papercutd.commands.price import read_prices
from papercutd.domain.price_csv import HEADING
from papercutd.errors import InvalidValue
from tests.unit.papercutd.provider.documents import Page, make_pdf

QUOTE = {
    **{"amount_e4": 9_500, "currency": "EUR", "pages": 10, "sheets": 10, "price_version": 3},
    **{"lines": [{"what": "A4 grey", "quantity": 19, "unit_e4": 500, "amount_e4": 9_500}]},
    **{"user": "anna", "spendable_e4": 5_000},
}


class PriceCommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.patch(main, "call", self.called)

    def called(
        self, path: str, name: str, arguments: dict[str, Any], progress: Any, who: str = ""
    ) -> Any:
        self.asked.append((name, arguments))
        return QUOTE

    def run_command(self, *words: str) -> Any:
        options = main.parser().parse_args(list(words))

        class Config:
            data_dir = "/nowhere"

        return options.readable(options.run(options, Config))

    def test_pages(self) -> None:
        words = ("--pages", "10", "--colour", "3", "--duplex", "--copies", "2", "--user", "anna")
        text = self.run_command("price", "test", *words)
        asked = {"copies": 2, "duplex": True, "user": "anna", "printer": "", "account": ""}
        self.assertEqual(self.asked, [("price.test", {"groups": [["A4", 10, 3]], **asked})])
        self.assertIn("A4 grey: 19 x 0.05 = 0.95", text)
        self.assertIn("anna can spend 0.50: not enough", text)

    def test_a_document(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(make_pdf([Page(), Page()]))
        self.run_command("price", "test", str(path))
        self.assertEqual(self.asked[0][1]["groups"], [["A4", 2, 0]])

    def test_a_comma_within_a_price(self) -> None:
        for words in (("A4=0,05,0,20", "*=1,2"), ("A4=1,2", "*=0,05,0.40")):
            options = main.parser().parse_args(["price", "set", *words])
            with self.assertRaisesRegex(InvalidValue, "comma within a price"):
                options.run(options, None)
        self.assertEqual(self.asked, [])

    def test_a_file_of_prices(self) -> None:
        path = Path(self.mktemp())
        line = {"lines": {"*": ["1", "2"]}}
        for text in (
            json.dumps(line),
            ",".join(HEADING) + "\n,*,1,2\n",
            "\ufeff" + json.dumps(line),
        ):
            path.write_text(text, "utf-8")
            main.parser().parse_args(["price", "import", str(path), "--check"])
            self.assertEqual(read_prices(str(path)), line)

    def test_a_file_that_is_none(self) -> None:
        path = Path(self.mktemp())
        half = '{"lines": {"*": ["1", "2"]}'
        twice = '{"lines": {"*": ["1", "2"], "*": ["3", "4"]}}'
        for data in (
            *(b"", b"\xff\xfe", b"A4;1;2", half.encode(), twice.encode(), b"{" + b" " * 500_000),
            *(b'{"a": ' + b"9" * 10_000 + b"}", b"[" * 100_000, b'{"a":' * 50_000),
        ):
            path.write_bytes(data)
            with self.assertRaises(InvalidValue):
                read_prices(str(path))

    def test_neither_both_or_no_document(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"no document at all")
        for words in ((), ("--pages", "1", "x.pdf"), (str(path),), ("/nowhere.pdf",)):
            with self.assertRaises(InvalidValue):
                self.run_command("price", "test", *words)
        self.assertEqual(self.asked, [])
