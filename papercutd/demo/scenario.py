"""The story of the demonstration: print, copy, collect; cut, kill, heal; and count."""

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
from papercutd.demo.report import (
    Spans,
    Told,
    make_report,
    show_report,
    show_statement,
    stores_of,
)

WAIT_S = 30.0
ANNA, CARD = "anna", "04:A2:2B:91"
ONLINE_JOBS = 12
SILENT_JOBS = 6
CUT_JOBS = 8
COPIED_PAGES = 5
#: A copy that is long enough for a site to die and come back in the midst of it.
LONG_COPY_PAGES = 30
KILLS = 6


@attrs.define
class Story:
    """What a person follows."""

    _began: float = attrs.field(factory=time.monotonic)
    _count: int = 0
    #: What people could not do at devices.
    troubles: list[str] = attrs.field(factory=list)

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:6.1f} s] {text}", flush=True)

    def begin(self, installation: Installation) -> None:
        """Start the application server, join everybody, start everybody."""
        self.say("starting the application server")
        installation.app.start()
        command(installation.app.config, "user", "add", ANNA, "--balance", "6.00")
        command(installation.app.config, "user", "card", ANNA, CARD)
        self.say(
            "two sites join, with a print provider and a device each: single-use tokens over TLS"
        )
        installation.join_all()
        installation.furnish()
        installation.start_branches()
        wait_for("everybody is connected", lambda: all(is_ready(b) for b in installation.branches))
        for branch in installation.branches:
            branch.mfd.start("--speed", "600")

    def print_at(self, branch: Branch, what: str, pages: int, queue: str = "") -> str:
        self._count += 1
        title = f"{what} {self._count}"
        pdf = make_pdf(title, pages, self._count % 4 == 0)
        return branch.print_file(pdf, title, ANNA, queue)

    def at_device(self, branch: Branch, line: str) -> dict[str, Any]:
        """Type ``line`` at the branch's device; what could not be done is kept for the report."""
        result = branch.mfd.do(line)
        if not result.get("ok"):
            said = result.get("text") or branch.mfd.stderr()
            self.troubles.append(f"{branch.mfd.name}: {line!r} was not done: {said}")
        return result


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
    states = branch.states()
    return all(states.get(job) in ("ended", "held") for job in jobs)


def is_settled(branch: Branch) -> bool:
    status = branch.provider.call("status")
    return not any(status["owed"].values()) and set(status["jobs"]) <= {"ended", "held"}


