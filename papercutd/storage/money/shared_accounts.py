"""Shared accounts as administrators make and change them, at the application server.

Names are full ones, ``parent\\sub``. What an account inherits is worked out when something
changes, and stands with each account: a decision looks at one row. Each function is one step of
the writer's transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from papercutd.domain.account_tree import (
    ACCESS_MODES,
    ACCOUNTS_MAX,
    Node,
    Tree,
    access_of,
    below,
    check_own_name,
    check_place,
    fold_account_name,
    joined,
    names_above,
    renamed,
    split_name,
)
from papercutd.domain.capabilities import ACCOUNT_RULES
from papercutd.domain.card import hash_pin
from papercutd.domain.invoicing import OPTIONS as INVOICE_OPTIONS
from papercutd.domain.markup import MARKUP_MAX_E4
from papercutd.domain.money import check_amount_e4
from papercutd.domain.user_fields import check_text
from papercutd.errors import AlreadyExists, InvalidValue, NameKept, NotFound, quoted
from papercutd.storage.administration.directory import NAME_KEPT_S, Directory
from papercutd.storage.engine import Connection, insert_row
from papercutd.storage.money.accounts import Entry
from papercutd.storage.money.room import check_room
from papercutd.storage.people.groups import find_group
from papercutd.storage.people.people import CARD_KEY, merged_users, read_secret
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.timeline import next_id

_NAMES_AT_ONCE = 200
#: Users and groups that are named for one account.
ACCESS_MAX = 1_000
NOTES_MAX = 2_000
COMMENT = ("none", "optional", "required")
#: Disabled without an end: the last second of the year 9999.
FOREVER_S = 253_402_300_799.0
#: What may be set, by the row that it stands in.
_OF_ACCOUNT = frozenset(("restricted", "overdraft_e4", "markup_e4", "disabled_until"))
_OF_SHARED = frozenset(("pin", "pin_hash", "invoice", "comment", "notes"))


@attrs.frozen
class Access:
    """Users and groups by name."""

    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def find_account(connection: Connection, name: str) -> int:
    """The id of the shared account called ``name``, else of who was last; raises NotFound."""
    folded = fold_account_name(name)
    found = connection.execute(
        "SELECT id FROM shared_account WHERE folded = ?1"
        " UNION ALL SELECT id FROM account WHERE kind = 'shared' AND name = ?2"
        " UNION ALL SELECT account FROM former_account WHERE folded = ?1 LIMIT 1",
        (folded, name),
    ).fetchone()
    if found is None:
        raise NotFound("account", name)
    return int(found[0])


_NODE = (
    "SELECT a.id, a.name, a.parent, a.closed, COALESCE(s.access_mode, 'inherit')"
    " FROM account AS a LEFT JOIN shared_account AS s ON s.id = a.id WHERE "
)
#: By the id of an account: it and those above it; it and those below it.
_ABOVE = (
    "a.id IN (WITH RECURSIVE up (id) AS (VALUES (CAST(? AS BIGINT)) UNION SELECT b.parent"
    " FROM account AS b JOIN up ON b.id = up.id WHERE b.parent IS NOT NULL) SELECT id FROM up)"
)
_BELOW = (
    "a.id IN (WITH RECURSIVE down (id) AS (VALUES (CAST(? AS BIGINT)) UNION SELECT b.id"
    " FROM account AS b JOIN down ON b.parent = down.id AND b.kind = 'shared') SELECT id FROM down)"
)


def read_tree(connection: Connection) -> dict[int, Node]:
    """All shared accounts."""
    return _nodes(connection, "a.kind = 'shared'")


def read_branch(connection: Connection, account: int) -> dict[int, Node]:
    """``account``, those above it and all below it."""
    return _nodes(connection, _ABOVE, account) | _nodes(connection, _BELOW, account)


def read_named(connection: Connection, names: Iterable[str]) -> dict[int, Node]:
    """The accounts of these full names, and all above them: their names say which these are."""
    wanted = sorted({above for name in names for above in names_above(name)})
    found: dict[int, Node] = {}
    for at in range(0, len(wanted), _NAMES_AT_ONCE):
        some = wanted[at : at + _NAMES_AT_ONCE]
        places = ", ".join("?" * len(some))
        condition = (
            f"a.id IN (SELECT id FROM shared_account WHERE folded IN ({places})"
            f" UNION SELECT id FROM account WHERE kind = 'shared' AND name IN ({places}))"
        )
        found |= _nodes(connection, condition, *map(fold_account_name, some), *some)
    return found


def _nodes(connection: Connection, condition: str, *values: object) -> dict[int, Node]:
    found = connection.execute(_NODE + condition, values).fetchall()
    return {id: Node(name, parent, bool(shut), mode) for id, name, parent, shut, mode in found}


class SharedAccounts:
    """Makes and changes them; every change goes into the change log."""

    def __init__(self, log: ChangeLog, directory: Directory) -> None:
        self._log = log
        self._directory = directory

    def add(
        self,
        connection: Connection,
        name: str,
        balance_e4: int,
        settings: Mapping[str, Any],
        entry: Entry,
        now: bool = False,
    ) -> int:
        """A new account, below the one that its name says; the opening balance is a transfer.

        Raises NotFound for a parent that is none, AlreadyExists, NameKept, InvalidValue.
        """
        above_name, own = split_name(name)
        check_amount_e4(balance_e4, field="balance")
        tree: Tree = {}
        parent = None
        if above_name:
            parent = find_account(connection, above_name)
            tree = _nodes(connection, _ABOVE, parent)
            name = joined(tree[parent].name, own)
        check_place(tree, None, parent)
        (count,) = connection.execute(
            "SELECT COUNT(*) FROM account WHERE kind = 'shared'"
        ).fetchone()
        if count >= ACCOUNTS_MAX:
            raise InvalidValue("name", f"would be the account beyond {ACCOUNTS_MAX}")
        self._take_name(connection, name, None, entry.received_at, now)
        account = insert_row(
            connection,
            "INSERT INTO account (id, kind, name, parent, restricted, access)"
            " VALUES (?, 'shared', ?, ?, 1, ?)",
            (
                *(next_id(connection, "account"), name, parent),
                access_of(tree, parent) if parent is not None else 0,
            ),
        )
        connection.execute(
            "INSERT INTO shared_account (id, folded) VALUES (?, ?)",
            (account, fold_account_name(name)),
        )
        self.set(connection, account, settings)
        if balance_e4:
            self._directory.adjust(connection, account, balance_e4, entry)
        return account

    def set(self, connection: Connection, account: int, settings: Mapping[str, Any]) -> None:
        """What ``settings`` names, of: restricted, overdraft_e4, markup_e4, disabled_until, pin
        (empty: none) or pin_hash, invoice, comment, notes. Raises InvalidValue."""
        unknown = set(settings) - _OF_ACCOUNT - _OF_SHARED
        if unknown:
            raise InvalidValue(sorted(unknown)[0], "is not a setting of an account")
        of_account = self._columns_of_account(settings)
        of_shared = self._columns_of_shared(connection, account, settings)
        self._ensure(connection, account)
        _update(connection, "account", account, of_account)
        _update(connection, "shared_account", account, of_shared)
        if "markup_e4" in settings:
            connection.execute(
                "UPDATE shared_account SET markup_most_e4 = MAX(markup_most_e4, ?) WHERE id = ?",
                (settings["markup_e4"], account),
            )
        self._touch(connection, [account])

    def adjust(self, connection: Connection, account: int, amount_e4: int, entry: Entry) -> None:
        """Give money to it, or (negative) take it. Raises InvalidValue."""
        check_room(connection, account, amount_e4)
        self._directory.adjust(connection, account, amount_e4, entry)

    def rename(self, connection: Connection, account: int, own: str, at: float, now: bool) -> str:
        """Another own name; all below it are called by it too. The full name.

        Raises AlreadyExists, NameKept, InvalidValue.
        """
        check_own_name(own, "new-name")
        tree = read_branch(connection, account)
        return self._place(connection, tree, account, tree[account].parent, own, at, now)

    def move(
        self, connection: Connection, account: int, parent: int | None, at: float, now: bool
    ) -> str:
        """It and all below it stand below ``parent`` (None: at the top) from now on."""
        tree = read_tree(connection)
        check_place(tree, account, parent)
        own = tree[account].own_name
        name = self._place(connection, tree, account, parent, own, at, now)
        connection.execute("UPDATE account SET parent = ? WHERE id = ?", (parent, account))
        self._renew_access(connection, account)
        return name

    def close(self, connection: Connection, account: int) -> int:
        """It and all below it are charged no more, whatever has happened apart; how many were
        open."""
        tree = read_branch(connection, account)
        shut = [one for one in below(tree, account) if not tree[one].closed]
        for one in shut:
            connection.execute("UPDATE account SET closed = 1 WHERE id = ?", (one,))
        self._touch(connection, shut)
        return len(shut)

    def reopen(self, connection: Connection, account: int) -> None:
        """It alone. Raises InvalidValue below a closed one, and for a PIN given to another."""
        tree = read_branch(connection, account)
        check_place(tree, account, tree[account].parent)
        self._ensure(connection, account)
        (hashed,) = connection.execute(
            "SELECT pin_hash FROM shared_account WHERE id = ?", (account,)
        ).fetchone()
        self._check_pin(connection, account, hashed)
        connection.execute("UPDATE account SET closed = 0 WHERE id = ?", (account,))
        self._touch(connection, [account])

    def set_access(self, connection: Connection, account: int, mode: str) -> None:
        """``inherit``, ``everybody`` or ``listed``; but for the last no list is kept."""
        if mode not in ACCESS_MODES:
            raise InvalidValue("access", f"is one of {', '.join(ACCESS_MODES)}")
        self._ensure(connection, account)
        if mode != "listed":
            gone = connection.execute(
                "DELETE FROM account_access WHERE account = ? RETURNING key", (account,)
            )
            for (key,) in gone.fetchall():
                self._log.touch("account_access", key)
        connection.execute(
            "UPDATE shared_account SET access_mode = ? WHERE id = ?", (mode, account)
        )
        self._renew_access(connection, account)

    def change_access(
        self, connection: Connection, account: int, add: Access, remove: Access
    ) -> int:
        """Users and groups named for it and taken out, all or none; how many changed.

        With the first one the account has access of its own. Raises NotFound, InvalidValue.
        """
        changed = 0
        for key, user, _ in self._rows(connection, account, remove):
            # Whoever was merged into somebody brings access along, and loses it with them.
            users = merged_users(connection, "", user) if user else []
            keys = [f"{account}.u{one}" for one in users] or [key]
            for one in keys:
                done = connection.execute("DELETE FROM account_access WHERE key = ?", (one,))
                changed += done.rowcount
                self._log.touch("account_access", one)
        for key, user, group in self._rows(connection, account, add):
            done = connection.execute(
                "INSERT INTO account_access (key, account, user, user_group) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                (key, account, user, group),
            )
            changed += done.rowcount
            self._log.touch("account_access", key)
        (count,) = connection.execute(
            "SELECT COUNT(*) FROM account_access WHERE account = ?", (account,)
        ).fetchone()
        if count > ACCESS_MAX:
            raise InvalidValue("access", f"would name more than {ACCESS_MAX}: make a group of them")
        if add.users or add.groups:
            self.set_access(connection, account, "listed")
        return changed

    # Parts of the above.

    def _rows(
        self, connection: Connection, account: int, named: Access
    ) -> list[tuple[str, int, int]]:
        users = [self._directory.id_of_user(connection, name) for name in named.users]
        groups = [find_group(connection, name) for name in named.groups]
        return [
            *((f"{account}.u{user}", user, 0) for user in users),
            *((f"{account}.g{group}", 0, group) for group in groups),
        ]

    def _place(
        self,
        connection: Connection,
        tree: Tree,
        account: int,
        parent: int | None,
        own: str,
        at: float,
        now: bool,
    ) -> str:
        names = renamed(tree, account, parent, own)
        for one, name in names.items():
            self._take_name(connection, name, one, at, now)
            self._ensure(connection, one)
        for one, name in names.items():
            was, folded = fold_account_name(tree[one].name), fold_account_name(name)
            connection.execute("UPDATE account SET name = ? WHERE id = ?", (name, one))
            connection.execute("UPDATE shared_account SET folded = ? WHERE id = ?", (folded, one))
            if was != folded:
                connection.execute(
                    "INSERT INTO former_account VALUES (?, ?, ?) ON CONFLICT (folded)"
                    " DO UPDATE SET account = excluded.account, left_at = excluded.left_at",
                    (was, one, at),
                )
        self._touch(connection, names)
        return names[account]

    def _take_name(
        self, connection: Connection, name: str, account: int | None, at: float, now: bool
    ) -> None:
        folded = fold_account_name(name)
        taken = connection.execute(
            "SELECT closed FROM account JOIN shared_account ON shared_account.id = account.id"
            " WHERE folded = ? AND account.id <> ?",
            (folded, account or 0),
        ).fetchone()
        if taken is not None:
            raise AlreadyExists("closed account" if taken[0] else "account", name)
        found = connection.execute(
            "SELECT account, left_at FROM former_account WHERE folded = ?", (folded,)
        ).fetchone()
        if found is None:
            return
        if found[0] != account and not now and at < found[1] + NAME_KEPT_S:
            raise NameKept(name, found[1] + NAME_KEPT_S)
        connection.execute("DELETE FROM former_account WHERE folded = ?", (folded,))

    def _columns_of_account(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        if "restricted" in settings:
            columns["restricted"] = int(settings["restricted"])
        if "overdraft_e4" in settings:
            if settings["overdraft_e4"] < 0:
                raise InvalidValue("overdraft", "is the amount a balance may go below zero")
            columns["floor_e4"] = -check_amount_e4(settings["overdraft_e4"], field="overdraft")
        if "markup_e4" in settings:
            if not 0 <= settings["markup_e4"] <= MARKUP_MAX_E4:
                raise InvalidValue("markup", f"is 0 to {MARKUP_MAX_E4 // 100} percent")
            columns["markup_e4"] = settings["markup_e4"]
        if "disabled_until" in settings:
            columns["disabled_until"] = settings["disabled_until"]
        return columns

    def _columns_of_shared(
        self, connection: Connection, account: int, settings: Mapping[str, Any]
    ) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        for field, among in (("invoice", INVOICE_OPTIONS), ("comment", COMMENT)):
            if field in settings:
                if settings[field] not in among:
                    raise InvalidValue(field, f"is one of {', '.join(among)}")
                columns[field] = settings[field]
        if "notes" in settings:
            columns["notes"] = check_text("notes", settings["notes"], NOTES_MAX)
        if "pin" in settings or "pin_hash" in settings:
            hashed = settings.get("pin_hash") or hashed_pin(connection, settings.get("pin", ""))
            self._check_pin(connection, account, hashed)
            columns["pin_hash"] = hashed
        return columns

    def _check_pin(self, connection: Connection, account: int, hashed: str) -> None:
        owner = pin_owner(connection, hashed)
        if owner is not None and owner[0] != account:
            raise InvalidValue("pin", f"is that of {quoted(owner[1])} already")

    def _ensure(self, connection: Connection, account: int) -> None:
        """Of an account that was made otherwise: its row of what only shared ones have."""
        connection.execute(
            "INSERT INTO shared_account (id, folded) SELECT id, lower(name) FROM account"
            " WHERE id = ? ON CONFLICT DO NOTHING",
            (account,),
        )

    def _renew_access(self, connection: Connection, account: int) -> None:
        """Who may charge it, or an account above it, has changed: of all below it too."""
        tree = read_branch(connection, account)
        concerned = below(tree, account)
        for one in concerned:
            connection.execute(
                "UPDATE account SET access = ? WHERE id = ?", (access_of(tree, one), one)
            )
        self._touch(connection, concerned)

    def _touch(self, connection: Connection, accounts: Iterable[int]) -> None:
        for one in accounts:
            connection.execute(
                "UPDATE shared_account SET needs = (SELECT CASE WHEN access <> 0 OR markup_e4 <> 0"
                " OR disabled_until IS NOT NULL THEN ? ELSE '' END FROM account"
                " WHERE account.id = shared_account.id) WHERE id = ?",
                (ACCOUNT_RULES, one),
            )
            self._log.touch("account", one)
            self._log.touch("shared_account", one)


def hashed_pin(connection: Connection, pin: str) -> str:
    """As it is kept; empty of none. Raises InvalidValue."""
    if not pin:
        return ""
    key = read_secret(connection, "", CARD_KEY)
    if key is None:
        raise InvalidValue("pin", "is taken once the server was started a first time")
    return hash_pin(pin, key)


def pin_owner(connection: Connection, hashed: str) -> tuple[int, str] | None:
    """(id, name) of the open account of that PIN."""
    if not hashed:
        return None
    found = connection.execute(
        "SELECT a.id, a.name FROM shared_account AS s JOIN account AS a ON a.id = s.id"
        " WHERE s.pin_hash = ? AND s.pin_hash <> '' AND a.closed = 0",
        (hashed,),
    ).fetchone()
    return None if found is None else (int(found[0]), str(found[1]))


def _update(connection: Connection, table: str, id: int, columns: Mapping[str, Any]) -> None:
    if columns:
        # Names of ours, none that somebody gave.
        values = ", ".join(f"{column} = ?" for column in columns)
        connection.execute(f"UPDATE {table} SET {values} WHERE id = ?", (*columns.values(), id))
