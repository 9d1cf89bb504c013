"""Run trial over the packages named and end with ``N passed, N failed, N skipped``.

In CI (CI=true) a skipped test is a failure, and so is a run without tests.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_COUNT = re.compile(r"(successes|failures|errors|skips|expectedFailures|unexpectedSuccesses)=(\d+)")


def main() -> int:
    names = sys.argv[1:] or ["tests"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PAPERCUTD_TESTS": " ".join(names)}
    # Hundreds of roles are started: compiling the project for each is a fifth of that.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory(prefix="papercutd-tests-") as scratch:
        # Two more than processors: what waits for roles and printers, two thirds of the time of the
        # integration tests, leaves them idle.
        workers = min(os.cpu_count() or 1, 6) + 2
        command = [sys.executable, "-m", "twisted.trial", f"-j{workers}", "--reporter=text"]
        command += ["--temp-directory", os.path.join(scratch, "trial"), "tests.support.order"]
        running = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert running.stdout is not None
        tail = ""
        for line in running.stdout:
            sys.stdout.write(line.decode(errors="replace"))
            sys.stdout.flush()
            tail = (tail + line.decode(errors="replace"))[-4000:]
        code = running.wait()
    counts = {name: int(number) for name, number in _COUNT.findall(tail[tail.rfind("Ran ") :])}
    failed = sum(counts.get(n, 0) for n in ("failures", "errors", "unexpectedSuccesses"))
    passed, skipped = counts.get("successes", 0), counts.get("skips", 0)
    if passed + failed == 0:
        print("no test ran")
        code = code or 1
    if skipped and os.environ.get("CI") == "true":
        print("in CI nothing may be skipped")
        code = code or 1
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return code


if __name__ == "__main__":
    sys.exit(main())
