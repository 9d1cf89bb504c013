"""Operations on money after the fact: what all of them begin with."""

from __future__ import annotations

from papercutd.storage.interfaces import IApplicationStore
from papercutd.storage.money.money_store import MoneyStore


class MoneyOperations:
    """At the application server."""

    def __init__(self, store: IApplicationStore) -> None:
        self._store = store

    @property
    def _money(self) -> MoneyStore:
        found: MoneyStore = self._store.money
        return found
