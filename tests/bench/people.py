"""Many people at once: a file of users imported, and a quota run while others print.

``python -m tests.bench.people [--users 100000] [--engine sqlite|postgresql] [--import-only]``
"""

from __future__ import annotations

import argparse
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2

from papercutd.commands.control_client import call
from tests.bench.figures import Notes, Row, cpu_s, percentile, say, table
from tests.bench.servers import Server, application, cluster, directory

USERS, QUICK_USERS = 100_000, 500
#: Jobs a second of those who print meanwhile, on so many connections.
JOBS_PER_S, CONNECTIONS = 50.0, 16
IMPORT_GOAL_S, RUN_GOAL_S, WAIT_GOAL_MS = 60.0, 20.0, 50.0
PATIENCE_S = 3_600.0
#: Of the users so many-th are imported while others print.
MORE = 10
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
    seconds, used_s = _import(server, where, range(users))
    name = f"{users:,} users, {engine}"
    found = [
        Row(f"import of {name}", seconds, "s", IMPORT_GOAL_S * share),
        Row("the server's processor time for each", used_s / users * 1e6, "us"),
    ]
    say(table(found))
    if import_only:
        return found
    alone = server.load("jobs", 5.0, connections=CONNECTIONS, pipeline=1, rate_per_s=JOBS_PER_S)
    more = users // MORE
    with _beside(server, where / "imported") as importing:
        _import(server, where, range(users, users + more))
    server.role.call("quota.add", name="bench", amount="1.00", period="daily", cap="1000.00")
    _begin_run(server, store)
    used_s = cpu_s(server.pid)
    with _beside(server, where / "run") as running:
        seconds, filled = _run_ended(server, store)
        used_s = cpu_s(server.pid) - used_s
    assert filled >= users + more, filled
    found += [
        Row(f"quota run over {filled:,}, {engine}", seconds, "s", RUN_GOAL_S * share),
        Row("the server's processor time for each (with who printed)", used_s / filled * 1e6, "us"),
        Row(f"AUTHORIZE p95 meanwhile, {JOBS_PER_S:g} jobs/s", running.p95_ms, "ms", WAIT_GOAL_MS),
        Row(f"while {more:,} more were imported", importing.p95_ms, "ms", WAIT_GOAL_MS),
        Row("with neither", percentile(alone.waits_ms, 0.95), "ms"),
        Row("problems found by verify", server.problems(), "", 0),
    ]
    return found


def _import(server: Server, where: Path, numbers: range) -> tuple[float, float]:
    """Seconds, and seconds of the server's processor."""
    file = where / "users.tsv"
    file.write_text("".join(_line(number) for number in numbers))
    socket = str(server.role.data / "control.sock")
    began, used_s = time.monotonic(), cpu_s(server.pid)
    done = call(socket, "user.import-file", {"path": str(file)}, timeout_s=PATIENCE_S)
    assert done["added"] == len(numbers), done
    return time.monotonic() - began, cpu_s(server.pid) - used_s


def _line(number: int) -> str:
    """Name, balance, restricted, full name, e-mail, department, office, card."""
    name = f"person{number:06d}"
    return (
        f"{name}\t5.00\tY\tPerson {number}\t{name}@example.org\tSchool\tB{number % 40}\t{number}\n"
    )


def _begin_run(server: Server, store: str) -> None:
    """Nobody waits for midnight: behind the server's back the first run was due a day ago.

    The server looks every minute, and begins it by itself.
    """
    _sql(server, store, "UPDATE {}schedule SET next_at = next_at - 86400")
    _until(lambda: bool(_runs(server, store)))


def _run_ended(server: Server, store: str) -> tuple[float, int]:
    """Seconds from the first piece of the run to its last, by the server's own moments, and of
    how many users it was."""
    _until(lambda: _runs(server, store)[0][1] is not None)
    ((began_at, finished_at, users),) = _runs(server, store)
    return finished_at - began_at, users


def _until(condition: Callable[[], bool]) -> None:
    """Each look is a connection of its own: not too often."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            raise SystemExit("waited in vain for a quota run")
        time.sleep(0.2)


def _runs(server: Server, store: str) -> list[Any]:
    return _sql(server, store, "SELECT began_at, finished_at, users FROM {}quota_run")


def _sql(server: Server, store: str, sql: str) -> list[Any]:
    """What ``sql`` brings, run behind the server's back."""
    if store:
        connection: Any = psycopg2.connect(store)
    else:
        connection = sqlite3.connect(server.role.data / "application.db", timeout=30)
    with closing(connection), connection:
        cursor = connection.cursor()
        cursor.execute(sql.format("application." if store else ""))
        return cursor.fetchall() if cursor.description else []


class _Beside:
    """What came of jobs that were printed meanwhile."""

    p95_ms = 0.0


@contextmanager
def _beside(server: Server, stop: Path) -> Iterator[_Beside]:
    """Jobs from when the first is charged until its end."""
    plan = {"connections": CONNECTIONS, "pipeline": 1, "rate_per_s": JOBS_PER_S}
    found, printed = _Beside(), server.role.call("status")["charges"]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(server.load, "jobs", PATIENCE_S, stop=str(stop), **plan)
        try:
            while server.role.call("status")["charges"] == printed and not running.done():
                time.sleep(0.2)
            yield found
        finally:
            stop.touch()
        found.p95_ms = percentile(running.result().waits_ms, 0.95)


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
