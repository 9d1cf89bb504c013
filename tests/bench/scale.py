"""A large installation, on either engine: reports, verify, a new site; and who works meanwhile.

``python -m tests.bench.scale PEOPLE JOBS [postgresql]`` makes it, and prints the figures.
``--read FILE`` only reads a database of SQLite that ``papercutd sample-data`` has made.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from papercutd.commands.control_client import call
from papercutd.commands.sample_data import make_sample_data
from papercutd.config.load import load_config
from papercutd.config.model import AppConfig
from papercutd.demo.installation import Installation
from papercutd.storage.administration.listings import read_user, read_users_after
from papercutd.storage.engine import Connection
from papercutd.storage.history.monthly_report import read_report
from papercutd.storage.postgres.opening import open_migrated
from papercutd.storage.sqlite.migrate import connect
from tests.bench.figures import Notes, Row
from tests.support.postgres import Cluster

#: (name, value, unit, goal; None: it has none)
Figure = tuple[str, float, str, float | None]
PLAN = {"sites": 4, "printers": 200, "years": 2, "seed": 1}
PEOPLE, JOBS = 100_000, 500_000
QUICK = 3_000, 3_000
#: Seconds in which an administrator works alone.
QUIET_S, QUIET_QUICK_S = 3.0, 1.0
READS = 40
LONG_READS = 3
#: Between two edits of the administrator who works meanwhile.
PAUSE_S = 0.05
PATIENCE_S = 3_600.0


def rows(quick: bool, notes: Notes) -> list[Row]:
    """On both engines."""
    people, jobs = QUICK if quick else (PEOPLE, JOBS)
    return [
        Row(*figure)
        for engine in ("sqlite", "postgresql")
        for figure in scale(people, jobs, engine, QUIET_QUICK_S if quick else QUIET_S)
    ]


def scale(people: int, jobs: int, engine: str = "sqlite", quiet_s: float = QUIET_S) -> list[Figure]:
    """All figures of an installation made for them."""
    os.environ.setdefault("PYTHONPATH", os.getcwd())
    with cluster_for(engine) as cluster:
        directory = Path(tempfile.mkdtemp(prefix="pc-scale-"))
        store = "" if cluster is None else cluster.create_database("app")
        installation = Installation.make(directory, stores={"app": store} if store else None)
        try:
            took_s = fill(installation, people, jobs)
            found: list[Figure] = [
                (
                    f"{engine}, {people:,} people, {jobs:,} jobs: to make a job",
                    took_s / jobs * 1e6,
                    "us",
                    None,
                )
            ]
            path = str(installation.app.data / "application.db")
            with closing(open_migrated(store, "application") if store else connect(path)) as read:
                found += [(f"{engine}: {name}", *rest) for name, *rest in reads(read)]  # type: ignore[misc]
            installation.app.start()
            found += [
                (f"{engine}: {name}", *rest) for name, *rest in works(installation, jobs, quiet_s)
            ]  # type: ignore[misc]
            return found
        finally:
            installation.close()
            shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def cluster_for(engine: str) -> Iterator[Cluster | None]:
    if engine == "sqlite":
        yield None
        return
    directory = tempfile.mkdtemp(prefix="pc-scale-pg-")
    cluster = Cluster(directory, {"shared_buffers": "128MB"})
    try:
        cluster.create()
        cluster.start()
        yield cluster
    finally:
        cluster.kill()
        shutil.rmtree(directory, ignore_errors=True)


def fill(installation: Installation, people: int, jobs: int) -> float:
    """Seconds of processor time, without PostgreSQL's own."""
    began = time.process_time()
    config = load_config(str(installation.app.config), AppConfig)
    make_sample_data(config, {"users": people, "jobs": jobs, **PLAN}, True)
    return time.process_time() - began


