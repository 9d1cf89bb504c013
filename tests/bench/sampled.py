"""Runs a server and samples, on its processor's clock, what its threads are about.

``python -m tests.bench.sampled FILE PYTHON -c CODE WORDS...``: words that a Role puts before its
own. Samples from when FILE.begin is there until FILE.end is, and writes to FILE what was found:
seconds of processor time by thread, and stacks with how often each was met.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

INTERVAL_S = 0.003
LOOK_S = 0.02
#: Functions in which a thread waits for others.
WAITS = frozenset({"wait", "doPoll", "sleep", "_work"})
DEPTH_MAX = 60


def sampled(file: Path) -> tuple[str, ...]:
    """What comes ``under`` a Role."""
    return sys.executable, "-m", "tests.bench.sampled", str(file)


class Sampler:
    """Looks at all threads whenever the process has had some milliseconds of its processor.

    The signal is seen by the reactor's thread, between two instructions of Python.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stacks: dict[str, Counter[str]] = {}
        self._before_s: dict[str, float] = {}

    def run(self) -> None:
        """Until it is asked to write: in a thread of its own, which waits all the time."""
        for word, what in (("begin", self._begin), ("end", self._write)):
            while not Path(f"{self._file}.{word}").exists():
                time.sleep(LOOK_S)
            what()

    def _begin(self) -> None:
        self._before_s = _threads_s()
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_S, INTERVAL_S)

    def look(self, number: int, frame: FrameType | None) -> None:
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        frames = sys._current_frames()
        frames[threading.get_ident()] = frame  # type: ignore[assignment]
        for ident, one in frames.items():
            if one.f_code.co_name not in WAITS:
                name = names.get(ident, "?")
                self._stacks.setdefault(name, Counter())[_stack(one)] += 1

    def _write(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        used_s = {name: s - self._before_s.get(name, 0.0) for name, s in _threads_s().items()}
        found = {name: stacks.most_common(4_000) for name, stacks in self._stacks.items()}
        written = self._file.with_suffix(".new")
        written.write_text(json.dumps({"stacks": found, "cpu_s": used_s}))
        written.rename(self._file)


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
    sampler = Sampler(file)
    signal.signal(signal.SIGPROF, sampler.look)
    threading.Thread(target=sampler.run, name="sampler", daemon=True).start()
    sys.argv = ["twistd", *words]
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(code, namespace)


if __name__ == "__main__":
    main()
