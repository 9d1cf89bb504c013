"""The prices as a table: one row for each line, rule, multiplier, and printer or group of a list.

Columns: the list (empty: the default one), what, and two or four prices; the value of anything
else stands in the third column.
"""

from __future__ import annotations

import csv
import io
from typing import Any

from papercutd.domain.price_draft import RULE_WORDS, parse_since
from papercutd.errors import InvalidValue

HEADING = ("list", "what", "grey", "colour", "grey duplex", "colour duplex")
ROWS_MAX = 20_000
#: What of the whole version has one value.
_TOP = ("currency", "effective_from")
_NO_LINES = frozenset({*_TOP, *RULE_WORDS, "multiplier", "printer", "group"})


def to_csv(document: dict[str, Any]) -> str:
    """Rows of what ``price_draft.as_document`` made."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADING)
    for word in _TOP:
        writer.writerow(("", word, document[word]))
    for group, share in document.get("multipliers", {}).items():
        writer.writerow(("", "multiplier", share, group))
    for own in ({"name": "", **document}, *document.get("lists", [])):
        name = own["name"]
        for word in ("printers", "groups"):
            writer.writerows((name, word[:-1], one) for one in own.get(word, []))
        writer.writerows((name, word, own[word]) for word in RULE_WORDS if word in own)
        writer.writerows((name, paper, *pair) for paper, pair in own["lines"].items())
    return out.getvalue()


def from_csv(text: str) -> dict[str, Any]:
    """The document that such rows are; raises InvalidValue, naming the row."""
    document: dict[str, Any] = {"lines": {}}
    lists: dict[str, dict[str, Any]] = {"": document}
    try:
        rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True))
    except csv.Error as error:
        raise InvalidValue("file", f"is no CSV: {error}") from None
    if len(rows) > ROWS_MAX:
        raise InvalidValue("file", f"has over {ROWS_MAX} rows")
    if not rows or tuple(cell.strip() for cell in rows[0]) != HEADING:
        raise InvalidValue("row 1", f"is not {','.join(HEADING)}")
    for number, row in enumerate(rows[1:], 2):
        cells = [cell.strip() for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            _add_row(document, lists, f"row {number}", cells)
    if len(lists) > 1:
        document["lists"] = [own for name, own in lists.items() if name]
    return document


def _add_row(
    document: dict[str, Any], lists: dict[str, dict[str, Any]], row: str, cells: list[str]
) -> None:
    if len(cells) < 3 or len(cells) > len(HEADING):
        raise InvalidValue(row, "is a list, what, and its value or prices")
    name, what, *values = cells
    own = lists.setdefault(name, {"name": name, "printers": [], "groups": [], "lines": {}})
    if what == "multiplier" and not name and len(values) == 2:
        _put(row, document.setdefault("multipliers", {}), values[1], values[0])
    elif what in ("printer", "group") and name and len(values) == 1:
        own[f"{what}s"].append(values[0])
    elif what in RULE_WORDS and len(values) == 1:
        _put(row, own, what, values[0])
    elif what in _TOP and not name and len(values) == 1:
        if what == "effective_from":
            _check_since(row, values[0])
        _put(row, document, what, values[0])
    elif what and len(values) in (2, 4) and what not in _NO_LINES:
        _put(row, own["lines"], what, values)
    else:
        raise InvalidValue(row, f"{what[:40]!r} does not have these values")


def _put(row: str, into: dict[str, Any], word: str, value: Any) -> None:
    if word in into:
        raise InvalidValue(row, f"{word[:40]!r} is there twice")
    into[word] = value


def _check_since(row: str, text: str) -> None:
    try:
        parse_since(text)
    except InvalidValue as error:
        raise InvalidValue(row, f"effective_from {error.reason}") from None
