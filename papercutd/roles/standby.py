"""The ports of an application server that does not write: all that only reads is answered.

Health, pages and commands that look are as at the one that writes; links and devices are told
where that is, and whatever would write is refused with its address.
"""

from __future__ import annotations

from typing import Any

from twisted.web.resource import Resource

from papercutd.config.model import AppConfig
from papercutd.environment import Environment
from papercutd.faces.control import ControlFactory
from papercutd.faces.gate import Gated
from papercutd.faces.links import LINKS
from papercutd.faces.statement_pages import Door, add_statement_pages
from papercutd.faces.web import make_web
from papercutd.identity.authority import Authority
from papercutd.identity.joining import JoinService
from papercutd.identity.renewal import NodeIdentity
from papercutd.identity.signing import Signer
from papercutd.identity.tls import Revocations, identifier
from papercutd.identity.verifiers import Verifiers
from papercutd.roles.clients import client_sessions
from papercutd.roles.common import DataDirectory, Listeners
from papercutd.roles.https import listen_https, pin_shown, shown_to_browsers
from papercutd.roles.several import Several
from papercutd.roles.verifying import BooksVerifier
from papercutd.services.administration import ApplicationOperations
from papercutd.services.application_server import ApplicationServer
from papercutd.services.operation import Operation
from papercutd.services.statements import Statements
from papercutd.storage.application_store import SCHEMA, ApplicationStore
from papercutd.storage.postgres.members import Address
from papercutd.storage.postgres.opening import SEARCH_PATHS
from papercutd.storage.postgres.reader import PostgresReader
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.standby_writer import StandbyWriter
from protocols.device.spec import DEVICE
from protocols.endpoint import SessionServerFactory


class Standby:
    """What one of several shows while another writes."""

    def __init__(
        self,
        config: AppConfig,
        reactor: Any,
        env: Environment,
        data: DataDirectory,
        database: str,
        identity: NodeIdentity,
        authority: Authority,
        verifiers: Verifiers,
        several: Several,
    ) -> None:
        self._config = config
        self._reactor = reactor
        self._env = env
        self._data = data
        self._identity = identity
        self._authority = authority
        self._verifiers = verifiers
        self._several = several
        self._listeners = Listeners(reactor)
        path = SEARCH_PATHS["application"]
        reader = PostgresReader(reactor, database, path)
        long = PostgresReader(reactor, database, path, connections=1)
        writer = StandbyWriter(several.where)
        log = ChangeLog(env.wall_s)
        self._store = ApplicationStore(writer, reader, log, env.wall_s, long)
        self._verifier = BooksVerifier(env, reactor, SCHEMA, database)
        self._server = ApplicationServer(env, self._store, verifiers)
        signer = Signer(env, authority, data.path / "signing")
        self._statements = Statements(env, self._store, signer, data.path / "heads")

    async def listen(self) -> Address:
        env, listen, identity = self._env, self._config.listen, self._identity
        several, listeners = self._several, self._listeners
        shown = shown_to_browsers(env, self._config.web, identity, listeners)
        joining = JoinService(self._authority, self._store, env, lambda: pin_shown(shown))
        self._operations = ApplicationOperations(
            self._server, joining.make_token, self._verifiers, self._statements
        )
        self._operations.verify_books = self._verifier
        face = Gated(several.gate, several.servers)
        revocations = Revocations()
        links = SessionServerFactory(LINKS, env.clock, face, identifier(revocations))
        demanding = identity.server_tls(enforce_dates=True)
        at = listeners.tcp(listen.interface, listen.links, links, demanding)
        listeners.tcp(listen.interface, listen.http, self._web())
        listen_https(
            listeners=listeners,
            listen=listen,
            clock=self._reactor,
            shown=shown,
            identity=identity,
            web=self._web(joining),
            links=links,
            clients=client_sessions(env, Gated(several.gate, list)),
        )
        devices = SessionServerFactory(
            DEVICE, env.clock, Gated(several.gate, several.device_servers), identifier(revocations)
        )
        devices_at = listeners.tcp(
            listen.interface, listen.devices, devices, identity.server_tls(enforce_dates=True)
        )
        listeners.unix(self._data.control_socket, ControlFactory(self._told()))
        return several.address(at, devices_at)

    async def close(self) -> None:
        """Before the ports of a server that writes are opened, or at the end."""
        await self._listeners.close()
        await self._verifier.stop()
        await self._store.close()

    def _web(self, joining: JoinService | None = None) -> Any:
        def pages(root: Resource) -> None:
            if joining is not None:
                door = Door(self._env, self._store, self._verifiers)
                add_statement_pages(root, door, self._statements)

        return make_web(self._env, self._health, joining, lambda: "standby", pages)

    def _told(self) -> dict[str, Operation]:
        operations = self._operations.all()
        status = operations["status"]

        async def told(arguments: dict[str, Any], progress: Any) -> Any:
            self._server.position = await self._store.head()
            found = await status(arguments, progress)
            # Asked while its place is taken by one that writes: this answer is not that one's.
            return {**found, "state": "standby", **self._several.status(), "writes": False}

        return {**operations, "status": told}

    async def _health(self) -> dict[str, Any]:
        """Well: the database answers, and somebody writes."""
        await self._store.counts()
        where = self._several.where()
        checks = [
            {"name": "database", "ok": True, "detail": ""},
            {"name": "writer", "ok": bool(where), "detail": where or "nobody writes"},
        ]
        return {"ok": bool(where), "checks": checks}
