"""How long a change at the application server takes to ten sites, while many print."""

from __future__ import annotations

import bisect
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from papercutd.demo import measure
from papercutd.demo.network import free_port
from papercutd.demo.processes import Role, command
from tests.bench.figures import Notes, Row, percentile, say
from tests.bench.servers import Server, application, directory

SITES, QUICK_SITES = 10, 3
#: A job is two changes: what is reserved, and what is charged.
JOBS_PER_S = 500
CHANGES_PER_S = 2 * JOBS_PER_S
WAIT_S = 30.0


def rows(quick: bool, notes: Notes) -> list[Row]:
    """From commit at the centre to applied at each site."""
    count, seconds = (QUICK_SITES, 3.0) if quick else (SITES, 20.0)
    with directory("pc-lag-") as where, application(where, "lag") as server:
        with sites(server, where, count) as beside:
            began = time.time()
            load = server.load("jobs", seconds, pipeline=1, rate_per_s=JOBS_PER_S)
            until = time.time()
            say(f"{load.per_s:.0f} jobs/s, {len(beside)} sites")
            _until_level(server, beside)
        lags_ms = _lags_ms(server, beside, began, until)
        problems = server.problems()
    notes.waits_ms["a change's way to a site"] = lags_ms
    return [
        Row("changes made", 2 * load.per_s, "1/s", 0.95 * CHANGES_PER_S, at_most=False),
        Row(f"replica lag at {count} sites, p99", percentile(lags_ms, 0.99), "ms", 250),
        Row("the same, median", percentile(lags_ms, 0.5), "ms"),
        Row("problems found by verify", problems, "", 0),
    ]


@contextmanager
def sites(server: Server, where: Path, count: int) -> Iterator[list[Role]]:
    """So many site servers, joined and level with ``server``."""
    ports = tomllib.loads(server.role.config.read_text())["listen"]
    made = []
    try:
        for number in range(count):
            name, links = f"site{number}", free_port()
            role = Role(
                *("site", name, where / name),
                f'[application]\nhost = "127.0.0.1"\nport = {ports["links"]}\n'
                f"https = {ports['https']}\n"
                f'[listen]\ninterface = "127.0.0.1"\nhttp = {free_port()}\n'
                f"https = {free_port()}\nlinks = {links}\ndevices = {free_port()}\n",
            )
            words = ("site", "add", name, "--host", "127.0.0.1", "--port", str(links))
            token = command(server.role.config, *words)["token"]
            at = f"127.0.0.1:{ports['https']}"
            command(role.config, "join", "--token", token, "--server", at)
            role.start()
            made.append(role)
        _until_level(server, made)
        yield made
    finally:
        for role in made:
            role.stop()


def _until_level(server: Server, beside: list[Role]) -> None:
    """Wait until every site has what the application server has."""
    deadline = time.monotonic() + WAIT_S
    # Their links' coming and going is in the history too: it goes on meanwhile.
    while (newest := server.role.call("status")["position"]) and any(
        role.call("status")["position"] != newest for role in beside
    ):
        if time.monotonic() > deadline:
            raise SystemExit("the sites do not follow")
        time.sleep(0.05)


def _lags_ms(server: Server, beside: list[Role], began: float, until: float) -> list[float]:
    """Of each change in that time, at each site; one that came with later ones came with them."""
    connection = measure.open_read(server.role.data / "application.db")
    made = connection.execute(
        "SELECT number, committed_at FROM change_log WHERE committed_at BETWEEN ? AND ?",
        (began, until),
    ).fetchall()
    connection.close()
    found = []
    for role in beside:
        for path in role.data.glob("replica-*.db"):
            connection = measure.open_read(path)
            applied = connection.execute(
                "SELECT number, applied_at FROM applied ORDER BY number"
            ).fetchall()
            connection.close()
            numbers = [number for number, _ in applied]
            for number, committed_at in made:
                at = bisect.bisect_left(numbers, number)
                if at < len(applied):
                    found.append((applied[at][1] - committed_at) * 1000)
    return found
