"""Operations that wait: each runs in a greenlet, and the reactor goes on while it waits.

An operation is a plain function of a connection, as on SQLite. Where it executes a statement
it switches away, until the answer is there; no thread, and nothing to await in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class _Run:
    """One operation under way."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.done: Deferred[Any] = Deferred()
        self._greenlet = greenlet(function)

    def go_on(self, value: object = None) -> None:
        """Run until it waits again, or is over: ``value`` is what it waited for."""
        while True:
            # Whoever resumes it is who goes on when it waits.
            self._greenlet.parent = getcurrent()
            try:
                if isinstance(value, Failure):
                    waited = self._greenlet.throw(value.type, value.value, value.tb)
                else:
                    waited = self._greenlet.switch(value)
            except BaseException:
                self.done.errback(Failure())
                return
            if self._greenlet.dead:
                self.done.callback(waited)
                return
            if not waited.called or waited.paused:
                waited.addBoth(self.go_on)
                return
            there: list[object] = []
            waited.addBoth(there.append)
            (value,) = there


def spawn(function: Callable[[], T]) -> Deferred[T]:
    """Run ``function``, which may ``wait``; fires with what it returns."""
    run = _Run(lambda *started: function())
    run.go_on()
    return run.done


def wait(deferred: Deferred[T]) -> T:
    """What ``deferred`` fires with; within ``spawn`` only."""
    hub = getcurrent().parent
    assert hub is not None, "nothing to go on with meanwhile"
    return hub.switch(deferred)  # type: ignore[no-any-return]
