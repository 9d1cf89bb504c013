"""Which people a site is sent: ``papercutd site scope``."""

from __future__ import annotations

from typing import Any

from papercutd.errors import InvalidValue
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.interfaces import IApplicationStore


class ScopeOperations:
    """At the application server."""

    def __init__(self, store: IApplicationStore) -> None:
        self._store = store

    def all(self) -> dict[str, Operation]:
        return {"site.scope": self.scope}

    async def scope(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Send a site the members of some groups alone, or (no groups) everybody again."""
        given = take(arguments, "name", groups=[])
        groups = given["groups"]
        if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
            raise InvalidValue("groups", "are names of groups")
        await self._store.set_scope(given["name"], groups)
        return {"name": given["name"], "scope": groups or "everybody"}
