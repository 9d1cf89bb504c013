"""``papercutd init`` and ``papercutd join``: the first thing on a new machine."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import Clock

from papercutd.commands.once import run_coroutine
from papercutd.config.model import AppConfig, SiteConfig
from papercutd.domain.pricing import PagePrice, PriceList
from papercutd.environment import real_environment
from papercutd.errors import AlreadyExists, ConfigError, InvalidValue
from papercutd.identity.authority import (
    Authority,
    key_pem,
    make_key,
    make_request,
    write_private,
)
from papercutd.roles.stores import (
    open_application_database,
    open_application_database_beside,
    set_journal_aside,
)
from papercutd.storage.administration.directory import Directory
from papercutd.storage.application_store import create_installation
from papercutd.storage.money.accounts import Accounts
from papercutd.storage.proof.anchor import ANCHOR
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.sqlite.writer import InlineWriter

FIRST_PRICES = PriceList(
    version=0,
    effective_from=0.0,
    currency="EUR",
    papers=(PagePrice("A4", 500, 2_000), PagePrice("A3", 1_000, 4_000)),
    other=PagePrice("", 1_000, 4_000),
)


def initialise(
    config: AppConfig, ca_cert: str | None, ca_key: str | None, beside: str | None = None
) -> dict[str, Any]:
    """Make what every installation has; refuses where one is already."""
    data = Path(config.data_dir)
    if (data / "identity" / "key.pem").exists():
        raise AlreadyExists("installation", str(data))
    if beside:
        return initialise_beside(config, data, Path(beside), bool(ca_cert or ca_key))
    if bool(ca_cert) != bool(ca_key):
        raise InvalidValue("ca-cert", "and --ca-key go together")
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chmod(data, 0o700)
    now = time.time()
    if ca_cert and ca_key:
        authority = Authority.create_under(
            data / "ca", now, Path(ca_cert).read_bytes(), Path(ca_key).read_bytes()
        )
    else:
        authority = Authority.create(data / "ca", now)
    env = real_environment(Clock())
    connection = open_application_database(config.store, data)
    try:
        create_installation(connection, env.new_id())
        log = ChangeLog(env.wall_s)
        clock = Clock()
        writer = InlineWriter(connection, clock, log)
        directory = Directory(log, Accounts(log))
        writer.submit(lambda c: directory.add_prices(c, FIRST_PRICES))
        for _ in range(3):
            clock.advance(0)
    finally:
        connection.close()
    return _make_identity(data, authority, now)


def _make_identity(data: Path, authority: Authority, now: float) -> dict[str, Any]:
    key = make_key()
    request = make_request(key, "application", "application")
    issued = authority.issue(request, "application", "application", now)
    identity = data / "identity"
    identity.mkdir(mode=0o700, exist_ok=True)
    write_private(identity / "ca.pem", authority.pem, 0o644)
    write_private(identity / "chain.pem", issued.chain_pem, 0o644)
    write_private(identity / "key.pem", key_pem(key))
    return {"data_dir": str(data), "next": "twistd -n papercut-app --config ..."}


def initialise_beside(
    config: AppConfig, data: Path, first: Path, has_authority: bool
) -> dict[str, Any]:
    """A further application server on the database of the one whose data directory, or a copy
    of it, is ``first``: with its authority, and a key of its own.
    """
    if has_authority:
        raise InvalidValue("beside", "and --ca-cert do not go together")
    if not config.store:
        raise InvalidValue("store", "names the PostgreSQL that the servers share")
    if not (first / "ca" / "ca.key").is_file():
        raise InvalidValue("beside", f"{first} holds no ca/ca.key of an application server")
    authority = Authority.load(first / "ca")
    # At the right database: it knows the installation.
    connection = open_application_database_beside(config.store)
    try:
        found = connection.execute("SELECT installation FROM head").fetchone()
    finally:
        connection.close()
    if found is None:
        raise InvalidValue("store", "holds no installation: run `papercutd init` for the first")
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chmod(data, 0o700)
    shutil.copytree(first / "ca", data / "ca", copy_function=_copy_private)
    os.chmod(data / "ca", 0o700)
    return _make_identity(data, authority, time.time())


def _copy_private(source: str, target: str) -> None:
    write_private(Path(target), Path(source).read_bytes())


def join(config: Any, token: str, server: str) -> dict[str, Any]:
    """Fetch a certificate, and begin with an empty journal; an old one is kept beside it."""
    from papercutd.identity.join_client import join as join_server

    host, _, port = server.rpartition(":")
    if not host or not port.isdigit():
        raise InvalidValue("server", "is HOST:PORT")
    if isinstance(config, AppConfig):
        raise ConfigError(["join is for sites and providers: give their configuration"])
    data = Path(config.data_dir)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chmod(data, 0o700)
    answer = run_coroutine(join_server(reactor, token, host, int(port), data / "identity"))
    moved = []
    for name in ("journal.db", "provider.db"):
        for ending in ("", "-wal", "-shm"):
            path = data / (name + ending)
            if path.exists():
                kept = data / f"old-{int(time.time())}-{name}{ending}"
                path.rename(kept)
                moved.append(str(kept))
    if config.store if isinstance(config, SiteConfig) else "":
        moved += set_journal_aside(config.store, int(time.time()))
    # The anchor speaks of the former journal. One elsewhere is left: an empty journal is a new
    # stream whatever it says.
    (data / ANCHOR).unlink(missing_ok=True)
    # A replica belongs to its journal: the next one takes a snapshot.
    for path in data.glob("replica-*.db*"):
        path.unlink()
    del answer
    return {"data_dir": str(data), "journals_kept": moved, "next": "start this role with twistd"}
