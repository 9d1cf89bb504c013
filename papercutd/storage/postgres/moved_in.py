"""A database that was copied to PostgreSQL, and is not in force before a role may have it.

The schema's comment says so, and names the move; it goes when the file of SQLite was set aside
under that name. A crash between the two leaves it: then the next start takes it away. A copy
whose file was never set aside is old as soon as the role has run on that file: no role takes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from papercutd.errors import StorageError
from papercutd.storage.engine import Connection

_WORDS = "copied here by papercutd migrate-store, not in force: move "
_PATTERN = re.compile(re.escape(_WORDS) + r"([0-9a-f-]+)\Z")


@attrs.frozen(auto_exc=True, str=False)
class NotInForce(StorageError):
    """The database is a copy that was never put in force: run ``papercutd migrate-store`` again."""

    schema: str

    def __str__(self) -> str:
        return (
            f"schema {self.schema} of PostgreSQL is a copy that was never put in force:"
            " run `papercutd migrate-store` again"
        )


def mark(connection: Connection, schema: str, move: str) -> None:
    """It is not in force yet."""
    assert _PATTERN.match(_WORDS + move)
    _say(connection, schema, f"''{_WORDS}{move}''")


def unmark(connection: Connection, schema: str) -> None:
    """It is in force."""
    _say(connection, schema, "NULL")


def _say(connection: Connection, schema: str, words: str) -> None:
    # Within a text the dialect leaves IS alone.
    connection.execute(f"DO 'BEGIN COMMENT ON SCHEMA {schema} IS {words}; END'")


def marked(connection: Connection, schema: str) -> str | None:
    """The move that has made it and not put it in force; None: it is an ordinary one, or none."""
    (said,) = connection.execute(
        "SELECT obj_description(to_regnamespace(?)::oid, 'pg_namespace')", (schema,)
    ).fetchone()
    found = _PATTERN.match(said or "")
    return found[1] if found else None


def settle(connection: Connection, schema: str, moves: Sequence[str]) -> None:
    """One of ``moves``, whose file was set aside, ended before it could take its mark away."""
    if marked(connection, schema) in moves:
        unmark(connection, schema)


def refuse_marked(connection: Connection, schema: str) -> None:
    """Raises NotInForce."""
    if marked(connection, schema) is not None:
        raise NotInForce(schema)
