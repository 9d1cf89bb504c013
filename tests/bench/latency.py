"""How long an AUTHORIZE waits while the server has a tenth of the load it can bear."""

from __future__ import annotations

from tests.bench.figures import Notes, Row, percentile, say
from tests.bench.servers import Server
from tests.bench.shared import postgresql_server, sqlite_server

SHARE = 0.1
#: Connections of the runs that show how throughput grows with them.
STEPS = (1, 4, 16, 64)


def rows(quick: bool, notes: Notes) -> list[Row]:
    """The p99 on both engines; whole jobs a second at the peak, and with fewer connections."""
    found: list[Row] = []
    servers = {"SQLite": sqlite_server(notes), "PostgreSQL": postgresql_server(notes)}
    for engine, server in servers.items():
        peak = _peak(engine, server, quick, notes)
        paced = server.load("jobs", 2.0 if quick else 20.0, rate_per_s=SHARE * peak)
        notes.waits_ms[f"AUTHORIZE at a tenth of the peak, {engine}"] = paced.waits_ms
        p50, p99 = (percentile(paced.waits_ms, share) for share in (0.5, 0.99))
        say(f"{engine}: peak {peak:.0f}/s; at {paced.per_s:.0f}/s p50 {p50:.1f} ms")
        what = f"AUTHORIZE at a tenth of the peak ({paced.per_s:.0f} jobs/s), {engine}"
        found.append(Row(f"{what}, p99", p99, "ms", 15))
        found.append(Row(f"{what}, median", p50, "ms"))
    return found


def _peak(engine: str, server: Server, quick: bool, notes: Notes) -> float:
    best = 0.0
    if quick and engine in notes.peaks:
        notes.point("throughput", engine, STEPS[-1], notes.peaks[engine])
        return notes.peaks[engine]
    for connections in STEPS[-1:] if quick else STEPS:
        per_s = server.load("jobs", 2.0 if quick else 5.0, connections=connections).per_s
        notes.point("throughput", engine, connections, per_s)
        best = max(best, per_s)
    return best
