"""One coroutine on the reactor, for commands that need it for a moment."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

reactor: Any = _reactor


def run_coroutine(work: Any) -> Any:
    """The result of one coroutine on the reactor, which then stops: once in a process."""
    results: list[Any] = []

    def done(result: Any) -> None:
        results.append(result)
        reactor.stop()

    def begin() -> None:
        Deferred.fromCoroutine(work).addBoth(done)

    reactor.callWhenRunning(begin)
    reactor.run()
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]
