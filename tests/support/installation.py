"""A real application server and what joins it, for integration tests."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from papercutd.demo.installation import Installation

ROOT = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def run_role(role: str, *words: str, timeout_s: float = 30.0) -> subprocess.CompletedProcess[str]:
    """``twistd -n papercut-ROLE`` until it ends by itself."""
    code = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
    return subprocess.run(
        [sys.executable, "-c", code, "-n", "--pidfile=", f"papercut-{role}", *words],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=environment(),
    )


def make_installation(*init: str) -> Installation:
    """In a short path: that of a Unix socket has 107 bytes. Close it, then remove its directory.

    ``init``: further words of ``papercutd init``.
    """
    os.environ["PYTHONPATH"] = str(ROOT)
    return Installation.make(Path(tempfile.mkdtemp(prefix="pc-")), init=init)
