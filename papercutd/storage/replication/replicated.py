"""Which tables a site gets a copy of, column by column, and how their rows travel.

A row travels as ``[table, key, {column: value}]``, a removal with null for the
columns. ``charge`` and ``adjusted`` are events, of which no snapshot has any: the
key's charge was posted; an administrator gave or took money.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

import attrs
import msgspec

from papercutd.errors import InvalidValue, NotFound
from papercutd.storage.engine import Connection, as_array, is_sqlite

#: Rows of one range that are digested at the most; a longer one is compared as far as that.
RANGE_MAX = 2_000
_ENCODE = msgspec.json.Encoder().encode

Row = tuple[str, int | str, dict[str, Any] | None]

#: For tables without any.
NONE_NEWER: Mapping[str, int] = MappingProxyType({})

#: Event of the stream that has no table of its own.
CHARGE = "charge"


@attrs.frozen
class Replicated:
    """One replicated table: its key, its columns (key first) and where they are read."""

    table: str
    key: str
    columns: tuple[str, ...]
    source: str
    condition: str = "1 = 1"
    #: The version of the wire that brought the table, and those that brought columns later:
    #: who speaks an older one has no such rows, and rows without such columns.
    since: int = 1
    newer: Mapping[str, int] = NONE_NEWER

    def columns_at(self, version: int) -> tuple[str, ...]:
        """The columns that who speaks ``version`` knows."""
        return tuple(name for name in self.columns if self.newer.get(name, self.since) <= version)

    @property
    def select_one(self) -> str:
        columns = ", ".join(self.columns)
        return f"SELECT {columns} FROM {self.source} WHERE {self.key} = ? AND {self.condition}"

    @property
    def select_many(self) -> str:
        """Of PostgreSQL alone: by a list of keys."""
        columns = ", ".join(self.columns)
        return f"SELECT {columns} FROM {self.source} WHERE {self.key} = ANY(?) AND {self.condition}"

    @property
    def select_after(self) -> str:
        columns = ", ".join(self.columns)
        return (
            f"SELECT {columns} FROM {self.source} WHERE {self.key} > ? AND {self.condition}"
            f" ORDER BY {self.key} LIMIT ?"
        )

    def condition_of(self, source: str) -> str:
        """Of the centre's rows; a replica has no others."""
        return self.condition if source == self.source else "1 = 1"

    @property
    def first_key(self) -> int | str:
        """Less than every key of the table."""
        return (
            ""
            if self.key in ("key", "serial", "hash", "name", "folded")
            or self.table in ("stream", "allowance", "notice")
            else -1
        )


#: Secrets that sites need: of cards and of grants, and which clients were logged out.
_SECRETS = "(name IN ('card-key', 'grant-key') OR substr(name, 1, 13) = 'client-epoch-')"
#: Nobody finds a serial, nor what proves one, from what sites are told (docs/decisions/0023).
_VOUCHERS = (
    "(SELECT v.told AS hash, b.name AS batch, v.place, b.amount_e4, b.expires_at, v.redeemed_at,"
    " v.cancelled_at, b.purse FROM voucher AS v JOIN voucher_batch AS b ON b.id = v.batch"
    " WHERE v.told IS NOT NULL) AS known"
)
#: An administrator's verifiers never leave the centre.
_USERS = (
    "(SELECT id, name, folded, full_name, account, administrator, merged_into,"
    " CASE WHEN deleted_at IS NULL THEN disabled ELSE 1 END AS disabled,"
    " CASE administrator WHEN 0 THEN verifier ELSE '' END AS verifier,"
    " CASE administrator WHEN 0 THEN pin_verifier ELSE '' END AS pin_verifier, expires_at,"
    " account_mode, needs"
    " FROM user) AS person"
)
#: Purses are accounts at the centre; sites have what each holds.
_PURSES = (
    "(SELECT id AS account, parent AS owner, user, purse AS kind,"
    " credits_e4 - debits_e4 AS balance_e4 FROM account WHERE kind = 'purse') AS held"
)

