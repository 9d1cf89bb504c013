"""Devices of the demonstration: real ``papercut-device`` processes, driven line by line."""

from __future__ import annotations

import json
import os
import selectors
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from papercutd.demo import processes
from papercutd.demo.processes import NotReady, run

ANSWER_TIMEOUT_S = 60.0
_MODULE = "papercutd.commands.device"


def run_device(
    *words: str, stdin: str = "", under: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """``papercut-device`` until it ends by itself; ``under``: words before the command."""
    return run(*under, sys.executable, "-m", _MODULE, *words, stdin=stdin)


class Mfd:
    """One device: joined once, switched on and off."""

    def __init__(self, name: str, home: Path, under: tuple[str, ...] = ()) -> None:
        self.name = name
        self.home = home
        self.under = under
        self._process: subprocess.Popen[bytes] | None = None
        self._left = b""

    @classmethod
    def join(
        cls,
        name: str,
        home: Path,
        token: str,
        server: str,
        application: str,
        site: str = "",
        under: tuple[str, ...] = (),
    ) -> Mfd:
        """One that fetched its certificate with ``token``.

        ``server`` and ``application``: HOST:PORT of the application server's HTTPS and of its
        port for devices; ``site``: NAME=HOST:PORT of the server it prefers.
        """
        where = ["--application", application, *(["--site", site] if site else [])]
        base = ("join", token, "--home", str(home), "--json", "--server", server)
        done = run_device(*base, *where, under=under)
        if done.returncode != 0:
            raise NotReady(f"a device did not join:\n{done.stderr}{done.stdout}")
        return cls(name, home, under)

    def start(self, *options: str, **variables: str) -> None:
        """Switch it on; it is connected when this returns, if it can be."""
        assert self._process is None
        self._left = b""
        self._process = processes.spawn(
            [
                *(
                    *self.under,
                    sys.executable,
                    "-m",
                    _MODULE,
                    "run",
                    "--home",
                    str(self.home),
                    "--json",
                ),
                *("--reconnect-max", "0.5", "--back-jitter", "0.2", "--speed", "1200"),
                *options,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=open(self.home / "stderr", "ab"),
            env={**os.environ, **variables},
        )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def say(self, line: str) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def answer(self, timeout_s: float = ANSWER_TIMEOUT_S) -> dict[str, Any]:
        """The next result; ``{}`` when the process has ended instead."""
        assert self._process is not None and self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._left:
                if not selector.select(max(deadline - time.monotonic(), 0.0)):
                    raise AssertionError(f"no answer; stderr: {self.stderr()}")
                block = self._process.stdout.read1(65_536)  # type: ignore[attr-defined]
                if not block:
                    return {}
                self._left += block
        line, _, self._left = self._left.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def do(self, line: str) -> dict[str, Any]:
        """Type ``line``; its result."""
        self.say(line)
        return self.answer()

    def stderr(self) -> str:
        return (self.home / "stderr").read_text()[-2000:]

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._close()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        if self._process is None:
            return 0
        self._process.terminate()
        return self._close()

    def wait(self) -> int:
        """Until it ends by itself."""
        return self._close()

    def _close(self) -> int:
        process, self._process = self._process, None
        assert process is not None and process.stdin is not None and process.stdout is not None
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            try:
                stream.close()
            except OSError:
                pass
        return process.returncode

    def paper(self) -> int:
        """Pages that its engine has counted, whether it is switched on or not."""
        connection = sqlite3.connect(f"file:{self.home / 'machine.db'}?mode=ro", uri=True)
        try:
            (pages,) = connection.execute("SELECT COALESCE(SUM(pages), 0) FROM counter").fetchone()
        finally:
            connection.close()
        return int(pages)
