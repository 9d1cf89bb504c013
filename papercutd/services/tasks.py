"""Work that nobody awaits: its failures are logged, its end is waited for at stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from papercutd.environment import Environment
from papercutd.errors import StorageFull

_log = Logger()
T = TypeVar("T")
#: Seconds between attempts to write to a full disk.
DISK_RETRY_S = 1.0


async def until_space(env: Environment, write: Callable[[], Awaitable[T]]) -> T:
    """The result of ``write``, tried again every second while the disk is full."""
    while True:
        try:
            return await write()
        except StorageFull:
            await deferLater(env.clock, DISK_RETRY_S, lambda: None)


class Tasks:
    """The coroutines a service has under way."""

    def __init__(self) -> None:
        self._running: set[Deferred[None]] = set()

    def spawn(self, work: Coroutine[Deferred[Any], Any, Any], what: str) -> None:
        """Run ``work``; log it by the name ``what`` if it fails."""
        running: Deferred[Any] = Deferred.fromCoroutine(work)
        if running.called:
            running.addErrback(self._failed, what)
            return
        self._running.add(running)

        def done(result: object) -> None:
            self._running.discard(running)
            if isinstance(result, Failure):
                self._failed(result, what)

        running.addBoth(done)

    @staticmethod
    def _failed(failure: Failure, what: str) -> None:
        if not failure.check(CancelledError):
            _log.failure("{what} failed", failure=failure, what=what)

    async def stop(self) -> None:
        """Cancel what runs and wait for it."""
        running = list(self._running)
        for one in running:
            one.cancel()
        await DeferredList(running)
