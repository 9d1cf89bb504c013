"""What a new site's snapshot takes of both processors: its server's and its own.

``python -m tests.bench.snapshot PEOPLE [ENGINE]``. Processor time is the measure; the wait is told
beside it, and is the machine's as much as ours.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from papercutd.demo.installation import Installation
from tests.bench.figures import Notes, Row, cpu_s, say, table
from tests.bench.scale import cluster_for, fill

PEOPLE = 100_000
#: People take a snapshot's rows; of jobs it has none.
JOBS = 100
LOOKED_EACH_S = 0.05


def rows(quick: bool, notes: Notes) -> list[Row]:
    if quick:
        return snapshot(2_000)
    return [row for engine in ("sqlite", "postgresql") for row in snapshot(PEOPLE, engine)]


def snapshot(people: int, engine: str = "sqlite") -> list[Row]:
    """Of a site on SQLite; ``engine`` is the application server's."""
    os.environ.setdefault("PYTHONPATH", os.getcwd())
    with cluster_for(engine) as beside:
        directory = Path(tempfile.mkdtemp(prefix="pc-snapshot-"))
        store = "" if beside is None else beside.create_database("app")
        installation = Installation.make(directory, stores={"app": store} if store else None)
        try:
            fill(installation, people, JOBS)
            installation.app.start()
            installation.join_all()
            return [Row(f"{engine}: {name}", *rest) for name, *rest in _take(installation, people)]
        finally:
            installation.close()
            shutil.rmtree(directory, ignore_errors=True)


def _take(installation: Installation, people: int) -> list[tuple[Any, ...]]:
    app, site = installation.app, installation.branches[0].site
    server_s = cpu_s(app.pid)
    took_s, site_s = _start(site)
    server_s = cpu_s(app.pid) - server_s
    time.sleep(5.0)
    after_s = cpu_s(site.pid)
    site.stop()
    start_took_s, start_s = _start(site)
    what = f"snapshot of {people} people"
    return [
        (f"{what}, till its replica is in force", took_s - start_took_s, "s", 5.0),
        (f"{what}, with the start of the site's process", took_s, "s"),
        (f"{what}, the server's processor", server_s, "s"),
        (f"{what}, the site's processor", site_s - start_s, "s"),
        (f"{what}, the site's afterwards", after_s - site_s, "s"),
        ("the start of a site that has one, its processor", start_s, "s"),
    ]


def _start(site: Any) -> tuple[float, float]:
    """Seconds, and of the processor, until its replica is in force."""
    began = time.monotonic()
    site.start()
    while site.call("status")["position"] is None:
        time.sleep(LOOKED_EACH_S)
    return time.monotonic() - began, cpu_s(site.pid)


if __name__ == "__main__":
    found = snapshot(int(sys.argv[1]) if len(sys.argv) > 1 else PEOPLE, *sys.argv[2:3])
    say(f"load {os.getloadavg()[0]:.1f}")
    print(table(found))
