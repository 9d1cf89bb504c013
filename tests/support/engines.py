"""The engines a store may be on, each with one way to open an empty one.

Adding an engine here runs the whole of tests/contract on it.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable
from typing import Any, Protocol

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.storage.application_store import ApplicationStore, create_installation
from papercutd.storage.change_log import ChangeLog
from papercutd.storage.migrate import open_database
from papercutd.storage.replica import Memory
from papercutd.storage.site_store import SiteStore, create_site
from papercutd.storage.writer import InlineReader, InlineWriter

_names = itertools.count()
#: Runs one statement behind the store's back: to look, or to tamper.
Query = Callable[..., list[tuple[Any, ...]]]


@attrs.frozen
class Opened:
    """A store, and a look behind it."""

    store: Any
    query: Query
    #: What the engine raises when its database itself refuses.
    refused: type[Exception]


class Engine(Protocol):
    """Opens empty stores, driven by a Clock."""

    name: str

    def application(self, clock: Clock, wall_s: Callable[[], float]) -> Opened: ...

    def site(self, clock: Clock, wall_s: Callable[[], float], name: str, stream: str) -> Opened: ...


class Sqlite:
    """In memory, on an inline writer."""

    name = "Sqlite"

    def application(self, clock: Clock, wall_s: Callable[[], float]) -> Opened:
        connection = open_database(":memory:", "application")
        create_installation(connection, "test")
        log = ChangeLog(wall_s)
        writer = InlineWriter(connection, clock, log)
        store = ApplicationStore(writer, InlineReader(writer), log, wall_s)
        return Opened(store, _query(connection), sqlite3.IntegrityError)

    def site(self, clock: Clock, wall_s: Callable[[], float], name: str, stream: str) -> Opened:
        connection = open_database(":memory:", "journal")
        create_site(connection, name, stream)
        writer = InlineWriter(connection, clock)
        store = SiteStore(writer, Memory(f"branch-{next(_names)}"), wall_s)
        return Opened(store, _query(connection), sqlite3.IntegrityError)


def _query(connection: sqlite3.Connection) -> Query:
    def query(sql: str, *values: object) -> list[tuple[Any, ...]]:
        return connection.execute(sql, values).fetchall()

    return query


ENGINES: tuple[Engine, ...] = (Sqlite(),)


def on_every_engine(module: dict[str, Any]) -> None:
    """Make a test case of each class of ``module`` named ``...Contract``, for each engine."""
    for name, contract in list(module.items()):
        if isinstance(contract, type) and name.endswith("Contract"):
            for engine in ENGINES:
                made = f"{name.removesuffix('Contract')}{engine.name}Tests"
                body = {"engine": engine, "__module__": contract.__module__}
                module[made] = type(made, (contract, SynchronousTestCase), body)
