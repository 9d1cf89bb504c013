"""What came out of a printer: sides counted in what it received, apart from the project's code.

As a program it is the command of ippeveprinter: ``paper.py DOCUMENT``, with the attributes of the
job in IPP_* of the environment, the printer's folder in PAPER.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path


def pdf_pages(path: Path) -> int:
    said = subprocess.run(["pdfinfo", str(path)], capture_output=True, text=True, check=True)
    found = re.search(r"^Pages: +(\d+)", said.stdout, re.MULTILINE)
    assert found, said.stdout
    return int(found[1])


def raster_pages(data: bytes) -> int:
    """Pages of PWG rasters, one after the other: every header says its lines and their length."""
    assert data[:4] == b"RaS2", data[:4]
    at, pages = 4, 0
    while at < len(data):
        if data[at : at + 4] == b"RaS2":
            at += 4
        header = data[at : at + 1796]
        height, line_bytes, bits = (
            int.from_bytes(header[offset : offset + 4], "big") for offset in (376, 392, 388)
        )
        pixel = max(1, bits // 8)
        at += 1796
        lines = 0
        while lines < height:
            lines += data[at] + 1
            at += 1
            have = 0
            while have < line_bytes:
                code = data[at]
                at += 1
                if code < 128:
                    have += (code + 1) * pixel
                    at += pixel
                else:
                    have += (257 - code) * pixel
                    at += (257 - code) * pixel
        pages += 1
    return pages


def sides(path: Path) -> int:
    """Printed sides in a document, of one copy."""
    data = path.read_bytes()
    if data.startswith(b"RaS2"):
        return raster_pages(data)
    return pdf_pages(path)


def main() -> int:
    printer = Path(os.environ["PAPER"])
    # These files make the printer behave so.
    if (printer / "fail").exists():
        return 1
    while (printer / "wait").exists():
        time.sleep(0.02)
    count = sides(Path(sys.argv[1])) * int(os.environ.get("IPP_COPIES", "1"))
    dies = printer / "dies"
    if dies.exists():
        count = min(count, int(dies.read_text()))
    with open(printer / "paper", "a") as paper:
        paper.write(f"{count} {os.environ.get('IPP_SIDES', '')}\n")
    if not (printer / "uncounted").exists():
        print(
            f"ATTR: job-impressions={count} job-impressions-completed={count}",
            file=sys.stderr,
        )
    return int(dies.exists())


if __name__ == "__main__":
    sys.exit(main())
