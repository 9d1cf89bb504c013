"""Clients of the demonstration and of tests: real ``papercut-client`` processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from papercutd.demo import processes
from papercutd.demo.processes import run

_MODULE = "papercutd.commands.client"


class Desk:
    """One person's client, with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        #: What the one that watches has told, in order.
        self.told: list[dict[str, Any]] = []

    def words(self, *words: str) -> list[str]:
        base = [sys.executable, "-m", _MODULE, "--home", str(self.home), "--json"]
        return [*base, "--reconnect-max", "0.5", "--back-jitter", "0.2", "--wait", "30", *words]

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A command until it ends."""
        return run(*self.words(*words), stdin=stdin)

    def do(self, *words: str, stdin: str = "") -> list[dict[str, Any]]:
        """What a command tells; it succeeds."""
        done = self.run(*words, stdin=stdin)
        if done.returncode != 0:
            raise AssertionError(f"{words}: {done.returncode}: {done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def watch(self, *words: str) -> None:
        """Stays connected until ``stop``."""
        self.told = []
        process = self._process = processes.spawn(
            self.words("watch", *words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=open(self.home / "stderr", "ab"),
            env=dict(os.environ),
        )

        def read(told: list[dict[str, Any]]) -> None:
            assert process.stdout is not None
            for line in process.stdout:
                told.append(json.loads(line))

        self._reader = threading.Thread(target=read, args=(self.told,), daemon=True)
        self._reader.start()

    def say(self, line: str) -> None:
        """Type it."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def events(self, event: str) -> list[dict[str, Any]]:
        return [one for one in list(self.told) if one["event"] == event]

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader is not None:
            self._reader.join(5)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        return process.returncode
