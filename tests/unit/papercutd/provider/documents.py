"""PDF files of every sort, made by hand: right ones, and ones that are not what they say."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

A4 = (595.0, 842.0)
GREY_TEXT = b"0.4 g 72 72 200 40 re f"
#: A dot of one and a half points, red.
RED_DOT = b"0.4 g 72 72 200 40 re f 1 0 0 rg 300 400 1.5 1.5 re f"
#: Grey, said in the words of colour.
GREY_AS_RGB = b"0.5 0.5 0.5 rg 72 72 200 40 re f"


@attrs.frozen
class Page:
    size: tuple[float, float] = A4
    content: bytes = GREY_TEXT
    rotate: int = 0


def make_pdf(pages: Sequence[Page], trailer: bytes = b"", count: int | None = None) -> bytes:
    """A PDF of ``pages``; ``count`` is what it says it has."""
    kids = b" ".join(b"%d 0 R" % (3 + 2 * i) for i in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(pages) if count is None else count),
    ]
    for index, page in enumerate(pages):
        width, height = page.size
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %f %f] /Rotate %d /Contents %d 0 R >>"
            % (width, height, page.rotate, 4 + 2 * index)
        )
        objects.append(
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(page.content), page.content)
        )
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R %s >>\n" % (len(objects) + 1, trailer)
    return bytes(out) + b"startxref\n%d\n%%%%EOF\n" % start


def make_encrypted() -> bytes:
    """A PDF that asks for a password."""
    encrypt = (
        b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >>"
        b" /ID [<00112233445566778899aabbccddeeff> <00112233445566778899aabbccddeeff>]"
        % (b"5a" * 32, b"a5" * 32)
    )
    return make_pdf([Page()], encrypt)


def make_many_pages(pages: int) -> bytes:
    """A small file of very many pages, all the same one."""
    body = make_pdf([Page()])
    kids = b" ".join([b"3 0 R"] * pages)
    tree = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, pages)
    return body.replace(b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>", tree)
