"""Files that are imported and exported: what the commands of users and of accounts share."""

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

Call = Callable[[argparse.Namespace, Any, str, dict[str, Any]], Any]
Run = Callable[[argparse.Namespace, Any], Any]
#: What every import of a file is told, beside its path.
IMPORT_OPTIONS = ("encoding", "check", "skip_rejected", "keep_balances")


def add_import_options(one: argparse.ArgumentParser, whose: str) -> None:
    """``whose``: of whom the file is, such as ``users``."""
    one.add_argument("--encoding", default="utf-8", help="utf-8, latin-1, windows-1252 or utf-16")
    one.add_argument("--check", action="store_true", help="a rehearsal: nothing is changed")
    one.add_argument(
        "--skip-rejected",
        action="store_true",
        help="import the other lines; without, one line that is rejected keeps out all",
    )
    one.add_argument(
        "--keep-balances", action="store_true", help=f"money of {whose} that are there stays"
    )


def export_pages(call: Call, operation: str, given: tuple[str, ...], what: str) -> Run:
    """Write the lines that ``operation`` tells page by page into a new file at ``options.path``.

    ``given``: the options that it is told. ``what`` they are about is counted.
    """

    def run(options: argparse.Namespace, config: Any) -> Any:
        path, count, after = Path(options.path), 0, ""
        asked = {name: getattr(options, name) for name in given}
        with path.open("x", encoding="utf-8") as file:
            try:
                while after is not None:
                    page = call(options, config, operation, {**asked, "after": after})
                    file.writelines(f"{line}\n" for line in page["lines"])
                    count, after = count + len(page["lines"]), page["after"]
                    if sys.stderr.isatty():
                        print(f"\r{count}", end="", file=sys.stderr)
            except BaseException:
                path.unlink()
                raise
        return {what: count, "file": str(path)}

    return run


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
