"""How long people wait at the printer when a server is killed or a link goes silent."""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from papercutd.demo.documents import make_pdf
from papercutd.demo.installation import Branch, Installation
from papercutd.demo.processes import command, start_together
from tests.bench.figures import Notes, Row, percentile, say
from tests.bench.namespace import Split, why_not
from tests.support.installation import joined_installation

#: Seconds of the cut's jobs before it, and in all.
BEFORE_S, SPREAD_S = 5.0, 30.0
QUICK_BEFORE_S, QUICK_SPREAD_S = 1.0, 4.0
KILLED, SILENT, UNPLUGGED = WAITS = (
    "application server killed",
    "a relay that goes silent",
    "a network namespace without its cable",
)


def rows(quick: bool, notes: Notes) -> list[Row]:
    """How long the next decision took after kills, and decisions around a silent cut."""
    kill_count, job_count = (2, 20) if quick else (100, 200)
    times = (QUICK_BEFORE_S, QUICK_SPREAD_S) if quick else (BEFORE_S, SPREAD_S)
    waits = notes.waits_ms[KILLED] = kills(kill_count)
    p99 = percentile(waits, 0.99)
    found = [Row(f"next decision after each of {kill_count} kills, p99", p99, "ms", 250)]
    cuts = {
        SILENT: (relay_cut, ""),
        UNPLUGGED: (namespace_cut, why_not()),
    }
    for name, (cut, reason) in cuts.items():
        what = f"longest of {job_count} jobs around a cut: {name}"
        if reason:
            found.append(Row(what, None, "ms", note=f"not here: {reason}"))
            continue
        waits = notes.waits_ms[name] = cut(job_count, *times)
        found.append(Row(what, max(waits), "ms", 2_000))
    return found


def wait_until(what: str, condition: Callable[[], Any], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except Exception:
            # A server that is starting.
            pass
        time.sleep(0.02)
    raise SystemExit(f"waited {limit_s:.0f} s in vain: {what}")


def is_ready(branch: Branch) -> bool:
    """Both servers are connected and trusted, and the printers are known."""
    status = branch.provider.call("status")
    servers = status["servers"].values()
    return (
        all(server["connected"] and not server["suspect"] for server in servers)
        and bool(status["printers"])
        and branch.site.call("status")["state"] == "online"
    )


def start(installation: Installation) -> None:
    """Everybody runs, joined, with one user who is never refused."""
    installation.app.start()
    installation.app.call("user.add", name="anna", restricted=False)
    start_together(*installation.roles()[1:])
    for branch in installation.branches:
        wait_until("everybody is connected", lambda b=branch: is_ready(b))


def kills(count: int) -> list[float]:
    """Milliseconds of the next decision after each of ``count`` kills of the application server."""
    installation = joined_installation()
    waits = []
    try:
        start(installation)
        for number in range(count):
            branch = installation.branches[number % len(installation.branches)]
            installation.app.kill()
            job = branch.print_file(make_pdf(f"after kill {number}", 1, False), "kill", "anna")
            wait_until("the job is printed", lambda b=branch, j=job: b.job(j)["state"] == "ended")
            waits.append(float(branch.job(job)["waited_ms"]))
            installation.app.start()
            for one in installation.branches:
                wait_until("everybody is back", lambda b=one: is_ready(b))
            if sys.stderr.isatty() or number % 10 == 9:
                say(f"kill {number + 1} of {count}: longest {max(waits):.0f} ms")
        check(installation)
    finally:
        installation.close()
        shutil.rmtree(installation.directory, ignore_errors=True)
    return waits


def relay_cut(count: int, before_s: float, spread_s: float) -> list[float]:
    """Milliseconds of ``count`` decisions around a silent cut of every link."""
    installation = joined_installation()
    try:
        start(installation)
        waits = _around_a_cut(installation.branches, count, before_s, spread_s)
        for branch in installation.branches:
            branch.heal()
        check(installation)
        return waits
    finally:
        installation.close()
        shutil.rmtree(installation.directory, ignore_errors=True)


def namespace_cut(count: int, before_s: float, spread_s: float) -> list[float]:
    """The same with a branch in a network namespace whose cable is pulled out."""
    directory = Path(tempfile.mkdtemp(prefix="pc-netns-"))
    split = Split(directory)
    try:
        split.start()
        command(split.installation.app.config, "user", "add", "anna", "--unrestricted")
        (branch,) = split.installation.branches
        wait_until("everybody is connected", lambda: is_ready(branch))
        waits = _around_a_cut([branch], count, before_s, spread_s)
        branch.heal()
        check(split.installation)
        return waits
    finally:
        split.close()
        shutil.rmtree(directory, ignore_errors=True)


def _around_a_cut(
    branches: Sequence[Branch], count: int, before_s: float, spread_s: float
) -> list[float]:
    began = time.monotonic()
    cut = threading.Timer(before_s, lambda: [branch.cut() for branch in branches])
    cut.start()
    handed_in = []
    for number in range(count):
        time.sleep(max(0.0, began + number * spread_s / count - time.monotonic()))
        branch = branches[number % len(branches)]
        data = make_pdf(f"around a cut {number}", 1, False)
        handed_in.append((branch, branch.print_file(data, "cut", "anna")))
        if number % 50 == 49:
            say(f"{number + 1} of {count} handed in")
    cut.join()
    for branch in branches:
        wait_until(
            "all are printed", lambda b=branch: set(b.provider.call("status")["jobs"]) == {"ended"}
        )
    waited = {
        job["job"]: job["waited_ms"]
        for branch in branches
        for job in branch.provider.call("job.list")
    }
    return [float(waited[job]) for _, job in handed_in]


def _is_done(branch: Branch) -> bool:
    return set(branch.provider.call("status")["jobs"]) == {"ended"}


def _is_settled(branch: Branch) -> bool:
    owed = branch.provider.call("status")["owed"]
    return not any(owed.values()) and branch.site.call("status")["waiting_records"] == 0


def check(installation: Installation) -> None:
    """After everything is settled each paper has its charge: else no figure counts."""
    for branch in installation.branches:
        wait_until("everybody is back", lambda b=branch: is_ready(b))
        wait_until(
            "all is owed to nobody",
            lambda b=branch: not any(b.provider.call("status")["owed"].values()),
        )
        wait_until(
            "all is forwarded", lambda b=branch: b.site.call("status")["waiting_records"] == 0
        )
    journals = [str(branch.provider.data / "provider.db") for branch in installation.branches]
    problems = installation.app.call("verify", provider_journals=journals)["problems"]
    if problems:
        raise SystemExit(f"verify: {problems[:5]}")
