"""Runs a server and samples, on its processor's clock, what its threads are about.

``python -m tests.bench.sampled FILE PYTHON -c CODE WORDS...``: words that a Role puts before its
own. Samples from when FILE.begin is there until FILE.end is, and writes to FILE what was found:
seconds of processor time by thread, and stacks with how often each was met.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

INTERVAL_S = 0.002
#: Functions in which a thread waits for others.
WAITS = frozenset({"wait", "doPoll", "sleep", "_work"})
DEPTH_MAX = 60


def sampled(file: Path) -> tuple[str, ...]:
    """What comes ``under`` a Role."""
    return sys.executable, "-m", "tests.bench.sampled", str(file)


class Sampler:
    """Looks at all threads but its own, every two milliseconds."""

    def __init__(self) -> None:
        self.stacks: dict[str, Counter[str]] = {}

    def run(self, file: Path) -> None:
        own = threading.get_ident()
        while not Path(f"{file}.begin").exists():
            time.sleep(INTERVAL_S)
        before_s = _threads_s()
        end = Path(f"{file}.end")
        while not end.exists():
            time.sleep(INTERVAL_S)
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            for ident, frame in sys._current_frames().items():
                if ident != own and frame.f_code.co_name not in WAITS:
                    name = names.get(ident, "?")
                    self.stacks.setdefault(name, Counter())[_stack(frame)] += 1
        used_s = {name: s - before_s.get(name, 0.0) for name, s in _threads_s().items()}
        found = {name: stacks.most_common(4_000) for name, stacks in self.stacks.items()}
        written = file.with_suffix(".new")
        written.write_text(json.dumps({"stacks": found, "cpu_s": used_s}))
        written.rename(file)


def _stack(frame: FrameType | None) -> str:
    names: list[str] = []
    while frame is not None and len(names) < DEPTH_MAX:
        code = frame.f_code
        names.append(f"{code.co_filename}:{code.co_qualname}")
        frame = frame.f_back
    return "|".join(reversed(names))


def _threads_s() -> dict[str, float]:
    """Processor time by thread, while they live."""
    used = {}
    for thread in threading.enumerate():
        task = Path(f"/proc/self/task/{thread.native_id}/stat")
        fields = task.read_text().rpartition(")")[2].split()
        used[thread.name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


def main() -> None:
    file = Path(sys.argv[1])
    _, option, code, *words = sys.argv[2:]
    assert option == "-c", sys.argv
    sampler = Sampler()
    threading.Thread(target=sampler.run, args=(file,), name="sampler", daemon=True).start()
    sys.argv = ["twistd", *words]
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(code, namespace)


if __name__ == "__main__":
    main()
