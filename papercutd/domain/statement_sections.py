"""A statement for people: a headline, then sections of rows; the same on a terminal and a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs

from papercutd.domain.money import show_amount
from papercutd.domain.statement_words import words_of

#: How a moment is written.
When = Callable[[float | None], str]
_POLICIES = {"capped": "CAPPED", "strict": "STRICT", "closed": "CLOSED"}
_SPENT = ("jobs", "pages", "amount")


@attrs.frozen
class Section:
    """Rows under a title; from column ``numbers_from`` on they are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    numbers_from: int = 99


@attrs.frozen
class Headline:
    """Whether all is well, in a few sentences."""

    title: str
    #: From when to when.
    span: str
    #: Who has not reported; empty: everybody has.
    missing: str
    #: How much was printed.
    printed: str
    #: Lost, charged twice.
    proof: str
    #: The bound, and what was overspent.
    overspend: str
    is_well: bool

    def lines(self) -> list[str]:
        """Those that say something."""
        parts = (self.title, self.span, self.missing, self.printed, self.proof, self.overspend)
        return [part for part in parts if part]


def make_headline(stated: dict[str, Any], when: When) -> Headline:
    """Of a statement, as ``papercutd statement --json`` prints it."""
    evidence = stated.get("evidence")
    lost, twice = (0 if evidence is None else evidence["lost_records"]), stated["charged_twice"]
    over = stated.get("overspend")
    return Headline(
        title=_title(stated),
        span=f"From {when(stated['since'])} until {when(stated['until'])}."
        if stated["since"]
        else "",
        missing=f"Not yet heard of: {', '.join(stated['missing'])}. The figures may grow."
        if stated["missing"]
        else "",
        printed=f"{count(stated['jobs'], 'job')}, {count(stated['pages'], 'page')},"
        f" {show_amount(stated['amount_e4'])}.",
        proof=f"{lost} lost, {twice} charged twice.",
        overspend="" if over is None else overspend(over),
        is_well=not lost and not twice and (over is None or over["within_bound"]),
    )


def _title(stated: dict[str, Any]) -> str:
    if "outage" not in stated:
        return "Everything of a span of time"
    if not stated["outage"]:
        return "There has been no outage"
    word = "Drill" if stated["kind"] == "drill" else "Outage"
    sites = ", ".join(one["site"] for one in stated["sites"])
    state = stated["state"] + (", signed" if "signed" in stated else "")
    return f"{word} {stated['outage']} at {sites}: {state}"


def overspend(found: dict[str, Any]) -> str:
    """One sentence: the bound, and what was really overspent."""
    bound_e4 = found["bound_per_user_e4"]
    bound = "no bound" if bound_e4 is None else f"bound {show_amount(bound_e4)} a person"
    if not found["people"]:
        return f"Nobody overspent ({bound})."
    end = "." if found["within_bound"] else ": MORE THAN THE BOUND."
    return (
        f"{count(found['people'], 'person', 'people')} overspent {show_amount(found['in_all_e4'])}"
        f" in all, nobody more than {show_amount(found['most_per_user_e4'])} ({bound}){end}"
    )


def make_sections(stated: dict[str, Any], when: When) -> Iterator[Section]:
    """Those that have rows."""
    for section in _all_sections(stated, when):
        if section.rows:
            yield section


