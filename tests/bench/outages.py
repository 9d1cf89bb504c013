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

from papercutd.demo import measure
from papercutd.demo.documents import make_pdf
from papercutd.demo.installation import Branch, Installation
from papercutd.demo.processes import command
from tests.bench.namespace import Split

#: Seconds of the cut's jobs before it, and in all.
BEFORE_S = 5.0
SPREAD_S = 30.0


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
    command(installation.app.config, "user", "add", "anna", "--unrestricted")
    installation.join_all()
    for branch in installation.branches:
        branch.site.start()
        branch.provider.start()
    for branch in installation.branches:
        wait_until("everybody is connected", lambda b=branch: is_ready(b))


def kills(count: int) -> list[float]:
    """Milliseconds of the next decision after each of ``count`` kills of the application server."""
    directory = Path(tempfile.mkdtemp(prefix="pc-kills-"))
    installation = Installation.make(directory)
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
                print(f"kill {number + 1} of {count}: longest {max(waits):.0f} ms", file=sys.stderr)
        check(installation)
    finally:
        installation.close()
        shutil.rmtree(directory, ignore_errors=True)
    return waits


def relay_cut(count: int) -> list[float]:
    """Milliseconds of ``count`` decisions around a silent cut of every link."""
    directory = Path(tempfile.mkdtemp(prefix="pc-cut-"))
    installation = Installation.make(directory)
    try:
        start(installation)
        waits = _around_a_cut(installation.branches, count)
        for branch in installation.branches:
            branch.heal()
        check(installation)
        return waits
    finally:
        installation.close()
        shutil.rmtree(directory, ignore_errors=True)


def namespace_cut(count: int) -> list[float]:
    """The same with a branch in a network namespace whose cable is pulled out."""
    directory = Path(tempfile.mkdtemp(prefix="pc-netns-"))
    split = Split(directory)
    try:
        split.start()
        command(split.installation.app.config, "user", "add", "anna", "--unrestricted")
        (branch,) = split.installation.branches
        wait_until("everybody is connected", lambda: is_ready(branch))
        waits = _around_a_cut([branch], count)
        branch.heal()
        check(split.installation)
        return waits
    finally:
        split.close()
        shutil.rmtree(directory, ignore_errors=True)


def _around_a_cut(branches: Sequence[Branch], count: int) -> list[float]:
    began = time.monotonic()
    cut = threading.Timer(BEFORE_S, lambda: [branch.cut() for branch in branches])
    cut.start()
    handed_in = []
    for number in range(count):
        time.sleep(max(0.0, began + number * SPREAD_S / count - time.monotonic()))
        branch = branches[number % len(branches)]
        data = make_pdf(f"around a cut {number}", 1, False)
        handed_in.append((branch, branch.print_file(data, "cut", "anna")))
        if number % 50 == 49:
            print(f"{number + 1} of {count} handed in", file=sys.stderr)
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


def replica_lag(rate_per_s: int, seconds: float) -> tuple[float, float]:
    """(changes a second that were made, p99 of the milliseconds to their applying at two sites)."""
    directory = Path(tempfile.mkdtemp(prefix="pc-lag-"))
    installation = Installation.make(directory)
    try:
        start(installation)
        users = [f"user{number}" for number in range(50)]
        for name in users:
            installation.app.call("user.add", name=name, balance="100.00")
        began_wall, began = time.time(), time.monotonic()
        made = [0] * WORKERS
        workers = [
            threading.Thread(
                target=_change, args=(installation, users, number, rate_per_s, seconds, made)
            )
            for number in range(WORKERS)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        took = time.monotonic() - began
        time.sleep(2.0)
        lags = []
        for branch in installation.branches:
            for path in branch.site.data.glob("replica-*.db"):
                connection = measure.open_read(path)
                lags += [
                    (applied_at - committed_at) * 1000
                    for committed_at, applied_at in connection.execute(
                        "SELECT committed_at, applied_at FROM applied WHERE committed_at >= ?",
                        (began_wall,),
                    )
                ]
                connection.close()
        return sum(made) / took, measure.percentile(lags, 0.99) or 0.0
    finally:
        installation.close()
        shutil.rmtree(directory, ignore_errors=True)


WORKERS = 8


def _change(
    installation: Installation,
    users: list[str],
    worker: int,
    rate_per_s: int,
    seconds: float,
    made: list[int],
) -> None:
    """One of ``WORKERS`` threads that credit users at an even pace."""
    began, number = time.monotonic(), 0
    interval_s = WORKERS / rate_per_s
    while time.monotonic() < began + seconds:
        time.sleep(max(0.0, began + number * interval_s - time.monotonic()))
        name = users[(number * WORKERS + worker) % len(users)]
        installation.app.call("user.adjust", name=name, amount="0.01", reason="bench")
        number += 1
    made[worker] = number
