"""Edits that a restore has lost, for administrators: what each row was, and what it is now."""

from __future__ import annotations

from typing import Any

from papercutd.errors import InvalidValue
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.interfaces import IApplicationStore

#: Edits of one answer.
LISTED_MAX = 1_000


class LostEditOperations:
    """``lost-edits.list`` and ``lost-edits.forget`` of the application server."""

    def __init__(self, store: IApplicationStore) -> None:
        self._store = store

    def all(self) -> dict[str, Operation]:
        return {"lost-edits.list": self.list, "lost-edits.forget": self.forget}

    async def list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """What is still lost; with ``every`` also what was forgotten, or is so again."""
        given = take(arguments, site=None, every=False)
        if given["site"] is not None:
            await self._store.id_of("site", given["site"])
        found = await self._store.lost_edits(given["site"], given["every"])
        more = await self._store.lost_edits_more(given["site"])
        return {"edits": found[:LISTED_MAX], "more": max(0, len(found) - LISTED_MAX) + more}

    async def forget(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Take some from the list by the beginnings of their ids, or ``every`` one."""
        given = take(arguments, ids=[], every=False)
        if given["every"] is bool(given["ids"]):
            raise InvalidValue("ids", "are needed, or --all, and not both")
        if not all(isinstance(id, str) for id in given["ids"]):
            raise InvalidValue("ids", "are not texts")
        forgotten = await self._store.forget_lost_edits(None if given["every"] else given["ids"])
        return {"forgotten": forgotten}


def lost_edits_check(count: int) -> dict[str, Any]:
    """For health, beside what is parked: somebody should look at them."""
    return {"name": "lost edits", "ok": count == 0, "detail": str(count)}
