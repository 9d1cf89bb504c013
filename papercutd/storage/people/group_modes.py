"""Modes of account selection, set for everybody in a group."""

from __future__ import annotations

from papercutd.storage.engine import Connection
from papercutd.storage.people.account_modes import read_written, set_mode
from papercutd.storage.people.groups import find_group
from papercutd.storage.people.nested_groups import with_inner
from papercutd.storage.replication.change_log import ChangeLog

#: Users whose mode is set in one transaction.
PAGE_ROWS = 500


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
