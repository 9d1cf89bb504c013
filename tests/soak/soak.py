"""A soak: real processes in namespaces of their own, struck by whatever a seed draws, then judged.

It needs root and ``ip`` (Debian package iproute2).
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.namespace import why_not
from tests.soak.faults import Faults
from tests.soak.judge import judge, settle
from tests.soak.load import Load
from tests.soak.world import ALL_SITES, World

#: Faults of a minute at the most.
FAULTS_PER_MINUTE = 60


def soak(
    minutes: float,
    seed: int,
    keep: Path | None = None,
    quiet: bool = False,
    sites: tuple[str, ...] = ALL_SITES,
) -> dict[str, Any]:
    """Run one; its figures. Nothing is left of it, however it ends; ``keep`` gets the stores of
    one that found something."""
    began = time.monotonic()

    def say(text: str) -> None:
        if not quiet:
            print(f"[{time.monotonic() - began:6.1f} s] {text}", file=sys.stderr, flush=True)

    world = World(sites=sites)
    load: Load | None = None
    try:
        say(f"network {world.network.name}, files {world.directory}: everybody joins")
        world.start()
        load = Load(world, seed)
        faults = Faults(world, random.Random(seed), say)
        say(f"everybody is connected; {minutes:g} minutes begin, seed {seed}")
        load.start()
        faults.run_until(time.monotonic() + minutes * 60, round(minutes * FAULTS_PER_MINUTE) + 1)
        say("healing everything")
        faults.heal()
        load.stop()
        faults.look_after()
        healed = time.monotonic()
        found = faults.found + load.defects + settle(world)
        settled_s = time.monotonic() - healed
        say("verifying and counting")
        figures, wrong = judge(world, load)
        found += wrong
        if found and keep is not None:
            shutil.copytree(world.directory, keep, ignore=shutil.ignore_patterns("*.sock"))
            say(f"stores and logs are in {keep}")
        return {
            "ok": not found,
            "seed": seed,
            "minutes": minutes,
            "faults": dict(sorted(faults.tried.items())),
            "load": dict(sorted(load.done.items())),
            **figures,
            "settled_s": round(settled_s, 1),
            "found": found,
        }
    finally:
        # Threads see that what they talk to is gone.
        world.close()
        if load is not None:
            load.stop()


def show(result: dict[str, Any]) -> str:
    """For people."""
    faults = ", ".join(f"{count} {what}" for what, count in result["faults"].items())
    lines = [
        f"{sum(result['faults'].values())} faults: {faults}",
        f"{result['prints']} documents on paper, {result['copies']} copies of"
        f" {result['copied_pages']} pages, {result['charged_e4'] / 10_000:.2f} charged",
        f"STRICT sites were granted {result['granted_e4'] / 10_000:.2f}, gave back"
        f" {result['returned_e4'] / 10_000:.2f} ({result['recalls']} recalls since the"
        " application server's last start) and paid"
        f" {result['paid_from_allowances_e4'] / 10_000:.2f} from it",
        f"settled {result['settled_s']} s after the last heal; the statement is"
        f" {result['statement']}",
        f"lost {result['lost']}, duplicated {result['duplicated']},"
        f" overspent {result['overspent_e4'] / 10_000:.2f}",
        *(f"WRONG: {one}" for one in result["found"]),
        "all is well" if result["ok"] else "SOMETHING IS WRONG",
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="default: one drawn now")
    parser.add_argument("--json", action="store_true", help="one line of JSON only")
    parser.add_argument("--keep", type=Path, help="where the stores of a bad run are put")
    options = parser.parse_args(argv)
    problem = why_not()
    if problem:
        print(f"no soak here: {problem}", file=sys.stderr)
        return 2
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)

    def end(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)
    try:
        result = soak(options.minutes, seed, options.keep)
    except KeyboardInterrupt:
        print("interrupted: nothing is left of it", file=sys.stderr)
        return 130
    if not options.json:
        print(show(result))
        if not result["ok"]:
            again = f"--minutes {options.minutes:g} --seed {seed}"
            print(f"again: {sys.executable} -m tests.soak {again}")
    print(json.dumps(result), flush=True)
    return 0 if result["ok"] else 1
