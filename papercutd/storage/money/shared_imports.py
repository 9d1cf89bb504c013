"""Shared accounts from a file, at the application server: what becomes of each line.

What was checked waits in the tables of people/imports.py, and is applied in pieces as users are:
once begun it is finished. Each line is looked at again then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgspec

from papercutd.domain.account_tree import (
    SEPARATOR,
    Node,
    check_place,
    fold_account_name,
)
from papercutd.domain.money import AMOUNT_LIMIT_E4
from papercutd.domain.shared_import import ImportedAccount
from papercutd.errors import DomainError, InvalidValue, NotFound, quoted
from papercutd.storage.administration.directory import NAME_KEPT_S
from papercutd.storage.engine import Connection
from papercutd.storage.money.accounts import Entry
from papercutd.storage.money.shared_accounts import (
    FOREVER_S,
    Access,
    SharedAccounts,
    find_account,
    hashed_pin,
    pin_owner,
    read_named,
)
from papercutd.storage.people.groups import find_group
from papercutd.storage.people.importing import ImportPiece
from papercutd.storage.people.imports import forget_import, forget_lines, read_settings
from papercutd.storage.people.people import find_user

#: As ``import_run`` has it.
FORMAT = "shared-accounts"
_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(ImportedAccount).decode


@attrs.frozen
class AccountPlan:
    """What becomes of one line."""

    row: ImportedAccount
    #: Why it cannot be taken.
    problem: str = ""
    #: None: a new account.
    known: int | None = None
    #: Settings that differ (shared_accounts.py), money to give or (negative) take, and
    #: the access that it is to have of its own; None: it stays.
    settings: dict[str, Any] = attrs.field(factory=dict)
    amount_e4: int = 0
    access: str | None = None

    @property
    def is_change(self) -> bool:
        return bool(self.settings or self.amount_e4 or self.access)


def plan_accounts(
    connection: Connection,
    lines: Sequence[ImportedAccount],
    keep_balances: bool,
    at: float,
) -> list[AccountPlan]:
    """What becomes of each, as things stand and the lines before it leave them; nothing is
    written."""
    tree = read_named(connection, (row.name for row in lines))
    by_name = {fold_account_name(node.name): id for id, node in tree.items()}
    plans = []
    for row in lines:
        try:
            plan = _plan(connection, row, tree, by_name, keep_balances, at)
        except DomainError as error:
            plans.append(AccountPlan(row, str(error)))
            continue
        plans.append(plan)
        if plan.known is None:
            # Below zero: no account has such an id yet.
            id, parent = -row.line, row.name.rpartition(SEPARATOR)[0]
            above = by_name[fold_account_name(parent)] if parent else None
            tree[id] = Node(row.name, above)
            by_name[fold_account_name(row.name)] = id
    return plans


def _plan(
    connection: Connection,
    row: ImportedAccount,
    tree: Mapping[int, Node],
    by_name: Mapping[str, int],
    keep_balances: bool,
    at: float,
) -> AccountPlan:
    known = by_name.get(fold_account_name(row.name))
    if known is None:
        _check_new(connection, row, tree, by_name, at)
    elif tree[known].closed:
        raise InvalidValue("name", f"is that of a closed account: open {quoted(row.name)} again")
    _check_pin(connection, row, known)
    for user in row.users:
        if find_user(connection, "", user) is None:
            raise NotFound("user", user)
    for group in row.groups:
        find_group(connection, group)
    return _differences(connection, row, known, keep_balances)


def _check_new(
    connection: Connection,
    row: ImportedAccount,
    tree: Mapping[int, Node],
    by_name: Mapping[str, int],
    at: float,
) -> None:
    parent = row.name.rpartition(SEPARATOR)[0]
    if parent:
        above = by_name.get(fold_account_name(parent))
        if above is None:
            raise InvalidValue("parent", f"{quoted(parent)} is neither there nor in a line before")
        check_place(tree, None, above)
    former = connection.execute(
        "SELECT a.name, f.left_at FROM former_account AS f JOIN account AS a ON a.id = f.account"
        " WHERE f.folded = ?",
        (fold_account_name(row.name),),
    ).fetchone()
    if former is not None and at < former[1] + NAME_KEPT_S:
        raise InvalidValue("name", f"{quoted(row.name)} is the former name of {quoted(former[0])}")


def _check_pin(connection: Connection, row: ImportedAccount, known: int | None) -> None:
    owner = pin_owner(connection, _hash_of(connection, row))
    if owner is not None and owner[0] != known:
        raise InvalidValue("pin", f"is that of {quoted(owner[1])} already")


def _hash_of(connection: Connection, row: ImportedAccount) -> str:
    return row.pin_hash or hashed_pin(connection, row.pin)


def _differences(
    connection: Connection, row: ImportedAccount, known: int | None, keep_balances: bool
) -> AccountPlan:
    wanted: dict[str, Any] = {}
    for field in ("invoice", "comment", "notes"):
        if getattr(row, field):
            wanted[field] = getattr(row, field)
    if row.restricted is not None:
        wanted["restricted"] = row.restricted
    if row.enabled is not None:
        wanted["disabled_until"] = None if row.enabled else FOREVER_S
    hashed = _hash_of(connection, row)
    if hashed:
        wanted["pin_hash"] = hashed
    access = "everybody" if row.is_everybodys else "listed" if row.users or row.groups else None
    if known is None or known < 0:
        return AccountPlan(row, "", None, wanted, row.balance_e4 or 0, access)
    found = connection.execute(
        "SELECT restricted, disabled_until, credits_e4 - debits_e4, pin_hash, invoice, comment,"
        " notes, access_mode FROM account LEFT JOIN shared_account"
        " ON shared_account.id = account.id WHERE account.id = ?",
        (known,),
    ).fetchone()
    restricted, until, balance_e4, pin, invoice, comment, notes, mode = found
    has = {
        **{"restricted": bool(restricted), "disabled_until": until, "pin_hash": pin},
        **{"invoice": invoice, "comment": comment, "notes": notes},
    }
    amount_e4 = 0
    if row.balance_e4 is not None and not keep_balances:
        amount_e4 = row.balance_e4 - balance_e4
    if abs(amount_e4) >= AMOUNT_LIMIT_E4:
        raise InvalidValue("balance", "is out of bounds")
    if access is not None and access == mode and _has_list(connection, known, row):
        access = None
    settings = {name: value for name, value in wanted.items() if value != has[name]}
    return AccountPlan(row, "", known, settings, amount_e4, access)


def _has_list(connection: Connection, account: int, row: ImportedAccount) -> bool:
    """Whether its list is the line's already."""
    wanted = {(find_user(connection, "", name) or 0, 0) for name in row.users}
    wanted |= {(0, find_group(connection, name)) for name in row.groups}
    found = connection.execute(
        "SELECT user, user_group FROM account_access WHERE account = ?", (account,)
    ).fetchall()
    return wanted == {(int(user), int(group)) for user, group in found}


