"""``papercutd audit``: what administrators did."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable
from typing import Any, TextIO

from papercutd.commands.tables import plain, shown_at, write_new

Call = Callable[[argparse.Namespace, Any, str, dict[str, Any]], Any]
_COLUMNS = ("at", "who", "place", "operation", "arguments", "was", "became", "outcome", "act")


def add_audit_command(add: Callable[..., argparse.ArgumentParser], call: Call) -> None:
    """``add`` and ``call`` are those of commands/main.py."""

    def run(options: argparse.Namespace, config: Any) -> Any:
        given = {name: getattr(options, name) for name in ("since", "who", "operation", "before")}
        asked = {name: value for name, value in given.items() if value}
        if options.csv is not None:
            return _write_csv(
                options.csv, lambda more: call(options, config, "audit", asked | more)
            )
        return call(options, config, "audit", asked)

    one = add("audit", "what administrators did, the newest first: 500 entries a page", run)
    one.add_argument("--since", metavar="2027-01-31", help="from then on (UTC), with a time 18:00")
    one.add_argument("--who", help="of this administrator alone")
    one.add_argument("--operation", help="of this operation alone, such as user.adjust")
    one.add_argument("--before", metavar="PLACE", help="the next page: what `next` said")
    one.add_argument(
        "--csv", metavar="FILE", help="write all of them there; nothing is overwritten"
    )
    one.set_defaults(readable=as_text)


def as_text(found: dict[str, Any]) -> str:
    """An entry a line, and how to go on."""
    if "file" in found:
        return f"{found['entries']} entries in {found['file']}"
    lines = [
        f"{shown_at(row['at'])}  {row['who']} ({row['place']})  {row['operation']}"
        f"  {json.dumps(row['arguments'], ensure_ascii=False)}  {row['outcome']}{_change(row)}"
        for row in found["entries"]
    ]
    if found["next"]:
        lines.append(f"more: --before '{found['next']}'")
    return "\n".join(lines) or "none"


def _change(row: dict[str, Any]) -> str:
    if not row["became"]:
        return ""
    was, became = (json.dumps(row[name], ensure_ascii=False) for name in ("was", "became"))
    return f"\n    was {was}\n    became {became}"


def _write_csv(path: str, page: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    def write(file: TextIO) -> int:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        count = 0
        more: dict[str, Any] = {}
        while True:
            found = page(more)
            for row in found["entries"]:
                writer.writerow([_cell(name, row[name]) for name in _COLUMNS])
            count += len(found["entries"])
            if sys.stderr.isatty():
                print(f"\r{count}", end="", file=sys.stderr)
            if not found["next"]:
                return count
            more = {"before": found["next"]}

    return {"entries": write_new(path, write), "file": path}


def _cell(name: str, value: Any) -> str:
    if name == "at":
        return shown_at(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return plain(text)
