"""``papercutd sample-data``: a large installation to try things on; the server must not run."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

from papercutd.config.model import AppConfig
from papercutd.errors import ConfigError, InvalidValue, NotFound

_TELL_S = 1.0
_PLAN = ("users", "jobs", "sites", "printers", "years", "seed")


def add_sample_data_command(add: Callable[..., Any]) -> None:
    """``add`` is that of commands/main.py."""
    one = add("sample-data", "make users, printers and years of jobs to try things on", _run)
    one.add_argument("users", type=int, metavar="USERS")
    one.add_argument("jobs", type=int, metavar="JOBS")
    one.add_argument("--sites", type=int, default=4, help="(default: %(default)s)")
    one.add_argument("--printers", type=int, default=200, help="(default: %(default)s)")
    one.add_argument("--years", type=int, default=2, help="of jobs (default: %(default)s)")
    one.add_argument("--seed", type=int, default=1, help="of the dice (default: %(default)s)")
    one.add_argument(
        "--not-empty", action="store_true", help="though there are users, sites or jobs already"
    )


def _run(options: argparse.Namespace, config: Any) -> dict[str, Any]:
    if not isinstance(config, AppConfig):
        raise ConfigError(["sample-data is for the application server: give its configuration"])
    plan = {name: getattr(options, name) for name in _PLAN}
    return make_sample_data(config, plan, options.not_empty, _Teller().tell)


def make_sample_data(
    config: AppConfig,
    plan: dict[str, int],
    may_hold_data: bool,
    tell: Callable[[str, int, int], None] = lambda doing, done, of: None,
) -> dict[str, Any]:
    """What was made. Until the last step, a rename or a COMMIT, nothing has changed.

    Raises InvalidValue, NotFound, AlreadyRunning.
    """
    from twisted.internet.task import Clock

    from papercutd.environment import real_environment
    from papercutd.roles.common import DataDirectory
    from papercutd.roles.stores import database_of
    from papercutd.storage.administration.sample_data import Plan, SampleData
    from papercutd.storage.sqlite.bulk_load import Load

    wanted = Plan(**{name: number for name, number in plan.items() if name != "seed"})
    wanted.check()
    env = real_environment(Clock())
    began = time.monotonic()

    def fill(load: Load) -> None:
        sample = SampleData(load, wanted, Random(plan["seed"]), env.wall_s(), tell)
        sample.fill(f"{env.rng.getrandbits(256):064x}")

    data = DataDirectory(config.data_dir)
    data.acquire()
    try:
        database = database_of(config.store, data.path / "application.db")
        if isinstance(database, str):
            made = _fill_postgres(database, may_hold_data, fill)
        else:
            made = _fill_copy(database, may_hold_data, fill)
    finally:
        data.release()
    return {
        **plan,
        **{"took_s": round(time.monotonic() - began, 1)},
        "users_named": f"sample00000001 to sample{wanted.users:08}",
        "cards": f"C000000001 to C{wanted.users:09}",
        **made,
    }


def _fill_copy(in_force: Path, may_hold_data: bool, fill: Callable[[Any], None]) -> dict[str, Any]:
    """It is made in a copy, which then takes the place of the database."""
    from papercutd.commands.placing import copy_database, forget, place
    from papercutd.storage.application_store import SCHEMA
    from papercutd.storage.sqlite.bulk_load import SqliteLoad
    from papercutd.storage.sqlite.migrate import open_database

    incoming = in_force.with_name("loading.db")
    if not in_force.exists():
        raise NotFound("installation in", str(in_force.parent))
    with closing(open_database(str(in_force), SCHEMA)) as connection:
        _refuse(connection, may_hold_data)
    forget(incoming)
    try:
        copy_database(in_force, incoming, lambda figures: None)
        with closing(_open(str(incoming))) as connection:
            fill(SqliteLoad(connection))
    except BaseException:
        forget(incoming)
        raise
    size = incoming.stat().st_size
    with open(incoming, "rb") as file:
        os.fsync(file.fileno())
    return {"bytes": size, "kept": place(incoming, in_force)}


def _fill_postgres(dsn: str, may_hold_data: bool, fill: Callable[[Any], None]) -> dict[str, Any]:
    """In one transaction."""
    from papercutd.storage.application_store import SCHEMA
    from papercutd.storage.postgres.bulk_load import PostgresLoad
    from papercutd.storage.postgres.opening import open_for_command

    with closing(open_for_command(dsn, SCHEMA)) as connection:
        if connection.execute("SELECT 1 FROM head").fetchone() is None:
            raise NotFound("installation in", "this database")
        _refuse(connection, may_hold_data)
        fill(PostgresLoad(connection))
        (size,) = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return {"bytes": size}


def _refuse(connection: Any, may_hold_data: bool) -> None:
    """Raises InvalidValue where it cannot take sample data."""
    from papercutd.storage.administration.sample_data import why_not

    reason = why_not(connection, may_hold_data)
    if reason:
        raise InvalidValue("database", reason)


def _open(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, cached_statements=512)


class _Teller:
    """What is being made, how fast, and how long it will take; for somebody who looks on."""

    def __init__(self) -> None:
        self._doing = ""
        self._told = 0.0
        self._began = self._last = time.monotonic()

    def tell(self, doing: str, done: int, of: int) -> None:
        now = time.monotonic()
        if doing != self._doing:
            # The first word of it comes when some of it is done.
            self._doing, self._began, self._told = doing, self._last, 0.0
        self._last = now
        if now - self._told < _TELL_S and done < of:
            return
        self._told = now
        rate = done / max(now - self._began, 0.001)
        left = f", {(of - done) / rate:.0f} s left" if done and done < of else ""
        print(f"{doing}: {done} of {of}, {rate:.0f} a second{left}", file=sys.stderr)