#: To a site of an older release, which knows neither access nor mark-up, one with any is closed.
_ACCOUNTS = (
    "(SELECT id, kind, name, user, restricted, floor_e4, credits_e4, debits_e4, pending_e4,"
    " CASE WHEN access <> 0 OR markup_e4 <> 0 OR disabled_until IS NOT NULL THEN 1"
    " ELSE closed END AS closed, merged_into, purses_e4, access, markup_e4, disabled_until,"
    " closed AS shut"
    " FROM account) AS account"
)

TABLES: dict[str, Replicated] = {
    spec.table: spec
    for spec in (
        Replicated(
            "account",
            "id",
            (
                *("id", "kind", "name", "user", "restricted", "floor_e4", "credits_e4"),
                *("debits_e4", "pending_e4", "closed", "merged_into", "purses_e4"),
                *("access", "markup_e4", "disabled_until", "shut"),
            ),
            _ACCOUNTS,
            "kind IN ('personal', 'shared')",
            newer=dict.fromkeys(("purses_e4", "access", "markup_e4", "disabled_until", "shut"), 2),
        ),
        Replicated(
            "purse", "account", ("account", "owner", "user", "kind", "balance_e4"), _PURSES, since=2
        ),
        Replicated(
            "purse_kind", "id", ("id", "name", "rank"), "purse_kind", "removed = 0", since=2
        ),
        Replicated(
            "shared_account",
            "id",
            ("id", "pin_hash", "invoice", "comment", "needs"),
            "shared_account",
            since=2,
        ),
        Replicated(
            "account_access",
            "key",
            ("key", "account", "user", "user_group"),
            "account_access",
            since=2,
        ),
        Replicated(
            "user",
            "id",
            (
                *("id", "name", "folded", "full_name", "account", "disabled"),
                *("administrator", "merged_into", "verifier", "pin_verifier", "expires_at"),
                *("account_mode", "needs"),
            ),
            _USERS,
            newer={"expires_at": 2, "account_mode": 2, "needs": 2},
        ),
        Replicated("former_name", "folded", ("folded", "user"), "former_name"),
        Replicated(
            *("user_group", "id", ("id", "name", "folded"), "user_group", "removed = 0"), since=2
        ),
        Replicated("group_member", "key", ("key", "user_group", "user"), "group_member", since=2),
        Replicated("group_nested", "key", ("key", "parent", "child"), "group_nested", since=2),
        Replicated(
            "site_policy",
            "key",
            ("key", "site", "user_group", "knob", "value", "needs", "below"),
            "site_policy",
            since=2,
        ),
        Replicated(
            "new_user_rule",
            "user_group",
            ("user_group", "credit_e4", "restricted", "overdraft_e4", "account_selection"),
            "new_user_rule",
            "user_group = 0",
            since=2,
        ),
        Replicated("card", "hash", ("hash", "user"), "card"),
        Replicated("notice", "id", ("id", "user", "kind", "at"), "notice", since=2),
        Replicated(
            "voucher",
            "hash",
            (
                *("hash", "batch", "place", "amount_e4", "expires_at", "redeemed_at"),
                *("cancelled_at", "purse"),
            ),
            _VOUCHERS,
            since=2,
        ),
        Replicated(
            "lockout",
            "user",
            ("user", "lockouts", "lasts_s", "ends_at", "unlocked"),
            "lockout",
            since=2,
        ),
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
        Replicated(
            "schedule",
            "id",
            (
                *("id", "name", "amount_e4", "cap_e4", "period", "day", "minute", "whom"),
                *("next_at", "done_account", "last_account", "ran_at", "purse"),
            ),
            "schedule",
            "removed = 0",
            since=2,
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
            "allowance",
            "id",
            ("id", "stream", "user", "granted_e4", "returned_e4", "settled_e4"),
            "allowance",
            since=2,
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
            ("serial", "role", "name", "revoked_at"),
            "certificate",
            "revoked_at IS NOT NULL",
            newer={"revoked_at": 2},
        ),
    )
}


