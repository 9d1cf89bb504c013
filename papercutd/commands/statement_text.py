"""A statement as a person reads it: the answer first, then what it rests on."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Callable, Iterable
from typing import Any

from papercutd.domain.money import show_amount
from papercutd.domain.statement_words import words_of

#: Lines of a list of people, accounts or items; --json has them all.
ROWS_MAX = 40
_WIDTH = 96
_POLICIES = {
    "capped": "CAPPED",
    "strict": "STRICT",
    "closed": "CLOSED",
}


def show_outages(rows: list[dict[str, Any]]) -> str:
    """The table of ``papercutd outages``."""
    if not rows:
        return "There has been no outage."
    return table(
        ("no", "from", "until", "sites", "state", "jobs", "pages", "amount"),
        [
            (
                str(one["outage"]),
                when(one["since"]),
                when(one["until"]),
                ", ".join(one["sites"]) + (" (drill)" if one["kind"] == "drill" else ""),
                one["state"] + (", signed" if one["signed"] else ""),
                str(one["jobs"]),
                str(one["pages"]),
                show_amount(one["amount_e4"]),
            )
            for one in rows
        ],
        numbers_from=5,
    )


def show_statement(stated: dict[str, Any]) -> str:
    """All of a statement, for 80 to 100 columns."""
    lines = [*headline(stated), ""]
    for title, rows in sections(stated):
        if rows:
            lines += [title.upper(), *(f"  {row}" for row in rows), ""]
    return "\n".join(lines).rstrip()


def headline(stated: dict[str, Any]) -> list[str]:
    """Whether all is well, in a few sentences."""
    if not stated.get("outage"):
        name = "There has been no outage." if "outage" in stated else "A span of time"
    else:
        word = "Drill" if stated["kind"] == "drill" else "Outage"
        sites = ", ".join(one["site"] for one in stated["sites"])
        name = f"{word} {stated['outage']} at {sites}: {stated['state']}"
        name += ", signed" if "signed" in stated else ""
    lines = [name]
    if stated["since"]:
        lines.append(f"From {when(stated['since'])} until {when(stated['until'])}.")
    if stated["missing"]:
        lines += textwrap.wrap(
            "Not yet heard of: " + ", ".join(stated["missing"]) + ". The figures may grow.", _WIDTH
        )
    lines.append(
        f"{_count(stated['jobs'], 'job')}, {_count(stated['pages'], 'page')},"
        f" {show_amount(stated['amount_e4'])}."
    )
    evidence = stated.get("evidence")
    if evidence is not None:
        lost, twice = evidence["lost_records"], stated["charged_twice"]
        lines.append(f"{lost} lost, {twice} charged twice. {overspend(stated['overspend'])}")
    return lines


def overspend(found: dict[str, Any]) -> str:
    """One sentence: the bound, and what was really overspent."""
    bound_e4 = found["bound_per_user_e4"]
    bound = "without a bound" if bound_e4 is None else f"at most {show_amount(bound_e4)} a person"
    if not found["people"]:
        return f"Nobody overspent ({bound} was possible)."
    return (
        f"{_count(found['people'], 'person', 'people')} overspent {show_amount(found['in_all_e4'])}"
        f" in all, nobody more than {show_amount(found['most_per_user_e4'])}; {bound} was possible"
        + ("." if found["within_bound"] else ": MORE THAN THE BOUND.")
    )


def sections(stated: dict[str, Any]) -> Iterable[tuple[str, list[str]]]:
    """Titles with their lines."""
    yield (
        "What",
        _spent(
            [(name, stated[name]) for name in ("prints", "copies", "released")],
        ),
    )
    yield (
        "Sites",
        [
            _wrapped(
                f"{one['site']}: cut {when(one['since'])}; policy {policy(one)};"
                f" journal at record {one['records']}"
            )
            for one in stated.get("sites", [])
        ],
    )
    yield "Printed at", _by(stated, "by_site", lambda one: one["site"] or "no site")
    yield "Users", _by(stated, "by_user", lambda one: one["user_name"])
    yield "Accounts", _by(stated, "by_account", lambda one: one["name"])
    yield "Printers", _by(stated, "by_printer", lambda one: one["name"] or "removed")
    yield "Devices", _by(stated, "by_device", lambda one: f"{one['device']} {one['function']}")
    yield "Decided by", _by(stated, "by_decider", decider)
    yield "Refused or held", [refusal(one) for one in stated["refused"]]
    yield (
        "Listed",
        [
            f"{one['count']} {words_of(one['kind']).title} ({one['kind']},"
            f" {show_amount(one['amount_e4'] or 0)}): {words_of(one['kind']).settled}"
            for one in stated["listed"]
        ],
    )
    yield (
        "Conflicts",
        [
            f"{one['count']} {words_of(one['kind']).title}: {one['settled']}"
            for one in stated["conflicts"]
        ],
    )
    yield "One by one", _items(stated["items"])
    yield "Evidence", evidence_lines(stated)


def evidence_lines(stated: dict[str, Any]) -> list[str]:
    """What anybody can count again with `papercutd verify`."""
    found = stated.get("evidence")
    at = stated["position"]
    lines = []
    if found is not None:
        lines = [
            f"{found['keys']} keys, {found['charges']} charges: one for each",
            f"sum of all accounts {show_amount(found['ledger_sum_e4'])}",
            *(
                f"{one['site']}: "
                + (
                    f"records {one['first']} to {one['last']} without a gap"
                    if one["last"] >= one["first"]
                    else f"no new record after {one['last']}"
                )
                + f", stream {one['stream']}, chain {one['chain'][:16]}"
                for one in found["streams"]
            ),
        ]
    return [*lines, f"change {at['number']} of timeline {at['timeline']}, chain {at['chain'][:16]}"]


def decider(one: dict[str, Any]) -> str:
    """Who decided, as people call them."""
    if one["decider"] == "application":
        return "application server"
    if one["decider"] == "tracker":
        return "nobody: printed with no server in reach"
    return f"site {one['site']} ({_POLICIES.get(one['policy'], one['policy'])})"


def refusal(one: dict[str, Any]) -> str:
    """What was refused, why and by whom."""
    who = "the application server" if one["decider"] == "application" else "a site"
    return (
        f"{_count(one['jobs'], 'job')}: {one['verdict']} {one['reason']}".rstrip() + f", by {who}"
    )


def policy(one: dict[str, Any]) -> str:
    """A site's policy with its cap."""
    word = _POLICIES.get(one["policy"], one["policy"])
    if one["policy"] != "capped":
        return word
    cap_e4 = one["cap_user_e4"]
    return f"{word}, no cap" if cap_e4 is None else f"{word} at {show_amount(cap_e4)} a person"


