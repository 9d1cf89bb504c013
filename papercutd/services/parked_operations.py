"""Records of sites that could not be applied: what an administrator can see of them."""

from __future__ import annotations

from typing import Any

from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.interfaces import IApplicationStore

#: Records of one list.
LISTED_MAX = 500


class ParkedOperations:
    """``parked.list``."""

    def __init__(self, store: IApplicationStore) -> None:
        self._store = store

    def all(self) -> dict[str, Operation]:
        return {"parked.list": self.parked_list}

    async def parked_list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """What is parked, and why; the newest first."""
        take(arguments)
        return await self._store.parked(LISTED_MAX)
