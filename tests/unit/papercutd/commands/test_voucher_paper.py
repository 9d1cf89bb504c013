"""Vouchers as a table and as sheets of paper."""

from __future__ import annotations

import io

import pypdfium2
from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands.voucher_paper import write_csv, write_pdf

BATCH = {
    "name": "Môle 1",
    "amount": "5.00",
    "currency": "EUR",
    "until": "2027-02-01 00:00 UTC",
    "purse": "quota",
    "serials": [f"AAAA-BBBB-CCCC-{n:04d}" for n in range(12)],
}


class VoucherPaperTests(SynchronousTestCase):
    def test_table(self) -> None:
        file = io.StringIO()
        write_csv(file, {**BATCH, "name": "=1+1"})
        lines = file.getvalue().splitlines()
        self.assertEqual(len(lines), 13)
        self.assertEqual(lines[0], "batch,number,serial,amount,currency,until,purse")
        self.assertEqual(
            lines[1], "'=1+1,1,AAAA-BBBB-CCCC-0000,5.00,EUR,2027-02-01 00:00 UTC,quota"
        )

    def test_sheets(self) -> None:
        file = io.BytesIO()
        write_pdf(file, BATCH)
        document = pypdfium2.PdfDocument(file.getvalue())
        self.assertEqual(len(document), 2)
        texts = [page.get_textpage().get_text_range() for page in document]
        for number, serial in enumerate(BATCH["serials"]):
            self.assertIn(serial, texts[number // 10])
        self.assertIn("Môle 1 no. 12", texts[1])
        self.assertEqual(texts[0].count("5.00 EUR"), 10)
        self.assertNotIn("quota", texts[0])
        document.close()

    def test_sheets_say_which_purse_was_asked_for(self) -> None:
        file = io.BytesIO()
        write_pdf(file, BATCH, "quota")
        document = pypdfium2.PdfDocument(file.getvalue())
        text = document[0].get_textpage().get_text_range()
        self.assertEqual(text.count("good before 2027-02-01 00:00 UTC fills quota"), 10)
        document.close()
