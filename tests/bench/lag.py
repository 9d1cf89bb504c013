"""How long a change at the application server takes to two sites."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from pathlib import Path

from papercutd.demo import measure
from papercutd.demo.installation import Installation
from tests.bench.figures import Notes, Row
from tests.bench.outages import start

RATE_PER_S = 500
WORKERS = 8


def rows(quick: bool, notes: Notes) -> list[Row]:
    """From commit at the centre to applied at a site, while balances change."""
    rate, lags_ms = replica_lag(RATE_PER_S, 4.0 if quick else 20.0)
    notes.waits_ms["a change's way to a site"] = lags_ms
    p99_ms = measure.percentile(lags_ms, 0.99) or 0.0
    return [
        Row("balance changes made", rate, "1/s", 0.98 * RATE_PER_S, at_most=False),
        Row("replica lag at two sites, p99", p99_ms, "ms", 250),
    ]


def replica_lag(rate_per_s: int, seconds: float) -> tuple[float, list[float]]:
    """(changes a second that were made, milliseconds to their applying at two sites)."""
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
        return sum(made) / took, lags
    finally:
        installation.close()
        shutil.rmtree(directory, ignore_errors=True)


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
