"""``verify`` of a running server: in a process of its own, which only reads."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from papercutd.environment import Environment
from papercutd.errors import Rejected, StorageError
from papercutd.services.operation import Progress

_log = Logger()
#: Before so much is done, how long it takes is a guess.
PERCENT_MIN = 2
#: Between two words of progress.
TELL_S = 1.0
#: The last line holds all problems.
BYTES_MAX = 4 * 1_048_576


class VerifyFailed(StorageError):
    """The process ended before it was done; its words are in the log."""

    def __str__(self) -> str:
        return "verifying failed, the log says why"


class BooksVerifier:
    """Verifies ``database`` whenever it is called, one at a time."""

    def __init__(self, env: Environment, reactor: Any, schema: str, database: Path | str) -> None:
        self._env = env
        self._reactor = reactor
        self._asked = {"schema": schema}
        self._asked["path" if isinstance(database, Path) else "address"] = str(database)
        self._running: _Worker | None = None

    async def __call__(self, progress: Progress) -> list[str]:
        """Problems. Cancelled, the process is ended. Raises Rejected ``busy``, VerifyFailed."""
        if self._running is not None:
            raise Rejected("busy", "the database is being verified")
        began = told = self._env.now()

        def tell(figures: dict[str, Any]) -> None:
            nonlocal told
            now, percent = self._env.now(), figures.get("percent", 0)
            if now - told < TELL_S:
                return
            told = now
            if percent >= PERCENT_MIN:
                figures["left_s"] = round((now - began) * (100 - percent) / percent)
            progress(figures)

        worker = self._running = _Worker(self._asked, tell)
        try:
            self._reactor.spawnProcess(
                worker,
                sys.executable,
                [sys.executable, "-m", "papercutd.storage.proof.verify_worker"],
                env=None,
            )
            return await worker.done
        finally:
            self._running = None

    async def stop(self) -> None:
        """End what runs."""
        if self._running is not None:
            self._running.kill()


class _Worker(ProcessProtocol):
    def __init__(self, asked: dict[str, str], progress: Progress) -> None:
        self._asked = asked
        self._progress = progress
        self._read = b""
        self._errors = b""
        self._problems: list[str] | None = None
        self.done: Deferred[list[str]] = Deferred(lambda cancelled: self.kill())

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(json.dumps(self._asked).encode() + b"\n")

    def outReceived(self, data: bytes) -> None:
        *lines, self._read = (self._read + data).split(b"\n")
        if len(self._read) > BYTES_MAX:
            self.kill()
        for line in lines:
            said = json.loads(line)
            if "progress" in said:
                self._progress(said["progress"])
            elif "problems" in said:
                self._problems = said["problems"]
            else:
                _log.error("verifying: {error}", error=said.get("error"))

    def errReceived(self, data: bytes) -> None:
        self._errors = (self._errors + data)[-BYTES_MAX:]

    def processEnded(self, reason: Failure) -> None:
        if self._errors:
            _log.error("verifying: {words}", words=self._errors.decode("utf-8", "replace"))
        if self.done.called:
            return
        if self._problems is None:
            self.done.errback(Failure(VerifyFailed()))
        else:
            self.done.callback(self._problems)

    def kill(self) -> None:
        try:
            if self.transport is not None:
                self.transport.signalProcess("KILL")
        except ProcessExitedAlready:
            pass
