"""What a document is: pages, sizes and colour, found out in a separate, limited process."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredLock, DeferredSemaphore
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from papercutd.domain.document import GROUPS_MAX, Document, PageGroup
from papercutd.provider.analysis.convert import BY_FILTERS
from papercutd.provider.analysis.formats import (
    PCL_FORMATS,
    PDF,
    POSTSCRIPT,
    RASTER_FORMATS,
    guess_format,
)
from papercutd.provider.analysis.layout import Layout

__all__ = ["PDF", "READABLE", "DocumentAnalyser", "guess_format"]

_log = Logger()
T = TypeVar("T")
AT_ONCE = 2
WALL_TIME_S = 90.0
OUTPUT_MAX = 65_536
#: Formats that the worker reads itself, and those that others turn into PDF for it.
READ = frozenset({PDF}) | RASTER_FORMATS
CONVERTED = frozenset({POSTSCRIPT}) | PCL_FORMATS | BY_FILTERS
READABLE = READ | CONVERTED


class _Worker(ProcessProtocol):
    """One worker process: what it said, if it ended as it should."""

    def __init__(self) -> None:
        self.output = b""
        self.ended: Deferred[bytes] = Deferred(lambda _: self.kill())

    def outReceived(self, data: bytes) -> None:
        self.output = (self.output + data)[:OUTPUT_MAX]

    def processEnded(self, reason: Failure) -> None:
        if not self.ended.called:
            self.ended.callback(self.output if reason.check(ProcessDone) else b"")

    def kill(self) -> None:
        with suppress(ProcessExitedAlready):
            assert self.transport is not None
            self.transport.signalProcess("KILL")


class DocumentAnalyser:
    """Runs the worker, at most two at once."""

    def __init__(
        self, reactor: IReactorProcess, clock: IReactorTime, wall_time_s: float = WALL_TIME_S
    ) -> None:
        self._reactor = reactor
        self._clock = clock
        self._wall_time_s = wall_time_s
        self._at_once = DeferredSemaphore(AT_ONCE)
        self._turns: dict[str, DeferredLock] = {}

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
        asked = {"format": format, "layout": attrs.asdict(layout), "scratch": scratch}
        asked["options"] = dict(options or {})
        try:
            if scratch:
                os.mkdir(scratch, 0o700)
            output = await self._in_turn(user_name, json.dumps(asked), path)
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

    async def _in_turn(self, user_name: str, *words: str) -> bytes:
        turn = self._turns.setdefault(user_name, DeferredLock())
        await turn.acquire()
        try:
            return await self._at_once.run(self._run, *words)
        finally:
            turn.release()
            if not turn.locked and self._turns.get(user_name) is turn:
                del self._turns[user_name]

    def _run(self, *words: str) -> Deferred[bytes]:
        worker = _Worker()
        self._reactor.spawnProcess(
            worker,
            sys.executable,
            [sys.executable, "-m", "papercutd.provider.analysis.worker", *words],
            env=None,
        )
        timer = self._clock.callLater(self._wall_time_s, worker.kill)

        def ended(result: T) -> T:
            if timer.active():
                timer.cancel()
            return result

        return worker.ended.addBoth(ended)
