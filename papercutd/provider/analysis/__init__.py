"""What a document is: pages, sizes and colour, found out in a separate, limited process."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from papercutd.domain.document import GROUPS_MAX, Document, PageGroup
from papercutd.provider.analysis.layout import Layout

_log = Logger()
T = TypeVar("T")
AT_ONCE = 2
WALL_TIME_S = 90.0
OUTPUT_MAX = 65_536
PDF = "application/pdf"


def guess_format(head: bytes) -> str:
    """The format of a document by its first bytes."""
    if b"%PDF-" in head[:1024]:
        return PDF
    if head.startswith(b"%!PS") or head.startswith(b"\x04%!PS"):
        return "application/postscript"
    if head.startswith(b"\x1b%-12345X"):
        return "application/vnd.hp-pjl"
    if head.startswith((b"RaS2", b"UNIRAST")):
        return "image/raster"
    return "application/octet-stream"


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

    async def analyse(self, path: str, format: str, copies: int, duplex: bool) -> Document:
        """The document's facts; ``analysed`` is False where they cannot be had."""
        return await self.look_into(path, format, Layout(copies, duplex))

    async def look_into(self, path: str, format: str, layout: Layout) -> Document:
        """The facts of what ``layout`` makes of the document."""
        unknown = Document((), layout.copies, layout.duplex, format, analysed=False)
        if format != PDF:
            return unknown
        asked = json.dumps({"format": format, "layout": attrs.asdict(layout)})
        try:
            output = await self._at_once.run(self._run, asked, path)
        except OSError as error:
            # No process to be had: the printer counts afterwards.
            _log.error("a document cannot be analysed: {error}", error=error)
            return unknown
        try:
            found = json.loads(output)
            groups = tuple(PageGroup(str(p), int(n), int(c)) for p, n, c in found["groups"])
        except (ValueError, KeyError, TypeError):
            _log.warn(
                "a document cannot be analysed: {output}",
                output=output[:200].decode("ascii", "replace"),
            )
            return unknown
        if not groups or len(groups) > GROUPS_MAX:
            return unknown
        return Document(groups, layout.copies, layout.duplex, format)

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
