"""Reservations of journals that were lost: an administrator says what came of them."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred

from papercutd.domain.job import Receipt
from papercutd.domain.money import show_amount
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.administration.listings import Row


class Reserving(Protocol):
    """The store of either server."""

    def lost_reservations(self) -> Deferred[list[Row]]: ...
    def settle_lost(self, key: str) -> Deferred[Receipt]: ...
    def void_lost(self, key: str) -> Deferred[None]: ...


class ReservedOperations:
    """``reserved.list``, ``reserved.settle`` and ``reserved.void``, the same at either server."""

    def __init__(self, store: Reserving) -> None:
        self._store = store

    def all(self) -> dict[str, Operation]:
        return {
            "reserved.list": self.list,
            "reserved.settle": self.settle,
            "reserved.void": self.void,
        }

    async def list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """What is reserved for jobs that a print server or device forgot with its disk."""
        take(arguments)
        found = await self._store.lost_reservations()
        return [{**row, "reserved": show_amount(row["reserved_e4"])} for row in found]

    async def settle(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """It was printed: charge it as it was decided."""
        key = take(arguments, "key")["key"]
        receipt = await self._store.settle_lost(key)
        return {"key": key, "charged": show_amount(receipt.amount_e4), "pages": receipt.pages}

    async def void(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """It was not printed: what is reserved for it is free."""
        key = take(arguments, "key")["key"]
        await self._store.void_lost(key)
        return {"key": key, "voided": True}
