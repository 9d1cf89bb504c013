"""How new users begin, by the groups they are put into (domain/new_user.py).

Whatever makes a user asks here, in the transaction that makes the user: so each is given the
initial credit once. Who comes into a group later is no new user.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from papercutd.domain.new_user import EVERYBODY, NewUserRule, Start, start_of
from papercutd.errors import NotFound
from papercutd.storage.administration.listings import Row, rows
from papercutd.storage.engine import Connection
from papercutd.storage.people.account_modes import as_written, read_written
from papercutd.storage.people.member_history import join
from papercutd.storage.people.nested_groups import all_groups_of
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.site_scopes import sites_in_need, touch_person

#: What the transfer of an initial credit says.
REASON = "initial credit"
_COLUMNS = "credit_e4, restricted, overdraft_e4, account_selection"


class NewUserRules:
    """Each method is one step of the writer's transaction."""

    def __init__(self, log: ChangeLog) -> None:
        self._log = log

    def set(self, connection: Connection, group: str | None, changes: dict[str, Any]) -> None:
        """The rule of ``group`` (None: everybody) says what ``changes`` names, beside what it
        said; raises NotFound, InvalidValue.

        ``account_selection``: as an administrator writes it; ``default`` or None: not said.
        """
        id = _id_of(connection, group)
        if changes.get("account_selection") is not None:
            mode = read_written(connection, changes["account_selection"])
            changes = changes | {"account_selection": None if mode is None else mode.text}
        rule = read_rule(connection, id)
        values = {name: getattr(rule, name) for name in NewUserRule.__annotations__} | changes
        rule = NewUserRule(**values)
        rule.check()
        connection.execute(
            f"INSERT INTO new_user_rule (user_group, {_COLUMNS}) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (user_group) DO UPDATE SET credit_e4 = excluded.credit_e4,"
            " restricted = excluded.restricted, overdraft_e4 = excluded.overdraft_e4,"
            " account_selection = excluded.account_selection",
            (
                *(id, rule.credit_e4, None if rule.restricted is None else int(rule.restricted)),
                *(rule.overdraft_e4, rule.account_selection),
            ),
        )
        self._touch(id)

    def remove(self, connection: Connection, group: str | None) -> None:
        """Raises NotFound."""
        id = _id_of(connection, group)
        done = connection.execute("DELETE FROM new_user_rule WHERE user_group = ?", (id,))
        if done.rowcount == 0:
            raise NotFound("new-user rule", group or "everybody")
        self._touch(id)

    def _touch(self, group: int) -> None:
        if group == EVERYBODY:
            # Sites have no other.
            self._log.touch("new_user_rule", group)
        else:
            # It is a place of the history all the same.
            self._log.place()


def read_rule(connection: Connection, group: int, schema: str = "") -> NewUserRule:
    """What is said for ``group``; nothing, where there is no rule."""
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM {schema}new_user_rule WHERE user_group = ?", (group,)
    ).fetchone()
    return NewUserRule() if found is None else _rule(found)


def read_start(connection: Connection, groups: Iterable[int] = ()) -> Start:
    """How somebody who is put into ``groups`` begins: these, and all that they are within."""
    ids = list(groups)
    of_groups = []
    if ids:
        mine = all_groups_of(connection, ids)
        places = ", ".join("?" * len(mine))
        of_groups = [
            _rule(row)
            for row in connection.execute(
                f"SELECT {_COLUMNS} FROM new_user_rule JOIN user_group"
                " ON user_group.id = new_user_rule.user_group"
                f" WHERE user_group.id IN ({places}) ORDER BY folded",
                mine,
            ).fetchall()
        ]
    return start_of(read_rule(connection, EVERYBODY), of_groups)


def read_rules(connection: Connection) -> list[Row]:
    """All of them: everybody's, then by the names of the groups."""
    found = rows(
        connection,
        "SELECT user_group.name AS user_group, credit_e4, restricted, overdraft_e4,"
        " account_selection FROM new_user_rule LEFT JOIN user_group"
        " ON user_group.id = new_user_rule.user_group"
        " ORDER BY new_user_rule.user_group > 0, folded LIMIT 1001",
    )
    for row in found:
        if row["account_selection"] is not None:
            row["account_selection"] = as_written(connection, row["account_selection"])
    return found


def ids_of_groups(connection: Connection, names: Iterable[str]) -> list[int]:
    """Raises NotFound."""
    return [_id_of(connection, name) for name in names]


def existing_groups(connection: Connection, names: Iterable[str]) -> list[str]:
    """Those of ``names`` that there are."""
    found = []
    for name in names:
        with suppress(NotFound):
            _id_of(connection, name)
            found.append(name)
    return found


def join_groups(
    connection: Connection, log: ChangeLog, users: Iterable[int], groups: Iterable[int]
) -> None:
    """New users are put into ``groups``."""
    ids = list(users)
    for group in groups:
        is_scope = bool(sites_in_need(connection, group))
        for user in ids:
            join(connection, log, group, user)
            if is_scope:
                touch_person(connection, log, user)


def _id_of(connection: Connection, group: str | None) -> int:
    if group is None:
        return EVERYBODY
    found = connection.execute(
        "SELECT id FROM user_group WHERE folded = ? AND removed = 0", (group.strip().casefold(),)
    ).fetchone()
    if found is None:
        raise NotFound("group", group)
    return int(found[0])


def _rule(row: tuple[Any, ...]) -> NewUserRule:
    credit_e4, restricted, overdraft_e4, mode = row
    return NewUserRule(
        credit_e4, None if restricted is None else bool(restricted), overdraft_e4, mode
    )
