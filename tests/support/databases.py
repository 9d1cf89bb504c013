"""Empty databases in memory: migrated once in a process of tests, copied for each test.

All migrations of the application server's take 20 ms of a processor, a copy one; thousands of
stores are made. That migrating gives what it should is for the tests of migrations themselves.
"""

from __future__ import annotations

import sqlite3
from functools import cache

from papercutd.storage.site.replica import Memory
from papercutd.storage.sqlite.migrate import connect, migrate


@cache
def template(schema: str) -> sqlite3.Connection:
    """To copy from, and for nothing else."""
    made = connect(":memory:")
    migrate(made, schema, schema)
    return made


def empty_database(schema: str) -> sqlite3.Connection:
    """As ``open_database(":memory:", schema)``."""
    connection = connect(":memory:")
    template(schema).backup(connection)
    return connection


class EmptyReplicas(Memory):
    """Replicas in memory that need no migration."""

    def path(self, number: int) -> str:
        is_new = number not in self._keepers
        path = super().path(number)
        if is_new:
            template("replica").backup(self._keepers[number])
        return path
