"""Statements and outages on a terminal: the answer first, then what it rests on."""

from __future__ import annotations

import textwrap
import time
from typing import Any

from papercutd.domain.statement_sections import (
    Section,
    make_headline,
    make_sections,
    outage_section,
)

#: Rows of one section; --json has them all.
ROWS_MAX = 40
WIDTH = 96


def show_outages(rows: list[dict[str, Any]]) -> str:
    """The table of ``papercutd outages``."""
    return _table(outage_section(rows, when)) if rows else "There has been no outage."


def show_statement(stated: dict[str, Any]) -> str:
    """All of a statement."""
    lines = [
        line for part in make_headline(stated, when).lines() for line in textwrap.wrap(part, WIDTH)
    ]
    for section in make_sections(stated, when):
        lines += ["", section.title, textwrap.indent(_table(section), "  ")]
    return "\n".join(lines)


def when(at: float | None) -> str:
    """Local time, to the second."""
    return "now" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _table(section: Section) -> str:
    """Columns with two spaces between them, numbers to the right."""
    shown = section.rows[:ROWS_MAX]
    rows = [section.columns, *shown] if any(section.columns) else shown
    widths = [max(len(row[place]) for row in rows) for place in range(len(section.columns))]
    lines = [
        "  ".join(
            cell.rjust(width) if place >= section.numbers_from else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    left = len(section.rows) - ROWS_MAX
    return "\n".join([*lines, f"and {left} more: --json has them"] if left > 0 else lines)