def when(at: float | None) -> str:
    """Local time, to the second."""
    return "now" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def table(head: tuple[str, ...], rows: list[tuple[str, ...]], numbers_from: int) -> str:
    """Columns with two spaces between them, numbers to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place >= numbers_from else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    )


def _by(stated: dict[str, Any], name: str, label: Callable[[dict[str, Any]], str]) -> list[str]:
    return _spent([(label(one), one) for one in stated[name]])


def _spent(rows: list[tuple[str, dict[str, Any]]]) -> list[str]:
    if not rows:
        return []
    cells = [
        (
            label,
            str(one.get("jobs", one.get("runs"))),
            str(one["pages"]),
            show_amount(one["amount_e4"]),
        )
        for label, one in rows[:ROWS_MAX]
    ]
    lines = table(("", "jobs", "pages", "amount"), cells, numbers_from=1).splitlines()
    return [*lines, *_more(rows)]


def _items(items: list[dict[str, Any]]) -> list[str]:
    lines = [
        f"{when(one['at'])}  {one['kind']}  {one['key']}  {one['who']}  {one['detail']}"
        for one in items[:ROWS_MAX]
    ]
    return [*(line.rstrip() for line in lines), *_more(items)]


def _more(rows: list[Any]) -> list[str]:
    left = len(rows) - ROWS_MAX
    return [f"and {left} more: --json has them"] if left > 0 else []


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, subsequent_indent="    ")


def _count(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