def reads(connection: Connection) -> list[Figure]:
    """What people look at, one after the other on a connection of its own."""
    months = [row[0] for row in connection.execute("SELECT DISTINCT month FROM monthly ORDER BY 1")]
    month = months[len(months) // 2]
    first = connection.execute(
        "SELECT folded, id FROM \"user\" WHERE source = 'sample' ORDER BY folded LIMIT 1"
    )
    name, user = first.fetchone()

    def top(since: str, until: str, by: str = "user") -> Callable[[], Any]:
        return lambda: read_report(connection, by, since, until, "pages", 100)

    found: list[Figure] = []
    for title, use, times, goal in (
        ("report of a month, the 100 people with most", top(month, month), READS, 50.0),
        ("report of a month by site", top(month, month, "site"), READS, 50.0),
        ("report of all months", top(months[0], months[-1], "month"), READS, 50.0),
        ("report of two years, the 100 people with most", top(months[0], months[-1]), 3, None),
        ("a page of 500 people", lambda: read_users_after(connection, name), READS, None),
        ("a person with the last jobs", lambda: read_user(connection, user), READS, None),
        ("the next 50 jobs of a person", lambda: next_jobs(connection, user), READS, None),
    ):
        waits = []
        for _ in range(times):
            began = time.perf_counter()
            use()
            waits.append((time.perf_counter() - began) * 1e3)
        found.append((f"{title}, median", statistics.median(waits), "ms", goal))
    return found


def next_jobs(connection: Connection, user: int) -> list[Any]:
    """The second page of somebody's jobs, from where the first one ended."""
    page = (
        'SELECT received_at, title, pages FROM charge WHERE "user" = ?'
        " AND received_at < ? ORDER BY received_at DESC LIMIT 50"
    )
    found = connection.execute(page, (user, 1e12)).fetchall()
    return connection.execute(page, (user, found[-1][0] if found else 0.0)).fetchall()


def works(installation: Installation, jobs: int, quiet_s: float) -> list[Figure]:
    """What takes long, with an administrator at work meanwhile."""
    installation.join_all()
    app = installation.app
    socket = str(app.data / "control.sock")

    def ask(operation: str, **arguments: Any) -> Any:
        return call(socket, operation, arguments, timeout_s=PATIENCE_S)

    quiet = _Edits(app.call).of(lambda: time.sleep(quiet_s))
    found: list[Figure] = [("an edit and a look, nothing else going on, p95", quiet, "ms", None)]

    def verify() -> None:
        began.append(time.monotonic())
        assert ask("verify")["problems"] == []
        took.append(time.monotonic() - began[-1])

    began: list[float] = []
    took: list[float] = []
    while_verified = _Edits(app.call).of(verify)
    found += [
        ("verify, a job", took[0] / jobs * 1e6, "us", None),
        ("an edit and a look while it verifies, p95", while_verified, "ms", None),
    ]

    def report() -> None:
        for _ in range(LONG_READS):
            ask("report", what="pages", by="user")

    found += [("the same while people are summed up", _Edits(app.call).of(report), "ms", None)]

    def join() -> None:
        site = installation.branches[0].site
        at = time.monotonic()
        site.start()
        while site.call("status")["position"] is None:
            time.sleep(0.2)
        took.append(time.monotonic() - at)

    while_joined = _Edits(app.call).of(join)
    return [
        *found,
        ("a new site's start to its replica in force", took[1], "s", 5.0),
        ("an edit and a look meanwhile, p95", while_joined, "ms", None),
    ]


class _Edits:
    """Somebody who edits a person, which the writer commits, and looks at the result."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self._waits_ms: list[float] = []
        self._is_over = threading.Event()

    def of(self, work: Callable[[], object]) -> float:
        """p95 in ms of both together, while ``work`` runs."""
        name = "sample00000001"
        thread = threading.Thread(target=self._edit, args=(name,))
        thread.start()
        try:
            work()
        finally:
            self._is_over.set()
            thread.join()
        ordered = sorted(self._waits_ms)
        return ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]

    def _edit(self, name: str) -> None:
        while not self._is_over.is_set():
            began = time.perf_counter()
            self._call("user.adjust", name=name, amount="0.01")
            self._call("user.show", name=name)
            self._waits_ms.append((time.perf_counter() - began) * 1e3)
            self._is_over.wait(PAUSE_S)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("people", type=int, nargs="?", default=PEOPLE)
    parser.add_argument("jobs", type=int, nargs="?", default=JOBS)
    parser.add_argument("engine", nargs="?", default="sqlite", choices=("sqlite", "postgresql"))
    parser.add_argument("--read", metavar="FILE")
    options = parser.parse_args()
    if options.read:
        with closing(connect(options.read)) as connection:
            figures = reads(connection)
    else:
        figures = scale(options.people, options.jobs, options.engine)
    print(json.dumps([*figures, ("load of the machine", os.getloadavg()[0], "", None)], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