def _all_sections(stated: dict[str, Any], when: When) -> Iterator[Section]:
    yield _spent("What", "", [(name, stated[name]) for name in ("prints", "copies", "released")])
    yield Section(
        "Sites",
        ("site", "cut at", "policy", "records before"),
        [
            (one["site"], when(one["since"]), policy(one), str(one["records"]))
            for one in stated.get("sites", [])
        ],
        3,
    )
    for title, column, name, label in (
        ("Printed at", "site", "by_site", lambda one: one["site"] or "no site"),
        ("Users", "user", "by_user", lambda one: one["user_name"]),
        ("Accounts", "account", "by_account", lambda one: one["name"]),
        ("Printers", "printer", "by_printer", lambda one: one["name"] or "unknown"),
        ("Devices", "device", "by_device", lambda one: f"{one['device']} {one['function']}"),
        ("Decided by", "", "by_decider", decider),
    ):
        yield _spent(title, column, [(str(label(one)), one) for one in stated[name]])
    yield Section(
        "Refused or held",
        ("what", "why", "by", "jobs"),
        [
            (
                one["verdict"],
                one["reason"],
                "application server" if one["decider"] == "application" else "site",
                str(one["jobs"]),
            )
            for one in stated["refused"]
        ],
        3,
    )
    yield Section(
        "Listed",
        ("kind", "what", "settled", "times", "amount"),
        [
            (
                *(one["kind"], words_of(one["kind"]).title, words_of(one["kind"]).settled),
                *(str(one["count"]), show_amount(one["amount_e4"] or 0)),
            )
            for one in stated["listed"]
        ],
        3,
    )
    yield Section(
        "Conflicts",
        ("what", "settled", "times"),
        [
            (words_of(one["kind"]).title, one["settled"], str(one["count"]))
            for one in stated["conflicts"]
        ],
        2,
    )
    yield Section(
        "One by one",
        ("at", "kind", "key", "who", "detail"),
        [
            (when(one["at"]), one["kind"], one["key"], one["who"], one["detail"])
            for one in stated["items"]
        ],
    )
    yield Section("Evidence", ("", ""), _evidence(stated))


def _evidence(stated: dict[str, Any]) -> list[tuple[str, ...]]:
    """What anybody can count again with ``papercutd verify``."""
    found, at = stated.get("evidence"), stated["position"]
    rows: list[tuple[str, ...]] = []
    if found is not None:
        rows.append(("one charge for each key", f"{found['charges']} for {found['keys']}"))
        rows.append(("sum of all accounts", show_amount(found["ledger_sum_e4"])))
        for one in found["streams"]:
            records = (
                f"{one['first']} to {one['last']} without a gap"
                if one["last"] >= one["first"]
                else "none new"
            )
            rows.append((f"records of {one['site']}", f"{records}, chain {one['chain'][:16]}"))
    rows.append(
        (
            "stands at",
            f"change {at['number']} of timeline {at['timeline']}, chain {at['chain'][:16]}",
        )
    )
    return rows


def decider(one: dict[str, Any]) -> str:
    """Who decided, as people call them."""
    if one["decider"] == "application":
        return "application server"
    if one["decider"] == "tracker":
        return "nobody: no server in reach"
    return f"site {one['site']} ({_POLICIES.get(one['policy'], one['policy'])})"


def policy(one: dict[str, Any]) -> str:
    """A site's policy with its cap; those of groups behind it."""
    own = _one_policy(one)
    groups = [f"{group['group']}: {_one_policy(group)}" for group in one.get("groups", ())]
    return "; ".join([own, *groups])


def _one_policy(one: dict[str, Any]) -> str:
    word = _POLICIES.get(one["policy"], str(one["policy"]))
    if one["policy"] != "capped":
        return word
    cap_e4 = one["cap_user_e4"]
    return f"{word}, no cap" if cap_e4 is None else f"{word}, {show_amount(cap_e4)} a person"


def count(number: int, one: str, many: str = "") -> str:
    """``1 job``, ``2 jobs``."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _spent(title: str, column: str, rows: list[tuple[str, dict[str, Any]]]) -> Section:
    return Section(
        title,
        (column, *_SPENT),
        [
            (
                label,
                str(one.get("jobs", one.get("runs"))),
                str(one["pages"]),
                show_amount(one["amount_e4"]),
            )
            for label, one in rows
        ],
        1,
    )


def outage_section(rows: list[dict[str, Any]], when: When) -> Section:
    """The list of outages."""
    return Section(
        "Outages",
        ("no", "sites", "from", "until", "state", "jobs", "pages", "amount"),
        [
            (
                str(one["outage"]),
                ", ".join(one["sites"]) + (" (drill)" if one["kind"] == "drill" else ""),
                when(one["since"]),
                when(one["until"]),
                one["state"] + (", signed" if one["signed"] else ""),
                *(str(one["jobs"]), str(one["pages"]), show_amount(one["amount_e4"])),
            )
            for one in rows
        ],
        5,
    )
