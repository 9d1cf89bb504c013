"""The processes that look into documents: how many at once, for how long, what they said."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredList, DeferredLock, DeferredSemaphore
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from papercutd.acquired import Acquired
from papercutd.domain.document import GROUPS_MAX, Document, PageGroup
from papercutd.provider.analysis.convert import BY_FILTERS
from papercutd.provider.analysis.formats import PCL_FORMATS, PDF, POSTSCRIPT, RASTER_FORMATS
from papercutd.provider.analysis.layout import Layout

_log = Logger()
T = TypeVar("T")
AT_ONCE = 2
#: Workers that have started and wait for a document: to start one takes a tenth of a second.
READY = 2
#: Seconds after a document until its worker is ended and the next one is started: both would
#: slow down that job.
READY_AFTER_S = 0.5
WALL_TIME_S = 90.0
OUTPUT_MAX = 65_536
#: Formats that the worker reads itself, and those that others turn into PDF for it.
READ = frozenset({PDF}) | RASTER_FORMATS
CONVERTED = frozenset({POSTSCRIPT}) | PCL_FORMATS | BY_FILTERS
READABLE = READ | CONVERTED


class _Worker(ProcessProtocol):
    """One worker process, for one document: what it said, if it ended as it should."""

    def __init__(self) -> None:
        self.output = b""
        self.is_over = False
        self.ended: Deferred[bytes] = Deferred(lambda _: self.kill())
        #: No process is left of it.
        self.gone: Deferred[None] = Deferred()

    def ask(self, asked: bytes) -> None:
        """Tell it what to look into; once."""
        if not self.is_over:
            assert self.transport is not None
            self.transport.write(asked + b"\n")

    def outReceived(self, data: bytes) -> None:
        self.output = (self.output + data)[:OUTPUT_MAX]
        if self.output.endswith(b"\n"):
            # It has said all, and waits for its end.
            if not self.ended.called:
                self.ended.callback(self.output)

    def processEnded(self, reason: Failure) -> None:
        self.is_over = True
        if not self.ended.called:
            is_whole = self.output.endswith(b"\n") or reason.check(ProcessDone)
            self.ended.callback(self.output if is_whole else b"")
        self.gone.callback(None)

    def kill(self) -> None:
        with suppress(ProcessExitedAlready):
            assert self.transport is not None
            self.transport.signalProcess("KILL")


class DocumentAnalyser:
    """Runs a worker for each document, at most two at once."""

    def __init__(
        self, reactor: IReactorProcess, clock: IReactorTime, wall_time_s: float = WALL_TIME_S
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._wall_time_s = wall_time_s
        self._at_once = DeferredSemaphore(AT_ONCE)
        self._ready: list[_Worker] = []
        self._ready_max = 0
        #: Those that have said all, to be ended.
        self._done: list[_Worker] = []
        self._timer: IDelayedCall | None = None
        self._turns: dict[str, DeferredLock] = {}

    def start(self) -> None:
        """From now on some workers wait, so that a document need not."""
        self._ready_max = READY
        self._make_ready()

    def stop(self) -> Deferred[Any]:
        """End those that wait; fires when they are gone."""
        self._ready_max = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        workers, self._ready, self._done = [*self._ready, *self._done], [], []
        for worker in workers:
            worker.kill()
        return DeferredList([worker.gone for worker in workers])

    def _make_ready_later(self) -> None:
        if self._ready_max and self._timer is None:
            self._timer = self._clock.callLater(READY_AFTER_S, self._make_ready)

    def _end_done(self, left_max: int) -> None:
        """Of those that have said all leave so many at the most."""
        while len(self._done) > left_max:
            self._done.pop(0).kill()

    def _make_ready(self) -> None:
        self._timer = None
        self._end_done(0)
        self._ready = [worker for worker in self._ready if not worker.is_over]
        try:
            while len(self._ready) < self._ready_max:
                self._ready.append(self._spawn())
        except OSError as error:
            # The next document tries again.
            _log.warn("no process to be had: {error}", error=error)

    async def analyse(
        self, path: str, format: str, copies: int, duplex: bool, user_name: str = ""
    ) -> Document:
        """The document's facts; ``analysed`` is False where they cannot be had."""
        return await self.look_into(path, format, Layout(copies, duplex), user_name=user_name)

    async def look_into(
        self,
        path: str,
        format: str,
        layout: Layout,
        options: Mapping[str, str] | None = None,
        user_name: str = "",
    ) -> Document:
        """The facts of what ``layout`` makes of the document.

        ``options`` of its job matter where it has to be made into PDF first. Documents of one
        ``user_name`` are looked into one at a time: endless ones leave a place to others.
        """
        unknown = Document((), layout.copies, layout.duplex, format, analysed=False)
        is_converted = format in CONVERTED
        if format not in READABLE:
            return unknown
        scratch = f"{path}.d" if is_converted else ""
        asked = {
            **{"path": path, "format": format, "layout": attrs.asdict(layout)},
            **{"options": dict(options or {}), "scratch": scratch},
        }
        try:
            if scratch:
                os.mkdir(scratch, 0o700)
            output = await self._in_turn(user_name, json.dumps(asked).encode())
        except OSError as error:
            # No process to be had: the printer counts afterwards.
            _log.error("a document cannot be analysed: {error}", error=error)
            return unknown
        finally:
            if scratch:
                shutil.rmtree(scratch, ignore_errors=True)
        try:
            found = json.loads(output)
            groups = tuple(PageGroup(str(p), int(n), int(c)) for p, n, c in found["groups"])
            duplex = bool(found.get("duplex", layout.duplex))
        except (ValueError, KeyError, TypeError, AttributeError):
            _log.warn(
                "a document cannot be analysed: {output}",
                output=output[:200].decode("ascii", "replace"),
            )
            return unknown
        if not groups or len(groups) > GROUPS_MAX:
            return unknown
        return Document(groups, layout.copies, duplex, format)

    async def _in_turn(self, user_name: str, asked: bytes) -> bytes:
        turn = self._turns.setdefault(user_name, DeferredLock())

        def ended() -> None:
            turn.release()
            if not turn.locked and self._turns.get(user_name) is turn:
                del self._turns[user_name]

        await turn.acquire()
        with Acquired(ended):
            return await self._at_once.run(self._run, asked)

    def _spawn(self) -> _Worker:
        worker = _Worker()
        self._reactor.spawnProcess(
            worker,
            sys.executable,
            [sys.executable, "-m", "papercutd.provider.analysis.worker"],
            env=None,
        )
        return worker

    def _take(self) -> _Worker:
        """One that waits, the oldest first; if there is none, a new one."""
        while self._ready:
            worker = self._ready.pop(0)
            if not worker.is_over:
                return worker
        return self._spawn()

    def _run(self, asked: bytes) -> Deferred[bytes]:
        worker = self._take()
        worker.ask(asked)
        timer = self._clock.callLater(self._wall_time_s, worker.kill)

        def ended(result: T) -> T:
            if timer.active():
                timer.cancel()
            self._done = [done for done in [*self._done, worker] if not done.is_over]
            self._end_done(READY)
            self._make_ready_later()
            return result

        return worker.ended.addBoth(ended)
