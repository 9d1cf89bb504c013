"""``papercutd price`` and ``papercutd explain``: what things cost, and why they did."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from papercutd.domain.money import show_amount
from papercutd.domain.price_csv import from_csv, to_csv
from papercutd.domain.price_versions import show_from
from papercutd.errors import InvalidValue

#: The analysis ends itself sooner; this is for a machine that stands still.
ANALYSIS_MAX_S = 120
FILE_MAX_BYTES = 400_000
_FROM_HELP = "day (or day and time, UTC) from which it holds; without: at once, or as a file says"
Call = Callable[[argparse.Namespace, Any, str, dict[str, Any]], Any]


def add_price_commands(
    add: Callable[..., Any],
    group: Callable[[str, str], Any],
    operation: Callable[[str], Any],
    call: Call,
) -> None:
    """``add``, ``group``, ``operation`` and ``call`` are those of commands/main.py."""
    price = group("price", "prices")
    one = add("set", "a new version of the prices", _set(call), price)
    one.add_argument(
        "line",
        nargs="+",
        help="PAPER=GREY,COLOUR[,GREY,COLOUR of duplex], such as A4=0.05,0.20; * for others",
    )
    one.add_argument("--currency", default="EUR", help="such as EUR (the default)")
    one.add_argument("--from", dest="since", metavar="2027-01-31", help=_FROM_HELP)
    words = "versions, the newest first, 500 a page: which is in force, which waits"
    one = add("show", words, operation("price.show"), price)
    one.add_argument("--before", type=int, metavar="VERSION", help="the next page: the last one")
    one = add("export", "a version as JSON or CSV, for import", _export(call), price)
    one.add_argument("--version", type=int, default=0, help="which (default: the newest)")
    one.add_argument("--csv", action="store_true", help="a table instead of JSON")
    one.set_defaults(readable=lambda found: json.dumps(found, indent=2))
    one = add("import", "a new version of all prices, whole or not at all", _import(call), price)
    one.add_argument("file", metavar="FILE", help="JSON or CSV, as export writes it; - for stdin")
    one.add_argument("--check", action="store_true", help="say what is wrong, change nothing")
    one.add_argument("--from", dest="since", metavar="2027-01-31", help=_FROM_HELP)
    one = add("test", "what a document would cost now; nothing is reserved", _test(call), price)
    one.add_argument("file", nargs="?", metavar="FILE.pdf", help="a document, looked into")
    one.add_argument("--pages", type=int, help="sides of one copy, instead of a document")
    one.add_argument("--colour", type=int, default=0, help="how many of them carry colour")
    one.add_argument("--paper", default="A4", help="their size, such as A4 (the default)")
    one.add_argument("--copies", type=int, default=1)
    one.add_argument("--duplex", action="store_true", help="on both sides of the paper")
    one.add_argument("--user", default="", help="whose job it is")
    one.add_argument("--printer", default="", help="where")
    one.add_argument("--account", default="", help="the shared account that is to pay")
    one.set_defaults(readable=quote_text)
    one = add(
        "explain", "how a charge came about, line by line, or those of a job", operation("explain")
    )
    one.add_argument("charge", metavar="CHARGE", help="a charge id, a key or a job id")
    one.set_defaults(readable=explanation_text)


def _set(call: Call) -> Callable[[argparse.Namespace, Any], Any]:
    def run(options: argparse.Namespace, config: Any) -> Any:
        prices = {}
        for line in options.line:
            paper, _, pair = line.partition("=")
            if paper in prices:
                raise InvalidValue(paper, "is given twice: write one line")
            prices[paper] = pair.split(",")
            if any(re.fullmatch(r"0[0-9]+", amount) for amount in prices[paper]):
                # 0,05 would be two prices, of nothing and of 5.
                raise InvalidValue(paper, "has a comma within a price: write 0.05, with a point")
        arguments = {"prices": prices, "currency": options.currency}
        if options.since is not None:
            arguments["effective_from"] = options.since
        return call(options, config, "price.set", arguments)

    return run


def _export(call: Call) -> Callable[[argparse.Namespace, Any], Any]:
    def run(options: argparse.Namespace, config: Any) -> Any:
        if options.csv:
            options.readable = lambda found: to_csv(found).rstrip("\n")
        return call(options, config, "price.export", {"version": options.version})

    return run


def _import(call: Call) -> Callable[[argparse.Namespace, Any], Any]:
    def run(options: argparse.Namespace, config: Any) -> Any:
        prices = read_prices(options.file)
        if options.since is not None and isinstance(prices, dict):
            prices["effective_from"] = options.since
        arguments = {"prices": prices, "check": options.check}
        return call(options, config, "price.import", arguments)

    return run


def read_prices(path: str) -> Any:
    """The document in a file of JSON, else of CSV."""
    with sys.stdin.buffer if path == "-" else open(path, "rb") as file:
        data = file.read(FILE_MAX_BYTES + 1)
    if len(data) > FILE_MAX_BYTES:
        raise InvalidValue("file", f"has over {FILE_MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
        if not text.lstrip().startswith("{"):
            return from_csv(text)
        return json.loads(text, object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise InvalidValue("file", f"is not UTF-8 at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidValue("file", f"is no JSON: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON lets a name occur twice and keeps the last: a price would be lost in silence."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidValue(name[:64], "is given twice: write one line")
        found[name] = value
    return found


def _test(call: Call) -> Callable[[argparse.Namespace, Any], Any]:
    def run(options: argparse.Namespace, config: Any) -> Any:
        if (options.file is None) == (options.pages is None):
            raise InvalidValue("document", "needs either a file or --pages")
        if options.file is None:
            groups = [[options.paper, options.pages, options.colour]]
        else:
            groups = look_into(options.file)
        names = ("copies", "duplex", "user", "printer", "account")
        asked = {name: getattr(options, name) for name in names}
        return call(options, config, "price.test", {"groups": groups, **asked})

    return run


def look_into(path: str) -> list[list[Any]]:
    """Paper, sides and sides with colour of a PDF: analysed as a provider does, in a process of
    its own, for nothing that somebody printed is trusted."""
    if not Path(path).is_file():
        raise InvalidValue("file", f"{path!r} is no file")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "papercutd.provider.analysis.worker", str(Path(path).resolve())],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=ANALYSIS_MAX_S,
            check=False,
        )
        found = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        raise InvalidValue("file", "cannot be analysed") from None
    if "groups" not in found:
        raise InvalidValue("file", f"cannot be analysed: {found.get('failed', 'unknown')}")
    groups: list[list[Any]] = found["groups"]
    return groups


def _lines_text(lines: list[dict[str, Any]]) -> list[str]:
    return [
        f"  {line['what']}: {line['quantity']} x {show_amount(line['unit_e4'])}"
        f" = {show_amount(line['amount_e4'])}"
        for line in lines
    ]


#: Why a shared account cannot be charged.
_REFUSED = {
    "account": "this user may not",
    "closed": "it is closed or disabled",
    "capability": "a newer release is needed to tell who may",
}


def quote_text(found: dict[str, Any]) -> str:
    """A quote as a person reads it."""
    told = [
        f"{found['pages']} sides on {found['sheets']} sheets cost"
        f" {show_amount(found['amount_e4'])} {found['currency']}",
        *_lines_text(found["lines"]),
        *(f"  {reason}" for reason in found.get("because", ())),
        f"prices: version {found['price_version']}",
    ]
    if found.get("spendable_e4") is not None:
        enough = "enough" if found["spendable_e4"] >= found["amount_e4"] else "not enough"
        whose = found["user"] if found.get("named") else found.get("account") or found["user"]
        told.append(f"{whose} can spend {show_amount(found['spendable_e4'])}: {enough}")
    if found.get("named"):
        told.append(f"named for the account {found['account']}, which does not pay")
    if found.get("refused"):
        told.append(f"{found['account']} cannot be charged: {_REFUSED[found['refused']]}")
    return "\n".join(told)


def explanation_text(found: list[dict[str, Any]]) -> str:
    """How charges came about, as a person reads it."""
    return "\n\n".join(_charge_text(charge) for charge in found)


def _charge_text(charge: dict[str, Any]) -> str:
    prices = charge["prices"]
    currency = prices["currency"] if prices else ""
    told = [
        f"charge {charge['charge']} of {charge['key']}",
        f"{charge['title']!r} of {charge['user']} at {charge['printer']}: {charge['pages']} sides,"
        f" {charge['sheets']} sheets, {show_amount(charge['amount_e4'])} {currency}".rstrip(),
        f"prices: version {charge['price_version']}{_prices_text(prices)}",
        *_lines_text(charge["lines"]),
        f"decided by {charge['decided_by']}; {charge['outcome']}",
    ]
    told += [f"corrected: {words}" for words in charge["corrections"]]
    if charge["named"]:
        told.append(f"named for the account {charge['named']}, which does not pay")
    if charge["invoice"] is not None:
        told.append("to be invoiced" if charge["invoice"] else "not to be invoiced")
    told.append(f"paid by the account {charge['account']}:")
    told += [
        f"  {row['kind']} {show_amount(row['amount_e4'])} from {row['debit']} to {row['credit']}"
        + (" (forced)" if row["forced"] else "")
        + (f" ({row['reason']})" if row["reason"] else "")
        for row in charge["transfers"]
    ]
    told += [_refund_text(row) for row in charge.get("refunds", ())]
    told += [
        f"written off: {show_amount(row['amount_e4'])} ({row['reason']})"
        for row in charge.get("written_off", ())
    ]
    told += [f"listed: {row['kind']} {row['detail']}".rstrip() for row in charge["listed"]]
    return "\n".join(told)


def _prices_text(prices: dict[str, Any] | None) -> str:
    if prices is None:
        return ", not kept any more"
    since = prices["effective_from"]
    return f", from {show_from(since)} on" if since else ""


def _refund_text(row: dict[str, Any]) -> str:
    """What became of a request to give money back."""
    about = f"refund {row['id']}"
    if row["state"] == "approved":
        words = f" ({row['answer']})" if row["answer"] else ""
        return f"given back: {show_amount(row['granted_e4'])} by {about}{words}"
    amount = show_amount(row["amount_e4"])
    return f"asked back: {amount} by {about} ({row['words']}), {row['state']}"
