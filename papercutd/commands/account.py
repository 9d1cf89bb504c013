"""``papercutd account``: shared accounts as a tree."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from papercutd.commands.account_files import add_account_file_commands
from papercutd.commands.words import yes_no
from papercutd.domain.invoicing import OPTIONS as INVOICE_OPTIONS

Run = Callable[[argparse.Namespace, Any], Any]
Call = Callable[[argparse.Namespace, Any, str, dict[str, Any]], Any]
_NOW_HELP = "even if the name was another account's lately"


def add_account_commands(
    add: Callable[..., Any], group: Callable[..., Any], operation: Callable[[str], Run], call: Call
) -> Any:
    """``add``, ``group``, ``operation`` and ``call`` are those of commands/main.py; the parser
    of the group."""
    account = group("account", "shared accounts: departments, projects, cost centres")
    one = add("add", "add a shared account", operation("account.add"), account)
    one.add_argument("name", help=r"its full name, such as Physics or Physics\Laser")
    one.add_argument("--parent", default="", help="the account that it stands below")
    one.add_argument("--balance", default="0", help="opening balance, such as 200.00")
    words = "never refused for want of money"
    one.add_argument(
        "--unrestricted", dest="restricted", action="store_false", default=True, help=words
    )
    one.add_argument("--now", action="store_true", help=_NOW_HELP)
    _add_settings(one)

    one = add("list", "list shared accounts", operation("account.list"), account)
    one.add_argument("--after", default="", metavar="NAME", help="the next page: the last name")
    one.add_argument("--below", default="", metavar="NAME", help="this account and what is below")
    one = add("show", "one account, with who may charge it", operation("account.show"), account)
    one.add_argument("name")

    one = add("set", "change what is set of an account", operation("account.set"), account)
    one.add_argument("name")
    words = "prints only what its money allows"
    one.add_argument("--restricted", type=yes_no, metavar="yes|no", help=words)
    _add_settings(one)

    one = add("adjust", "give money to it, or take it", operation("account.adjust"), account)
    one.add_argument("name")
    one.add_argument("amount", help="such as 12.50, or -12.50 to take it")
    one.add_argument("--reason", default="", help="kept in its history")
    one = add(
        "rename", "another own name, without the parents'", operation("account.rename"), account
    )
    one.add_argument("name")
    one.add_argument("new_name", metavar="NEW-NAME")
    one.add_argument("--now", action="store_true", help=_NOW_HELP)
    one = add("move", "put it below another account", operation("account.move"), account)
    one.add_argument("name")
    one.add_argument("parent", help='the account that it is to stand below; "" for the top')
    one.add_argument("--now", action="store_true", help=_NOW_HELP)
    for word, what in (
        ("close", "it and all below it are charged no more, and keep money and history"),
        ("reopen", "a closed account is charged again, it alone"),
    ):
        add(word, what, operation(f"account.{word}"), account).add_argument("name")

    access = add("access", "who may charge it", operation("account.show"), account)
    words = access.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")
    for word, what in (
        ("add", "users and groups that may; with the first, nobody else may any more"),
        ("remove", "users and groups that may not any more"),
    ):
        one = add(word, what, operation(f"account.access-{word}"), words)
        one.add_argument("name")
        one.add_argument(
            "--user", dest="users", action="append", default=[], help="may be repeated"
        )
        one.add_argument(
            *("--group", "-g"),
            dest="groups",
            action="append",
            default=[],
            help="with the groups within it; may be repeated",
        )
    add_account_file_commands(add, account, call)
    return account


def _add_settings(one: argparse.ArgumentParser) -> None:
    one.add_argument("--pin", help='code by which it is found at a device; "" for none')
    one.add_argument("--overdraft", help="how far below zero the balance may go")
    one.add_argument("--markup", metavar="PERCENT", help="added to the price of jobs: 12.5, or 0")
    one.add_argument(
        "--disabled-until",
        metavar="2027-01-31",
        help="the last day (or day and time, UTC) on which it is not charged; forever, or no",
    )
    one.add_argument(
        "--access",
        choices=("inherit", "everybody", "listed"),
        help="who may charge it: whoever may its parent, everybody, or those listed",
    )
    one.add_argument(
        "--invoice",
        choices=INVOICE_OPTIONS,
        help="whether jobs are invoiced to it; user-chooses: as the person says, yes where nothing"
        " is said (user-chooses-no: no)",
    )
    one.add_argument("--comment", choices=("none", "optional", "required"))
    one.add_argument("--notes")
