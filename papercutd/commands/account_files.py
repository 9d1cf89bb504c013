"""``papercutd account import`` and ``export``: files in PaperCut's format."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from papercutd.commands.import_files import (
    IMPORT_OPTIONS,
    Call,
    add_import_options,
    copied,
    export_pages,
)


def add_account_file_commands(add: Callable[..., Any], account: Any, call: Call) -> None:
    """``account``: the parser of the group."""

    def import_(options: argparse.Namespace, config: Any) -> Any:
        given = (*IMPORT_OPTIONS, "close_missing")
        arguments = {name: getattr(options, name) for name in given}
        with copied(config.data_dir, options.file) as path:
            return call(options, config, "account.import", {"path": path, **arguments})

    one = add("import", "add and change accounts as a file says", import_, account)
    one.add_argument("file", metavar="FILE", help="tab-separated, eleven columns; - for the input")
    add_import_options(one, "accounts")
    one.add_argument(
        "--close-missing",
        action="store_true",
        help="the file is the whole list: accounts that it does not name are disabled",
    )
    export = export_pages(call, "account.export", (), "accounts")
    one = add("export", "write all open accounts into a file", export, account)
    one.add_argument("path", metavar="FILE", help="where; nothing is overwritten")
