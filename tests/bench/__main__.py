"""``make bench``: figures beside their peers, in one run on this machine."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from papercutd.commands.offline import run_offline
from papercutd.config.load import load_config
from papercutd.config.model import AppConfig
from papercutd.demo.network import free_port
from papercutd.demo.processes import Role, command
from papercutd.identity.authority import (
    Authority,
    key_pem,
    make_key,
    make_request,
    write_private,
)
from tests.bench import devices, held, idle
from tests.bench.drain import drain
from tests.bench.namespace import why_not
from tests.bench.outages import kills, namespace_cut, relay_cut, replica_lag
from tests.bench.picture import draw

Waits = dict[str, list[float]]
CONNECTIONS = 64
PIPELINE = 4


def make_role(directory: Path, name: str, batch_max: int) -> tuple[Role, int]:
    """An initialised application server, and its port for links."""
    http, https, links = free_port(), free_port(), free_port()
    listen = (
        f'[listen]\ninterface = "127.0.0.1"\nhttp = {http}\nhttps = {https}\n'
        f"links = {links}\ndevices = 0\n"
    )
    role = Role("app", name, directory / name, f"batch_max = {batch_max}\n{listen}")
    command(role.config, "init")
    return role, links


def make_providers(role: Role, directory: Path) -> Path:
    """``CONNECTIONS`` providers with a printer and an identity each."""
    config = load_config(str(role.config), AppConfig)

    def call(operation: str, **arguments: Any) -> Any:
        return run_offline(config, operation, arguments, lambda figures: None)

    call("user.add", name="load", restricted=False)
    authority = Authority.load(role.data / "ca")
    identities = directory / f"identities-{role.name}"
    for number in range(CONNECTIONS):
        name = f"load-{number}"
        call("provider.add", name=name)
        uri = "socket://127.0.0.1:9"
        printer = call("printer.add", name=f"{name}-1", provider=name, uri=uri)["printer"]
        folder = identities / name
        folder.mkdir(parents=True)
        key = make_key()
        request = make_request(key, "provider", name)
        issued = authority.issue(request, "provider", name, time.time())
        write_private(folder / "key.pem", key_pem(key))
        write_private(folder / "chain.pem", issued.chain_pem)
        write_private(folder / "ca.pem", authority.pem)
        (folder / "printer").write_text(str(printer))
    return identities


def load(identities: Path, port: int, seconds: float) -> float:
    """Whole jobs a second."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.bench.load", str(identities), str(port)),
            *(str(seconds), str(PIPELINE)),
        ],
        capture_output=True,
        text=True,
        timeout=seconds + 60,
    )
    found = json.loads(done.stdout or "{}")
    if "per_s" not in found or found["failed"]:
        raise SystemExit(f"the load failed: {done.stdout}{done.stderr[-800:]}")
    return float(found["per_s"])


def jobs(runs: int, seconds: float) -> list[dict[str, Any]]:
    """Whole jobs a second with group commit, beside the same server with batches of one."""
    directory = Path(tempfile.mkdtemp(prefix="pc-bench-"))
    roles: list[tuple[Role, int, Path]] = []
    figures: dict[str, list[float]] = {"grouped": [], "single": []}
    try:
        for name, batch_max in (("grouped", 256), ("single", 1)):
            role, port = make_role(directory, name, batch_max)
            roles.append((role, port, make_providers(role, directory)))
            role.start()
        for number in range(runs):
            for role, port, identities in roles:
                figures[role.name].append(load(identities, port, seconds))
            print(f"run {number + 1} of {runs}: {figures}", file=sys.stderr)
        problems = [p for role, _, _ in roles for p in role.call("verify")["problems"]]
    finally:
        for role, _, _ in roles:
            role.stop()
        shutil.rmtree(directory, ignore_errors=True)
    grouped, single = (statistics.median(figures[name]) for name in ("grouped", "single"))
    ratios = [a / b for a, b in zip(figures["grouped"], figures["single"], strict=True)]
    return [
        row("whole jobs, 64 connections", grouped, "jobs/s", 1_000),
        row("the same, one operation a commit", single, "jobs/s", None),
        row("ratio", statistics.median(ratios), "x", 3),
        row("problems found by verify", len(problems), "", None),
    ]


