"""Running many seeds: ``python -m tests.simulation --seeds N --first-seed K --profile base``."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from tests.simulation.findings import Finding, Findings
from tests.simulation.fortnight import make_core
from tests.simulation.profiles import PROFILES, profile_of
from tests.simulation.report import Summary
from tests.simulation.scenario import Make, run_scenario
from tests.simulation.selftest import SelfTest
from tests.simulation.world import World

SCENARIOS: dict[str, Make] = {"core": make_core, "selftest": SelfTest}
#: One seed in so many is run a second time, and must leave the same trace (I18).
TWICE_EVERY = 10


@attrs.frozen
class Task:
    """One seed to run, in a process of its own perhaps."""

    seed: int
    profile: str
    scenario: str
    is_twice: bool = False


def run_task(task: Task) -> Findings:
    """Run it; an error of the harness itself is a finding too."""
    try:
        findings = _run_once(task)
        if task.is_twice:
            findings.checked["I18"] += 1
            again = _run_once(task)
            if (again.trace, again.events) != (findings.trace, findings.events):
                text = f"two runs, two traces: {findings.trace} and {again.trace}"
                findings.add(Finding("I18", findings.simulated_s, "", text))
    except Exception:
        findings = Findings(seed=task.seed, profile=task.profile)
        findings.add(Finding("harness", 0.0, "", traceback.format_exc(limit=-8)))
    return findings


def _run_once(task: Task) -> Findings:
    return run_scenario(SCENARIOS[task.scenario], task.seed, PROFILES[task.profile])


def replay_command(task: Task) -> str:
    """What a person types to see that seed again."""
    return (
        f"python -m tests.simulation --scenario {task.scenario} --profile {task.profile}"
        f" --seeds 1 --first-seed {task.seed} --trace"
    )


def _results(tasks: Sequence[Task], jobs: int) -> Iterable[Findings]:
    """In the order of the seeds."""
    if jobs == 1 or len(tasks) == 1:
        yield from map(run_task, tasks)
        return
    # Fresh processes: nothing of this one can leak into what they simulate.
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs) as pool:
        yield from pool.imap(run_task, tasks, chunksize=4)


def run_traced(task: Task, write: Callable[[str], object]) -> Findings:
    """One seed, with a line for each event."""
    world = World(task.seed)

    def heard(time_s: float, node: str, kind: str, data: bytes) -> None:
        text = data[:160].decode("utf-8", "replace").replace("\n", "\\n")
        write(f"{time_s:12.6f} {node or '-':<14} {kind:<28} {len(data) or '':>6} {text}".rstrip())

    world.trace.listener = heard
    return run_scenario(SCENARIOS[task.scenario], task.seed, PROFILES[task.profile], world)


def arguments() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="Runs the servers on simulated time, network and disks, with faults.",
    )
    parser.add_argument("--seeds", type=int, default=100, help="how many seeds")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="base")
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default=default_scenario())
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each seed")
    parser.add_argument("--trace", action="store_true", help="every event; for one seed")
    parser.add_argument(
        "--coverage", action="store_true", help="fail too when a fault never had an effect"
    )
    return parser


def default_scenario() -> str:
    """The whole system where it is there, else the harness's own test."""
    return "core" if "core" in SCENARIOS else "selftest"


def main(argv: Sequence[str] | None = None) -> int:
    """0: nothing found; 1: something was; 2: wrong usage."""
    parser = arguments()
    options = parser.parse_args(argv)
    if options.seeds < 1 or options.jobs < 1:
        parser.error("--seeds and --jobs are at least 1")
    if options.trace and options.seeds != 1:
        parser.error("--trace is for one seed: --seeds 1")
    tasks = [
        Task(
            seed, profile_of(options.profile, seed).name, options.scenario, seed % TWICE_EVERY == 0
        )
        for seed in range(options.first_seed, options.first_seed + options.seeds)
    ]
    summary = Summary(PROFILES[options.profile])
    results = [run_traced(tasks[0], print)] if options.trace else _results(tasks, options.jobs)
    for task, findings in zip(tasks, results, strict=True):
        summary.add(findings)
        if options.json:
            _print_json(findings.as_dict())
            continue
        if not findings.is_good:
            _clear_progress()
            print(summary.describe(findings, with_plan=options.seeds <= 3))
            print(f"    replay: {replay_command(task)}", flush=True)
        elif options.trace or options.seeds == 1:
            print(summary.describe(findings, with_plan=True))
        _progress(summary, len(tasks))
    _clear_progress()
    if options.json:
        _print_json({"summary": summary.as_dict()})
    else:
        print(summary.text())
    is_lacking = options.coverage and bool(summary.never())
    return 1 if summary.bad or is_lacking else 0


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value, separators=(",", ":")), flush=True)


def _progress(summary: Summary, total: int) -> None:
    if sys.stderr.isatty() and total > 1:
        sys.stderr.write(f"\r{summary.seeds} of {total} seeds, {len(summary.bad)} bad ")
        sys.stderr.flush()


def _clear_progress() -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
