"""Runs a server on a disk whose every sync of a commit takes some milliseconds longer.

``python -m tests.bench.slow_disk MS PYTHON -c CODE WORDS...``: words that a Role puts before its
own. SQLite syncs its log once for each commit, on the writer's thread, just after the place where
this waits: an ordinary disk would wait there. Syncs of checkpoints take no longer: they are
few, and of all peers alike.
"""

from __future__ import annotations

import sys
import time

from papercutd.roles.crash_points import CrashPoint


def slow_disk(milliseconds: float) -> tuple[str, ...]:
    """What comes ``under`` a Role."""
    return sys.executable, "-m", "tests.bench.slow_disk", str(milliseconds)


def main() -> None:
    wait_s = float(sys.argv[1]) / 1000
    _, option, code, *words = sys.argv[2:]
    assert option == "-c", sys.argv
    before_commit = CrashPoint.before_commit

    def slower(point: CrashPoint) -> None:
        before_commit(point)
        time.sleep(wait_s)

    CrashPoint.before_commit = slower  # type: ignore[method-assign]
    sys.argv = ["twistd", *words]
    exec(code, {"__name__": "__main__"})


if __name__ == "__main__":
    main()
