"""The store's part for shared accounts: storage/money/shared_accounts.py, one call a use case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred

from papercutd.domain.account_tree import SEPARATOR
from papercutd.domain.shared_import import ImportedAccount
from papercutd.storage.administration.directory import Directory
from papercutd.storage.administration.listings import PAGE_ROWS, Row, rows
from papercutd.storage.administration.rule_store import Transactions
from papercutd.storage.engine import Connection
from papercutd.storage.money.accounts import Entry
from papercutd.storage.money.shared_accounts import Access, SharedAccounts, find_account
from papercutd.storage.money.shared_imports import (
    AccountPlan,
    plan_accounts,
    put_accounts_aside,
    read_missing,
)
from papercutd.storage.replication.change_log import ChangeLog

_ACCOUNT = (
    "SELECT a.id, a.name, parent.name AS parent, a.restricted, -a.floor_e4 AS overdraft_e4,"
    " a.closed, a.disabled_until, a.markup_e4, COALESCE(s.access_mode, 'inherit') AS access,"
    " COALESCE(s.invoice, 'user-chooses') AS invoice, COALESCE(s.comment, 'optional') AS comment,"
    " COALESCE(s.pin_hash, '') <> '' AS has_pin, COALESCE(s.notes, '') AS notes,"
    " a.credits_e4 - a.debits_e4 AS balance_e4, a.pending_e4, a.access AS by"
    " FROM account AS a LEFT JOIN shared_account AS s ON s.id = a.id"
    " LEFT JOIN account AS parent ON parent.id = a.parent WHERE a.kind = 'shared'"
)
_USERS = (
    "SELECT user.name FROM account_access AS r JOIN user ON user.id = r.user"
    " WHERE r.account = ? AND deleted_at IS NULL ORDER BY user.folded"
)
_GROUPS = (
    "SELECT g.name FROM account_access AS r JOIN user_group AS g ON g.id = r.user_group"
    " WHERE r.account = ? ORDER BY g.folded"
)


class SharedAccountStore:
    """Each method is one transaction, or one read beside the writer; raises as its step does."""

    def __init__(
        self,
        store: Transactions,
        log: ChangeLog,
        directory: Directory,
        wall_s: Callable[[], float],
    ) -> None:
        self._store = store
        self._wall_s = wall_s
        self.accounts = SharedAccounts(log, directory)

    def add(
        self,
        name: str,
        balance_e4: int = 0,
        settings: Mapping[str, Any] | None = None,
        now: bool = False,
    ) -> Deferred[int]:
        """A new account below the one that its name says, with all of ``settings`` or not at all;
        ``access`` is one of them."""
        entry, given = self._entry(), dict(settings or {})
        access = given.pop("access", None)

        def add(connection: Connection) -> int:
            account = self.accounts.add(connection, name, balance_e4, given, entry, now)
            if access is not None:
                self.accounts.set_access(connection, account, access)
            return account

        return self._store.write(add)

    def set(self, name: str, settings: Mapping[str, Any]) -> Deferred[None]:
        """All of ``settings`` or none; ``access`` is one of them."""
        given = dict(settings)
        access = given.pop("access", None)

        def change(connection: Connection) -> None:
            account = find_account(connection, name)
            self.accounts.set(connection, account, given)
            if access is not None:
                self.accounts.set_access(connection, account, access)

        return self._store.write(change)

    def rename(self, name: str, own: str, now: bool = False) -> Deferred[str]:
        """The full name."""
        at = self._wall_s()
        return self._store.write(
            lambda c: self.accounts.rename(c, find_account(c, name), own, at, now)
        )

    def move(self, name: str, parent: str, now: bool = False) -> Deferred[str]:
        """Below ``parent``, empty: to the top; the full name."""
        at = self._wall_s()

        def move(connection: Connection) -> str:
            account = find_account(connection, name)
            above = find_account(connection, parent) if parent else None
            return self.accounts.move(connection, account, above, at, now)

        return self._store.write(move)

    def close(self, name: str) -> Deferred[int]:
        """With all below it; how many were open."""
        return self._store.write(lambda c: self.accounts.close(c, find_account(c, name)))

    def reopen(self, name: str) -> Deferred[None]:
        """It alone."""
        return self._store.write(lambda c: self.accounts.reopen(c, find_account(c, name)))

    def change_access(
        self, name: str, add: Access = Access(), remove: Access = Access()
    ) -> Deferred[int]:
        """Who may charge it; how many changed."""
        return self._store.write(
            lambda c: self.accounts.change_access(c, find_account(c, name), add, remove)
        )

    def adjust(self, name: str, amount_e4: int, reason: str) -> Deferred[None]:
        """Give money to an account, or (negative) take it."""
        entry = self._entry(reason)
        return self._store.write(
            lambda c: self.accounts.adjust(c, find_account(c, name), amount_e4, entry)
        )

    # What there is.

    def page(self, after: str = "", below: str = "") -> Deferred[list[Row]]:
        """At most 500 beyond the name ``after``, by name; ``below``: with an account, what is
        below it."""

        def read(connection: Connection) -> list[Row]:
            under = ""
            values: list[Any] = [after]
            if below:
                (name,) = connection.execute(
                    "SELECT name FROM account WHERE id = ?", (find_account(connection, below),)
                ).fetchone()
                under = " AND (a.name = ? OR substr(a.name, 1, ?) = ?)"
                prefix = f"{name}{SEPARATOR}"
                values += [name, len(prefix), prefix]
            query = f"{_ACCOUNT} AND a.name > ?{under} ORDER BY a.name LIMIT {PAGE_ROWS}"
            return rows(connection, query, *values)

        return self._store.read(read)

    def show(self, name: str) -> Deferred[Row]:
        """One, with who may charge it; raises NotFound."""
        return self._store.read(lambda c: read_account(c, find_account(c, name)))

    def export(self, after: str) -> Deferred[list[Row]]:
        """At most 500 that are not closed, beyond the name ``after``, each with its list."""

        def read(connection: Connection) -> list[Row]:
            query = f"{_ACCOUNT} AND a.closed = 0 AND a.name > ? ORDER BY a.name LIMIT {PAGE_ROWS}"
            found = rows(connection, query, after)
            return [_with_access(connection, row) for row in found]

        return self._store.read(read)

    def plan_import(
        self, lines: Sequence[ImportedAccount], keep_balances: bool
    ) -> Deferred[list[AccountPlan]]:
        """What would become of each line of a file; nothing is written."""
        at = self._wall_s()
        return self._store.read_long(lambda c: plan_accounts(c, lines, keep_balances, at))

    def missing(self, lines: Sequence[ImportedAccount]) -> Deferred[list[str]]:
        """Names of those that may be charged, and that the file does not name."""
        return self._store.read_long(lambda c: read_missing(c, lines))

    def put_aside(self, id: str, lines: Sequence[ImportedAccount]) -> Deferred[None]:
        """Checked lines wait until they are applied, or forgotten, as those of users are."""
        return self._store.write(lambda c: put_accounts_aside(c, id, lines))

    def _entry(self, reason: str = "opening balance") -> Entry:
        now = self._wall_s()
        return Entry("", 0, "administrator", "", now, now, reason=reason)


def read_account(connection: Connection, account: int) -> Row:
    """One account as it is shown."""
    (row,) = rows(connection, f"{_ACCOUNT} AND a.id = ?", account)
    return _with_access(connection, row)


def _with_access(connection: Connection, row: Row) -> Row:
    tree_id = row.pop("by")
    row["users"] = [one for (one,) in connection.execute(_USERS, (tree_id,)).fetchall()]
    row["groups"] = [one for (one,) in connection.execute(_GROUPS, (tree_id,)).fetchall()]
    row["access_by"] = None
    if tree_id:
        (row["access_by"],) = connection.execute(
            "SELECT name FROM account WHERE id = ?", (tree_id,)
        ).fetchone()
    return row
