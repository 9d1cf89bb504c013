"""Wiring of a site server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure

from papercutd.config.model import SiteConfig, Times
from papercutd.environment import real_environment
from papercutd.errors import ConfigError
from papercutd.faces.control import ControlFactory
from papercutd.faces.device import DeviceFace
from papercutd.faces.links import LINKS, LinksFace
from papercutd.faces.provider import ProviderFace
from papercutd.faces.web import make_web
from papercutd.identity.renewal import NodeIdentity
from papercutd.identity.tls import Revocations, identifier
from papercutd.identity.verifiers import ArgonVerifiers
from papercutd.roles.application import end_revoked
from papercutd.roles.clients import client_face, client_sessions, give_tokens, with_clients
from papercutd.roles.common import (
    DataDirectory,
    Listeners,
    OrderedService,
    Step,
    backups,
    exit_with_failure,
    open_shell,
    renewer_step,
    together,
    with_certificate,
)
from papercutd.roles.database_watch import with_database
from papercutd.roles.https import listen_https, shown_to_browsers
from papercutd.roles.plain import PlainPort
from papercutd.roles.stores import database_of, open_site, salvage
from papercutd.roles.verifying import BooksVerifier
from papercutd.roles.ways import application_endpoint, asking_renewer
from papercutd.services.administration import SiteOperations
from papercutd.services.client_places import FixedPlaces
from papercutd.services.link import LinkSettings
from papercutd.services.site_server import SiteServer, SiteSettings
from papercutd.storage.proof.anchor import ANCHOR, Anchor, FileOnDisk
from papercutd.storage.replication.other_journals import (
    journals_to_salvage,
    mark_salvaged,
    read_from,
    read_unforwarded,
)
from papercutd.storage.site.site_store import SCHEMA, SiteStore
from protocols.device.spec import DEVICE
from protocols.endpoint import SessionServerFactory

_log = Logger()


def link_settings(times: Times) -> LinkSettings:
    """The link's times as configured."""
    return LinkSettings(
        back_jitter_s=times.back_jitter_s,
        reconnect_min_s=times.reconnect_min_s,
        reconnect_max_s=times.reconnect_max_s,
    )


