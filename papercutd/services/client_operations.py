"""People's clients, as administrators see them: how to give them out, and how to end log-ins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from papercutd.services.client_places import ApplicationPlaces
from papercutd.services.operation import Operation, Progress, take
from papercutd.services.places import show_place
from papercutd.storage.interfaces import IApplicationStore


class ClientOperations:
    """At the application server."""

    def __init__(
        self,
        store: IApplicationStore,
        places: ApplicationPlaces,
        pin: Callable[[], str],
        new_epoch: Callable[[], str],
    ) -> None:
        """``pin``: of the key that clients are shown; ``new_epoch``: never the same."""
        self._store = store
        self._places = places
        self._pin = pin
        self._new_epoch = new_epoch

    def all(self) -> dict[str, Operation]:
        return {"client.show": self.show, "user.log-out": self.log_out}

    async def show(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """What people set their clients up with."""
        take(arguments)
        own = self._places.own
        where = "HOST" if own is None else show_place(*own)
        pin = self._pin()
        servers = [
            {"role": role, "name": name, "server": show_place(host, port)}
            for role, name, host, port in await self._places.servers()
        ]
        return {
            "pin": pin,
            "servers": servers,
            "setup": f"papercut-client setup {where} --pin {pin}",
        }

    async def log_out(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """End every client's log-in of a user: each asks for the password again."""
        name = take(arguments, "name")["name"]
        await self._store.people.log_out(name, self._new_epoch())
        return {"name": name, "logged_out": True}
