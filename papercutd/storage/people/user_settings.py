"""What administrators set of a user, beside money, names and proofs.

Each function is one step of the writer's transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from papercutd.domain.job import fold_user_name
from papercutd.domain.money import check_amount_e4
from papercutd.domain.user_fields import DETAILS, check_text
from papercutd.errors import AlreadyExists, InvalidValue, NotFound
from papercutd.storage.administration.directory import Directory
from papercutd.storage.engine import Connection
from papercutd.storage.people.account_modes import read_written, set_mode
from papercutd.storage.replication.change_log import ChangeLog

#: Of the user's own row, of the account's, and those kept beside them.
_OF_USER = ("full_name", "disabled", "expires_at")
_OF_ACCOUNT = {"restricted": "restricted", "overdraft_e4": "floor_e4"}
SETTINGS = frozenset({*_OF_USER, *_OF_ACCOUNT, *DETAILS, "account_mode"})


def living_user(connection: Connection, directory: Directory, name: str) -> tuple[int, int]:
    """(id, account) of a user who is not deleted; raises NotFound."""
    person = directory.find_person(connection, name)
    if person is not None:
        (deleted_at,) = connection.execute(
            "SELECT deleted_at FROM user WHERE id = ?", (person.id,)
        ).fetchone()
        if deleted_at is None:
            return person.id, person.account
    raise NotFound("user", name)


def change_settings(
    connection: Connection, log: ChangeLog, user: int, account: int, settings: Mapping[str, Any]
) -> None:
    """Set what ``settings`` names; raises InvalidValue, AlreadyExists for an alias."""
    unknown = set(settings) - SETTINGS
    if unknown:
        raise InvalidValue(sorted(unknown)[0], "is not a setting of a user")
    _set(connection, "user", user, {k: settings[k] for k in _OF_USER if k in settings})
    log.touch("user", user)
    if "account_mode" in settings:
        set_mode(connection, log, [user], read_written(connection, settings["account_mode"]))
    columns = {}
    if "restricted" in settings:
        columns["restricted"] = int(settings["restricted"])
    if "overdraft_e4" in settings:
        if settings["overdraft_e4"] < 0:
            raise InvalidValue("overdraft", "is the amount a balance may go below zero, not less")
        columns["floor_e4"] = -check_amount_e4(settings["overdraft_e4"], field="overdraft")
    if columns:
        _set(connection, "account", account, columns)
        log.touch("account", account)
    details = {k: settings[k] for k in DETAILS if k in settings}
    if details:
        change_details(connection, user, details)


def change_details(connection: Connection, user: int, details: Mapping[str, str]) -> None:
    """Raises InvalidValue, and AlreadyExists for somebody else's alias."""
    columns = dict(details)
    for field, text in details.items():
        check_text(field, text, DETAILS[field])
    if "alias" in details:
        columns["alias_folded"] = fold_user_name(details["alias"])
        taken = connection.execute(
            "SELECT 1 FROM user_detail WHERE alias_folded = ? AND alias_folded <> '' AND user <> ?",
            (columns["alias_folded"], user),
        ).fetchone()
        if taken is not None:
            raise AlreadyExists("alias", details["alias"])
    connection.execute("INSERT INTO user_detail (user) VALUES (?) ON CONFLICT DO NOTHING", (user,))
    _set(connection, "user_detail", user, columns, key="user")


def _set(
    connection: Connection, table: str, id: int, columns: Mapping[str, Any], key: str = "id"
) -> None:
    if columns:
        # Names of ours, none that somebody gave.
        values = ", ".join(f"{column} = ?" for column in columns)
        connection.execute(f"UPDATE {table} SET {values} WHERE {key} = ?", (*columns.values(), id))
