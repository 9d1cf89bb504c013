"""``python -m tests.bench.profile``: where the processor time of a job goes in a loaded server.

Each sample is counted for what is being done there: the innermost function that a rule below
names. ``--functions`` names the functions themselves.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.bench.outages import wait_until
from tests.bench.sampled import sampled
from tests.bench.servers import Load, application, cluster, directory

#: What is going on, by the innermost frame that matches; earlier rules first.
RULES: tuple[tuple[str, str], ...] = (
    ("seals and the change log", r"storage/(seals|change_log|replicated)\.py"),
    ("rows to and from PostgreSQL", r"postgres/workspace\.py:Workspace\.(_begin|flush|_note)"),
    ("statements looked up (covered.py)", r"postgres/covered\.py|Workspace\._is_here"),
    ("rules and statements of the store", r"papercutd/(storage|domain)/"),
    ("psycopg2, txpostgres, greenlets", r"txpostgres|postgres/(link|hub|connection)\.py"),
    ("TLS", r"twisted/protocols/tls\.py|OpenSSL/|identity/endpoints\.py"),
    ("lines and messages", r"protocols/(machine|envelope|framing|spec|common)"),
    ("messages to values and back", r"services/wire\.py"),
    ("sessions, faces and services", r"protocols/|papercutd/(faces|services)/"),
    ("Deferreds, reactor, sockets", r"twisted/"),
)
_RULES = [(name, re.compile(pattern)) for name, pattern in RULES]


def kind_of(stack: list[str]) -> str:
    """What the innermost frame that a rule knows is about."""
    for frame in reversed(stack):
        for name, pattern in _RULES:
            if pattern.search(frame):
                return name
    return "else"


def shares(file: Path, functions: bool) -> dict[str, float]:
    """Shares of the server's processor time; threads count by the time that each had."""
    found = json.loads(file.read_text())
    whole: Counter[str] = Counter()
    for thread, stacks in found["stacks"].items():
        samples = sum(count for _, count in stacks)
        weight = found["cpu_s"].get(thread, 0.0) / samples if samples else 0.0
        for stack, count in stacks:
            frames = stack.split("|")
            name = _short(frames[-1]) if functions else kind_of(frames)
            whole[name] += count * weight  # type: ignore[assignment]
    total = sum(whole.values()) or 1.0
    return {name: spent / total for name, spent in whole.most_common()}


def _short(frame: str) -> str:
    return "/".join(frame.split("/")[-2:])


def profile(
    engine: str, kind: str, seconds: float, functions: bool
) -> tuple[Load, dict[str, float]]:
    """The load, and what it was spent on."""
    with directory("pc-profile-") as where, ExitStack() as stack:
        store = ""
        if engine == "postgresql":
            store = stack.enter_context(cluster(where)).create_database("application")
        file = where / "samples.json"
        with application(where, engine, store=store, under=sampled(file)) as server:
            load = server.load(kind, seconds, pipeline=16, sampled=str(file))
            wait_until("samples are written", file.exists)
        return load, shares(file, functions)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.profile", description=__doc__)
    parser.add_argument("engine", choices=("sqlite", "postgresql"))
    parser.add_argument("kind", choices=("authorize", "jobs"), nargs="?", default="jobs")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--functions", action="store_true")
    options = parser.parse_args()
    load, found = profile(options.engine, options.kind, options.seconds, options.functions)
    print(f"{options.engine}, {options.kind}: {load.cpu_us:.0f} us of processor time each")
    for name, share in list(found.items())[:40]:
        print(f"{share * load.cpu_us:8.1f} us {share * 100:5.1f} %  {name}")


if __name__ == "__main__":
    main()
