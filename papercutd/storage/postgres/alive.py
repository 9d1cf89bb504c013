"""Whether a server that owes an answer is there at all.

A statement may take its time; a server that is frozen, or whose machine is, answers nobody. So
whoever has waited for some seconds knocks: a new connection is answered, be it with a refusal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg2
from psycopg2 import extensions
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from txpostgres import txpostgres

from papercutd.storage.postgres.database import check_dsn, connect_options
from papercutd.storage.postgres.hub import spawn, wait

#: A connection that is not there by then is given up.
CONNECT_S = 4.0
#: Between the question, or a knock that was answered, and the next knock.
KNOCK_S = 5.0


class Silent(txpostgres.Connection):  # type: ignore[misc]
    """Of which nobody hears when it breaks while nothing is asked: the next one to ask does."""

    #: Whom it is to.
    target = ""

    def continuePolling(self, swallowErrors: bool = False) -> None:
        super().continuePolling(swallowErrors=True)


def close(held: Any) -> None:
    """Out of the reactor, then the socket: the next one may have its number."""
    if held._connection is not None:
        held.close()


def targets(dsn: str) -> list[str]:
    """``dsn`` for each of the servers that it names, in order.

    libpq goes from one to the next by itself, but not, without blocking, from one that is silent.
    """
    said = check_dsn(dsn)
    lists = {name: said[name].split(",") for name in ("host", "hostaddr", "port") if name in said}
    count = max((len(values) for values in lists.values()), default=1)
    if count == 1:
        return [dsn]
    return [
        extensions.make_dsn(**said | {name: of[at % len(of)] for name, of in lists.items()})
        for at in range(count)
    ]


def connect(reactor: Any, dsn: str) -> Silent:
    """A connection, to the first server that gives one; in a greenlet.

    Raises OperationalError with what each said.
    """
    said = []
    for target in targets(dsn):
        try:
            return _connect_to(reactor, target)
        except psycopg2.Error as error:
            said.append(str(error).strip())
        except (ConnectionDone, ConnectionLost):
            said.append("no answer")
    raise psycopg2.OperationalError("; ".join(said))


def _connect_to(reactor: Any, target: str) -> Silent:
    held = Silent(reactor=reactor)
    held.target = target
    timer = reactor.callLater(CONNECT_S, close, held)
    try:
        wait(held.connect(target, **connect_options(target)))
    except BaseException:
        close(held)
        raise
    finally:
        if timer.active():
            timer.cancel()
    return held


class Patience:
    """Waits for one answer: ``give_up`` is called when it is late, or nobody is there."""

    def __init__(
        self, reactor: Any, target: str, answer_s: float, give_up: Callable[[], None]
    ) -> None:
        self._reactor = reactor
        self._target = target
        self._left_s = answer_s
        self._give_up = give_up
        self._is_over = False
        self._timer: Any = None
        self._wait_on()

    def over(self) -> None:
        """The answer is there."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait_on(self) -> None:
        seconds = min(KNOCK_S, self._left_s)
        self._left_s -= seconds
        self._timer = self._reactor.callLater(seconds, self._late)

    def _late(self) -> None:
        self._timer = None
        if self._left_s <= 0:
            self._give_up()
            return
        answered: Deferred[bool] = spawn(self._is_there)
        answered.addCallback(self._knocked)

    def _is_there(self) -> bool:
        try:
            close(_connect_to(self._reactor, self._target))
        except (ConnectionDone, ConnectionLost):
            # Closed by us, or lost without a word.
            return False
        except psycopg2.Error:
            # That was an answer.
            return True
        return True

    def _knocked(self, is_there: bool) -> None:
        if self._is_over:
            return
        if is_there:
            self._wait_on()
        else:
            self._give_up()
