"""Modes of account selection, as the application server keeps and applies them.

The default of the installation and of its groups are rules for any site (storage/policies.py);
so is who pays where somebody who was asked has not answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from papercutd.domain.account_choice import Settled, settle
from papercutd.domain.account_mode import (
    CONFIRM,
    WORDS,
    Mode,
    parse_mode,
    read_mode,
    show_mode,
)
from papercutd.domain.decision import Reason, Verdict
from papercutd.domain.job import Request
from papercutd.domain.policy import ANY, Account, Effective, Knob, Rule, resolve
from papercutd.errors import InvalidValue
from papercutd.storage.change_log import ChangeLog
from papercutd.storage.directory import Person
from papercutd.storage.engine import Connection
from papercutd.storage.groups import find_group, groups_of_user
from papercutd.storage.nested_groups import with_inner

#: Users whose mode is set in one transaction.
PAGE_ROWS = 500
#: Reads a setting, now or since the settings stand.
Setting = Callable[..., Any]


def read_rules_anywhere(connection: Connection, knob: str) -> list[Rule]:
    """The rules of one knob that are for any site."""
    return [
        Rule(*row)
        for row in connection.execute(
            "SELECT knob, value, site, user_group, needs, below FROM site_policy"
            f" WHERE site = {ANY} AND knob = ?",
            (knob,),
        )
    ]


def settle_here(
    connection: Connection, setting: Setting, request: Request, person: Person
) -> Settled:
    """Who pays what ``person`` asks for, at the application server."""
    mode = _mode_of(connection, setting, person)
    rule = Account()
    if request.unanswered:
        found = _anywhere(connection, setting, person, Knob.ACCOUNT)
        if found.unevaluable:
            return Settled(None, Verdict.HOLD, Reason.CAPABILITY)
        rule = found.account
    if mode is None:
        return Settled(None, Verdict.HOLD, Reason.CAPABILITY)
    return settle(request, mode, rule)


def _mode_of(connection: Connection, setting: Setting, person: Person) -> Mode | None:
    """None: a newer release has set it."""
    if person.account_mode:
        try:
            return parse_mode(person.account_mode)
        except ValueError:
            return None
    found = _anywhere(connection, setting, person, Knob.ACCOUNT_MODE)
    return None if found.unevaluable else found.account_mode or Mode()


def _anywhere(connection: Connection, setting: Setting, person: Person, knob: Knob) -> Effective:
    rules = setting(read_rules_anywhere, connection, knob.value)
    if not rules:
        return Effective()
    # No price is needed for these.
    return resolve(rules, ANY, groups_of_user(connection, "", person.id), 0)


def set_mode(
    connection: Connection, log: ChangeLog, users: Iterable[int], mode: Mode | None
) -> int:
    """Set the mode of ``users``, None: the default; how many had another."""
    text, needs = ("", "") if mode is None else (mode.text, mode.needs)
    count = 0
    for user in users:
        changed = connection.execute(
            "UPDATE user SET account_mode = ?, needs = ? WHERE id = ? AND account_mode <> ?",
            (text, needs, user, text),
        )
        if changed.rowcount:
            log.touch("user", user)
            count += 1
    return count


def read_written(connection: Connection, text: str) -> Mode | None:
    """The mode that an administrator wrote; ``default``: none of the user's own.

    Raises InvalidValue.
    """
    if text == "default":
        return None
    name = text.removeprefix("shared:")
    found = connection.execute(
        "SELECT name, id FROM account WHERE kind = 'shared' AND closed = 0 AND name IN (?, ?)",
        (name, name.removesuffix(CONFIRM)),
    )
    try:
        return read_mode(text, dict(found.fetchall()))
    except (KeyError, ValueError):
        raise InvalidValue("account-mode", f"is {WORDS}; or default") from None


def read_shown(connection: Connection, user: int) -> str:
    """A user's own mode as it was written; ``default`` where there is none."""
    (text,) = connection.execute("SELECT account_mode FROM user WHERE id = ?", (user,)).fetchone()
    shared = connection.execute(
        "SELECT id, name FROM account WHERE kind = 'shared' AND 'shared:' || id IN (?, ?)",
        (text, text.removesuffix(CONFIRM)),
    )
    return show_mode(text, dict(shared.fetchall())) or "default"


def set_of_group(
    connection: Connection, log: ChangeLog, group: str, text: str, after: int
) -> tuple[int, int | None]:
    """Set the mode of the next users of a group, and of groups within it, beyond ``after``.

    How many had another, and beyond whom to go on. Raises NotFound, InvalidValue.
    """
    mode = read_written(connection, text)
    groups = with_inner(connection, [find_group(connection, group)])
    places = ", ".join("?" * len(groups))
    users = [
        row[0]
        for row in connection.execute(
            "SELECT id FROM user WHERE merged_into IS NULL AND deleted_at IS NULL AND id > ?"
            f" AND id IN (SELECT user FROM group_member WHERE user_group IN ({places}))"
            f" ORDER BY id LIMIT {PAGE_ROWS}",
            (after, *groups),
        )
    ]
    return set_mode(connection, log, users, mode), users[-1] if len(users) == PAGE_ROWS else None
