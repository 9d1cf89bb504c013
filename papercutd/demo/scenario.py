"""The story of the demonstration: print, cut, kill, heal, and count."""

from __future__ import annotations

import sys
import time
from typing import Any

import attrs

from papercutd.demo import measure
from papercutd.demo.documents import make_pdf
from papercutd.demo.installation import Branch, Installation
from papercutd.demo.measure import Span
from papercutd.demo.processes import command
from papercutd.domain.money import show_amount

WAIT_S = 30.0
ONLINE_JOBS = 12
SILENT_JOBS = 6
CUT_JOBS = 8
KILLS = 6


@attrs.define
class Story:
    """What a person follows."""

    _began: float = attrs.field(factory=time.monotonic)
    _count: int = 0

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:6.1f} s] {text}", flush=True)

    def begin(self, installation: Installation) -> None:
        """Start the application server, join everybody, start everybody."""
        self.say("starting the application server")
        installation.app.start()
        command(installation.app.config, "user", "add", "anna", "--balance", "3.00")
        self.say("two sites and a print provider at each join, with single-use tokens over TLS")
        installation.join_all()
        for branch in installation.branches:
            branch.site.start()
            branch.provider.start()
        wait_for("everybody is connected", lambda: all(is_ready(b) for b in installation.branches))

    def print_at(self, branch: Branch, what: str, pages: int, user: str = "anna") -> str:
        self._count += 1
        title = f"{what} {self._count}"
        return branch.print_file(make_pdf(title, pages, self._count % 4 == 0), title, user)


