"""``user.transactions`` and ``account.transactions``: money that came and went, page by page."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from papercutd.errors import InvalidValue
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.interfaces import IApplicationStore
from papercutd.storage.money.transactions import Page, Place

_PLACE_MAX = 10**15


class TransactionOperations:
    """Of users and of shared accounts."""

    def __init__(self, store: IApplicationStore) -> None:
        self._store = store

    def all(self) -> dict[str, Operation]:
        return {"user.transactions": self.of_user, "account.transactions": self.of_account}

    async def of_user(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A page of a user's transactions with the balance after each, the newest first."""
        purse = arguments.get("purse") or ""
        name, after = _asked({k: v for k, v in arguments.items() if k != "purse"})
        if not isinstance(purse, str):
            raise InvalidValue("purse", "is not str")
        return await _shown(name, self._store.transactions.of_user(name, after, purse))

    async def of_account(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """The same of a shared account."""
        name, after = _asked(arguments)
        return await _shown(name, self._store.transactions.of_account(name, after))


def _asked(arguments: dict[str, Any]) -> tuple[str, Place | None]:
    given = take(arguments, "name", before="")
    return given["name"], parse_place(given["before"]) if given["before"] else None


def parse_place(text: str) -> Place:
    """``17 -2500`` as ``next`` says it; raises InvalidValue."""
    try:
        transfer, balance_e4 = map(int, text.split(" "))
    except ValueError:
        transfer, balance_e4 = -1, 0
    if not 0 <= transfer < 2**62 or abs(balance_e4) >= _PLACE_MAX:
        raise InvalidValue("before", "is not what `next` of a page says")
    return Place(transfer, balance_e4)


async def _shown(name: str, reading: Deferred[Page]) -> dict[str, Any]:
    page = await reading
    place = page.next
    return {
        "name": name,
        "transactions": page.rows,
        "next": None if place is None else f"{place.transfer} {place.balance_e4}",
    }
