"""``papercutd user transactions`` and ``papercutd account transactions``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from papercutd.commands.purse import PURSE_HELP
from papercutd.commands.tables import shown_at
from papercutd.domain.money import show_amount


def add_transaction_commands(
    add: Callable[..., argparse.ArgumentParser],
    groups: dict[str, Any],
    operation: Callable[[str], Any],
) -> None:
    """``groups``: the parsers of ``user`` and ``account``."""
    for word, under in groups.items():
        one = add(
            "transactions",
            "money that came and went, with the balance after each; the newest first, 500 a page",
            operation(f"{word}.transactions"),
            under,
        )
        one.add_argument("name")
        if word == "user":
            one.add_argument("--purse", default="", help=PURSE_HELP)
        one.add_argument("--before", metavar="PLACE", help="the next page: what `next` said")
        one.set_defaults(readable=as_text)


def _for_whom(row: dict[str, Any]) -> str:
    named = f"  for {row['named']}" if row["named"] else ""
    return f"{named}  (invoice)" if row["invoice"] else named


def as_text(found: dict[str, Any]) -> str:
    """A transaction a line, and how to go on."""
    lines = [
        f"{shown_at(row['received_at'])}  {show_amount(row['amount_e4']):>12}"
        f"  {show_amount(row['balance_e4']):>12}  {row['who']}  {row['reason'] or row['key']}"
        f"{_for_whom(row)}{'  (forced)' if row['forced'] else ''}"
        for row in found["transactions"]
    ]
    if found["next"]:
        lines.append(f"more: --before '{found['next']}'")
    return "\n".join(lines) or "none"
