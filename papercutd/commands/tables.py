"""Tables that commands write: times, new files, and cells that no spreadsheet takes amiss."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO


def shown_at(at: float) -> str:
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError):
        return str(at)


def write_new(path: str, write: Callable[[TextIO], int]) -> int:
    """What ``write`` says, having written into a new file; none is left of one not finished."""
    with open(path, "x", encoding="utf-8", newline="") as file:
        try:
            return write(file)
        except BaseException:
            os.unlink(path)
            raise


def plain(text: str) -> str:
    """Nothing that a spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text
