"""Many people at once: a file of users imported, and a quota run while others print.

``python -m tests.bench.people [--users 100000] [--engine sqlite|postgresql] [--import-only]``
"""

from __future__ import annotations

import argparse
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg2

from papercutd.commands.control_client import call
from tests.bench.figures import Notes, Row, cpu_s, percentile, say, table
from tests.bench.servers import Load, Server, application, cluster, directory

USERS, QUICK_USERS = 100_000, 500
#: Jobs a second of those who print meanwhile, on so many connections.
JOBS_PER_S, CONNECTIONS = 50.0, 16
IMPORT_GOAL_S, RUN_GOAL_S, WAIT_GOAL_MS = 60.0, 20.0, 50.0
PATIENCE_S = 3_600.0
ENGINES = ("sqlite", "postgresql")


def rows(quick: bool, notes: Notes) -> list[Row]:
    """On both engines."""
    users = QUICK_USERS if quick else USERS
    return [row for engine in ENGINES for row in measure(engine, users)]


def measure(engine: str, users: int, import_only: bool = False) -> list[Row]:
    """The goals are of 100,000 users: of fewer they are that part of it."""
    with directory("pc-people-") as where:
        if engine == "sqlite":
            with application(where, "people") as server:
                return _measure(engine, users, server, where, "", import_only)
        with cluster(where) as database:
            store = database.create_database("application")
            with application(where, "people", store=store) as server:
                return _measure(engine, users, server, where, store, import_only)


def _measure(
    engine: str, users: int, server: Server, where: Path, store: str, import_only: bool
) -> list[Row]:
    share = users / USERS
    file = where / "users.tsv"
    file.write_text("".join(_line(number) for number in range(users)))
    seconds, used_s, done = _timed(server, "user.import-file", path=str(file))
    assert done["added"] == users, done
    name = f"{users:,} users, {engine}"
    found = [
        Row(f"import of {name}", seconds, "s", IMPORT_GOAL_S * share),
        Row("the server's processor time for each", used_s / users * 1e6, "us"),
    ]
    say(table(found))
    if import_only:
        return found
    alone = server.load("jobs", 5.0, connections=CONNECTIONS, pipeline=1, rate_per_s=JOBS_PER_S)
    server.role.call("quota.add", name="bench", amount="1.00", period="daily", cap="1000.00")
    _make_due(server, store)
    printed = server.role.call("status")["charges"]
    beside = _beside(server, where / "stop")
    while server.role.call("status")["charges"] == printed:
        time.sleep(0.2)
    seconds, used_s, done = _timed(server, "quota.run", name="bench")
    (where / "stop").touch()
    load = beside()
    (run,) = done["runs"]
    assert run["users"] >= users, run
    quiet, busy = (percentile(one.waits_ms, 0.95) for one in (alone, load))
    found += [
        Row(f"quota run over {name}", seconds, "s", RUN_GOAL_S * share),
        Row("the server's processor time for each (with who printed)", used_s / users * 1e6, "us"),
        Row(f"AUTHORIZE p95 meanwhile, {JOBS_PER_S:g} jobs/s", busy, "ms", WAIT_GOAL_MS),
        Row("the same before", quiet, "ms"),
        Row("problems found by verify", server.problems(), "", 0),
    ]
    return found


def _line(number: int) -> str:
    """Name, balance, restricted, full name, e-mail, department, office, card."""
    name = f"person{number:06d}"
    return (
        f"{name}\t5.00\tY\tPerson {number}\t{name}@example.org\tSchool\tB{number % 40}\t{number}\n"
    )


def _timed(server: Server, operation: str, **arguments: Any) -> tuple[float, float, Any]:
    """Seconds, seconds of the server's processor, and what it answered."""
    socket = str(server.role.data / "control.sock")
    began, used_s = time.monotonic(), cpu_s(server.pid)
    done = call(socket, operation, arguments, timeout_s=PATIENCE_S)
    return time.monotonic() - began, cpu_s(server.pid) - used_s, done


def _make_due(server: Server, store: str) -> None:
    """Nobody waits for midnight: behind the server's back the first run was due a day ago."""
    earlier = "UPDATE {}schedule SET next_at = next_at - 86400"
    if store:
        connection = psycopg2.connect(store)
        with connection, connection.cursor() as cursor:
            cursor.execute(earlier.format("application."))
    else:
        connection = sqlite3.connect(server.role.data / "application.db", timeout=30)
        with connection:
            connection.execute(earlier.format(""))
    connection.close()


def _beside(server: Server, stop: Path) -> Callable[[], Load]:
    """Jobs until ``stop`` is there; then, called, what came of them."""
    pool = ThreadPoolExecutor(1)
    plan = {"connections": CONNECTIONS, "pipeline": 1, "rate_per_s": JOBS_PER_S}
    running = pool.submit(server.load, "jobs", PATIENCE_S, stop=str(stop), **plan)
    return running.result


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--users", type=int, default=USERS)
    options.add_argument("--engine", choices=ENGINES, action="append")
    options.add_argument("--import-only", action="store_true")
    given = options.parse_args()
    for engine in given.engine or ENGINES:
        print(table(measure(engine, given.users, given.import_only)))


if __name__ == "__main__":
    main()
