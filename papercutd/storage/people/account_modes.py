"""Users' modes of account selection, as administrators set and see them."""

from __future__ import annotations

from collections.abc import Iterable

from papercutd.domain.account_mode import WORDS, Mode, read_mode, show_mode, split_endings
from papercutd.errors import InvalidValue
from papercutd.storage.engine import Connection
from papercutd.storage.replication.change_log import ChangeLog


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
    if not text.isprintable():
        raise InvalidValue("account-mode", f"is {WORDS}; or default")
    names = [name for name, _, _ in split_endings(text.removeprefix("shared:"))]
    found = connection.execute(
        "SELECT name, id FROM account WHERE kind = 'shared' AND closed = 0"
        f" AND name IN ({', '.join('?' * len(names))})",
        names,
    )
    try:
        return read_mode(text, dict(found.fetchall()))
    except (KeyError, ValueError):
        raise InvalidValue("account-mode", f"is {WORDS}; or default") from None


def read_shown(connection: Connection, user: int) -> str:
    """A user's own mode as it was written; ``default`` where there is none."""
    (text,) = connection.execute("SELECT account_mode FROM user WHERE id = ?", (user,)).fetchone()
    return as_written(connection, text) or "default"


def as_written(connection: Connection, text: str) -> str:
    """A mode that is kept, with the account's name in it."""
    shared = connection.execute(
        "SELECT id, name FROM account WHERE kind = 'shared' AND 'shared:' || id = ?",
        (next(split_endings(text))[0],),
    )
    return show_mode(text, dict(shared.fetchall()))
