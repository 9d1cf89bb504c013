"""In place of a writer, at a server that does not write: everything is refused, and says where."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail, succeed

from papercutd.errors import StorageFull
from papercutd.storage.sqlite.writer import MAIN, Operation, T


class NotWriter(StorageFull):
    """Another application server writes: do that there."""


class StandbyWriter:
    """Refuses; ``where`` is the address of who writes, empty where nobody does just now."""

    def __init__(self, where: Callable[[], str]) -> None:
        self._where = where

    def submit(self, operation: Operation[T], group: str = MAIN) -> Deferred[T]:
        where = self._where()
        if not where:
            return fail(NotWriter("no application server writes at this moment: try again"))
        return fail(NotWriter(f"the application server at {where} writes: do that there"))

    def close(self) -> Deferred[None]:
        return succeed(None)
