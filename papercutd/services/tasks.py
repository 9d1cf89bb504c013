"""Work that nobody awaits: its failures are logged, its end is waited for at stop."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()


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