def digest_of(values: Iterable[Any]) -> str:
    """BLAKE2b-128 of the columns of one row, texts as their bytes; hexadecimal."""
    return digest_as_stored([v.encode() if isinstance(v, str) else v for v in values])


def digest_as_stored(row: Sequence[Any]) -> str:
    """The same of a row whose texts are bytes already."""
    return blake2b(_ENCODE(row), digest_size=16).hexdigest()


def find_table(table: str, version: int | None = None) -> Replicated:
    """The replicated table of that name, as who speaks ``version`` knows it; raises NotFound."""
    spec = TABLES.get(table)
    if spec is None or (version is not None and spec.since > version):
        raise NotFound("replicated table", table)
    return spec if version is None else attrs.evolve(spec, columns=spec.columns_at(version))


def tables_at(version: int) -> list[str]:
    """The replicated tables that who speaks ``version`` knows."""
    return [spec.table for spec in TABLES.values() if spec.since <= version]


def read_row(connection: Connection, table: str, key: int | str) -> Row:
    """The row as a site is to hold it; None columns when it is not to."""
    spec = TABLES[table]
    found = connection.execute(spec.select_one, (key,)).fetchone()
    return (table, key, None if found is None else dict(zip(spec.columns, found, strict=True)))


def read_rows(connection: Connection, touched: Iterable[tuple[str, int | str]]) -> list[Row]:
    """The rows of these tables and keys, in that order."""
    if is_sqlite(connection):
        return [read_row(connection, table, key) for table, key in touched]
    wanted: dict[str, list[int | str]] = {}
    touched = list(touched)
    for table, key in touched:
        wanted.setdefault(table, []).append(key)
    # A question is a journey to the server: one for each table.
    found = {
        (table, row[0]): dict(zip(TABLES[table].columns, row, strict=True))
        for table, keys in wanted.items()
        for row in connection.execute(TABLES[table].select_many, (as_array(keys),))
    }
    return [(table, key, found.get((table, key))) for table, key in touched]


@attrs.frozen
class RangeDigest:
    """Rows of one range of a replicated table, at one moment."""

    count: int
    #: Of the digests of all its rows, in the order of their keys.
    digest: str
    #: (key as stored, digest) of each.
    rows: list[tuple[int | bytes, str]]


def read_range(
    connection: Connection,
    query: tuple[str, Replicated],
    after: int | str | None,
    until: int | str | None,
    count_max: int | None = None,
) -> RangeDigest:
    """The rows with keys beyond ``after`` up to ``until``; ``query``: (source, table).

    Raises InvalidValue for bounds that are no keys of that table.
    """
    source, spec = query
    low = spec.first_key if after is None else after
    if any(type(bound) is not type(spec.first_key) for bound in (low, until) if bound is not None):
        raise InvalidValue("after, until", "are no keys of that table")
    bounded = "" if until is None else f" AND {spec.key} <= ?2"
    # Numbers may be negative where a disk was damaged.
    beyond = "1 = 1" if after is None else f"{spec.key} > ?1"
    limited = "" if count_max is None else f" LIMIT {count_max}"
    values = (low,) if until is None else (low, until)
    before, connection.text_factory = connection.text_factory, bytes
    try:
        rows = [
            (row[0], digest_of(row))
            for row in connection.execute(
                f"SELECT {', '.join(spec.columns)} FROM {source}"
                f" WHERE ?1 IS NOT NULL AND {beyond}{bounded} AND {spec.condition_of(source)}"
                f" ORDER BY {spec.key}{limited}",
                values,
            )
        ]
    finally:
        connection.text_factory = before
    return RangeDigest(len(rows), digest_of(digest for _, digest in rows), rows)