def read_missing(connection: Connection, lines: Sequence[ImportedAccount]) -> list[str]:
    """Names of accounts that are neither closed nor disabled for good, and that no line names; nor
    is one above those that are named missing."""
    named = set()
    for row in lines:
        name = row.name
        while name:
            named.add(fold_account_name(name))
            name = name.rpartition(SEPARATOR)[0]
    found = connection.execute(
        "SELECT name FROM account WHERE kind = 'shared' AND closed = 0"
        " AND COALESCE(disabled_until, 0) < ? ORDER BY name",
        (FOREVER_S,),
    ).fetchall()
    return [name for (name,) in found if fold_account_name(name) not in named]


def put_accounts_aside(connection: Connection, id: str, rows: Sequence[ImportedAccount]) -> None:
    """Checked lines wait, their PINs hashed."""
    for row in rows:
        kept = attrs.evolve(row, pin="", pin_hash=_hash_of(connection, row))
        connection.execute(
            "INSERT INTO import_row VALUES (?, ?, ?)", (id, row.line, _ENCODE(kept).decode())
        )


def is_of_accounts(connection: Connection, id: str) -> bool:
    found = connection.execute("SELECT format FROM import_run WHERE id = ?", (id,)).fetchone()
    return found is not None and found[0] == FORMAT


def apply_accounts(
    connection: Connection,
    accounts: SharedAccounts,
    id: str,
    count_max: int,
    entry: Entry,
) -> ImportPiece:
    """The next lines of an import that is being applied."""
    settings = read_settings(connection, id)
    keep_balances = settings is not None and settings.keep_balances
    rows = [
        _DECODE(body)
        for (body,) in connection.execute(
            "SELECT body FROM import_row WHERE import = ? ORDER BY line LIMIT ?", (id, count_max)
        ).fetchall()
    ]
    if not rows:
        forget_import(connection, id)
        return ImportPiece(is_done=True)
    plans = plan_accounts(connection, rows, keep_balances, entry.received_at)
    good = [plan for plan in plans if not plan.problem]
    for plan in good:
        _apply(connection, accounts, plan, entry)
    forget_lines(connection, id, rows[-1].line)
    added = sum(plan.known is None for plan in good)
    changed = sum(plan.known is not None and plan.is_change for plan in good)
    rejected = [(plan.row.line, plan.problem) for plan in plans if plan.problem]
    return ImportPiece(added, changed, len(good) - added - changed, rejected)


def _apply(
    connection: Connection, accounts: SharedAccounts, plan: AccountPlan, entry: Entry
) -> None:
    row = plan.row
    if plan.known is None:
        account = accounts.add(connection, row.name, plan.amount_e4, plan.settings, entry)
    else:
        account = find_account(connection, row.name)
        accounts.set(connection, account, plan.settings)
        if plan.amount_e4:
            accounts.adjust(connection, account, plan.amount_e4, entry)
    if plan.access is not None:
        # Their list is the file's, whole.
        accounts.set_access(connection, account, "everybody")
        if plan.access == "listed":
            accounts.change_access(connection, account, Access(row.users, row.groups), Access())
