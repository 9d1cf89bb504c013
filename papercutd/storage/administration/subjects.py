"""The rows that an administrative act is about, as its entry shows them before and after."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from papercutd.domain.hidden import hide_userinfo
from papercutd.errors import NotFound
from papercutd.storage.administration.act_views import VIEWS, read_view
from papercutd.storage.administration.acts import Act
from papercutd.storage.administration.directory import Directory
from papercutd.storage.administration.listings import Row, rows
from papercutd.storage.engine import Connection
from papercutd.storage.money.shared_accounts import find_account

#: Of what is removed by a mark the row stays: (table, condition).
_TABLES = {
    "site": "site",
    "provider": "provider",
    "printer": "printer",
    "device": "device",
    "group": "user_group",
    "quota": "schedule",
    "purse": "purse_kind",
}
_LIVING = " AND removed = 0"
_HAS_REMOVED = frozenset(("site", "provider", "printer", "device", "schedule", "purse_kind"))
_ACCOUNT = (
    "SELECT restricted, closed, floor_e4, credits_e4 - debits_e4 + purses_e4 AS balance_e4,"
    " pending_e4"
    " FROM account WHERE id = ?"
)
#: What is shown as set or not.
_SECRET = ("verifier", "pin_verifier")
#: (table, id)
Place = tuple[str, int | str]
Rows = dict[Place, Row]


def read_subjects(connection: Connection, directory: Directory, act: Act, known: Rows) -> Rows:
    """The rows of ``act`` by table and key; with those ``known`` before, whatever they are called
    by now.
    """
    places = {place: None for place in known if place[0] != "policy"}
    for kind, name in act.subjects:
        with suppress(NotFound):
            places[_find(connection, directory, kind, name)] = None
    found = {place: _read(connection, *place) for place in places}
    if act.policy is not None:
        with suppress(NotFound):
            found |= _read_policy(connection, directory, *act.policy)
    return found


def _find(connection: Connection, directory: Directory, kind: str, name: str) -> Place:
    if kind in VIEWS:
        return kind, name
    if kind == "user":
        return "user", directory.id_of_user(connection, name)
    if kind == "account":
        return "account", find_account(connection, name)
    table = _TABLES[kind]
    where = _LIVING if table in _HAS_REMOVED else ""
    found = connection.execute(f"SELECT id FROM {table} WHERE name = ?{where}", (name,)).fetchone()
    if found is None:
        raise NotFound(kind, name)
    return table, int(found[0])


def _read(connection: Connection, table: str, key: int | str) -> Row:
    if table in VIEWS:
        return read_view(connection, table, str(key))
    found = rows(connection, f'SELECT * FROM "{table}" WHERE id = ?', key)
    row: Row = found[0] if found else {}
    for name in _SECRET:
        if row.get(name):
            row[name] = "set"
    if row and table == "account":
        row["balance_e4"] = row["credits_e4"] - row["debits_e4"]
    if row and table == "user":
        for name, value in rows(connection, _ACCOUNT, row["account"])[0].items():
            row[f"account.{name}"] = value
        details = rows(connection, 'SELECT * FROM user_detail WHERE "user" = ?', key)
        row |= {k: v for one in details for k, v in one.items() if k != "user"}
    return row


def _read_policy(
    connection: Connection, directory: Directory, site: str | None, group: str | None
) -> Rows:
    of_site = 0 if not site else directory.id_of(connection, "site", site)
    of_group = 0 if not group else _find(connection, directory, "group", group)[1]
    prefix = f"{of_site}.{of_group}"
    found = connection.execute(
        "SELECT knob, value FROM site_policy WHERE key >= ? AND key < ? ORDER BY key",
        (f"{prefix}.", f"{prefix}/"),
    )
    return {("policy", prefix): dict(found.fetchall())}


def differences(before: Rows, after: Rows) -> tuple[str, str]:
    """(was, became): the columns that are other now, JSON by table and key; both empty: none."""
    was: dict[str, Any] = {}
    became: dict[str, Any] = {}
    for place, row in after.items():
        old = before.get(place, {})
        changed = [k for k in (*old, *(k for k in row if k not in old)) if _differ(old, row, k)]
        if changed:
            name = f"{place[0]} {place[1]}".rstrip()
            was[name] = {k: old[k] for k in changed if k in old}
            became[name] = {k: row[k] for k in changed if k in row}
    if not became:
        return "", ""
    was_text, became_text = (
        hide_userinfo(json.dumps(one, ensure_ascii=False, default=str)) for one in (was, became)
    )
    return was_text, became_text


def _differ(old: Row, new: Row, column: str) -> bool:
    missing = object()
    return bool(old.get(column, missing) != new.get(column, missing))
