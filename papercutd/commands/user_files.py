"""``papercutd user import --format`` and ``user export``: files in PaperCut's formats."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from papercutd.commands.import_files import (
    IMPORT_OPTIONS,
    Call,
    Run,
    add_import_options,
    copied,
    export_pages,
)
from papercutd.errors import InvalidValue

FORMATS = ("users", "internal-users", "cards")


def add_user_file_commands(
    add: Callable[..., Any], user: Any, one: argparse.ArgumentParser, source: Run, call: Call
) -> None:
    """``one``: the parser of ``user import``; ``source``: what imports from the user source."""
    one.add_argument(
        "--format",
        choices=("csv", *FORMATS),
        default="csv",
        help="of --file: csv as the user source has it, or tab-separated as PaperCut imports it",
    )
    add_import_options(one, "users")
    one.add_argument(
        "--now", action="store_true", help="even names that were somebody else's lately"
    )
    one.add_argument(
        "--group",
        dest="groups",
        action="append",
        default=[],
        help="new users are put into it, and begin as its new-user rule says; may be repeated",
    )
    purse_help = "balances are of that purse; without, of all together, and the main one has"
    one.add_argument("--purse", default="", help=f"{purse_help} the difference")

    def run(options: argparse.Namespace, config: Any) -> Any:
        if options.format != "csv":
            return _import(options, config)
        if options.purse:
            raise InvalidValue("purse", "is of balances: a csv file has none, say --format users")
        return source(options, config)

    def _import(options: argparse.Namespace, config: Any) -> Any:
        """The server reads a copy in its own folder, whoever may read the original."""
        given = ("format", *IMPORT_OPTIONS, "now", "groups", "purse")
        arguments = {name: getattr(options, name) for name in given}
        if options.file is None:
            raise InvalidValue("file", "is needed with a format; - reads the input")
        with copied(config.data_dir, options.file) as path:
            return call(options, config, "user.import-file", {"path": path, **arguments})

    one.set_defaults(run=run)
    export = export_pages(call, "user.export", ("format", "purse"), "users")
    other = add("export", "write all users into a file", export, user)
    other.add_argument("path", metavar="FILE", help="where; nothing is overwritten")
    other.add_argument("--format", choices=FORMATS[:2], default="users")
    other.add_argument("--purse", default="", help="balances are of that purse; without, of all")
