"""``make demo`` and ``make run``."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from papercutd.demo.installation import Installation
from papercutd.demo.processes import command
from papercutd.demo.scenario import Story, tell

SABOTAGE = ("drop-ack", "double-post", "lose-journal")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--sabotage", choices=SABOTAGE, help="switch a deliberate fault on")
    parser.add_argument("--keep", action="store_true", help="keep the directory and say where")
    parser.add_argument("--run", action="store_true", help="sample installation until Ctrl-C")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    directory = Path(tempfile.mkdtemp(prefix="papercutd-demo-"))
    in_store = options.sabotage if options.sabotage != "lose-journal" else None
    installation: Installation | None = None
    try:
        story = Story()
        story.say("making the installation: certificate authority, keys, database")
        installation = Installation.make(directory, in_store or "")
        if options.run:
            return _serve(installation, story)
        result = tell(installation, story, options.sabotage or "")
    except KeyboardInterrupt:
        print("\ninterrupted: ending every process", file=sys.stderr)
        return 130
    finally:
        if installation is not None:
            installation.close()
        if options.keep:
            print(f"kept: {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    print(json.dumps(result))
    return 0 if result["ok"] else 1


def _serve(installation: Installation, story: Story) -> int:
    """All roles with sample users and printers, until somebody ends it."""
    story.begin(installation)
    command(installation.app.config, "user", "add", "ben", "--balance", "5.00")
    command(installation.app.config, "user", "add", "staff", "--unrestricted")
    lines: list[Any] = [
        "",
        "Everything runs. Users: anna (3.00), ben (5.00), staff (never refused).",
        f"  health       http://127.0.0.1:{installation.http_port}/api/health",
        f"  over TLS     https://127.0.0.1:{installation.https_port}/api/health",
        f"  administer   .venv/bin/papercutd -c {installation.app.config} status",
    ]
    for branch in installation.branches:
        socket_path = branch.provider.data / "submit.sock"
        lines += [
            f"  print at {branch.name:<6} .venv/bin/papercut-lp FILE.pdf -P {branch.name}-1 -U anna"
            f" --wait --socket {socket_path}",
            f"    its paper  {branch.printer.directory}",
            f"    its site   .venv/bin/papercutd -c {branch.site.config} status",
        ]
    print("\n".join([*lines, "", "Ctrl-C ends it."]), flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    sys.exit(main())
