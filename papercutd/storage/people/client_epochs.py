"""Which log-ins of people's clients count no more: a word that they are bound to, by user.

A row of ``secret``, which sites hold too: whoever was logged out is so at a site as soon as it
hears of it.
"""

from __future__ import annotations

from papercutd.storage.engine import Connection
from papercutd.storage.replication.change_log import ChangeLog

#: Begins the name of the secret; the user's id follows.
EPOCH = "client-epoch-"


def epoch_name(user: int) -> str:
    """The name of the secret of ``user``."""
    return f"{EPOCH}{user}"


def begin_epoch(connection: Connection, log: ChangeLog, user: int, epoch: str) -> None:
    """What ``user``'s clients were logged in with counts no more."""
    connection.execute(
        "INSERT INTO secret (name, value) VALUES (?1, ?2)"
        " ON CONFLICT (name) DO UPDATE SET value = ?2",
        (epoch_name(user), epoch),
    )
    log.touch("secret", epoch_name(user))