def drained(runs: int, count: int) -> list[dict[str, Any]]:
    """Offline records forwarded by a healed site."""
    seconds, missing = drain(runs, count)
    return [
        row(f"{count} offline records drained", seconds, "s", 5, at_most=True),
        row("charges missing after it", missing, "", 0, at_most=True),
    ]


def outages(kill_count: int, job_count: int) -> tuple[list[dict[str, Any]], Waits]:
    """How long the next decision took after kills, and decisions around a silent cut."""
    waits = {"application server killed": kills(kill_count)}
    rows = [
        row(
            f"next decision after each of {kill_count} kills, p99",
            *(_p99(waits["application server killed"]), "ms", 250),
            at_most=True,
        )
    ]
    cuts = {"a relay that goes silent": (relay_cut, "")}
    cuts["a network namespace without its cable"] = (namespace_cut, why_not())
    for name, (cut, reason) in cuts.items():
        title = f"longest of {job_count} jobs around a cut: {name}"
        if reason:
            rows.append({**row(title, 0, "ms", None), "value": None, "is": f"not here: {reason}"})
            continue
        waits[name] = cut(job_count)
        rows.append(row(title, max(waits[name]), "ms", 2_000, at_most=True))
    return rows, waits


def lag(rate_per_s: int, seconds: float) -> list[dict[str, Any]]:
    """From commit at the centre to applied at a site, while balances change."""
    rate, p99_ms = replica_lag(rate_per_s, seconds)
    return [
        row("balance changes made", rate, "1/s", 0.98 * rate_per_s),
        row("replica lag at two sites, p99", p99_ms, "ms", 500, at_most=True),
    ]


def held_jobs(count: int) -> list[dict[str, Any]]:
    """Held jobs at devices, and what asking costs a job of CUPS."""
    reason = held.why_not()
    if reason:
        made = row("held jobs through CUPS", 0, "ms", None)
        return [{**made, "value": None, "is": f"not here: {reason}"}]
    return [row(*figure, at_most=True) for figure in held.held_jobs(count)]


def at_devices(visits: int, copies: int) -> list[dict[str, Any]]:
    """Waits at devices, online and cut, and pages beyond a reservation."""
    return [row(*figure, at_most=True) for figure in devices.at_devices(visits, copies)]


def _p99(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]


def row(
    name: str, value: float, unit: str, goal: float | None, at_most: bool = False
) -> dict[str, Any]:
    holds = goal is not None and (value <= goal if at_most else value >= goal)
    verdict = "" if goal is None else ("meets" if holds else "below")
    return {"name": name, "value": round(value, 2), "unit": unit, "goal": goal, "is": verdict}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short run of each")
    parser.add_argument("--json", metavar="FILE", help="write the rows and every wait there too")
    parser.add_argument("--picture", metavar="FILE", help="draw the waits there, as SVG")
    options = parser.parse_args()
    quick = options.quick
    os.environ.setdefault("PYTHONPATH", os.getcwd())
    rows = jobs(1, 4.0) if quick else jobs(5, 10.0)
    rows += drained(1, 10_000) if quick else drained(5, 10_000)
    rows += lag(500, 5.0 if quick else 20.0)
    rows += held_jobs(10 if quick else 50)
    rows += at_devices(*(50, 1) if quick else (300, 5))
    rows += [row(*figure, at_most=True) for figure in idle.idle_devices(500 if quick else 10_000)]
    found, waits = outages(*(5, 60) if quick else (100, 200))
    rows += found
    width = max(len(one["name"]) for one in rows)
    for one in rows:
        goal = "" if one["goal"] is None else f"goal {one['goal']}"
        value = "" if one["value"] is None else one["value"]
        print(f"{one['name']:<{width}} {value:>10} {one['unit']:<8} {goal:<12} {one['is']}")
    if options.json:
        Path(options.json).write_text(
            json.dumps({"rows": rows, "waits_ms": waits}, indent=1) + "\n"
        )
    if options.picture:
        Path(options.picture).write_text(draw(waits))
    return 1 if any(one["is"] == "below" for one in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
