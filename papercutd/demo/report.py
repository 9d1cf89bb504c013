"""What the demonstration tells in the end: the statement, the figures, and what was found."""

from __future__ import annotations

from typing import Any

import attrs

from papercutd.demo import measure
from papercutd.demo.installation import Installation
from papercutd.demo.measure import Span
from papercutd.domain.money import show_amount

FOUND_MAX = 20


@attrs.define
class Spans:
    """When what happened."""

    online: Span
    silent: Span
    #: From the cut on, with everything that came after it.
    cut: Span
    killed: list[Span]
    healed_at: float


@attrs.define
class Told:
    """What the servers said."""

    drained_records: int
    drain_ms: int
    #: Taken after the heal, and in the end.
    statements: list[dict[str, Any]]
    verified: dict[str, Any]
    #: What people or devices could not do.
    troubles: list[str]


def stores_of(installation: Installation) -> measure.Stores:
    branches = installation.branches
    return measure.Stores(
        application=installation.app.data / "application.db",
        providers=[b.provider.data / "provider.db" for b in branches],
        replicas=[path for b in branches for path in b.site.data.glob("replica-*.db")],
        printers=[b.printer.directory for b in branches],
        machines={b.mfd.name: b.mfd.home / "machine.db" for b in branches},
    )


def make_report(
    installation: Installation, spans: Spans, told: Told
) -> tuple[dict[str, Any], list[str]]:
    """The figures, and in words what does not add up."""
    stores = stores_of(installation)
    paper = measure.read_paper(stores)
    money = measure.measure_money(stores, paper)
    copies = measure.measure_copies(stores)
    found = [
        f"job {job['job']} did not come to an end: {job['title']}, {job['state']}"
        for job in paper.jobs
        if job["state"] not in ("ended", "held")
    ]
    found += [*told.troubles, *copies["found"], *money["found"], *told.verified["problems"]]
    for statement in told.statements:
        if statement["state"] != "closed":
            missing = ", ".join(statement["missing"])
            found.append(f"the statement is open: {missing} did not report")
    lost = money["lost"] + copies["lost"]
    duplicated = money["duplicated"] + copies["duplicated"]
    silent_ms = measure.waited(paper, [spans.silent])
    result = {
        "ok": not (found or lost or duplicated or money["overspent_e4"]),
        "spooler": installation.spooler,
        "sites": len(installation.branches),
        "jobs": money["jobs"],
        "copies": copies["copies"],
        "released": len(paper.released),
        "charged_e4": money["charged_e4"],
        "lost": lost,
        "duplicated": duplicated,
        "overspent_e4": money["overspent_e4"],
        "decision_ms": {
            "online_p95": measure.percentile(measure.waited(paper, [spans.online]), 0.95),
            "killed_p99": measure.percentile(measure.waited(paper, spans.killed), 0.99),
            "silent_max": round(max(silent_ms), 1) if silent_ms else None,
        },
        "back_s": measure.back_s(paper, spans.healed_at),
        "drained_records": told.drained_records,
        "drain_ms": told.drain_ms,
        "replica_lag_ms": measure.replica_lag_ms(stores, [spans.cut]),
    }
    return result, found


def show_report(result: dict[str, Any], found: list[str], sabotage: str) -> str:
    """For a person."""
    decision = result["decision_ms"]
    rows = [
        ("documents on paper", result["jobs"]),
        ("of them held, collected", result["released"]),
        ("copies at devices", result["copies"]),
        ("charged", show_amount(result["charged_e4"])),
        ("paper without a charge", result["lost"]),
        ("charged or printed twice", result["duplicated"]),
        ("spent beyond the caps", show_amount(result["overspent_e4"])),
        ("decided online", f"{decision['online_p95']} ms (p95)"),
        ("with the server killed", f"{decision['killed_p99']} ms (p99)"),
        ("in the silent cut", f"{decision['silent_max']} ms (longest)"),
        ("back after the heal", f"{result['back_s']} s"),
        ("records forwarded", f"{result['drained_records']} in {result['drain_ms']} ms"),
    ]
    lines = ["", *(f"  {name:<25} {value}" for name, value in rows), ""]
    lines += [f"  FOUND: {line}" for line in found[:FOUND_MAX]]
    if sabotage:
        lines.append(f"  (the deliberate fault was {sabotage})")
    verdict = "nothing lost, nothing charged twice" if result["ok"] else "NOT everything adds up"
    return "\n".join([*lines, f"  {verdict}", ""])


def show_statement(statement: dict[str, Any]) -> str:
    """A statement for a person: what was printed, who pays, who decided, what is listed."""
    missing = ", ".join(statement["missing"]) or "nobody"
    lines = ["", f"  The statement of the outage is {statement['state']}; missing: {missing}"]
    lines += [
        _line(name, statement[key])
        for name, key in (
            *(("printed", "prints"), ("of that released", "released"), ("copied", "copies")),
        )
    ]
    lines.append(_line("in all", statement))
    lines += [_line(f"user {one['user_name']}", one) for one in statement["by_user"]]
    lines += [_line(f"printer {one['name']}", one) for one in statement["by_printer"]]
    lines += [
        _line(f"device {one['device']}", {**one, "jobs": one["runs"]})
        for one in statement["by_device"]
    ]
    lines += [_line(f"decided by {_decider(one)}", one) for one in statement["by_decider"]]
    listed = {one["kind"]: one for one in statement["listed"]}
    for kind in dict.fromkeys(("forced", "assumed", "uncollected", *listed)):
        one = listed.get(kind, {"count": 0, "amount_e4": 0})
        lines.append(f"    {kind:<28} {one['count']:>4}  {show_amount(one['amount_e4'] or 0):>20}")
    return "\n".join([*lines, ""])


def _line(name: str, figures: dict[str, Any]) -> str:
    return (
        f"    {name:<28} {figures['jobs']:>4} jobs {figures['pages']:>4} pages"
        f" {show_amount(figures['amount_e4']):>9}"
    )


def _decider(one: dict[str, Any]) -> str:
    return f"site {one['site']} ({one['policy']})" if one["site"] else str(one["decider"])
