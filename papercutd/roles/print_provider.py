"""Wiring of a print provider."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure

from papercutd.config.model import ProviderConfig
from papercutd.environment import real_environment
from papercutd.errors import ConfigError
from papercutd.faces.control import ControlFactory
from papercutd.identity.endpoints import tls_endpoint
from papercutd.identity.renewal import NodeIdentity
from papercutd.identity.tls import Revocations, serial_of
from papercutd.provider.adapters.registry import direct_adapters
from papercutd.provider.analysis.analyser import DocumentAnalyser
from papercutd.provider.cups.backends import BackendFactory
from papercutd.provider.cups.counting import IppCounter
from papercutd.provider.cups.queues import CupsQueues
from papercutd.provider.cups.server import CupsServer
from papercutd.provider.cups.spooler import CupsSpooler
from papercutd.provider.journal import SCHEMA, ProviderJournal, read_salvaged
from papercutd.provider.operations import ProviderOperations
from papercutd.provider.provider import PrintProvider
from papercutd.provider.submission import SubmissionFactory, remove_orphans
from papercutd.roles.common import (
    DataDirectory,
    Listeners,
    OrderedService,
    Step,
    backups,
    exit_with_failure,
    open_shell,
    renewer_step,
    with_certificate,
)
from papercutd.roles.crash_points import crash_point
from papercutd.roles.site_server import link_settings
from papercutd.roles.ways import application_endpoint, asking_renewer, links_endpoint
from papercutd.storage.replication.asker_journal import create_journal
from papercutd.storage.replication.other_journals import (
    journals_to_salvage,
    mark_salvaged,
    read_from,
)
from papercutd.storage.sqlite.migrate import open_database
from papercutd.storage.sqlite.writer import ThreadWriter
from protocols.codes import Code

_log = Logger()


class ProviderRole:
    """The parts of a running print provider."""

    def __init__(self, config: ProviderConfig, reactor: Any) -> None:
        self._config = config
        self._reactor = reactor
        self._data = DataDirectory(config.data_dir)
        self._listeners = Listeners(reactor)
        self._env = real_environment(reactor)
        self._journal: ProviderJournal | None = None
        self._provider: PrintProvider | None = None
        self._spooler: CupsSpooler | None = None
        #: Sites that count no more, as the servers' settings name them.
        self._revocations = Revocations()

    def service(self) -> OrderedService:
        steps = [
            self._data.lock_step(),
            Step("database", self._open, self._close),
            Step("services", self._start, self._stop),
            Step("sockets", self._listen, self._listeners.close),
            renewer_step(lambda: self._renewer),
        ]
        return OrderedService("provider", steps, self._reactor)

    async def _open(self) -> None:
        if not self._config.application.host:
            raise ConfigError(["application.host: is needed"])
        self._identity = NodeIdentity(self._data.path / "identity")
        self._name = self._identity.name
        self._renewer = asking_renewer(
            self._env, self._identity, self._reactor, self._config.application
        )
        connection = open_database(str(self._data.path / "provider.db"), SCHEMA)
        create_journal(connection, self._name, self._env.new_id())
        self._open_door()

        def fatal(failure: Failure) -> None:
            _log.critical("the database failed, ending: {failure}", failure=failure)
            exit_with_failure(self._reactor)

        crash = crash_point(self._reactor)
        writer = ThreadWriter(
            *(connection, self._reactor.callFromThread, fatal),
            before_commit=crash.before_commit,
            after_commit=crash.after_commit,
        )
        self._journal = ProviderJournal(writer, self._env.wall_s)

    def _open_door(self) -> None:
        """Everybody on the machine may reach the sockets in the data directory, nothing else."""
        for path in self._data.path.glob("provider.db*"):
            path.chmod(0o600)
        self._data.path.chmod(0o711)

    async def _close(self) -> None:
        assert self._journal is not None
        await self._journal.close()

    def _site_endpoint(self, name: str, host: str, port: int) -> Any:
        tls = self._identity.client_tls("site", name, revocations=self._revocations)
        return tls_endpoint(self._reactor, host, port, tls)

    async def _start(self) -> None:
        assert self._journal is not None
        application, site = self._config.application, self._config.site
        if site.host and not site.name:
            raise ConfigError(["site.name: is needed with site.host"])
        time_max_s = self._config.analysis.time_max_s
        analyser = self._analyser = DocumentAnalyser(self._reactor, self._reactor, time_max_s)
        analyser.start()
        if self._config.cups.server:
            self._cups = CupsServer(self._reactor, self._reactor, self._config.cups.server)
            self._spooler = CupsSpooler(
                self._env,
                self._cups,
                self._journal,
                analyser,
                IppCounter(self._reactor, self._reactor),
                self._data.path / "cups",
                self._config.analysis.document_max_bytes,
            )
        self._provider = PrintProvider(
            self._env,
            self._journal,
            direct_adapters(self._reactor, self._reactor),
            analyser,
            application_endpoint(
                self._reactor, self._identity, application, revocations=self._revocations
            ),
            links_endpoint(
                *(self._reactor, self._identity, site, "site", site.name),
                revocations=self._revocations,
            )
            if site.host
            else None,
            link_settings(self._config.times),
            spooler=self._spooler,
            site_endpoint=None if site.host else self._site_endpoint,
        )
        await self._salvage()
        provider = self._provider
        provider.on_revoked = self._revocations.add
        self._revocations.subscribe(lambda serial: end_with_revoked(provider, serial))
        if self._spooler is not None:
            await self._spooler.start(provider)
        await provider.start()

    async def _salvage(self) -> None:
        """What a journal set aside by joining again still owed."""
        assert self._journal is not None
        for path in journals_to_salvage(self._data.path, "provider.db"):
            former = read_from(path, read_salvaged)
            await self._journal.salvage(former)
            mark_salvaged(path)
            _log.warn(
                "{name}: {count} completions go on, {unended} jobs have to be handed in again",
                name=path.name,
                count=len(former.completions),
                unended=former.unended,
            )

    async def _stop(self) -> None:
        assert self._provider is not None
        if self._spooler is not None:
            await self._spooler.stop()
        await self._provider.stop()
        await self._analyser.stop()

    async def _listen(self) -> None:
        assert self._provider is not None and self._journal is not None
        spool = self._data.path / "spool"
        spool.mkdir(mode=0o700, exist_ok=True)
        # Those of jobs that have not ended, and of those that end just now.
        jobs = await self._journal.jobs()
        removed = remove_orphans(spool, [job.path for job in jobs])
        if removed:
            _log.warn("{count} documents of no job were in the spool", count=removed)
        submission = SubmissionFactory(
            self._env, self._provider, spool, self._config.analysis.document_max_bytes
        )
        self._listeners.unix(str(self._data.path / "submit.sock"), submission, 0o666)
        if self._spooler is not None:
            backends = BackendFactory(
                self._reactor, self._config.cups.user, self._spooler.announced
            )
            self._listeners.unix(str(self._data.path / "cups.sock"), backends, 0o666)
            self._spooler.watch()
        operations = ProviderOperations(self._provider, self._journal).all()
        if self._spooler is not None:
            queues = CupsQueues(
                *(self._cups, self._spooler, self._journal, self._reactor),
                *(self._config.cups.printers_conf, self._config.cups.backend),
                str(self._data.path / "cups.sock"),
            )
            operations |= queues.all()
        database = self._data.path / "provider.db"
        operations |= backups(self._env, self._reactor, "provider", self._identity, database)
        told = with_certificate(operations, self._renewer)
        self._listeners.unix(self._data.control_socket, ControlFactory(told))
        open_shell(
            *(self._listeners, self._config.shell, self._data, self._env),
            *(self._data.path / "provider.db", self._provider, told),
        )


def end_with_revoked(provider: PrintProvider, serial: str) -> None:
    """End the session to a server whose certificate is ``serial``."""
    for server in provider.servers.values():
        session = server.link.session
        if session is not None and serial_of(session.transport) == serial:
            session.end(Code.REVOKED)


def build(config: ProviderConfig, reactor: Any) -> OrderedService:
    """The service of ``twistd papercut-provider``."""
    return ProviderRole(config, reactor).service()
