"""Where people's clients are told that the installation's servers are."""

from __future__ import annotations

from papercutd.environment import Environment
from papercutd.storage.interfaces import IApplicationStore

#: Beyond this many sites a client is to be set up with its own.
SITES_MAX = 16
#: Seconds for which what was read of the books is told again.
KEPT_S = 5.0


#: Role, name, host and port.
Address = tuple[str, str, str, int]


class FixedPlaces:
    """A site's: the application server as it is configured, and itself."""

    def __init__(self, *addresses: Address) -> None:
        self._addresses = list(addresses)

    async def servers(self) -> list[Address]:
        """In the order in which a client connects."""
        return self._addresses


class ApplicationPlaces:
    """This server first, then the sites; read again after some seconds."""

    def __init__(self, env: Environment, store: IApplicationStore) -> None:
        self._env = env
        self._store = store
        #: Host and port that clients are told for this server.
        self.own: tuple[str, int] | None = None
        self._sites: list[Address] = []
        self._read_at = float("-inf")

    async def servers(self) -> list[Address]:
        """In the order in which a client connects."""
        if self._env.now() - self._read_at > KEPT_S:
            self._read_at = self._env.now()
            found = [
                ("site", str(site["name"]), str(site["host"]), int(site["https_port"]))
                for site in await self._store.sites()
                if site["host"] and not site["removed"]
            ]
            self._sites = found if len(found) <= SITES_MAX else []
        own = [] if self.own is None else [("application", "application", *self.own)]
        return [*own, *self._sites]
