"""What people said of a job when they were asked who pays it."""

from __future__ import annotations

from papercutd.domain.account_choice import COMMENT_MAX
from papercutd.domain.job import Completion
from papercutd.storage.engine import Connection


def keep_comment(connection: Connection, completion: Completion) -> None:
    """The first one stands, as the charge does."""
    if completion.comment:
        connection.execute(
            "INSERT INTO job_comment (key, comment) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (completion.key, completion.comment[:COMMENT_MAX]),
        )


def read_comment(connection: Connection, key: str) -> str:
    """Empty: nothing was said."""
    found = connection.execute("SELECT comment FROM job_comment WHERE key = ?", (key,)).fetchone()
    return "" if found is None else str(found[0])
