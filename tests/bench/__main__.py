"""``make bench``: figures beside their peers, in one run on this machine.

Each figure is a module with a function ``rows``; with names as arguments only those run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs

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
from tests.support import quick_start

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


#: In a quick run these go side by side, in a process for each lane, when all else is done: most of
#: the time they wait, or start servers.
LANES = (("held", "devices", "snapshot"), ("idle", "outages", "scale"))


@attrs.frozen
class Progress:
    """For whoever waits: which of all figures is measured."""

    before: int
    of: int

    def say(self, number: int, name: str, took_s: float | None = None) -> None:
        took = "" if took_s is None else f" {took_s:.0f} s"
        say(f"figure {self.before + number} of {self.of}: {name} ...{took}")


def measure(names: list[str], quick: bool, notes: Notes, progress: Progress) -> list[Row]:
    """The rows of the figures named, in the order of ``FIGURES``."""
    rows: list[Row] = []
    for number, name in enumerate(_in_order(names), 1):
        progress.say(number, name)
        began = time.monotonic()
        found = _rows(name, quick, notes)
        progress.say(number, name, time.monotonic() - began)
        say(table(found))
        rows += found
    return rows


def _in_order(names: Iterable[str]) -> list[str]:
    return [name for name in FIGURES if name in names]


def _rows(name: str, quick: bool, notes: Notes) -> list[Row]:
    """One that cannot be measured leaves the others alone."""
    try:
        return FIGURES[name](quick, notes)
    except (Exception, SystemExit) as error:
        if not isinstance(error, SystemExit):
            traceback.print_exc()
        return [Row(name, None, "", note=str(error).strip(), failed=True)]


def measure_quickly(names: list[str], notes: Notes) -> list[Row]:
    """Like ``measure``, shortly; the lanes last."""
    lanes = [chosen for lane in LANES if (chosen := _in_order({*lane} & {*names}))]
    first = [name for name in _in_order(names) if not any(name in lane for lane in lanes)]
    rows = {"": measure(first, True, notes, Progress(0, len(names)))}
    # Servers that several of them were measured at are of no more use.
    notes.stack.close()
    with tempfile.TemporaryDirectory(prefix="pc-lanes-") as where:
        files = [Path(where, f"{number}.json") for number in range(len(lanes))]
        running = []
        begun = len(first)
        for lane, file in zip(lanes, files, strict=True):
            words = [sys.executable, "-m", "tests.bench", *lane, "--quick", "--json", str(file)]
            words += ["--lane", str(begun), str(len(names))]
            running.append(subprocess.Popen(words, stdout=subprocess.DEVNULL))
            begun += len(lane)
        for process in running:
            process.wait()
        for lane, file, process in zip(lanes, files, running, strict=True):
            if not file.exists():
                why = f"its process ended with {process.returncode}"
                rows[lane[0]] = [Row(name, None, "", note=why, failed=True) for name in lane]
                continue
            told = json.loads(file.read_text())
            rows[lane[0]] = [Row.from_json(row) for row in told["rows"]]
            notes.waits_ms |= told["waits_ms"]
            notes.lines |= told["lines"]
    return [row for found in rows.values() for row in found]


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
    parser.add_argument("--lane", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.names) - set(FIGURES):
        parser.error(f"there is no figure {', '.join(sorted(unknown))}")
    os.environ.setdefault("PYTHONPATH", os.getcwd())
    if options.quick:
        # To start fifty servers and commands takes more than all else.
        quick_start.use()
    before = os.getloadavg()
    notes = Notes()
    names = options.names or list(FIGURES)
    with notes.stack:
        if options.quick and len(names) > 1 and not options.lane:
            rows = measure_quickly(names, notes)
        else:
            progress = Progress(*(options.lane or (0, len(names))))
            rows = measure(names, options.quick, notes, progress)
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
    return 1 if any(row.verdict == "below" or row.failed for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
