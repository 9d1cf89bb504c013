"""``papercutd user adjust-many`` and ``user transfer``: money moved by an administrator's word."""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Callable
from typing import Any

from papercutd.commands.import_files import copied
from papercutd.commands.purse import PURSE_HELP

Run = Callable[[argparse.Namespace, Any], Any]
Call = Callable[[argparse.Namespace, Any, str, dict[str, Any]], Any]
REASON_HELP = "shown to the user in the history"


def add_money_commands(
    add: Callable[..., Any],
    user: Any,
    call: Call,
) -> None:
    """``add`` and ``call`` are those of commands/main.py."""
    one = add(
        "adjust-many",
        "credit or debit all users of a group, or of a file: all of them, once",
        _adjust_many(call),
        user,
    )
    one.add_argument("amount", nargs="?", default="", help="such as 5.00 or -5.00")
    who = one.add_mutually_exclusive_group(required=True)
    who.add_argument("--group", default="", help="everybody in this group")
    who.add_argument(
        "--file", help="a user a line, perhaps a tab and an amount for that one; - is the input"
    )
    one.add_argument("--purse", default="", help=PURSE_HELP)
    one.add_argument("--nested", action="store_true", help="and in the groups within it")
    one.add_argument("--reason", required=True, help=REASON_HELP)
    one.add_argument("--check", action="store_true", help="a rehearsal: nothing is changed")
    _add_id(one)
    one = add(
        "transfer", "give money of one user to another", _with_id(call, "user.transfer"), user
    )
    one.add_argument("name", metavar="FROM")
    one.add_argument("to", metavar="TO")
    one.add_argument("amount", help="such as 5.00: within what FROM may spend")
    one.add_argument("--purse", default="", help="of FROM, and it fills TO's of that name")
    one.add_argument("--reason", required=True, help=REASON_HELP)
    _add_id(one)


def add_refund_commands(
    add: Callable[..., Any],
    group: Callable[[str, str], Any],
    uncollected: Any,
    operation: Callable[[str], Run],
) -> None:
    """``uncollected``: the commands under that word."""
    refund = group("refund", "money given back for what was charged")
    key_help = "of the charge: see `papercutd user show`"
    one = add("ask", "ask for money back", operation("refund.ask"), refund)
    one.add_argument("key", help=key_help)
    one.add_argument("--words", required=True, help="why")
    one.add_argument("--amount", help="a part; without, all that is left of what was paid")
    one.add_argument("--by", metavar="USER", help="who asks, for a charge of their own")
    one = add("list", "list requests", operation("refund.list"), refund)
    one.add_argument("--state", choices=("asked", "approved", "rejected", "all"), default="asked")
    one.add_argument("--after", type=int, default=0, metavar="ID", help="go on beyond that one")
    one = add("approve", "give it back, whole or in part", operation("refund.approve"), refund)
    one.add_argument("id", metavar="ID")
    one.add_argument("--amount", help="a part of what was asked for")
    one.add_argument("--words", default="", help=REASON_HELP)
    one = add("reject", "give nothing back", operation("refund.reject"), refund)
    one.add_argument("id", metavar="ID")
    one.add_argument("--words", required=True, help="why")
    one = add("give", "give back at once, unasked", operation("refund.give"), refund)
    one.add_argument("key", help=key_help)
    one.add_argument("--words", required=True, help=REASON_HELP)
    one.add_argument("--amount", help="a part; without, all that is left of what was paid")
    one = add(
        "write-off",
        "nobody is to pay it: all of these charges or none",
        operation("uncollected.write-off"),
        uncollected,
    )
    one.add_argument("keys", metavar="KEY", nargs="+")
    one.add_argument("--reason", required=True, help="kept with the transfer")


def _add_id(one: argparse.ArgumentParser) -> None:
    one.add_argument(
        "--id", help="of this act: the same again, after an interruption, is not done twice"
    )


def _id_of(options: argparse.Namespace) -> str:
    if options.id:
        return str(options.id)
    made = str(uuid.uuid4())
    # Whoever is interrupted repeats the command with it.
    print(f"--id {made}", file=sys.stderr)
    return made


def _adjust_many(call: Call) -> Run:
    def run(options: argparse.Namespace, config: Any) -> Any:
        given = ("amount", "group", "nested", "purse", "reason", "check")
        arguments = {name: getattr(options, name) for name in given}
        arguments["id"] = options.id or "check" if options.check else _id_of(options)
        if not options.file:
            return call(options, config, "user.adjust-many", arguments)
        with copied(config.data_dir, options.file) as path:
            return call(options, config, "user.adjust-many", {**arguments, "path": path})

    return run


def _with_id(call: Call, name: str) -> Run:
    def run(options: argparse.Namespace, config: Any) -> Any:
        given = {key: getattr(options, key) for key in ("name", "to", "amount", "reason", "purse")}
        return call(options, config, name, {**given, "id": _id_of(options)})

    return run
