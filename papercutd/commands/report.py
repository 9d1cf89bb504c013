"""``papercutd report``: pages and money of whole months."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable
from typing import Any

from papercutd.commands.tables import plain
from papercutd.domain.money import show_amount

Run = Callable[[argparse.Namespace, Any], Any]
_BY = ("month", "user", "printer", "account", "named", "site", "group")


def add_report_commands(
    add: Callable[..., Any], group: Callable[[str, str], Any], operation: Callable[[str], Any]
) -> None:
    """``add``, ``group`` and ``operation`` are those of commands/main.py."""
    report = group("report", "pages and money of whole months (UTC, as they were booked)")
    for what in ("pages", "money"):
        one = add(what, f"who has most {what}", with_csv(operation("report")), report)
        one.set_defaults(what=what)
        one.add_argument(
            "--by",
            default="month",
            choices=_BY,
            help="account: that paid; named: a shared account that was only named",
        )
        one.add_argument("--from", dest="since", metavar="MONTH", help="such as 2027-01")
        one.add_argument("--to", dest="until", metavar="MONTH", help="with this one")
        one.add_argument("--count", type=int, default=100, help="rows at most")
        one.add_argument("--csv", action="store_true", help="print CSV")
    add(
        "rebuild",
        "make the sums behind the reports anew of all charges, while the server works",
        operation("report.rebuild"),
        report,
    )


def with_csv(run: Run) -> Run:
    """``run``, whose rows ``--csv`` has printed as CSV."""

    def report(options: argparse.Namespace, config: Any) -> Any:
        if options.csv:
            options.readable = as_csv
        asked = argparse.Namespace(**vars(options))
        del asked.csv
        return run(asked, config)

    return report


def as_csv(rows: list[dict[str, Any]]) -> str:
    """With a heading; amounts as ``12.50``. Nothing that a spreadsheet takes for a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if rows:
        writer.writerow(name.removesuffix("_e4") for name in rows[0])
    for row in rows:
        writer.writerow(
            show_amount(value) if name.endswith("_e4") else plain(str(value))
            for name, value in row.items()
        )
    return out.getvalue().rstrip("\n")
