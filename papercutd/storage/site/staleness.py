"""The staleness clock in a site's journal: one row, written once a minute at the most."""

from __future__ import annotations

from papercutd.domain.staleness import Kept
from papercutd.storage.engine import Connection


def read_staleness(connection: Connection) -> Kept | None:
    """As it was last written; None: it never was."""
    found = connection.execute("SELECT told_s, stale_s, wall_s FROM staleness").fetchone()
    return None if found is None else Kept(*found)


def write_staleness(connection: Connection, kept: Kept) -> None:
    connection.execute(
        "INSERT INTO staleness VALUES (1, ?, ?, ?) ON CONFLICT (one) DO UPDATE SET"
        " told_s = excluded.told_s, stale_s = excluded.stale_s, wall_s = excluded.wall_s",
        (kept.told_s, kept.stale_s, kept.wall_s),
    )
