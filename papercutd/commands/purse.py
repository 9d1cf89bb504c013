"""``papercutd purse``: purses beside the personal account, and the order of spending."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

PURSE_HELP = "which of the user's purses (default: the main one)"


def add_purse_commands(
    add: Callable[..., argparse.ArgumentParser],
    group: Callable[[str, str], Any],
    operation: Callable[[str], Any],
) -> None:
    """``add``, ``group`` and ``operation`` are those of commands/main.py."""
    purse = group("purse", "purses of users, and the order in which they are spent")
    one = add("list", "list purses, the first to be spent first", operation("purse.list"), purse)
    one.set_defaults(readable=as_text)
    one = add("add", "add a purse, which is empty for everybody", operation("purse.add"), purse)
    one.add_argument("name", help="such as quota")
    one.add_argument(
        "--rank",
        type=int,
        metavar="N",
        help="its place in the order (default: just before the main one)",
    )
    one.add_argument(
        "--not-refundable",
        dest="refundable",
        action="store_false",
        help="what it paid for a charge never comes back",
    )
    one.add_argument(
        "--not-transferable",
        dest="transferable",
        action="store_false",
        help="its money is not to be given to other users",
    )
    one.add_argument(
        "--not-fillable",
        dest="fillable",
        action="store_false",
        help="no voucher fills it: quotas and administrators do",
    )
    one.set_defaults(readable=as_text)
    one = add("order", "say in which order all purses are spent", operation("purse.order"), purse)
    one.add_argument("names", metavar="NAME", nargs="+", help="the first is spent first")
    one.set_defaults(readable=as_text)
    one = add("rename", "call the main purse otherwise", operation("purse.rename"), purse)
    one.add_argument("name", help="what it is called now: `cash` at first")
    one.add_argument("new_name", metavar="NEW")
    one.set_defaults(readable=as_text)
    one = add("remove", "remove a purse that nobody has money in", operation("purse.remove"), purse)
    one.add_argument("name")
    one.set_defaults(readable=as_text)


def as_text(found: list[dict[str, Any]]) -> str:
    """A purse a line."""
    lines = []
    for row in found:
        words = [f"{row['rank']}. {row['name']}"]
        words += ["everybody's main purse"] if row["is_main"] else []
        words += [] if row["people"] is None else [f"{row['total']} of {row['people']} users"]
        words += [] if row["refundable"] else ["not refundable"]
        words += [] if row["transferable"] else ["not transferable"]
        words += [] if row["fillable"] else ["not filled by vouchers"]
        lines.append(", ".join(words))
    return "\n".join(lines)
