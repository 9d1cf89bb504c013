"""A real application server and what joins it, for integration tests."""

from __future__ import annotations

import atexit
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
from contextlib import closing
from pathlib import Path

from papercutd.demo.installation import Installation
from papercutd.demo.processes import Role

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


def copy_data(model: Role, role: Role) -> None:
    """Give ``role`` what ``model``, which does not run, has on its disk."""
    shutil.copytree(model.data, role.data, ignore=shutil.ignore_patterns("*.sock"))


_template: Installation | None = None


def joined_installation() -> Installation:
    """One whose sites and providers have joined, with nothing running.

    Joining takes a process each: it is done once in a process of tests, and its data are copied.
    """
    global _template
    if _template is None:
        _template = make_installation()
        atexit.register(shutil.rmtree, _template.directory, True)
        atexit.register(_template.close)
        _template.app.start()
        _template.join_all()
        _template.app.stop()
    made = Installation.make(Path(tempfile.mkdtemp(prefix="pc-")), init=None)
    for role, model in zip(made.roles(), _template.roles(), strict=True):
        copy_data(model, role)
    with closing(sqlite3.connect(made.app.data / "application.db")) as database, database:
        for branch in made.branches:
            listen = tomllib.loads(branch.site.config.read_text())["listen"]
            database.execute(
                "UPDATE site SET port = ? WHERE name = ?", (listen["links"], branch.name)
            )
            database.execute(
                "UPDATE printer SET uri = ? WHERE name = ?",
                (f"socket://127.0.0.1:{branch.printer.port}", branch.queues[0]),
            )
    return made
