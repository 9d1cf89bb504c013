"""Real PDFs, each unlike any other."""

from __future__ import annotations

import re

_TITLE = re.compile(rb"Td \(([^)]*)\) Tj")


def make_pdf(title: str, pages: int, colour: bool = False) -> bytes:
    """A PDF of ``pages`` A4 pages that say ``title``; with a red square where ``colour``."""
    objects: list[bytes] = []
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(pages))
    objects.append(b"<< /Type /Catalog /Pages 2 0 R >>")
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {pages} >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for number in range(pages):
        paint = "1 0 0 rg 72 600 60 60 re f\n" if colour else ""
        content = (
            f"{paint}0 g BT /F1 24 Tf 72 720 Td ({title}) Tj 0 -32 Td"
            f" (page {number + 1} of {pages}) Tj ET"
        ).encode()
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {5 + 2 * number} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\n" % (len(objects) + 1)
    out += b"startxref\n%d\n%%%%EOF\n" % start
    return bytes(out)


def title_of(data: bytes) -> str:
    """The title that ``make_pdf`` wrote on the pages; empty: it did not make this."""
    found = _TITLE.search(data)
    return "" if found is None else found[1].decode()
