"""Wiring of the application server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource

from papercutd.config.model import AppConfig
from papercutd.environment import real_environment
from papercutd.faces.control import ControlFactory
from papercutd.faces.device import DeviceFace
from papercutd.faces.gate import Gated
from papercutd.faces.links import LINKS, LinksFace
from papercutd.faces.provider import ProviderFace
from papercutd.faces.site_link import SiteLinkFace
from papercutd.faces.statement_pages import Door, add_statement_pages
from papercutd.faces.web import make_web
from papercutd.identity.authority import Authority, make_request
from papercutd.identity.joining import JoinService
from papercutd.identity.names import APPLICATION
from papercutd.identity.renewal import NodeIdentity, Renewer
from papercutd.identity.signing import Signer
from papercutd.identity.tls import Credentials, Revocations, identifier
from papercutd.identity.verifiers import ArgonVerifiers
from papercutd.roles.clients import (
    client_face,
    client_operations,
    client_sessions,
    give_tokens,
    with_clients,
)
from papercutd.roles.common import (
    DataDirectory,
    Listeners,
    Operation,
    OrderedService,
    Step,
    Stopping,
    backups,
    exit_with_failure,
    open_shell,
    renewer_step,
    together,
    with_certificate,
)
from papercutd.roles.database_watch import with_database
from papercutd.roles.https import listen_https, pin_shown, shown_to_browsers
from papercutd.roles.plain import PlainPort
from papercutd.roles.stores import database_of, open_application
from papercutd.roles.verifying import BooksVerifier
from papercutd.services.administration import ApplicationOperations
from papercutd.services.application_server import ApplicationServer
from papercutd.services.auditing import audited
from papercutd.services.client_places import ApplicationPlaces
from papercutd.services.reports import Monthly
from papercutd.services.statements import Statements
from papercutd.storage.application_store import SCHEMA, ApplicationStore
from papercutd.storage.replication.change_log import Change
from protocols.codes import Code
from protocols.device.spec import DEVICE
from protocols.endpoint import ServerHandler, SessionServerFactory

if TYPE_CHECKING:
    from papercutd.roles.several import Several
    from papercutd.roles.standby import Standby

_log = Logger()
NAME = "application"


class ApplicationRole:
    """The parts of a running application server."""

    def __init__(self, config: AppConfig, reactor: Any) -> None:
        self._config = config
        self._reactor = reactor
        self._data = DataDirectory(config.data_dir)
        self._listeners = Listeners(reactor)
        self._env = real_environment(reactor)
        self._store: ApplicationStore | None = None
        self._server: ApplicationServer | None = None
        self._revocations = Revocations()
        self._identity: NodeIdentity | None = None
        self._verifiers = ArgonVerifiers(deferToThread)
        #: On PostgreSQL alone.
        self._several: Several | None = None
        self._standby: Standby | None = None

    def service(self) -> OrderedService:
        steps = [
            self._data.lock_step(),
            Step("database", self._open, self._close),
            Step("services", self._start, self._stop),
            Step("ports", self._listen, self._listeners.close),
            renewer_step(lambda: self._renewer),
        ]
        return OrderedService("app", steps, self._reactor)

    async def _open(self) -> None:
        self._database = database_of(self._config.store, self._data.path / "application.db")

        def fatal(failure: Failure) -> None:
            _log.critical("the database failed, ending: {failure}", failure=failure)
            exit_with_failure(self._reactor)

        async def take() -> ApplicationStore:
            opened, self._log = open_application(
                *(self._database, self._reactor, self._env, self._config.batch_max, fatal),
                "" if self._several is None else self._several.id,
            )
            return await opened

        self._load_identity()
        if isinstance(self._database, Path):
            self._store = await take()
            return
        self._store = await self._stand_by(self._database, take)

    async def _stand_by(
        self, database: str, take: Callable[[], Awaitable[ApplicationStore]]
    ) -> ApplicationStore:
        """The store, as soon as no other application server writes it."""
        # Several servers are on PostgreSQL only, and what is needed of it takes time to import.
        from papercutd.roles.several import Several
        from papercutd.roles.standby import Standby
        from papercutd.storage.postgres.opening import prepare_database

        prepare_database(database, SCHEMA)
        several = self._several = Several(self._reactor, self._env, database, self._config.listen)
        several.on_replaced = self._replaced
        several.on_shut = self._end_sessions
        assert self._identity is not None
        self._standby = Standby(
            *(self._config, self._reactor, self._env, self._data, database),
            *(self._identity, self._authority, self._verifiers, several),
        )
        try:
            store = await several.until_writer(take, self._standby)
        except Stopping:
            await self._standby.close()
            raise
        several.hold()
        return store

    def _replaced(self) -> None:
        _log.critical("another application server writes now: ending, to stand by when started")
        exit_with_failure(self._reactor)

    def _end_sessions(self) -> None:
        server = self._server
        if server is not None:
            for sessions in (server.providers, server.sites, server.device_sessions):
                sessions.end_all(Code.UNAVAILABLE)
            server.clients.end_all(Code.UNAVAILABLE)

    async def _close(self) -> None:
        assert self._store is not None
        await self._store.close()
        if self._several is not None:
            await self._several.leave()

    async def _start(self) -> None:
        assert self._store is not None
        server = self._server = ApplicationServer(self._env, self._store, self._verifiers)
        sabotage = self._config.debug.sabotage
        if sabotage:
            _log.critical(
                "SABOTAGE {kind} is switched on: this server is not to be trusted", kind=sabotage
            )
            self._store.intake.sabotage = sabotage

        def committed(change: Change) -> None:
            self._reactor.callFromThread(server.committed, change)

        self._log.on_commit = committed
        self._verifier = BooksVerifier(self._env, self._reactor, SCHEMA, self._database)
        await server.start()
        self._monthly = Monthly(self._env, self._store, server.tasks)
        self._monthly.start()
        signer = Signer(self._env, self._authority, self._data.path / "signing")
        self._statements = Statements(self._env, self._store, signer, self._data.path / "heads")
        self._statements.start()
        self._revocations.add(await self._store.revoked_serials())
        self._revocations.subscribe(self._end_revoked)
        self._plain = PlainPort(self._env, self._config.plain, self._data, server)
        await self._plain.follow_revocations()
        server.on_change = self._follow_revocations

    def _follow_revocations(self, change: Change) -> None:
        self._revocations.add(str(row[1]) for row in change.rows if row[0] == "revocation")
        self._plain.look_again(change.rows)

    def _end_revoked(self, serial: str) -> None:
        server = self._server
        assert server is not None
        for sessions in (server.providers, server.sites, server.device_sessions):
            end_revoked(sessions, serial)

    async def _stop(self) -> None:
        assert self._server is not None
        await self._verifier.stop()
        self._statements.stop()
        self._monthly.stop()
        await self._server.stop()

    def _load_identity(self) -> None:
        """Our own certificate, which we issue ourselves, on the key that join tokens name."""
        self._authority = Authority.load(self._data.path / "ca")
        identity = self._identity = NodeIdentity(self._data.path / "identity")
        env = self._env

        async def issue(present: Credentials) -> Credentials:
            key = load_pem_private_key(present.key_pem, None)
            assert isinstance(key, EllipticCurvePrivateKey)
            request = make_request(key, APPLICATION, APPLICATION)
            issued = self._authority.issue(
                request, APPLICATION, APPLICATION, env.wall_s(), rng=env.rng
            )
            return Credentials(present.key_pem, issued.chain_pem, self._authority.pem)

        self._renewer = Renewer(env, identity, issue)

    def _add_pages(self, root: Resource) -> None:
        assert self._store is not None
        door = Door(self._env, self._store, self._verifiers)
        add_statement_pages(root, door, self._statements)

    async def _listen(self) -> None:
        server, store, env, listen = self._server, self._store, self._env, self._config.listen
        assert server is not None and store is not None
        identity, plain = self._identity, self._plain
        assert identity is not None
        if self._standby is not None:
            await self._standby.close()
        shown = shown_to_browsers(env, self._config.web, identity, self._listeners)
        joining = JoinService(self._authority, store, env, lambda: pin_shown(shown))
        operations = ApplicationOperations(
            server, joining.make_token, self._verifiers, self._statements
        )
        operations.verify_books = self._verifier
        provider_face = ProviderFace(env, server, NAME)
        site_face = SiteLinkFace(env, server, NAME)
        if store.intake.sabotage == "double-post":
            site_face.unanswered_batches = 1
        device_face = DeviceFace(env, server, NAME)
        server.on_settings = together(provider_face.push_settings, device_face.push_settings)
        face: ServerHandler = LinksFace({"provider": provider_face, "site": site_face})
        devices_face: ServerHandler = device_face
        give_tokens(server.clients, env, identity, self._revocations)
        clients_face: ServerHandler = client_face(env, server, NAME, identity)
        several = self._several
        if several is not None:
            face = Gated(several.gate, several.servers, face)
            devices_face = Gated(several.gate, several.device_servers, devices_face)
            # Clients know several addresses themselves: none of them is of a port for links.
            clients_face = Gated(several.gate, list, clients_face)
        links = SessionServerFactory(LINKS, env.clock, face, identifier(self._revocations))
        # There the handshake lets dates pass, for renewal: the session does not.
        over_https = SessionServerFactory(
            LINKS, env.clock, face, identifier(self._revocations, env.wall_s)
        )
        demanding = identity.server_tls(enforce_dates=True)
        port = self._listeners.tcp(listen.interface, listen.links, links, demanding)
        server.address = (listen.host or listen.interface, port)
        plain.listen(
            *(self._listeners, listen, make_web(env, operations.health), provider_face),
        )
        https = listen_https(
            listeners=self._listeners,
            listen=listen,
            clock=self._reactor,
            shown=shown,
            identity=identity,
            web=make_web(env, operations.health, joining, pages=self._add_pages),
            links=over_https,
            clients=client_sessions(env, clients_face),
        )
        places = server.clients.places = ApplicationPlaces(env, store)
        places.own = (listen.host or listen.interface, https)
        devices = SessionServerFactory(
            DEVICE, env.clock, devices_face, identifier(self._revocations)
        )
        port = self._listeners.tcp(
            listen.interface, listen.devices, devices, identity.server_tls(enforce_dates=True)
        )
        server.device_address = (listen.host or listen.interface, port)
        if several is not None:
            several.address(server.address[1], port)
        done = operations.all() | backups(env, self._reactor, "app", identity, self._database)
        if several is not None:
            done = with_others(done, several)
        told = with_certificate(plain.operations(done), self._renewer, shown)
        told = with_database(told, self._database, store, self._listeners, self._reactor)
        told = with_clients(told, server.clients, client_operations(env, server, places, identity))
        open_shell(
            *(self._listeners, self._config.shell, self._data, self._env),
            *(self._database, server, told),
        )
        # Last: by its answer others know that all is there.
        self._listeners.unix(self._data.control_socket, ControlFactory(audited(told, store, env)))


def with_others(operations: dict[str, Operation], several: Several) -> dict[str, Operation]:
    """``operations``, status naming the other application servers on the database."""
    status = operations["status"]

    async def told(arguments: dict[str, Any], progress: Any) -> Any:
        return {**await status(arguments, progress), **several.status()}

    return {**operations, "status": told}


def end_revoked(sessions: Any, serial: str) -> None:
    """End the sessions that were opened with the certificate ``serial``."""
    for _, session in sessions.all():
        if getattr(session.peer, "serial", None) == serial:
            session.end(Code.REVOKED)


def build(config: AppConfig, reactor: Any) -> OrderedService:
    """The service of ``twistd papercut-app``."""
    return ApplicationRole(config, reactor).service()
