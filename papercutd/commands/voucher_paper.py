"""Vouchers as files: a table for a mail merge, and sheets of paper to cut up.

PDFium, which looks into documents anyway, draws them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any, BinaryIO, TextIO

import pypdfium2
import pypdfium2.raw as pdfium

#: A4 in points, two columns of five.
_WIDTH, _HEIGHT, _MARGIN = 595.0, 842.0, 28.0
_COLUMNS, _ROWS = 2, 5


def write_csv(file: TextIO, batch: Mapping[str, Any]) -> None:
    """A line a voucher: batch, number, serial, amount, currency, until when it is good, the purse
    that it fills."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("batch", "number", "serial", "amount", "currency", "until", "purse"))
    last = (batch["amount"], batch["currency"], batch["until"], _plain(batch["purse"]))
    for number, serial in enumerate(batch["serials"], 1):
        writer.writerow((_plain(batch["name"]), number, serial, *last))


def write_pdf(file: BinaryIO, batch: Mapping[str, Any], purse: str = "") -> None:
    """Ten vouchers a page; ``purse``: that they fill, if it is to be said."""
    width, height = (_WIDTH - 2 * _MARGIN) / _COLUMNS, (_HEIGHT - 2 * _MARGIN) / _ROWS
    document = pypdfium2.PdfDocument.new()
    try:
        serials = batch["serials"]
        a_page = _COLUMNS * _ROWS
        for first in range(0, len(serials), a_page):
            page = document.new_page(_WIDTH, _HEIGHT)
            for at, serial in enumerate(serials[first : first + a_page]):
                row, column = divmod(at, _COLUMNS)
                left = _MARGIN + column * width
                bottom = _HEIGHT - _MARGIN - (row + 1) * height
                place = (left, bottom, width, height)
                _draw(document, page, *place, batch, first + at + 1, serial, purse)
            page.gen_content()
            page.close()
        document.save(file)
    finally:
        document.close()


def _draw(
    document: Any,
    page: Any,
    left: float,
    bottom: float,
    width: float,
    height: float,
    batch: Mapping[str, Any],
    number: int,
    serial: str,
    purse: str,
) -> None:
    frame = pdfium.FPDFPageObj_CreateNewRect(left, bottom, width, height)
    pdfium.FPDFPath_SetDrawMode(frame, pdfium.FPDF_FILLMODE_NONE, True)
    pdfium.FPDFPageObj_SetStrokeColor(frame, 160, 160, 160, 255)
    pdfium.FPDFPageObj_SetStrokeWidth(frame, 0.5)
    pdfium.FPDFPage_InsertObject(page, frame)
    until = batch["until"]
    # A day alone is the last one; beside a time it ends then.
    word = "before" if ":" in until else "through"
    good = "" if until == "never" else f"good {word} {until}"
    amount = f"{batch['amount']} {batch['currency']}"
    for font, size, above, text in (
        (b"Helvetica-Bold", 22.0, 0.70, amount),
        (b"Courier-Bold", 18.0, 0.44, serial),
        (b"Helvetica", 9.0, 0.24, f"{batch['name']}  no. {number}"),
        (b"Helvetica", 9.0, 0.12, "   ".join(filter(None, (good, purse and f"fills {purse}")))),
    ):
        _write(document, page, font, size, left + 14.0, bottom + height * above, text)


def _write(
    document: Any, page: Any, font: bytes, size: float, left: float, bottom: float, text: str
) -> None:
    if not text:
        return
    made = pdfium.FPDFPageObj_NewTextObj(document, font, size)
    # The fonts that every reader has know the letters of western Europe.
    known = text.encode("cp1252", "replace").decode("cp1252") + "\0"
    encoded = known.encode("utf-16-le")
    buffer = (pdfium.FPDF_WCHAR * (len(encoded) // 2)).from_buffer_copy(encoded)
    pdfium.FPDFText_SetText(made, buffer)
    pdfium.FPDFPageObj_Transform(made, 1, 0, 0, 1, left, bottom)
    pdfium.FPDFPage_InsertObject(page, made)


def _plain(text: str) -> str:
    """No spreadsheet takes it for a formula."""
    return f"'{text}" if text[:1] in "=+-@" else text
