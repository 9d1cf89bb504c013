"""The processes of the demonstration: started, watched, killed and ended by their ids."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from papercutd.commands.control_client import ControlError, call

START_TIMEOUT_S = 30.0
RUN_TIMEOUT_S = 60.0
#: Starts a program; tests, which start hundreds, put another one here.
spawn: Callable[..., subprocess.Popen[Any]] = subprocess.Popen


class NotReady(Exception):
    """A process did not come up; the text holds the end of its log."""


class Role:
    """One ``twistd papercut-...`` process."""

    def __init__(
        self,
        role: str,
        name: str,
        directory: Path,
        config: str,
        under: tuple[str, ...] = (),
    ) -> None:
        """``under``: words before the command, such as ``ip netns exec NAME``."""
        self.role = role
        self.under = under
        self.name = name
        self.directory = directory
        self.data = directory / "data"
        self.config = directory / f"papercut-{role}.toml"
        self.log = directory / "log"
        directory.mkdir(parents=True, exist_ok=True)
        self.config.write_text(f"data_dir = {str(self.data)!r}\n{config}".replace("'", '"'))
        #: On top of the environment of this process, whenever it is started.
        self.environment: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        """Start it and wait until its control socket answers.

        ``environment`` comes on top of this process's.
        """
        self.begin(**environment)
        self.until_ready()

    def begin(self, **environment: str) -> None:
        """Start it, and wait for nothing."""
        code = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
        command = [*self.under, sys.executable, "-c", code, "--nodaemon", "--pidfile="]
        command += [f"papercut-{self.role}", "--config", str(self.config)]
        with open(self.log, "ab") as log:
            self._process = spawn(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, **self.environment, **environment},
            )

    def until_ready(self) -> None:
        """Wait until its control socket answers; raises NotReady."""
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                self.call("status")
                return
            except (ControlError, OSError):
                time.sleep(0.02)
        tail = self.log.read_text(errors="replace")[-1500:]
        raise NotReady(f"{self.name} did not start:\n{tail}")

    def call(self, operation: str, **arguments: Any) -> Any:
        """The result of an operation at its control socket."""
        return call(str(self.data / "control.sock"), operation, arguments, timeout_s=20)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """SIGTERM; SIGKILL if that takes more than 8 s."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=8)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def start_together(*roles: Role) -> None:
    """Start roles that do not need one another to start; ready when this returns."""
    for role in roles:
        role.begin()
    for role in roles:
        role.until_ready()


def run(
    *words: str, stdin: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """``words`` until they end by themselves; whatever interrupts this ends them first."""
    with spawn(
        words,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            out, err = process.communicate(stdin, timeout=RUN_TIMEOUT_S)
        except BaseException:
            process.kill()
            process.wait()
            raise
    return subprocess.CompletedProcess(words, process.returncode, out, err)


def command(config: Path, *words: str, under: tuple[str, ...] = ()) -> Any:
    """Run ``papercutd --json`` and return what it printed; ``under`` as of a Role."""
    base = (sys.executable, "-m", "papercutd.commands.main", "--json", "-c", str(config))
    done = run(*under, *base, *words)
    if done.returncode not in (0, 1) or not done.stdout:
        raise NotReady(f"papercutd {' '.join(words[:2])} failed: {done.stderr.strip()}")
    return json.loads(done.stdout)
