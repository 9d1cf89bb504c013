"""Whole jobs on SQLite, beside the same server with one operation a commit."""

from __future__ import annotations

import statistics
from contextlib import ExitStack

from tests.bench.figures import Notes, Row, median_of_ratios, say
from tests.bench.servers import CONNECTIONS, Server, application, directory
from tests.bench.slow_disk import slow_disk

SYNC_MS = 3.0


def rows(quick: bool, notes: Notes) -> list[Row]:
    """Jobs a second: as the disk is, and with 3 ms added to each sync."""
    runs, seconds = (1, 1.5) if quick else (5, 8.0)
    servers: dict[str, Server] = {}
    found: dict[str, list[float]] = {}
    with directory("pc-jobs-") as where, ExitStack() as stack:
        for disk, under in (("fast", ()), ("slow", slow_disk(SYNC_MS))):
            for peer, batch_max in (("grouped", 256), ("single", 1)):
                name = f"{disk}-{peer}"
                made = application(where, name, batch_max=batch_max, under=under)
                servers[name] = stack.enter_context(made)
                found[name] = []
        for number in range(runs):
            for name, server in servers.items():
                found[name].append(server.load("jobs", seconds).per_s)
            say(f"jobs on SQLite, run {number + 1} of {runs}: {_shown(found)}")
        problems = sum(server.problems() for server in servers.values())
    notes.peaks["SQLite"] = max(found["fast-grouped"])
    middle = {name: statistics.median(values) for name, values in found.items()}
    fast = median_of_ratios(found["fast-grouped"], found["fast-single"])
    slow = median_of_ratios(found["slow-grouped"], found["slow-single"])
    what = f"whole jobs, SQLite, {CONNECTIONS} connections"
    added = f"{SYNC_MS:g} ms added to each sync"
    return [
        Row(what, middle["fast-grouped"], "jobs/s"),
        Row("the same server, one operation a commit", middle["fast-single"], "jobs/s"),
        Row("ratio, as the disk is", fast, "x"),
        Row(f"{what}, {added}", middle["slow-grouped"], "jobs/s"),
        Row(f"one operation a commit, {added}", middle["slow-single"], "jobs/s"),
        Row(f"ratio, {added}", slow, "x", 8, at_most=False),
        Row("problems found by verify", problems, "", 0),
    ]


def _shown(found: dict[str, list[float]]) -> str:
    return ", ".join(f"{name} {values[-1]:.0f}/s" for name, values in found.items())
