"""Formats of documents: their names, and how they are known by their first bytes."""

from __future__ import annotations

PDF = "application/pdf"
POSTSCRIPT = "application/postscript"
RASTER_FORMATS = frozenset(
    {"image/raster", "image/pwg-raster", "image/urf", "application/vnd.cups-raster"}
)
PCL_FORMATS = frozenset(
    {"application/vnd.hp-pjl", "application/vnd.hp-pcl", "application/vnd.hp-pclxl"}
)
UNKNOWN = "application/octet-stream"
_MARKS = (
    ((b"%!PS", b"\x04%!PS"), POSTSCRIPT),
    ((b"\x1b%-12345X", b"@PJL"), "application/vnd.hp-pjl"),
    ((b"\x1bE", b"\x1b&", b"\x1b*"), "application/vnd.hp-pcl"),
    ((b") HP-PCL XL;", b"( HP-PCL XL;"), "application/vnd.hp-pclxl"),
    ((b"RaS", b"UNIRAST", b"2SaR", b"3SaR", b"tSaR"), "image/raster"),
    ((b"\x89PNG\r\n\x1a\n",), "image/png"),
    ((b"\xff\xd8\xff",), "image/jpeg"),
    ((b"GIF87a", b"GIF89a"), "image/gif"),
    ((b"II*\0", b"MM\0*"), "image/tiff"),
)


def guess_format(head: bytes) -> str:
    """The format of a document by its first bytes."""
    if b"%PDF-" in head[:1024]:
        return PDF
    for marks, format in _MARKS:
        if head.startswith(marks):
            return format
    return UNKNOWN
