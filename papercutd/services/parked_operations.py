"""Records that could not be applied, for administrators: at the centre all, at a site its own."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

from papercutd.errors import Rejected
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.interfaces import IApplicationStore
from protocols.codes import Code
from protocols.errors import Refusal, SessionLost
from protocols.limits import PAGE_ENTRIES_MAX
from protocols.site import messages as site

#: Records of one answer.
LISTED_MAX = 2_000


class Asked(Protocol):
    """What this needs of a site's link."""

    def request(self, message: object) -> Awaitable[Any]: ...


class ParkedOperations:
    """``parked.list`` and ``parked.retry`` of the application server."""

    def __init__(self, store: IApplicationStore) -> None:
        self._store = store

    def all(self) -> dict[str, Operation]:
        return {"parked.list": self.list, "parked.retry": self.retry}

    async def list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Every record that is parked, and why: in the order in which they were written."""
        take(arguments)
        found: list[dict[str, Any]] = []
        page = await self._store.parked()
        while page and len(found) < LISTED_MAX:
            found += page
            page = await self._store.parked((page[-1]["stream"], page[-1]["number"]))
        return found[:LISTED_MAX]

    async def retry(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Apply what can be applied by now, each once; what cannot stays."""
        take(arguments)
        applied = refused = 0
        after: tuple[str, int] | None = ("", 0)
        while after is not None:
            done = await self._store.retry_parked(after)
            applied, refused, after = applied + done.applied, refused + done.refused, done.last
            progress({"applied": applied, "still_parked": refused})
        return {"applied": applied, "still_parked": refused}


async def parked_of_site(link: Asked) -> list[dict[str, Any]]:
    """The records of this site that wait at the application server.

    Raises Rejected ``unreachable``, or ``unknown-verb`` where its release has no such list.
    """
    found: list[dict[str, Any]] = []
    after = 0
    try:
        while len(found) < LISTED_MAX:
            page = await link.request(site.Parked(after))
            found += [{"number": r.number, "kind": r.kind, "code": r.code} for r in page.records]
            if len(page.records) < PAGE_ENTRIES_MAX:
                break
            after = page.records[-1].number
    except SessionLost:
        raise Rejected("unreachable", "only the application server has the list") from None
    except Refusal as refusal:
        if refusal.code is not Code.UNKNOWN_VERB:
            raise Rejected(refusal.code.value) from None
        raise Rejected("unknown-verb", "the application server is older: upgrade it") from None
    return found
