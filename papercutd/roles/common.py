"""What the roles share: an ordered start, a drained stop, the data directory, the log."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sys
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, ClassVar, TextIO

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.threads import deferToThreadPool
from twisted.logger import ILogObserver, Logger, LogLevel, formatEvent, formatTime
from twisted.python import usage
from twisted.python.failure import Failure
from zope.interface import implementer

from papercutd.config.load import load_config
from papercutd.config.model import (
    Shell,
)
from papercutd.environment import Environment
from papercutd.errors import AlreadyRunning, ConfigError, PapercutError
from papercutd.faces.audit import AuditFile
from papercutd.identity.endpoints import tls_server_factory
from papercutd.identity.names import peer_of
from papercutd.identity.plain import SecretFile, address_problems
from papercutd.identity.renewal import NodeIdentity, Renewer
from papercutd.identity.tls import Credentials
from papercutd.identity.web_certificate import WebCertificate, check_web
from papercutd.roles.collecting import collect_seldom
from papercutd.roles.descriptors import allow_many_files
from papercutd.services.backup_operations import BackupOperations
from papercutd.storage.sqlite.backup import BackupOf

Operation = Callable[[dict[str, Any], Any], Awaitable[Any]]
_log = Logger()
EX_CONFIG = 78
STOP_STEP_S = 10.0
#: Bytes of the path of a Unix socket.
UNIX_PATH_MAX = 107


class RoleOptions(usage.Options):
    """Options of a role. ``model`` and ``default_config`` are set by each role."""

    model: type[Any]
    default_config: str
    optParameters: ClassVar[list[list[str | None]]] = [["config", "c", None, "configuration file"]]
    optFlags: ClassVar[list[list[str | None]]] = [
        ["check-config", None, "list every problem of the configuration and exit"]
    ]

    def postOptions(self) -> None:
        path = self["config"] or self.default_config
        try:
            self["loaded"] = loaded = load_config(path, self.model)
            if self["check-config"]:
                check_more(loaded)
        except ConfigError as error:
            for problem in error.problems:
                print(problem, file=sys.stderr)
            raise SystemExit(EX_CONFIG) from None
        if self["check-config"]:
            print(f"{path}: no problems")
            raise SystemExit(0)


def together(*calls: Callable[[], None]) -> Callable[[], None]:
    """All of ``calls``, in order."""

    def call() -> None:
        for one in calls:
            one()

    return call


def check_more(config: Any) -> None:
    """What only the start would find else; raises ConfigError with all of it."""
    problems: list[str] = []
    if getattr(config, "store", ""):
        from papercutd.roles.stores import check_store

        try:
            check_store(config.store)
        except ConfigError as error:
            problems += error.problems
    if hasattr(config, "plain"):
        found = address_problems(config.plain.addresses)
        problems += [f"plain.addresses: {problem}" for problem in found]
    if hasattr(config, "web"):
        try:
            check_web(config.web.certificate, config.web.key)
        except ConfigError as error:
            problems += error.problems
    if hasattr(config, "application"):
        from papercutd.roles.ways import other_places

        try:
            other_places(config.application, config.application.port)
        except ConfigError as error:
            problems += error.problems
    for name in ("application", "site"):
        server = getattr(config, name, None)
        if server is not None and server.over == "plain":
            try:
                SecretFile(f"{name}.secret", server.secret)
            except ConfigError as error:
                problems += error.problems
    if problems:
        raise ConfigError(problems)


@attrs.frozen
class Step:
    """One step of a start, and how it is undone."""

    name: str
    start: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]


def renewer_step(renewer: Callable[[], Renewer]) -> Step:
    """Looks after the certificate while the role runs; ``renewer`` is there by then."""

    async def start() -> None:
        renewer().start()

    async def stop() -> None:
        renewer().stop()

    return Step("certificate", start, stop)


def open_shell(
    listeners: Listeners,
    config: Shell,
    data: DataDirectory,
    env: Environment,
    store: Path | str,
    root: object,
    operations: dict[str, Operation],
) -> None:
    """The administrator's shell, where keys are configured; raises ConfigError."""
    if not config.keys:
        return
    if not ip_address(config.interface).is_loopback:
        raise ConfigError(["shell.interface: is no address of the loopback"])
    from papercutd.faces.shell import make_shell, operation_call, store_to_look_at

    audit = AuditFile(data.path / "audit.log", env.wall_s)
    namespace = {
        "root": root,
        "store": store_to_look_at(store),
        "status": operation_call(operations["status"]),
        "verify": operation_call(operations["verify"]),
    }
    factory = make_shell(Path(config.keys), data.path / "identity", audit.write, namespace)
    listeners.tcp(config.interface, config.port, factory)


def backups(
    env: Environment, reactor: Any, role: str, identity: NodeIdentity, database: Path | str
) -> dict[str, Operation]:
    """The operation ``backup`` of a running role."""

    def whose() -> BackupOf:
        return backup_of(role, identity.credentials, env.wall_s())

    def in_thread(call: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), call, *arguments)

    return BackupOperations(env, database, whose, in_thread).all()


def backup_of(role: str, credentials: Credentials, wall_s: float) -> BackupOf:
    """What a backup of the node with ``credentials`` says of itself."""
    authority = x509.load_pem_x509_certificate(credentials.ca_pem).fingerprint(SHA256()).hex()
    return BackupOf(role, peer_of(credentials.certificate).name, authority, wall_s)


def with_certificate(
    operations: dict[str, Operation], renewer: Renewer, shown: object = None
) -> dict[str, Operation]:
    """``operations``, status saying how long the certificates last: ours, and the one ``shown``
    to browsers where it is the administrator's.
    """
    status = operations["status"]

    async def told(arguments: dict[str, Any], progress: Any) -> Any:
        found = {**await status(arguments, progress), "certificate": renewer.status()}
        if isinstance(shown, WebCertificate):
            found["web_certificate"] = shown.status()
        return found

    return {**operations, "status": told}


