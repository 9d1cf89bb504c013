"""``papercutd price`` and ``papercutd explain`` as somebody types them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands import main
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

    def called(self, path: str, name: str, arguments: dict[str, Any], progress: Any) -> Any:
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
        asked = {"copies": 2, "duplex": True, "user": "anna", "printer": ""}
        self.assertEqual(self.asked, [("price.test", {"groups": [["A4", 10, 3]], **asked})])
        self.assertIn("A4 grey: 19 x 0.05 = 0.95", text)
        self.assertIn("anna can spend 0.50: not enough", text)

    def test_a_document(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(make_pdf([Page(), Page()]))
        self.run_command("price", "test", str(path))
        self.assertEqual(self.asked[0][1]["groups"], [["A4", 2, 0]])

    def test_neither_both_or_no_document(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"no document at all")
        for words in ((), ("--pages", "1", "x.pdf"), (str(path),), ("/nowhere.pdf",)):
            with self.assertRaises(InvalidValue):
                self.run_command("price", "test", *words)
        self.assertEqual(self.asked, [])
