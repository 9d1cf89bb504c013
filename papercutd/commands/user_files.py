"""``papercutd user import --format`` and ``user export``: files in PaperCut's formats."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from papercutd.errors import InvalidValue

FORMATS = ("users", "internal-users", "cards")
Run = Callable[[argparse.Namespace, Any], Any]
Call = Callable[[argparse.Namespace, Any, str, dict[str, Any]], Any]


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
    one.add_argument("--encoding", default="utf-8", help="utf-8, latin-1, windows-1252 or utf-16")
    one.add_argument("--check", action="store_true", help="a rehearsal: nothing is changed")
    one.add_argument(
        "--skip-rejected",
        action="store_true",
        help="import the other lines; without, one line that is rejected keeps out all",
    )
    one.add_argument(
        "--keep-balances", action="store_true", help="money of users who are there stays"
    )
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

    def run(options: argparse.Namespace, config: Any) -> Any:
        return source(options, config) if options.format == "csv" else _import(options, config)

    def _import(options: argparse.Namespace, config: Any) -> Any:
        """The server reads a copy in its own folder, whoever may read the original."""
        given = ("format", "encoding", "check", "skip_rejected", "keep_balances", "now", "groups")
        arguments = {name: getattr(options, name) for name in given}
        if options.file is None:
            raise InvalidValue("file", "is needed with a format; - reads the input")
        with copied(config.data_dir, options.file) as path:
            return call(options, config, "user.import-file", {"path": path, **arguments})

    one.set_defaults(run=run)
    other = add("export", "write all users into a file", _export(call), user)
    other.add_argument("path", metavar="FILE", help="where; nothing is overwritten")
    other.add_argument("--format", choices=FORMATS[:2], default="users")


@contextmanager
def copied(data_dir: str, path: str | None) -> Iterator[str]:
    """A copy that the server can read, of the file at ``path``, or of standard input."""
    with tempfile.NamedTemporaryFile(dir=data_dir, prefix="import-") as copy:
        if path is None or path == "-":
            shutil.copyfileobj(sys.stdin.buffer, copy)
        else:
            with open(path, "rb") as file:
                shutil.copyfileobj(file, copy)
        copy.flush()
        if os.geteuid() == 0:
            owner = os.stat(data_dir)
            os.chown(copy.name, owner.st_uid, owner.st_gid)
        yield copy.name


def _export(call: Call) -> Run:
    def run(options: argparse.Namespace, config: Any) -> Any:
        path, count, after = Path(options.path), 0, ""
        with path.open("x", encoding="utf-8") as file:
            try:
                while after is not None:
                    given = {"format": options.format, "after": after}
                    page = call(options, config, "user.export", given)
                    file.writelines(f"{line}\n" for line in page["lines"])
                    count, after = count + len(page["lines"]), page["after"]
                    if sys.stderr.isatty():
                        print(f"\r{count}", end="", file=sys.stderr)
            except BaseException:
                path.unlink()
                raise
        return {"users": count, "file": str(path)}

    return run
