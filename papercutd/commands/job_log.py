"""``papercutd job-log``: what was printed, refused or ended without paper; as CSV too."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from papercutd.commands.tables import plain, shown_at, write_new
from papercutd.domain.money import show_amount
from papercutd.errors import InvalidValue

Call = Callable[[argparse.Namespace, Any, str, dict[str, Any]], Any]
Row = dict[str, Any]
_WORDS = ("user", "printer", "account", "site", "decider", "invoice", "since", "until", "after")
_FLAGS = ("forced", "assumed", "refused")
#: The two lines that readers of PaperCut's print log expect.
HEADING = "PaperCut Print Logger - http://www.papercut.com/"
COLUMNS = (
    *("Time", "User", "Pages", "Copies", "Printer", "Document Name", "Client", "Paper Size"),
    *("Language", "Height", "Width", "Duplex", "Grayscale", "Size"),
)


def add_job_log_command(add: Callable[..., argparse.ArgumentParser], call: Call) -> None:
    """``add`` and ``call`` are those of commands/main.py."""

    def run(options: argparse.Namespace, config: Any) -> Any:
        given = {name: getattr(options, name) for name in (*_WORDS, *_FLAGS)}
        asked = {name: value for name, value in given.items() if value}

        def page(more: dict[str, Any]) -> Any:
            return call(options, config, "job-log", asked | more)

        if options.csv is None:
            return _collect(page, options.count)

        def write(file: TextIO) -> int:
            return write_print_log(file, _jobs(page, {"oldest_first": True, "charged": True}))

        return {"jobs": write_new(options.csv, write), "file": options.csv}

    one = add("job-log", "jobs that were charged, refused or ended without paper", run)
    one.add_argument("--user", help="whose jobs, with those of people merged into them")
    one.add_argument("--printer")
    one.add_argument("--account", help="a shared account that paid, or was named")
    one.add_argument(
        "--invoice", choices=("yes", "no"), help="to be invoiced to a shared account, or not"
    )
    one.add_argument("--site", help="where the print provider or device stands now")
    one.add_argument("--decider", help="as `decider` of a job says it")
    one.add_argument("--since", metavar="2027-01-31", help="booked from then on (UTC)")
    one.add_argument("--until", metavar="2027-02-28", help="booked before that")
    one.add_argument("--forced", action="store_true", help="posted whatever the funds")
    one.add_argument("--assumed", action="store_true", help="of which nobody saw the end")
    one.add_argument("--refused", action="store_true", help="denied or held")
    one.add_argument("--count", type=int, default=100, help="jobs at most, the newest first")
    one.add_argument("--after", metavar="PLACE", help="go on: what `next` said")
    one.add_argument(
        "--csv",
        metavar="FILE",
        help="write all that printed there, the oldest first, as a print log",
    )
    one.set_defaults(readable=as_text)


def _collect(page: Callable[[dict[str, Any]], Any], count: int) -> dict[str, Any]:
    """``count`` jobs at the most, and where to go on behind the last of them."""
    if count < 1:
        raise InvalidValue("count", "is at least 1")
    jobs: list[Row] = []
    more: dict[str, Any] = {}
    while True:
        found = page(more)
        jobs += found["jobs"]
        if len(jobs) > count:
            last = jobs[count - 1]
            return {"jobs": jobs[:count], "next": f"{last['number']} {last['id']}"}
        if not found["next"] or len(jobs) == count:
            return {"jobs": jobs, "next": found["next"]}
        more = {"after": found["next"]}


def _jobs(page: Callable[[dict[str, Any]], Any], more: dict[str, Any]) -> Iterator[Row]:
    looked = 0
    while True:
        found = page(more)
        yield from found["jobs"]
        looked += found["looked_through"]
        if sys.stderr.isatty():
            print(f"\rlooked through {looked}", end="", file=sys.stderr)
        if not found["next"]:
            return
        more = more | {"after": found["next"]}


def write_print_log(file: TextIO, jobs: Iterator[Row]) -> int:
    """The format of PaperCut's print logger; what is not known is left empty."""
    file.write(f"{HEADING}\n")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for job in jobs:
        whats = [str(line["what"]) for line in job["lines"]]
        paper = whats[0].split(" ")[0] if whats else ""
        duplex = any(what.endswith(" duplex") for what in whats) or job["sheets"] < job["pages"]
        is_grey = not any(" colour" in what for what in whats)
        writer.writerow(
            (
                *(shown_at(job["claimed_at"]), plain(job["user_name"]), job["pages"], 1),
                *(plain(job["printer"]), plain(job["title"]), "", paper, "", "", ""),
                *("DUPLEX" if duplex else "NOT DUPLEX",),
                *("GRAYSCALE" if is_grey else "NOT GRAYSCALE", ""),
            )
        )
        count += 1
    return count


def as_text(found: dict[str, Any]) -> str:
    """A job a line, and how to go on."""
    if "file" in found:
        return f"{found['jobs']} jobs in {found['file']}"
    lines = [
        f"{shown_at(row['received_at'])}  {row['user_name']}  {row['printer']}  {row['title']!r}"
        f"  {row['pages']} pages  {show_amount(row['amount_e4'])}  {_ended(row)}"
        for row in found["jobs"]
    ]
    if found["next"]:
        lines.append(f"more: --after '{found['next']}'")
    return "\n".join(lines) or "none"


def _ended(row: Row) -> str:
    words = [row["outcome"], row["reason"], *(word for word in ("forced", "assumed") if row[word])]
    if row["named_account"]:
        words.append(f"for {row['named_account']}")
    if row["invoice"]:
        words.append("invoice")
    return ", ".join(word for word in words if word)
