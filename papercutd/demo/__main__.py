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

from papercutd.demo import cups
from papercutd.demo.installation import Branch, Installation
from papercutd.demo.processes import command
from papercutd.demo.scenario import CARD, Story, tell

SABOTAGE = ("drop-ack", "double-post", "lose-journal")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--sabotage", choices=SABOTAGE, help="switch a deliberate fault on")
    parser.add_argument("--keep", action="store_true", help="keep the directory and say where")
    parser.add_argument("--run", action="store_true", help="sample installation until Ctrl-C")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    directory = Path(tempfile.mkdtemp(prefix="papercutd-demo-"))
    # Backends of CUPS are another user, who has to pass.
    directory.chmod(0o711)
    in_store = options.sabotage if options.sabotage != "lose-journal" else None
    installation: Installation | None = None
    try:
        story = Story()
        spooler = _spooler(story)
        story.say("making the installation: certificate authority, keys, database")
        installation = Installation.make(directory, in_store or "", spooler=spooler)
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


def _spooler(story: Story) -> str:
    missing = cups.missing()
    if missing:
        story.say(f"without CUPS, which cannot be used here ({missing}): providers print directly")
        return "direct"
    story.say("with CUPS: one cupsd at each print server")
    return "cups"


def _serve(installation: Installation, story: Story) -> int:
    """All roles with sample users and printers, until somebody ends it."""
    story.begin(installation)
    command(installation.app.config, "user", "add", "ben", "--balance", "5.00")
    command(installation.app.config, "user", "add", "staff", "--unrestricted")
    lines: list[Any] = [
        "",
        "Everything runs. Users: anna (6.00), ben (5.00), staff (never refused).",
        f"  health       http://127.0.0.1:{installation.http_port}/api/health",
        f"  over TLS     https://127.0.0.1:{installation.https_port}/api/health",
        f"  administer   .venv/bin/papercutd -c {installation.app.config} status",
    ]
    for branch in installation.branches:
        printer, follow = branch.queues
        branch.mfd.stop()
        lines += [
            f"  print at {branch.name:<6} {_printing(branch, printer)}",
            f"    its paper  {branch.printer.directory}",
            f"    its site   .venv/bin/papercutd -c {branch.site.config} status",
            f"    to collect {_printing(branch, follow)}",
            f"    its device .venv/bin/papercut-device run --home {branch.mfd.home}",
            f"               and there: login card {CARD}, list, release 1, copy 3",
        ]
    print("\n".join([*lines, "", "Ctrl-C ends it."]), flush=True)
    while True:
        time.sleep(3600)


def _printing(branch: Branch, queue: str) -> str:
    if branch.cups is not None:
        return f"CUPS_SERVER={branch.cups.socket} lp -d {queue} -U anna FILE.pdf"
    socket_path = branch.provider.data / "submit.sock"
    return f".venv/bin/papercut-lp FILE.pdf -P {queue} -U anna --socket {socket_path}"


if __name__ == "__main__":
    sys.exit(main())