class Stopping(Exception):
    """The process is to stop while it starts: that is no failure."""


class OrderedService(Service):
    """Starts its steps in order, one after the other, and stops them in reverse."""

    def __init__(self, role: str, steps: list[Step], reactor: Any) -> None:
        self.setName(role)
        self._role = role
        self._steps = steps
        self._reactor = reactor
        self._started: list[Step] = []
        self._starting: Deferred[None] | None = None

    def startService(self) -> None:
        super().startService()
        allow_many_files()
        self._starting = Deferred.fromCoroutine(self._start())

    async def _start(self) -> None:
        for step in self._steps:
            try:
                await step.start()
            except Stopping:
                return
            except Exception as error:
                self._fail(step, error)
                return
            self._started.append(step)
        collect_seldom()
        _log.info("{role} is ready", role=self._role)

    def _fail(self, step: Step, error: Exception) -> None:
        if isinstance(error, CannotListenError):
            text = cannot_listen(error)
        elif isinstance(error, (PapercutError, OSError)):
            text = str(error)
        else:
            _log.failure("starting {step} failed", failure=Failure(), step=step.name)
            text = f"{type(error).__name__}: {error}"
        message = f"papercut-{self._role} cannot start ({step.name}): {text}"
        _log.critical("{message}", message=message)
        # twistd has turned sys.stderr into its log: the person is at the descriptor.
        os.write(2, f"{message}\n".encode())
        exit_with_failure(self._reactor)

    async def _stop(self) -> None:
        if self._starting is not None:
            await self._starting
        for step in reversed(self._started):
            stopping = Deferred.fromCoroutine(_as_coroutine(step.stop))
            stopping.addTimeout(STOP_STEP_S, self._reactor)
            try:
                await stopping
            except Exception:
                _log.failure("stopping {step} failed", failure=Failure(), step=step.name)
        self._started.clear()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())


def cannot_listen(error: CannotListenError) -> str:
    """What to tell the person whose server cannot listen."""
    reason = error.socketError
    if isinstance(error.port, int):
        where = f"port {error.port} on {error.interface or 'every address'}"
        if getattr(reason, "errno", None) == errno.EADDRINUSE:
            return f"{where} is in use"
        return f"{where}: {reason}"
    path = os.fsdecode(error.port)
    if len(os.fsencode(path)) > UNIX_PATH_MAX:
        return f"{path} is too long for a socket: choose a shorter data_dir"
    return f"{path}: {reason}"


async def _as_coroutine(work: Callable[[], Awaitable[None]]) -> None:
    await work()


def exit_with_failure(reactor: Any) -> None:
    """End the process with exit code 1 once the reactor has stopped."""
    reactor.addSystemEventTrigger("after", "shutdown", os._exit, 1)
    reactor.callLater(0, reactor.stop)


class DataDirectory:
    """The directory of one node; one process at a time works on it."""

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self._lock: TextIO | None = None

    def acquire(self) -> None:
        """Raises AlreadyRunning, or ConfigError where there is nothing to run on."""
        if not (self.path / "identity" / "key.pem").exists():
            raise ConfigError(
                [f"{self.path} holds no identity: run `papercutd init` or `papercutd join` first"]
            )
        lock = open(self.path / "lock", "a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise AlreadyRunning(str(self.path)) from None
        self._lock = lock

    def release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def control_socket(self) -> str:
        return str(self.path / "control.sock")

    def lock_step(self) -> Step:
        async def start() -> None:
            self.acquire()

        async def stop() -> None:
            self.release()

        return Step("data directory", start, stop)


class Listeners:
    """Ports of a role, closed together."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._ports: list[Any] = []
        self._when_closed: list[Callable[[], None]] = []

    def tcp(self, interface: str, port: int, factory: Any, tls: Any = None) -> int:
        """Listen; the port's number."""
        if tls is not None:
            factory = tls_server_factory(tls, factory, self._reactor)
        listening = self._reactor.listenTCP(port, factory, backlog=512, interface=interface)
        self._ports.append(listening)
        return int(listening.getHost().port)

    def unix(self, path: str, factory: Any, mode: int = 0o600) -> None:
        """Listen on a socket file; a stale one is replaced (the lock is ours)."""
        if os.path.exists(path):
            os.unlink(path)
        self._ports.append(self._reactor.listenUNIX(path, factory, mode=mode))

    def when_closed(self, stop: Callable[[], None]) -> None:
        """``stop`` ends what a port needs while it is open."""
        self._when_closed.append(stop)

    async def close(self) -> None:
        for stop in self._when_closed:
            stop()
        self._when_closed.clear()
        ports, self._ports = self._ports, []
        for port in ports:
            await _maybe(port.stopListening())


async def _maybe(result: Any) -> None:
    if result is not None:
        await result


@implementer(ILogObserver)
class JsonLog:
    """One JSON object a line: ``twistd --logger papercutd.roles.common.json_log``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: dict[str, Any]) -> None:
        record = {
            "time": formatTime(event.get("log_time")),
            "level": (event.get("log_level") or LogLevel.info).name,
            "where": event.get("log_namespace", ""),
            "text": formatEvent(event),
        }
        failure = event.get("log_failure")
        if failure is not None:
            record["traceback"] = failure.getTraceback()
        self._stream.write(json.dumps(record) + "\n")
        self._stream.flush()


def json_log() -> JsonLog:
    """For ``twistd --logger``."""
    return JsonLog(sys.stdout)
