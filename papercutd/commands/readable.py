"""How a result is read: plain lines, and tables of what is alike.

What has two forms in a result, one for programs and one for people (`balance_e4` and `balance`,
`expires_at` and `until`), is shown once. Times are of UTC, as everywhere.
"""

from __future__ import annotations

from typing import Any

from papercutd.commands.tables import shown_at
from papercutd.domain.money import show_amount

#: Times whose names do not end in ``_at``.
_TIMES = frozenset(("since", "until", "disabled_until", "effective_from"))
#: What nothing means of these.
_UNLIMITED = frozenset(("available_here_e4",))
#: For programs: what says the same to people.
_SAID_BY = {"expires_at": "until", "disabled_until": "disabled", "effective_from": "from"}


def readable(result: Any, indent: str = "") -> str:
    """Plain lines of a result; lists of alike objects as a table."""
    if isinstance(result, list):
        return _table(result, indent)
    if not isinstance(result, dict):
        return f"{indent}{result}"
    lines = []
    for name in _once(result):
        value = result[name]
        if isinstance(value, (dict, list)) and value:
            lines += [f"{indent}{_label(name)}:", readable(value, indent + "  ")]
        else:
            lines.append(f"{indent}{_label(name)}: {_cell(name, value)}")
    return "\n".join(lines)


def _once(names: Any) -> list[str]:
    """Without those that another one says better."""
    return [
        name
        for name in names
        if _SAID_BY.get(name) not in names
        and not (name.endswith("_e4") and name.removesuffix("_e4") in names)
    ]


def _label(name: str) -> str:
    return name.replace("_", " ").removesuffix(" e4")


def _cell(name: str, value: Any) -> str:
    if value is None or value == [] or value == {}:
        return "no limit" if name in _UNLIMITED else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_e4") and isinstance(value, int):
        return show_amount(value)
    if isinstance(value, float) and (name in _TIMES or name.endswith("_at")):
        return shown_at(value) if value else "none"
    if isinstance(value, list) and not any(isinstance(one, (list, dict)) for one in value):
        return ", ".join(map(str, value))
    return str(value)


def _table(rows: list[Any], indent: str) -> str:
    if not rows or not isinstance(rows[0], dict):
        return "\n".join(f"{indent}{row}" for row in rows) or f"{indent}none"
    names = _once(list(rows[0]))
    cells = [[_label(name) for name in names]]
    cells += [[_cell(name, row.get(name)) for name in names] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    return "\n".join(
        indent
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
