"""A site's replicas on PostgreSQL: the schema ``replica`` is in force, ``incoming`` is filled.

There is one transaction for everything: the one that names the incoming replica also puts it
in force, so no start has anything left to do.
"""

from __future__ import annotations

from papercutd.storage.engine import Connection
from papercutd.storage.postgres.migrate import migrate


class NoFiles:
    """Replicas are schemas: there is nothing beside the database."""

    def path(self, number: int) -> str:
        return ""

    def remove(self, number: int) -> None:
        return


def is_attached(connection: Connection, schema: str) -> bool:
    found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = ?", (schema,))
    return found.fetchone() is not None


def attach(connection: Connection, schema: str) -> bool:
    """Make ``schema`` a replica of this release; True: it was one of an older."""
    return migrate(connection, "replica", schema)


def drop(connection: Connection, schema: str) -> None:
    connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


def put_in_force(connection: Connection) -> None:
    """The incoming replica takes the place of the one in force."""
    drop(connection, "replica")
    connection.execute("ALTER SCHEMA incoming RENAME TO replica")
