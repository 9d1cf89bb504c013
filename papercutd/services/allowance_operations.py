"""For administrators: what sites hold of people's money, and streams that are to give it back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from papercutd.domain.money import show_amount
from papercutd.errors import DomainError
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.interfaces import IApplicationStore

#: How often is looked whether those who are waited for have come, and how long at the most.
LOOK_S = 1.0
WAIT_MAX_S = 600


class StillMissing(DomainError):
    """Somebody may still bring what a retired stream decided; the text names them."""


class AllowanceOperations:
    """``site.allowances`` and ``site.retire``."""

    def __init__(
        self,
        store: IApplicationStore,
        call_back: Callable[[str], None] = lambda identity: None,
        pause: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        """``call_back`` ends the session of somebody connected, who then comes again and tells.

        Without ``pause`` (no server runs) nobody can come, and nobody is waited for.
        """
        self._store = store
        self._call_back = call_back
        self._pause = pause

    def all(self) -> dict[str, Operation]:
        return {"site.allowances": self.allowances, "site.retire": self.retire}

    async def allowances(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """What each stream was granted, has spent and returned, and still holds."""
        take(arguments)
        found = await self._store.allowances_of_sites()
        return [{**row, "escrow": show_amount(row["escrow_e4"])} for row in found]

    async def retire(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Streams that a site left behind give back what they hold, once all have reported.

        Raises StillMissing where somebody has not, unless ``now``: what they bring later is
        charged to its person, below the floor if need be.
        """
        given = take(arguments, "name", now=False, wait_s=60)
        missing = await self._wait(given["name"], min(given["wait_s"], WAIT_MAX_S), progress)
        if missing and not given["now"]:
            raise StillMissing(
                f"{', '.join(missing)} may still bring what was printed there: connect them and"
                " say it again, or retire it all the same with --now"
            )
        retired = []
        for stream in await self._store.ended_streams(given["name"]):
            returned_e4 = await self._store.retire_stream(stream.id)
            retired.append(
                {
                    "stream": stream.id,
                    "returned_e4": returned_e4,
                    "returned": show_amount(returned_e4),
                }
            )
        return {"name": given["name"], "retired": retired, "not_reported": missing}

    async def _wait(self, site: str, wait_s: int, progress: Progress) -> list[str]:
        """Until everybody who stood there has told what they retained; who has not."""
        called: set[str] = set()
        looks = 0
        while True:
            ended = await self._store.ended_streams(site)
            missing = sorted({one for stream in ended for one in stream.missing})
            if not missing or self._pause is None or looks >= wait_s / LOOK_S:
                return missing
            for identity in missing:
                if identity not in called:
                    called.add(identity)
                    self._call_back(identity)
            progress({"waiting_for": ", ".join(missing)})
            looks += 1
            await self._pause(LOOK_S)