def wait_for(what: str, condition: Any, limit_s: float = WAIT_S) -> bool:
    """Poll ``condition``; say so on stderr when it does not come true in time."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except Exception:
            pass
        time.sleep(0.05)
    print(f"waited {limit_s:.0f} s in vain: {what}", file=sys.stderr)
    return False


def is_ready(branch: Branch) -> bool:
    status = branch.provider.call("status")
    return (
        all(s["connected"] and not s["suspect"] for s in status["servers"].values())
        and bool(status["printers"])
        and branch.site.call("status")["state"] == "online"
    )


def _printed(branch: Branch, jobs: list[str]) -> bool:
    states = {one["job"]: one["state"] for one in branch.provider.call("job.list")}
    return all(states.get(job) in ("ended", "held") for job in jobs)


def is_settled(branch: Branch) -> bool:
    status = branch.provider.call("status")
    return not any(status["owed"].values()) and set(status["jobs"]) <= {"ended", "held"}


def tell(installation: Installation, story: Story, sabotage: str) -> dict[str, Any]:
    """Run all of it; the figures."""
    story.begin(installation)
    branches = installation.branches
    north, south = branches
    online = Span(time.time(), 0.0)
    story.say(f"anna prints {ONLINE_JOBS} documents at both sites; the application server decides")
    for number in range(ONLINE_JOBS):
        branch = branches[number % 2]
        job = story.print_at(branch, "online", 1)
        wait_for("the job is printed", lambda b=branch, j=job: _printed(b, [j]))
    online = Span(online.began, time.time())

    story.say("CUT: both links of both sites go silent; nothing is closed, nobody is told")
    cut_began = time.time()
    for branch in branches:
        branch.cut()
    for _ in range(SILENT_JOBS // 2):
        jobs = {branch.name: story.print_at(branch, "silent", 1) for branch in branches}
        time.sleep(0.4)
    silent = Span(cut_began, time.time())
    for branch in branches:
        wait_for("jobs of the silent cut", lambda b=branch: _printed(b, [jobs[b.name]]))
    wait_for("sites notice", lambda: all(b.site.call("status")["state"] == "cut" for b in branches))
    story.say(f"anna goes on printing at both sites: {CUT_JOBS} documents, decided there")
    _print_cut(story, branches, CUT_JOBS // 2)
    story.say("site south is killed with -9 and restarted, still cut")
    south.site.kill()
    if sabotage == "lose-journal":
        for path in south.site.data.glob("journal.db*"):
            path.unlink()
    story.print_at(south, "site dead too", 1)
    south.site.start()
    wait_for("the provider finds its site again", lambda: _site_up(south), 10.0)
    _print_cut(story, branches, CUT_JOBS - CUT_JOBS // 2)
    waiting = sum(b.site.call("status")["waiting_records"] for b in branches)
    story.say(f"HEAL: the links are back; {waiting} records wait at the sites")
    healed_at = time.time()
    for branch in branches:
        branch.heal()
    drained = _wait_drained(branches)
    drain_ms = round((time.time() - healed_at) * 1000)
    for _ in range(60):
        story.print_at(north, "after the heal", 1, "anna")
        if measure.back_s(measure.read_paper(_stores(installation)), healed_at) is not None:
            break
        time.sleep(0.25)
    wait_for("all is settled", lambda: all(is_ready(b) and is_settled(b) for b in branches))
    healed = Span(cut_began, time.time())

    story.say(f"the application server is killed with -9, {KILLS} times, a document each time")
    killed: list[Span] = []
    for number in range(KILLS):
        installation.app.kill()
        began = time.time()
        branch = branches[number % 2]
        job = story.print_at(branch, "application server dead", 1)
        wait_for("the job is printed", lambda b=branch, j=job: _printed(b, [j]))
        killed.append(Span(began, time.time()))
        installation.app.start()
        wait_for("everybody is back", lambda: all(is_ready(b) for b in branches))
        healed = Span(healed.began, time.time())
    wait_for("all is settled", lambda: all(is_settled(b) for b in branches))
    _wait_drained(branches)
    wait_for("the statement is closed", lambda: _statement(installation)["state"] == "closed", 10.0)
    statement = _statement(installation)
    journals = [str(b.provider.data / "provider.db") for b in branches]
    verified = installation.app.call("verify", provider_journals=journals)
    return _report(
        *(installation, story, sabotage, online, silent, killed, healed, healed_at),
        *((drained and waiting) or 0, drain_ms, statement, verified),
    )


def _print_cut(story: Story, branches: list[Branch], count: int) -> None:
    for number in range(count):
        branch = branches[number % 2]
        job = story.print_at(branch, "cut", 4)
        wait_for("the job is printed or held", lambda b=branch, j=job: _printed(b, [j]), 10.0)


def _site_up(branch: Branch) -> bool:
    return bool(branch.provider.call("status")["servers"]["site"]["connected"])


def _wait_drained(branches: list[Branch]) -> bool:
    def drained() -> bool:
        found = [b.site.call("status") for b in branches]
        return all(s["connected"] and s["waiting_records"] == 0 for s in found)

    return wait_for("the sites' records are forwarded", drained)


def _statement(installation: Installation) -> dict[str, Any]:
    result: dict[str, Any] = installation.app.call("statement")
    return result


def _stores(installation: Installation) -> measure.Stores:
    branches = installation.branches
    return measure.Stores(
        application=installation.app.data / "application.db",
        providers=[b.provider.data / "provider.db" for b in branches],
        replicas=[path for b in branches for path in b.site.data.glob("replica-*.db")],
        printers=[b.printer.directory for b in branches],
    )


def _report(
    installation: Installation,
    story: Story,
    sabotage: str,
    online: Span,
    silent: Span,
    killed: list[Span],
    cut: Span,
    healed_at: float,
    drained_records: int,
    drain_ms: int,
    statement: dict[str, Any],
    verified: dict[str, Any],
) -> dict[str, Any]:
    stores = _stores(installation)
    paper = measure.read_paper(stores)
    money = measure.measure_money(stores, paper)
    found = [*money.pop("found"), *verified["problems"]]
    unfinished = [j["job"] for j in paper.jobs if j["state"] not in ("ended", "held")]
    found += [f"job {job} did not come to an end" for job in unfinished]
    if statement["state"] != "closed":
        found.append(f"the statement is open: {', '.join(statement['missing'])} did not report")
    silent_ms = measure.waited(paper, [silent])
    result = {
        "ok": not found and not money["lost"] and not money["duplicated"],
        "spooler": "direct",
        "sites": len(installation.branches),
        "jobs": money["jobs"],
        "copies": 0,
        "released": 0,
        "charged_e4": money["charged_e4"],
        "lost": money["lost"],
        "duplicated": money["duplicated"],
        "overspent_e4": money["overspent_e4"],
        "decision_ms": {
            "online_p95": measure.percentile(measure.waited(paper, [online]), 0.95),
            "killed_p99": measure.percentile(measure.waited(paper, killed), 0.99),
            "silent_max": round(max(silent_ms), 1) if silent_ms else None,
        },
        "back_s": measure.back_s(paper, healed_at),
        "drained_records": drained_records,
        "drain_ms": drain_ms,
        "replica_lag_ms": measure.replica_lag_ms(stores, [cut]),
    }
    result["ok"] = bool(result["ok"]) and not money["overspent_e4"]
    _summary(story, result, statement, found, sabotage)
    return result


def _summary(
    story: Story,
    result: dict[str, Any],
    statement: dict[str, Any],
    found: list[str],
    sabotage: str,
) -> None:
    decision = result["decision_ms"]
    story.say("the statement")
    print(
        "\n".join(
            [
                "",
                f"  documents on paper        {result['jobs']}",
                f"  charged                   {show_amount(result['charged_e4'])}",
                f"  paper without a charge    {result['lost']}",
                f"  charged or printed twice  {result['duplicated']}",
                f"  spent beyond the caps     {show_amount(result['overspent_e4'])}",
                f"  decided online            {decision['online_p95']} ms (p95)",
                f"  with the server killed    {decision['killed_p99']} ms (p99)",
                f"  in the silent cut         {decision['silent_max']} ms (longest)",
                f"  back after the heal       {result['back_s']} s",
                f"  records forwarded         {result['drained_records']}"
                f" in {result['drain_ms']} ms",
                f"  the statement is          {statement['state']}",
                "",
            ]
        )
    )
    for line in found[:20]:
        print(f"  FOUND: {line}")
    if sabotage:
        print(f"  (the deliberate fault was {sabotage})")
    verdict = "nothing lost, nothing charged twice" if result["ok"] else "NOT everything adds up"
    print(f"  {verdict}\n", flush=True)
