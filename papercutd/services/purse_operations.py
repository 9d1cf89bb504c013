"""Purses for administrators: which there are, and in which order they are spent."""

from __future__ import annotations

from typing import Any

from papercutd.domain.money import show_amount
from papercutd.errors import InvalidValue
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.interfaces import IApplicationStore
from papercutd.storage.money.purse_store import PurseStore

#: What may be done with a purse, unless it is said that it may not.
_MAY = ("refundable", "transferable", "fillable")


class PurseOperations:
    """``purse.add``, ``list``, ``order``, ``rename`` and ``remove``."""

    def __init__(self, store: IApplicationStore) -> None:
        self._store = store

    @property
    def _purses(self) -> PurseStore:
        found: PurseStore = self._store.purses
        return found

    def all(self) -> dict[str, Operation]:
        return {
            "purse.add": self.add,
            "purse.list": self.list,
            "purse.order": self.order,
            "purse.rename": self.rename,
            "purse.remove": self.remove,
        }

    async def add(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A new purse, empty; without ``rank`` it is spent just before the main one."""
        given = take(arguments, "name", rank=0, **dict.fromkeys(_MAY, True))
        place = given["rank"] if "rank" in arguments and arguments["rank"] is not None else None
        await self._purses.add(given["name"], place, *(given[name] for name in _MAY))
        return await self._listed()

    async def list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """All purses, in the order of spending."""
        take(arguments)
        return await self._listed()

    async def order(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Purses are spent in that order from now on: every one is named, once."""
        names = take(arguments, names=[])["names"]
        if not all(isinstance(name, str) for name in names):
            raise InvalidValue("names", "are the names of all purses")
        await self._purses.order(names)
        return await self._listed()

    async def rename(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """The main purse is called otherwise, everywhere."""
        given = take(arguments, "name", "new_name")
        await self._purses.rename(given["name"], given["new_name"])
        return await self._listed()

    async def remove(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A purse that nobody has money in is no more."""
        await self._purses.remove(take(arguments, "name")["name"])
        return await self._listed()

    async def _listed(self) -> Any:
        rows = await self._purses.list()
        for row in rows:
            row["total"] = None if row["total_e4"] is None else show_amount(row["total_e4"])
        return rows
