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
from papercutd.storage.engine import RowRefused
from papercutd.storage.postgres.batches import PostgresBatch
from papercutd.storage.postgres.connection import PostgresConnection
from papercutd.storage.postgres.database import open_blocking
from papercutd.storage.postgres.migrate import migrate
from papercutd.storage.postgres.schemas import NoFiles
from papercutd.storage.postgres.workspace import Workspace, open_workspace
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.site.site_store import SiteStore, create_site
from papercutd.storage.sqlite.writer import InlineReader, InlineWriter
from tests.support.databases import EmptyReplicas, empty_database
from tests.support.postgres import shared_cluster

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

    def another(self) -> bool:
        """A test made of many examples begins another; False: on this engine it had enough."""

    def release(self) -> None: ...


class Sqlite:
    """In memory, on an inline writer."""

    name = "Sqlite"

    def application(self, clock: Clock, wall_s: Callable[[], float]) -> Opened:
        connection = empty_database("application")
        create_installation(connection, "test")
        log = ChangeLog(wall_s)
        writer = InlineWriter(connection, clock, log)
        store = ApplicationStore(writer, InlineReader(writer), log, wall_s)
        return Opened(store, _query(connection), sqlite3.IntegrityError)

    def site(self, clock: Clock, wall_s: Callable[[], float], name: str, stream: str) -> Opened:
        connection = empty_database("journal")
        create_site(connection, name, stream)
        writer = InlineWriter(connection, clock)
        store = SiteStore(writer, EmptyReplicas(f"branch-{next(_names)}"), wall_s)
        return Opened(store, _query(connection), sqlite3.IntegrityError)

    def another(self) -> bool:
        return True

    def release(self) -> None:
        """They are gone with their test."""


def _query(connection: Any) -> Query:
    def query(sql: str, *values: object) -> list[tuple[Any, ...]]:
        return connection.execute(sql, values).fetchall()

    return query


#: Examples of one property that are tried on PostgreSQL.
EXAMPLES_MAX = 5


class Postgres:
    """On a server of the test's own; databases are emptied and used again."""

    name = "Postgres"

    def __init__(self) -> None:
        self._free: dict[str, list[PostgresConnection]] = {}
        self._taken: list[tuple[str, PostgresConnection]] = []
        self._templates: set[str] = set()
        self._workspaces: dict[PostgresConnection, Workspace] = {}
        self._examples = 0

    def application(self, clock: Clock, wall_s: Callable[[], float]) -> Opened:
        connection = self._database("application")
        create_installation(connection, "test")
        log = ChangeLog(wall_s)
        writer = InlineWriter(connection, clock, log)
        # As the real writer there has them: what is hot is worked on in memory.
        workspace = self._workspaces.get(connection)
        if workspace is None:
            workspace = self._workspaces[connection] = open_workspace(connection)
        writer._batch = PostgresBatch(connection, log, workspace=workspace)
        store = ApplicationStore(writer, InlineReader(writer), log, wall_s)
        return Opened(store, _query(connection), RowRefused)

    def site(self, clock: Clock, wall_s: Callable[[], float], name: str, stream: str) -> Opened:
        connection = self._database("journal")
        create_site(connection, name, stream)
        writer = InlineWriter(connection, clock)
        store = SiteStore(writer, NoFiles(), wall_s)
        return Opened(store, _query(connection), RowRefused)

    def another(self) -> bool:
        # Each statement is a journey: the rules are tried on SQLite, the statements here.
        self._lend_back()
        self._examples += 1
        return self._examples <= EXAMPLES_MAX

    def release(self) -> None:
        """The test is over."""
        self._examples = 0
        self._lend_back()

    def _lend_back(self) -> None:
        for schema, connection in self._taken:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._free.setdefault(schema, []).append(connection)
        self._taken.clear()

    def _database(self, schema: str) -> PostgresConnection:
        free = self._free.setdefault(schema, [])
        if free:
            connection = free.pop()
            connection.execute("DROP SCHEMA IF EXISTS incoming CASCADE")
            connection.execute(_EMPTY)
            if schema == "application":
                connection.execute("UPDATE monthly_mark SET number = 0, stale = 0")
        else:
            template = f"template_{schema}"
            if template not in self._templates:
                dsn = shared_cluster().create_database(template)
                made = open_blocking(dsn, _SCHEMAS[schema])
                migrate(made, schema)
                made.close()
                self._templates.add(template)
            dsn = shared_cluster().create_database(f"papercut{next(_names)}", template)
            connection = open_blocking(dsn, _SCHEMAS[schema])
            connection.execute("SET idle_in_transaction_session_timeout TO 0")
        self._taken.append((schema, connection))
        return connection


#: Where the tables of each database are.
_SCHEMAS = {"application": "application", "journal": "journal, replica"}
#: Empties every table, whatever refers to it, and gives ids from 1 again.
_EMPTY = """
DO $body$
DECLARE
    one RECORD;
BEGIN
    SET LOCAL session_replication_role TO replica;
    FOR one IN SELECT oid::regclass AS name FROM pg_class
        WHERE relkind = 'r' AND relnamespace = ANY(current_schemas(false)::regnamespace[])
        AND relname NOT IN ('schema_migration', 'writer', 'monthly_mark')
    LOOP
        EXECUTE 'DELETE FROM ' || one.name;
    END LOOP;
    FOR one IN SELECT oid::regclass AS name FROM pg_class
        WHERE relkind = 'S' AND relnamespace = ANY(current_schemas(false)::regnamespace[])
    LOOP
        EXECUTE 'ALTER SEQUENCE ' || one.name || ' RESTART';
    END LOOP;
END $body$
"""
ENGINES: tuple[Engine, ...] = (Sqlite(), Postgres())


def _released(case: Any, result: Any) -> None:
    """Run a test, and give back what its engine lent it."""
    try:
        SynchronousTestCase.run(case, result)
    finally:
        case.engine.release()


def on_every_engine(module: dict[str, Any]) -> None:
    """Make a test case of each class of ``module`` named ``...Contract``, for each engine.

    One whose ``once`` is true counts more than a store does: it is made for the first engine alone.
    """
    for name, contract in list(module.items()):
        if isinstance(contract, type) and name.endswith("Contract"):
            for engine in ENGINES[:1] if getattr(contract, "once", False) else ENGINES:
                made = f"{name.removesuffix('Contract')}{engine.name}Tests"
                body = {"engine": engine, "__module__": contract.__module__, "run": _released}
                module[made] = type(made, (contract, SynchronousTestCase), body)
