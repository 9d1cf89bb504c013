"""Whole jobs on PostgreSQL, beside pgbench doing the same on tables of its own there.

pgbench's job has the same steps as ours, with less in each row: the key is looked up, balance and
floor are compared, the reservation, its transfer, the decision and the change log's next entry are
written; then the same for what was printed. It runs no protocol, no TLS, no rules and no seals.
"""

from __future__ import annotations

import re
import statistics
import subprocess
from pathlib import Path

from tests.bench.figures import Notes, Row, median_of_ratios, say
from tests.bench.servers import CONNECTIONS
from tests.bench.shared import postgresql_cluster, postgresql_server
from tests.support.postgres import Cluster, program

HERE = Path(__file__).parent
CLIENTS = 16
DATABASE = "pgbench"


def pgbench(server: Cluster, script: str, seconds: float) -> float:
    """Whole jobs a second."""
    words = [program("pgbench"), "-h", str(server.directory), "-p", str(server.port)]
    words += ["-U", "papercut", "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2"]
    words += ["-T", str(round(seconds)), "-f", str(HERE / script), DATABASE]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    if found is None or "number of failed transactions: 0 " not in done.stdout:
        raise SystemExit(f"pgbench failed: {done.stdout}{done.stderr}")
    return float(found[1])


def rows(quick: bool, notes: Notes) -> list[Row]:
    """Jobs a second of all three, in turn."""
    runs, seconds = (1, 2.0) if quick else (5, 8.0)
    found: dict[str, list[float]] = {"ours": [], "six": [], "one": []}
    server, measured = postgresql_cluster(notes), postgresql_server(notes)
    server.create_database(DATABASE)
    server.run((HERE / "pgbench_tables.sql").read_text(), DATABASE)
    for number in range(runs):
        found["ours"].append(measured.load("jobs", seconds).per_s)
        found["six"].append(pgbench(server, "pgbench_six.sql", seconds))
        found["one"].append(pgbench(server, "pgbench_one.sql", seconds))
        told = ", ".join(f"{name} {values[-1]:.0f}/s" for name, values in found.items())
        say(f"jobs on PostgreSQL, run {number + 1} of {runs}: {told}")
    problems = measured.problems()
    notes.peaks["PostgreSQL"] = max(found["ours"])
    middle = {name: statistics.median(values) for name, values in found.items()}
    six = median_of_ratios(found["ours"], found["six"])
    one = median_of_ratios(found["ours"], found["one"])
    return [
        Row(f"whole jobs, PostgreSQL, {CONNECTIONS} connections", middle["ours"], "jobs/s"),
        Row(f"pgbench, six statements an operation, {CLIENTS} clients", middle["six"], "jobs/s"),
        Row(f"pgbench, one call an operation, {CLIENTS} clients", middle["one"], "jobs/s"),
        Row("ratio to six statements", six, "x", 3, at_most=False),
        Row("ratio to one call", one, "x"),
        Row("problems found by verify", problems, "", 0),
    ]