class SiteRole:
    """The parts of a running site server."""

    def __init__(self, config: SiteConfig, reactor: Any) -> None:
        self._config = config
        self._reactor = reactor
        self._data = DataDirectory(config.data_dir)
        self._listeners = Listeners(reactor)
        self._env = real_environment(reactor)
        self._revocations = Revocations()
        self._store: SiteStore | None = None
        self._server: SiteServer | None = None

    def service(self) -> OrderedService:
        steps = [
            self._data.lock_step(),
            Step("database", self._open, self._close),
            Step("services", self._start, self._stop),
            Step("ports", self._listen, self._listeners.close),
            renewer_step(lambda: self._renewer),
        ]
        return OrderedService("site", steps, self._reactor)

    async def _open(self) -> None:
        if not self._config.application.host:
            raise ConfigError(["application.host: is needed"])
        self._identity = NodeIdentity(self._data.path / "identity")
        self._name = self._identity.name
        self._renewer = asking_renewer(
            self._env, self._identity, self._reactor, self._config.application
        )
        self._database = database_of(self._config.store, self._data.path / "journal.db")

        def fatal(failure: Failure) -> None:
            _log.critical("the database failed, ending: {failure}", failure=failure)
            exit_with_failure(self._reactor)

        anchor = Anchor(FileOnDisk(Path(self._config.anchor or self._data.path / ANCHOR)))
        self._store = await open_site(
            *(self._database, self._name, self._reactor, self._env, anchor, fatal),
            deferToThread,
        )

    async def _close(self) -> None:
        assert self._store is not None
        await self._store.close()

    async def _start(self) -> None:
        assert self._store is not None
        endpoint = application_endpoint(self._reactor, self._identity, self._config.application)
        settings = SiteSettings(
            self._config.forward_budget_s,
            link_settings(self._config.times),
            self._config.verify_every_h * 3_600,
        )
        server = self._server = SiteServer(
            *(self._env, self._store, endpoint, settings, ArgonVerifiers(deferToThread))
        )
        self._verifier = BooksVerifier(self._env, self._reactor, SCHEMA, self._database)
        self._revocations.subscribe(lambda serial: end_revoked(server.providers, serial))
        self._revocations.subscribe(lambda serial: end_revoked(server.device_sessions, serial))
        self._plain = PlainPort(self._env, self._config.plain, self._data, server)
        server.on_rows = self._follow_revocations
        await self._salvage()
        await server.start()
        self._revocations.add(await self._store.revoked_serials())
        await self._plain.follow_revocations()

    def _follow_revocations(self, rows: list[Any]) -> None:
        self._revocations.add(str(row[1]) for row in rows if row[0] == "revocation")
        self._plain.look_again(rows)

    async def _salvage(self) -> None:
        """What a journal set aside by joining again still owed."""
        assert self._store is not None
        for path in journals_to_salvage(self._data.path, "journal.db"):
            bodies = read_from(path, read_unforwarded)
            await self._store.salvage(bodies)
            mark_salvaged(path)
            _log.info("{count} records of {name} go on", count=len(bodies), name=path.name)
        if isinstance(self._database, str):
            for name, count in await salvage(self._store):
                _log.info("{count} records of {name} go on", count=count, name=name)

    async def _stop(self) -> None:
        assert self._server is not None
        await self._verifier.stop()
        await self._server.stop()

    async def _listen(self) -> None:
        server, env, listen = self._server, self._env, self._config.listen
        assert server is not None
        operations = SiteOperations(server)
        operations.verify_books = self._verifier
        face = ProviderFace(env, server, self._name)
        device_face = DeviceFace(env, server, self._name)
        server.on_settings = together(face.push_settings, device_face.push_settings)
        links = SessionServerFactory(
            LINKS, env.clock, LinksFace({"provider": face}), identifier(self._revocations)
        )
        self._listeners.tcp(listen.interface, listen.links, links, self._identity.server_tls())
        server.address = (self._config.application.host, self._config.application.port)
        web = make_web(env, operations.health, state=lambda: server.state)
        self._plain.listen(self._listeners, listen, web, face)
        shown = shown_to_browsers(env, self._config.web, self._identity, self._listeners)
        give_tokens(server.clients, env, self._identity, self._revocations)
        clients = client_face(env, server, self._name, self._identity)
        https = listen_https(
            listeners=self._listeners,
            listen=listen,
            clock=self._reactor,
            shown=shown,
            identity=self._identity,
            web=web,
            links=links,
            clients=client_sessions(env, clients),
        )
        centre = self._config.application
        server.clients.places = FixedPlaces(
            ("application", "application", centre.host, centre.https),
            ("site", self._name, listen.host or listen.interface, https),
        )
        devices = SessionServerFactory(
            DEVICE, env.clock, device_face, identifier(self._revocations)
        )
        port = self._listeners.tcp(
            listen.interface, listen.devices, devices, self._identity.server_tls()
        )
        server.device_address = (listen.host or listen.interface, port)
        server.application_devices = (centre.host, centre.devices)
        done = operations.all() | backups(
            env, self._reactor, "site", self._identity, self._database
        )
        told = with_certificate(self._plain.operations(done), self._renewer, shown)
        told = with_database(told, self._database, self._store, self._listeners, self._reactor)
        told = with_clients(told, server.clients)
        open_shell(
            *(self._listeners, self._config.shell, self._data, self._env),
            *(self._database, server, told),
        )
        # Last: by its answer others know that all is there.
        self._listeners.unix(self._data.control_socket, ControlFactory(told))


def build(config: SiteConfig, reactor: Any) -> OrderedService:
    """The service of ``twistd papercut-site``."""
    return SiteRole(config, reactor).service()
