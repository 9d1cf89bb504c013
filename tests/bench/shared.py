"""Servers that several figures of a run are measured at: started once, by whom needs them first."""

from __future__ import annotations

from pathlib import Path

from tests.bench.figures import Notes
from tests.bench.servers import Server, application, cluster, directory
from tests.support.postgres import Cluster


def _where(notes: Notes) -> Path:
    return notes.kept("directory", lambda: directory("pc-bench-"))


def postgresql_cluster(notes: Notes) -> Cluster:
    """A PostgreSQL that syncs every commit."""
    return notes.kept("cluster", lambda: cluster(_where(notes)))


def sqlite_server(notes: Notes) -> Server:
    """An application server on SQLite."""
    return notes.kept("sqlite", lambda: application(_where(notes), "sqlite"))


def postgresql_server(notes: Notes) -> Server:
    """An application server on PostgreSQL."""
    server = postgresql_cluster(notes)

    def make() -> object:
        store = server.create_database("application")
        return application(_where(notes), "postgresql", store=store)

    return notes.kept("postgresql", make)
