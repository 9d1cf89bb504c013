"""``papercutd lost-edits``: what a restore has lost and a site had followed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from papercutd.domain.money import show_amount
from papercutd.storage.administration.directory import CAP_WORDS

#: Characters of an id that are shown; `forget` takes any beginning that is one edit's alone.
_ID_SHOWN = 12


def add_lost_edit_commands(
    add: Callable[..., Any], group: Callable[[str, str], Any], operation: Callable[[str], Any]
) -> None:
    """``add``, ``group`` and ``operation`` are those of commands/main.py."""
    lost = group("lost-edits", "edits that a restore has lost, as sites still had them")
    one = add(
        "list",
        "what each row was at a site, and what it is now",
        operation("lost-edits.list"),
        lost,
    )
    one.add_argument("--site", help="those that this site told")
    one.add_argument(
        "--all",
        dest="every",
        action="store_true",
        help="also those that were forgotten, or are so again",
    )
    one.set_defaults(readable=show_lost_edits)
    one = add("forget", "take some from the list", operation("lost-edits.forget"), lost)
    one.add_argument("ids", nargs="*", metavar="ID", help="as listed, or its beginning")
    one.add_argument("--all", dest="every", action="store_true", help="all of them")


def show_lost_edits(found: dict[str, Any]) -> str:
    """One edit after the other, with the columns that are not the same."""
    lines = []
    for edit in found["edits"]:
        made = "" if not edit["made_at"] else f", made {_when(edit['made_at'])}"
        state = " (forgotten)" if edit.get("forgotten") else ""
        state += " (is so again)" if edit.get("again") else ""
        lines.append(f"{edit['id'][:_ID_SHOWN]}  {_title(edit)}{made}{state}")
        lines += [f"    {line}" for line in _differences(edit)]
        lines.append(f"    told by {edit['sites']} {_when(edit['told_at'])}")
    if not lines:
        lines.append("none")
    if found["more"]:
        lines.append(f"and {found['more']} more, not one by one")
    return "\n".join(lines)


def _title(edit: dict[str, Any]) -> str:
    key = f" {edit['key']}" if edit["key"] not in ("", edit["name"]) else ""
    return f"{edit['table'].replace('_', ' ')}{key} {edit['name']}".rstrip()


def _differences(edit: dict[str, Any]) -> list[str]:
    was, now, hidden = edit["was"], edit["now"], edit["hidden"]
    if edit["table"] == "adjusted":
        reason = f": {was['reason']}" if was.get("reason") else ""
        return [f"{show_amount(was.get('amount_e4', 0))} is in the books no more{reason}"]
    if was is None:
        return ["had been taken away, and is there again"]
    lines = [
        f"{column.removesuffix('_e4')}: was {_value(column, value)}"
        + ("" if now is None else f", is {_value(column, now.get(column))}")
        for column, value in was.items()
    ]
    lines += [f"{column}: another, which nobody is shown" for column in hidden]
    return [*lines, *(["is not there at all"] if now is None else [])]


def _value(column: str, value: Any) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if column == "cap_user_e4" and value in CAP_WORDS:
        return CAP_WORDS[value]
    if column.endswith("_e4") and isinstance(value, int):
        return show_amount(value)
    if column in ("effective_from", "revoked_at") and value:
        return _when(value)
    return str(value)


def _when(at: float) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    except (ValueError, OverflowError, OSError):
        # What a site says may be no time at all.
        return "at no known time"
