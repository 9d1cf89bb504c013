"""What one AUTHORIZE costs the server's processor, beside a line that is sent back."""

from __future__ import annotations

import statistics

from tests.bench.figures import Notes, Row, median_of_ratios, say
from tests.bench.servers import Measured, echo
from tests.bench.shared import postgresql_server, sqlite_server

#: Requests in flight on each of 64 connections.
PIPELINE = 16


def rows(quick: bool, notes: Notes) -> list[Row]:
    """Microseconds of processor time, in turn: SQLite, PostgreSQL, echo of the same line."""
    runs, seconds = (1, 1.5) if quick else (5, 5.0)
    found: dict[str, list[float]] = {"SQLite": [], "PostgreSQL": [], "echo": []}
    server = sqlite_server(notes)
    with echo(server) as sent_back:
        peers: dict[str, tuple[Measured, str]] = {
            "SQLite": (server, "authorize"),
            "PostgreSQL": (postgresql_server(notes), "authorize"),
            "echo": (sent_back, "echo"),
        }
        for number in range(runs):
            for name, (peer, kind) in peers.items():
                found[name].append(peer.load(kind, seconds, pipeline=PIPELINE).cpu_us)
            told = ", ".join(f"{name} {values[-1]:.0f} us" for name, values in found.items())
            say(f"processor time of an AUTHORIZE, run {number + 1} of {runs}: {told}")
    middle = {name: statistics.median(values) for name, values in found.items()}
    ratio = {name: median_of_ratios(found[name], found["echo"]) for name in found}
    what = "server's processor time of an AUTHORIZE"
    return [
        Row("processor time of a bare TLS line echo, pipelined", middle["echo"], "us"),
        Row(f"{what}, SQLite", middle["SQLite"], "us"),
        Row("ratio to the echo, SQLite", ratio["SQLite"], "x", 8),
        Row(f"{what}, PostgreSQL (its own not counted)", middle["PostgreSQL"], "us"),
        Row("ratio to the echo, PostgreSQL", ratio["PostgreSQL"], "x", 8),
    ]
