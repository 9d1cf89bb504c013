"""``make bench``: figures beside their peers, in one run on this machine.

Each figure is a module with a function ``rows``; with names as arguments only those run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import (
    authorize,
    devices,
    drain,
    held,
    herd,
    idle,
    jobs,
    jobs_postgres,
    lag,
    latency,
    links,
    outages,
    picture,
    scale,
    snapshot,
)
from tests.bench.figures import Notes, Row, say, table

FIGURES: dict[str, Callable[[bool, Notes], list[Row]]] = {
    "jobs": jobs.rows,
    "jobs_postgres": jobs_postgres.rows,
    "authorize": authorize.rows,
    "latency": latency.rows,
    "links": links.rows,
    "drain": drain.rows,
    "lag": lag.rows,
    "herd": herd.rows,
    "held": held.rows,
    "devices": devices.rows,
    "idle": idle.rows,
    "outages": outages.rows,
    "scale": scale.rows,
    "snapshot": snapshot.rows,
}


def measure(names: list[str], quick: bool, notes: Notes) -> list[Row]:
    """The rows of the figures named, in the order of ``FIGURES``."""
    rows: list[Row] = []
    for name, figure in FIGURES.items():
        if name not in names:
            continue
        began = time.monotonic()
        found = figure(quick, notes)
        say(f"{name} took {time.monotonic() - began:.0f} s\n{table(found)}")
        rows += found
    return rows


def draw(notes: Notes, where: Path) -> None:
    """A picture of each kind of which there are figures."""
    where.mkdir(parents=True, exist_ok=True)
    questions = {n: w for n, w in notes.waits_ms.items() if n.startswith("AUTHORIZE") and w}
    decisions = {n: notes.waits_ms[n] for n in outages.WAITS if notes.waits_ms.get(n)}
    if questions:
        short = {name.rpartition(", ")[2]: waits for name, waits in questions.items()}
        (where / "latency.svg").write_text(picture.shares(short))
    if decisions:
        (where / "decisions.svg").write_text(picture.draw(decisions))
    for name in ("throughput", "drain"):
        if name in notes.lines:
            (where / f"{name}.svg").write_text(getattr(picture, name)(notes.lines[name]))


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FIGURES)}")
    parser.add_argument("--quick", action="store_true", help="one short run of each")
    parser.add_argument("--json", metavar="FILE", default="bench.json", help="rows and waits")
    parser.add_argument("--pictures", metavar="DIRECTORY", help="draw them there, as SVG")
    options = parser.parse_args()
    if unknown := set(options.names) - set(FIGURES):
        parser.error(f"there is no figure {', '.join(sorted(unknown))}")
    os.environ.setdefault("PYTHONPATH", os.getcwd())
    before = os.getloadavg()
    notes = Notes()
    with notes.stack:
        rows = measure(options.names or list(FIGURES), options.quick, notes)
    print(table(rows))
    load = ", ".join(f"{value:.1f}" for value in (before[0], os.getloadavg()[0]))
    print(f"load average before and after: {load}; {os.cpu_count()} processors")
    told = {
        **{"rows": [row.as_json() for row in rows], "load": [before[0], os.getloadavg()[0]]},
        **{"waits_ms": notes.waits_ms, "lines": notes.lines},
    }
    Path(options.json).write_text(json.dumps(told, indent=1) + "\n")
    if options.pictures:
        draw(notes, Path(options.pictures))
    return 1 if any(row.verdict == "below" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
