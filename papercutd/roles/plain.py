"""Port 9191 of a server: HTTP, and the provider protocol for the addresses that are listed."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from papercutd.config.model import Listen, Plain
from papercutd.environment import Environment
from papercutd.errors import NotFound
from papercutd.faces.provider import ProviderFace
from papercutd.identity.plain import PlainDoor, ProviderSecrets
from papercutd.identity.switch import PlainSwitch
from papercutd.roles.common import DataDirectory, Listeners, Operation
from papercutd.services.operation import take
from protocols.codes import Code
from protocols.endpoint import NamedPeer, ProvingServerFactory
from protocols.provider.spec import PROVIDER

_log = Logger()


class PlainPort:
    """The plaintext door of a running server, its secrets and who came through it."""

    def __init__(self, env: Environment, config: Plain, data: DataDirectory, server: Any) -> None:
        """``server``: the application server or a site. Raises ConfigError."""
        self._env = env
        self._server = server
        self.door = PlainDoor(
            env, config.addresses, ProviderSecrets(data.path / "secrets", env.rng)
        )
        self._connections: ProvingServerFactory | None = None

    def listen(self, listeners: Listeners, listen: Listen, web: Any, face: ProviderFace) -> int:
        """``web`` for everybody, ``face`` for those who prove who they are; the port's number."""
        factory = web
        door = self.door
        if door.is_open:
            _log.warn(
                "print providers at {addresses} may connect in plaintext: anybody on the way"
                " reads and changes what they say",
                addresses=", ".join(door.status()["addresses"]),
            )
            self._connections = ProvingServerFactory(
                *(PROVIDER, self._env.clock, face, door.admit, door.prove, door.make_nonce)
            )
            factory = PlainSwitch(
                self._env.clock, web, self._connections, may_speak=door.may_come_from
            )
        return listeners.tcp(listen.interface, listen.http, factory)

    async def follow_revocations(self) -> None:
        """Look which providers are revoked: who came in by a secret is put out too."""
        for name in self.door.follow(await self._server.store.revoked_providers()):
            self._end(name, Code.REVOKED)

    def look_again(self, rows: Any) -> None:
        """Rows of the store have changed; some of them may be revocations."""
        if any(row[0] == "revocation" for row in rows):
            self._server.tasks.spawn(self.follow_revocations(), "following revocations")

    def operations(self, operations: dict[str, Operation]) -> dict[str, Operation]:
        """``operations``, with those on secrets, status telling of the door while it is open."""
        status = operations["status"]

        async def told(arguments: dict[str, Any], progress: Any) -> Any:
            found = await status(arguments, progress)
            return {**found, "plain": self._status()} if self.door.is_open else found

        return {**operations, "status": told, "provider.secret": self._secret}

    def _status(self) -> dict[str, Any]:
        connected = sorted(
            identity
            for identity, session in self._server.providers.all()
            if isinstance(session.peer, NamedPeer)
        )
        return {**self.door.status(), "connected": connected}

    async def _secret(self, arguments: dict[str, Any], progress: Any) -> Any:
        """Make, or with ``remove`` end, what a provider proves its name with at this server."""
        given = take(arguments, "name", remove=False)
        name = given["name"]
        if given["remove"]:
            if not self.door.secrets.remove(name):
                raise NotFound("secret of provider", name)
            self._end(name, Code.REVOKED)
            return {"name": name, "removed": True}
        if self._server.role == "application":
            # A site lets in who stands beside it; that is looked at with each HELLO.
            await self._server.store.id_of("provider", name)
        await self.follow_revocations()
        return {"name": name, "secret": self.door.make_secret(name)}

    def _end(self, name: str, code: Code) -> None:
        session = self._server.providers.get(f"provider:{name}")
        if session is not None and isinstance(session.peer, NamedPeer):
            session.end(code)
