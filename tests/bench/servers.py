"""Servers that are measured: made, filled with providers and people, loaded, ended."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import attrs

from papercutd.demo import processes
from papercutd.demo.network import free_port
from papercutd.demo.processes import Role, command
from papercutd.identity.authority import (
    Authority,
    key_pem,
    make_key,
    make_request,
    write_private,
)
from tests.support.installation import copy_data
from tests.support.postgres import Cluster

CONNECTIONS = 64
#: Requests in flight on each.
PIPELINE = 4
#: People who print, each with money of their own.
USERS = 40
BALANCE = "10000000.00"
AT_ONCE = 16


@attrs.define
class Measured:
    """A process with a TLS port, and identities that it accepts."""

    pid: int
    port: int
    identities: Path

    def load(self, kind: str, seconds: float, **more: Any) -> Load:
        """Load it for so long; what the generator, a process of its own, saw."""
        plan = {
            **{
                "kind": kind,
                "identities": str(self.identities),
                "port": self.port,
                "pid": self.pid,
            },
            **{"seconds": seconds, "connections": CONNECTIONS, "pipeline": PIPELINE},
            **{"users": USERS, **more},
        }
        words = [sys.executable, "-m", "tests.bench.load", json.dumps(plan)]
        with processes.spawn(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                out, err = process.communicate(timeout=seconds + 60)
            except BaseException:
                process.kill()
                raise
        found = json.loads(out or "{}")
        if not found.get("count") or found["failed"]:
            why = found.get("failed") or found.get("error") or err[-800:]
            raise SystemExit(f"the load failed: {why}")
        del found["failed"]
        return Load(**found)


@attrs.frozen
class Load:
    """What came of loading a server."""

    count: int
    seconds: float
    #: Of each AUTHORIZE, or echoed line.
    waits_ms: list[float]
    #: Of the server's process while it was loaded.
    server_cpu_s: float

    @property
    def per_s(self) -> float:
        return self.count / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor time of the server for each."""
        return self.server_cpu_s / self.count * 1e6


@attrs.define
class Server(Measured):
    """An application server."""

    role: Role
    #: Its port for devices; 0: any.
    devices: int = 0

    def problems(self) -> int:
        """What ``verify`` finds: it must be nothing."""
        return len(self.role.call("verify")["problems"])


@contextmanager
def directory(prefix: str) -> Iterator[Path]:
    """A directory of a figure's own; started programs find this package."""
    os.environ.setdefault("PYTHONPATH", os.getcwd())
    made = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def application(
    where: Path,
    name: str,
    *,
    store: str = "",
    batch_max: int = 256,
    under: tuple[str, ...] = (),
    connections: int = CONNECTIONS,
    devices: bool = False,
) -> Iterator[Server]:
    """An application server with providers and people; ``under`` as of a Role."""
    http, https, links = free_port(), free_port(), free_port()
    devices_port = free_port() if devices else 0
    settings = f'store = "{store}"\n' if store else ""
    settings += f"batch_max = {batch_max}\n"
    settings += (
        f'[listen]\ninterface = "127.0.0.1"\nhttp = {http}\nhttps = {https}\n'
        f"links = {links}\ndevices = {devices_port}\n"
    )
    role = Role("app", name, where / name, settings, under=under)
    if store:
        command(role.config, "init")
    else:
        copy_data(_template().role, role)
    role.start()
    try:
        if store:
            identities = _fill(role, where / f"identities-{name}", connections)
        else:
            identities = _template().identities
        yield Server(role.pid, links, identities, role, devices_port)
    finally:
        role.stop()


@attrs.frozen
class _Template:
    """What servers on SQLite begin with."""

    role: Role
    identities: Path


@lru_cache
def _template() -> _Template:
    """Made once in a process, of which each such server gets a copy."""
    where = Path(tempfile.mkdtemp(prefix="pc-servers-"))
    atexit.register(shutil.rmtree, where, True)
    listen = f'[listen]\ninterface = "127.0.0.1"\nhttp = 0\nhttps = 0\nlinks = {free_port()}\n'
    role = Role("app", "template", where / "app", listen + "devices = 0\n")
    command(role.config, "init")
    role.start()
    try:
        return _Template(role, _fill(role, where / "identities", CONNECTIONS))
    finally:
        role.stop()


def _fill(role: Role, identities: Path, connections: int) -> Path:
    """People with money, and providers with a printer and an identity each, on one key."""
    # Several at once: they share commits.
    with ThreadPoolExecutor(AT_ONCE) as pool:
        people = [f"load{number}" for number in range(USERS)]
        list(pool.map(lambda name: role.call("user.add", name=name, balance=BALANCE), people))
        names = [f"load-{number}" for number in range(connections)]
        list(pool.map(lambda name: role.call("provider.add", name=name), names))
        printers = list(pool.map(lambda name: _printer(role, name), names))
    authority = Authority.load(role.data / "ca")
    key = make_key()
    for name, printer in zip(names, printers, strict=True):
        folder = identities / name
        folder.mkdir(parents=True)
        issued = authority.issue(
            *(make_request(key, "provider", name), "provider", name, time.time())
        )
        write_private(folder / "key.pem", key_pem(key))
        write_private(folder / "chain.pem", issued.chain_pem)
        write_private(folder / "ca.pem", authority.pem)
        (folder / "printer").write_text(str(printer))
    return identities


def _printer(role: Role, provider: str) -> int:
    uri = "socket://127.0.0.1:9"
    made = role.call("printer.add", name=f"{provider}-1", provider=provider, uri=uri)
    return int(made["printer"])


@contextmanager
def echo(server: Server) -> Iterator[Measured]:
    """A bare line echo with the certificate of ``server``, for the same identities."""
    words = [sys.executable, "-m", "tests.bench.echo", str(server.role.data)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with processes.spawn(words, text=True, **pipes) as run:
        assert run.stdout is not None
        try:
            yield Measured(run.pid, int(run.stdout.readline()), server.identities)
        finally:
            run.terminate()


@contextmanager
def cluster(where: Path) -> Iterator[Cluster]:
    """A PostgreSQL with its own settings of durability: every commit is synced."""
    made = where / "postgresql"
    made.mkdir()
    # Its owner may be another user.
    where.chmod(0o711)
    # Not the little memory that tests give it: what it has by default.
    settings = {"fsync": "on", "synchronous_commit": "on", "shared_buffers": "128MB"}
    server = Cluster(str(made), settings)
    server.create()
    server.start()
    try:
        yield server
    finally:
        server.stop()
