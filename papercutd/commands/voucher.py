"""``papercutd voucher``: top-ups on paper."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[[argparse.Namespace, Any], Any]
Call = Callable[[argparse.Namespace, Any, str, dict[str, Any]], Any]
#: Of a batch whose serials are in files.
_TOLD = ("name", "amount", "currency", "until", "purse")


def add_voucher_commands(
    add: Callable[..., Any],
    group: Callable[[str, str], Any],
    operation: Callable[[str], Run],
    call: Call,
) -> None:
    """``add``, ``group``, ``operation`` and ``call`` are those of commands/main.py."""
    voucher = group("voucher", "top-ups on paper, each redeemed once")
    one = add("add", "make a batch of vouchers, and files to print", _add(call), voucher)
    one.add_argument("name", metavar="BATCH")
    one.add_argument("amount", help="what each is worth, such as 5.00")
    one.add_argument("--count", type=int, required=True, help="how many")
    one.add_argument("--until", default="never", metavar="2027-01-31", help="the last day (UTC)")
    one.add_argument("--purse", default="", help="which they fill (default: the main one)")
    one.add_argument("--csv", metavar="FILE", help="a table of them; nothing is overwritten")
    one.add_argument("--pdf", metavar="FILE", help="A4, ten a page; nothing is overwritten")
    one = add("redeem", "credit a user with one", operation("voucher.redeem"), voucher)
    one.add_argument("name", metavar="USER")
    one.add_argument("voucher", help="its serial, as printed")
    one = add(
        "unlock",
        "after too many wrong serials, let a user try again at this server, or everybody",
        operation("voucher.unlock"),
        voucher,
    )
    one.add_argument("name", metavar="USER", nargs="?", default="")
    one = add("list", "list batches", operation("voucher.list"), voucher)
    one.add_argument("--after", type=int, default=0, metavar="ID", help="go on beyond that one")
    one = add("show", "who redeemed which of a batch", operation("voucher.show"), voucher)
    one.add_argument("name", metavar="BATCH")
    one.add_argument("--after", type=int, default=0, metavar="N", help="go on beyond that one")
    one = add(
        "cancel", "those not redeemed yet are worth nothing", operation("voucher.cancel"), voucher
    )
    one.add_argument("name", metavar="BATCH")
    one.add_argument("--number", type=int, help="one of them; without, all")


def _add(call: Call) -> Run:
    def run(options: argparse.Namespace, config: Any) -> Any:
        from papercutd.commands.voucher_paper import write_csv, write_pdf

        # Made first: serials that cannot be written would be lost.
        paths = [Path(path) for path in (options.csv, options.pdf) if path]
        made: list[Path] = []
        try:
            for path in paths:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                made.append(path)
            given = ("name", "amount", "count", "until", "purse")
            arguments = {name: getattr(options, name) for name in given}
            batch = call(options, config, "voucher.add", arguments)
        except BaseException:
            for path in made:
                path.unlink()
            raise
        if options.csv:
            with open(options.csv, "w", encoding="utf-8", newline="") as table:
                write_csv(table, batch)
        if options.pdf:
            with open(options.pdf, "wb") as sheets:
                write_pdf(sheets, batch, options.purse)
        if not paths:
            return batch
        told = {name: batch[name] for name in _TOLD}
        return {**told, "count": len(batch["serials"]), "files": [str(path) for path in paths]}

    return run
