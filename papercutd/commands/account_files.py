"""``papercutd account import`` and ``export``: files in PaperCut's format."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from papercutd.commands.user_files import copied

Call = Callable[[argparse.Namespace, Any, str, dict[str, Any]], Any]


def add_account_file_commands(add: Callable[..., Any], account: Any, call: Call) -> None:
    """``account``: the parser of the group."""

    def import_(options: argparse.Namespace, config: Any) -> Any:
        given = ("encoding", "check", "skip_rejected", "keep_balances")
        arguments = {name: getattr(options, name) for name in given}
        with copied(config.data_dir, options.file) as path:
            return call(options, config, "account.import", {"path": path, **arguments})

    def export(options: argparse.Namespace, config: Any) -> Any:
        path, count, after = Path(options.path), 0, ""
        with path.open("x", encoding="utf-8") as file:
            try:
                while after is not None:
                    page = call(options, config, "account.export", {"after": after})
                    file.writelines(f"{line}\n" for line in page["lines"])
                    count, after = count + len(page["lines"]), page["after"]
            except BaseException:
                path.unlink()
                raise
        return {"accounts": count, "file": str(path)}

    one = add("import", "add and change accounts as a file says", import_, account)
    one.add_argument("file", metavar="FILE", help="tab-separated, eleven columns; - for the input")
    one.add_argument("--encoding", default="utf-8", help="utf-8, latin-1, windows-1252 or utf-16")
    one.add_argument("--check", action="store_true", help="a rehearsal: nothing is changed")
    one.add_argument(
        "--skip-rejected",
        action="store_true",
        help="import the other lines; without, one line that is rejected keeps out all",
    )
    one.add_argument(
        "--keep-balances", action="store_true", help="money of accounts that are there stays"
    )
    one = add("export", "write all open accounts into a file", export, account)
    one.add_argument("path", metavar="FILE", help="where; nothing is overwritten")