def tell(installation: Installation, story: Story, sabotage: str) -> dict[str, Any]:
    """Run all of it; the figures."""
    story.begin(installation)
    branches = installation.branches
    online = _online(story, branches)
    cut_began = time.time()
    silent = _cut(story, branches)
    _at_the_cut_sites(story, branches)
    _kill_in_a_copy(story, branches[1], sabotage == "lose-journal")
    _print_cut(story, branches, CUT_JOBS - CUT_JOBS // 2)
    healed_at, records, drain_ms = _heal(story, installation)
    statements = [_taken(installation)]
    story.say("the statement of the outage, as soon as everybody has reported")
    print(show_statement(statements[0]), flush=True)
    killed = _kill_application(story, installation)
    cut = Span(cut_began, time.time())
    wait_for("all is settled", lambda: all(is_settled(b) for b in branches))
    _wait_drained(branches)
    statements.append(_taken(installation))
    journals = [str(b.provider.data / "provider.db") for b in branches]
    verified = installation.app.call("verify", provider_journals=journals)
    result, found = make_report(
        installation,
        Spans(online, silent, cut, killed, healed_at),
        Told(records, drain_ms, statements, verified, story.troubles),
    )
    story.say("all of it, from the stores, the printers' paper and the machines' counters")
    print(show_report(result, found, sabotage), flush=True)
    return result


def _online(story: Story, branches: list[Branch]) -> Span:
    began = time.time()
    story.say(f"anna prints {ONLINE_JOBS} documents at both sites; the application server decides")
    for number in range(ONLINE_JOBS):
        branch = branches[number % 2]
        job = story.print_at(branch, "online", 1)
        wait_for("the job is printed", lambda b=branch, j=job: _printed(b, [j]))
    ended = time.time()
    story.say("and one at each site to collect later")
    for branch in branches:
        job = story.print_at(branch, "to collect", 2, branch.queues[1])
        wait_for("the job is held", lambda b=branch, j=job: _printed(b, [j]))
    return Span(began, ended)


def _cut(story: Story, branches: list[Branch]) -> Span:
    story.say("CUT: every link of both sites goes silent; nothing is closed, nobody is told")
    began = time.time()
    for branch in branches:
        branch.cut()
    for _ in range(SILENT_JOBS // 2):
        jobs = {branch.name: story.print_at(branch, "silent", 1) for branch in branches}
        time.sleep(0.4)
    silent = Span(began, time.time())
    for branch in branches:
        wait_for("jobs of the silent cut", lambda b=branch: _printed(b, [jobs[b.name]]))
    wait_for("sites notice", lambda: all(b.site.call("status")["state"] == "cut" for b in branches))
    return silent


def _at_the_cut_sites(story: Story, branches: list[Branch]) -> None:
    """Anna prints, collects what is held, and copies at each."""
    story.say(f"anna goes on printing at both sites: {CUT_JOBS} documents, decided there")
    _print_cut(story, branches, CUT_JOBS // 2)
    story.say(
        "she collects what is held, of before the cut and of now, at both devices,"
        f" and copies {COPIED_PAGES} pages at each"
    )
    for branch in branches:
        job = story.print_at(branch, "to collect", 2, branch.queues[1])
        wait_for("the job is held", lambda b=branch, j=job: _printed(b, [j]))
        story.at_device(branch, f"login card {CARD.lower()}")
        listed = lambda b=branch: len(b.mfd.do("list")["jobs"]) == 2  # noqa: E731
        wait_for("both are listed at the device", listed)
        _collect(story, branch)
        story.at_device(branch, f"copy {COPIED_PAGES}")
        story.at_device(branch, "logout")


def _collect(story: Story, branch: Branch) -> None:
    """Press release; and again, as people do, where nobody answered within two seconds.

    Such a job is held again, whatever its server may still decide.
    """
    told: set[str] = set()

    def is_out() -> bool:
        states = set(branch.states().values())
        if "held" in states:
            result = branch.mfd.do("release all")
            if not result.get("ok") and not told:
                told.add(branch.name)
                story.say(f"not all was released at {branch.mfd.name}, she presses again: {result}")
        return states == {"ended"}

    if not wait_for("what was collected is printed", is_out):
        story.at_device(branch, "release all")


def _kill_in_a_copy(story: Story, branch: Branch, loses_journal: bool) -> None:
    """The site dies while pages come; its device goes on, for there is nobody else to ask."""
    mfd = branch.mfd
    story.at_device(branch, f"login card {CARD.lower()}")
    before = mfd.paper()
    story.at_device(branch, f"copy {LONG_COPY_PAGES} background")
    wait_for("pages come", lambda: mfd.paper() >= before + 5, 10.0)
    branch.site.kill()
    killed = mfd.paper() - before
    story.say(
        f"site {branch.name} is killed with -9 and restarted, still cut, in the midst of a copy:"
        f" page {killed} of {LONG_COPY_PAGES}"
    )
    if loses_journal:
        for path in branch.site.data.glob("journal.db*"):
            path.unlink()
    story.print_at(branch, "site dead too", 1)
    branch.site.start()
    wait_for("the provider finds its site again", lambda: _site_up(branch), 10.0)
    story.at_device(branch, "wait run 30")
    # The visit may have ended with the site.
    mfd.do("logout")


def _print_cut(story: Story, branches: list[Branch], count: int) -> None:
    for number in range(count):
        branch = branches[number % 2]
        job = story.print_at(branch, "cut", 4)
        wait_for("the job is printed or held", lambda b=branch, j=job: _printed(b, [j]), 10.0)


def _heal(story: Story, installation: Installation) -> tuple[float, int, int]:
    """When that was, how many records came in, and in how many milliseconds."""
    branches = installation.branches
    waiting = sum(b.site.call("status")["waiting_records"] for b in branches)
    story.say(f"HEAL: the links are back; {waiting} records wait at the sites")
    healed_at = time.time()
    for branch in branches:
        branch.heal()
    drained = _wait_drained(branches)
    drain_ms = round((time.time() - healed_at) * 1000)
    for _ in range(60):
        story.print_at(branches[0], "after the heal", 1)
        if measure.back_s(measure.read_paper(stores_of(installation)), healed_at) is not None:
            break
        time.sleep(0.25)
    wait_for("all is settled", lambda: all(is_ready(b) and is_settled(b) for b in branches))
    for branch in branches:
        story.at_device(branch, "wait settled 30")
    _wait_drained(branches)
    return healed_at, waiting if drained else 0, drain_ms


def _taken(installation: Installation) -> dict[str, Any]:
    """The statement, once it is closed; as it stands when it does not come to that."""
    app = installation.app
    wait_for("the statement is closed", lambda: app.call("statement")["state"] == "closed", 10.0)
    statement: dict[str, Any] = command(app.config, "statement")
    return statement


def _kill_application(story: Story, installation: Installation) -> list[Span]:
    command(installation.app.config, "user", "adjust", ANNA, "5.00", "--reason", "topped up")
    story.say(f"the application server is killed with -9, {KILLS} times, a document each time")
    branches = installation.branches
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
    return killed


def _site_up(branch: Branch) -> bool:
    return bool(branch.provider.call("status")["servers"]["site"]["connected"])


def _wait_drained(branches: list[Branch]) -> bool:
    def drained() -> bool:
        found = [b.site.call("status") for b in branches]
        return all(s["connected"] and s["waiting_records"] == 0 for s in found)

    return wait_for("the sites' records are forwarded", drained)
