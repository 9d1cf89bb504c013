"""Which tables a site gets a copy of, column by column, and how their rows travel.

A row travels as ``[table, key, {column: value}]``, a removal with null for the
columns. ``charge`` is an event without a table at the site: the key's charge
was posted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

import attrs

from papercutd.errors import BadRows

Row = tuple[str, int | str, dict[str, Any] | None]

#: Event of the stream that has no table of its own.
CHARGE = "charge"


@attrs.frozen
class Replicated:
    """One replicated table: its key, its columns (key first) and where they are read."""

    table: str
    key: str
    columns: tuple[str, ...]
    source: str
    condition: str = "1"

    @property
    def select_one(self) -> str:
        columns = ", ".join(self.columns)
        return f"SELECT {columns} FROM {self.source} WHERE {self.key} = ? AND {self.condition}"

    @property
    def select_after(self) -> str:
        columns = ", ".join(self.columns)
        return (
            f"SELECT {columns} FROM {self.source} WHERE {self.key} > ? AND {self.condition}"
            f" ORDER BY {self.key} LIMIT ?"
        )

    @property
    def first_key(self) -> int | str:
        """Less than every key of the table."""
        return (
            ""
            if self.key in ("key", "serial", "hash", "name", "folded") or self.table == "stream"
            else -1
        )


#: Secrets that sites need: of cards and of grants.
_SECRETS = "name IN ('card-key', 'grant-key')"
#: An administrator's verifiers never leave the centre.
_USERS = (
    "(SELECT id, name, folded, full_name, account, administrator, merged_into,"
    " CASE WHEN deleted_at IS NULL THEN disabled ELSE 1 END AS disabled,"
    " CASE administrator WHEN 0 THEN verifier ELSE '' END AS verifier,"
    " CASE administrator WHEN 0 THEN pin_verifier ELSE '' END AS pin_verifier FROM user)"
)

TABLES: dict[str, Replicated] = {
    spec.table: spec
    for spec in (
        Replicated(
            "account",
            "id",
            (
                *("id", "kind", "name", "user", "restricted", "floor_e4", "credits_e4"),
                *("debits_e4", "pending_e4", "closed", "merged_into"),
            ),
            "account",
            "kind IN ('personal', 'shared')",
        ),
        Replicated(
            "user",
            "id",
            (
                *("id", "name", "folded", "full_name", "account", "disabled"),
                *("administrator", "merged_into", "verifier", "pin_verifier"),
            ),
            _USERS,
        ),
        Replicated("former_name", "folded", ("folded", "user"), "former_name"),
        Replicated("card", "hash", ("hash", "user"), "card"),
        Replicated("secret", "name", ("name", "value"), "secret", _SECRETS),
        Replicated(
            "device",
            "id",
            ("id", "name", "site", "printer", "functions", "logins", "idle_s", "removed"),
            "device",
        ),
        Replicated(
            "site",
            "id",
            (
                *("id", "name", "policy", "cap_user_e4", "deny_beyond_cap"),
                *("host", "port", "removed", "device_port"),
            ),
            "site",
        ),
        Replicated("provider", "id", ("id", "name", "site", "preferred", "removed"), "provider"),
        Replicated(
            "printer",
            "id",
            (
                *("id", "name", "provider", "uri", "when_alone", "removed"),
                *("release", "pull_group", "held_max_s"),
            ),
            "printer",
        ),
        Replicated("price", "version", ("version", "effective_from", "body", "needs"), "price"),
        Replicated(
            "stream",
            "id",
            (
                *("id", "site", "number", "chain", "granted_e4", "returned_e4"),
                *("settled_e4", "spent_e4", "state"),
            ),
            "stream",
        ),
        Replicated(
            "reservation",
            "key",
            ("key", "account", "reserved_e4"),
            "decision",
            "state = 'open'",
        ),
        Replicated(
            "revocation",
            "serial",
            ("serial", "role", "name"),
            "certificate",
            "revoked_at IS NOT NULL",
        ),
    )
}


def read_row(connection: sqlite3.Connection, table: str, key: int | str) -> Row:
    """The row as a site is to hold it; None columns when it is not to."""
    spec = TABLES[table]
    found = connection.execute(spec.select_one, (key,)).fetchone()
    return (table, key, None if found is None else dict(zip(spec.columns, found, strict=True)))


def apply_rows(
    connection: sqlite3.Connection, database: str, rows: Iterable[Any], charged_at: int | None
) -> None:
    """Write travelled rows into the replica attached as ``database``.

    ``charged_at``: the change that charges come with; None: they do not come (a snapshot).
    Raises BadRows for what is no row of this release; its transaction has to be undone.
    """
    try:
        for table, key, columns in rows:
            if table == CHARGE and charged_at is not None:
                connection.execute(
                    f"INSERT OR IGNORE INTO {database}.charged VALUES (?, ?)", (key, charged_at)
                )
            else:
                _apply_row(connection, database, table, key, columns)
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise BadRows(f"a row cannot be read: {type(error).__name__}") from error
    except (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError) as error:
        # A value of another type than its column.
        raise BadRows(f"a row does not fit: {error}") from error


def _apply_row(
    connection: sqlite3.Connection,
    database: str,
    table: str,
    key: int | str,
    columns: dict[str, Any] | None,
) -> None:
    """One row. Tables and columns of a newer release are passed over: they travel with the
    capabilities they need.
    """
    spec = TABLES.get(table)
    if spec is None:
        return
    if columns is None:
        connection.execute(f"DELETE FROM {database}.{table} WHERE {spec.key} = ?", (key,))
        return
    if columns[spec.key] != key:
        raise BadRows(f"a row of {table} has another key than it travels under")
    names = ", ".join(spec.columns)
    places = ", ".join("?" * len(spec.columns))
    connection.execute(
        f"INSERT OR REPLACE INTO {database}.{table} ({names}) VALUES ({places})",
        [columns[name] for name in spec.columns],
    )
