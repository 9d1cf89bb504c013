"""Timelines: how an application server restored from a backup is told from one that went on.

A position is (timeline, number, chain). Everybody keeps the newest position that came with an
acknowledgement; shown at the next handshake, one that is not in our history proves that we were
restored to before it (design 4.12). From then on a new timeline counts: whoever sees it offers
again what it retained, and replicas that were ahead are made anew.
"""

from __future__ import annotations

import sqlite3

from papercutd.domain.chain import Position
from papercutd.points import passing
from papercutd.storage.administration.listed import list_item
from papercutd.storage.engine import Connection
from papercutd.storage.replication.change_log import ChangeLog, in_history

#: Ids and versions left free at a new timeline: what was made in the part of the history that
#: is lost had some of them, and records still name them. Nobody else may be given those.
ID_GAP = 1_000_000
_NUMBERED = (
    *(("user", "id"), ("account", "id"), ("site", "id"), ("provider", "id"), ("printer", "id")),
    *(("device", "id"), ("price", "version"), ("schedule", "id")),
)


def next_id(connection: Connection, table: str, column: str = "id") -> int:
    """The id of the next row of ``table``: never one given before, in any timeline."""
    (number,) = connection.execute(f"SELECT {_next_of(table, column)}").fetchone()
    return int(number)


def next_ids(connection: Connection, *tables: str) -> tuple[int, ...]:
    """The same of several tables."""
    next_of = ", ".join(_next_of(table, "id") for table in tables)
    return tuple(connection.execute(f"SELECT {next_of}").fetchone())


def _next_of(table: str, column: str) -> str:
    return f"MAX(COALESCE((SELECT MAX({column}) FROM {table}), 0), (SELECT id_floor FROM head)) + 1"


def was_restored(connection: Connection, position: Position | None) -> bool:
    """Whether ``position``, which we once told somebody, is in a history that we lost.

    Of an older timeline than ours that is known already.
    """
    if position is None or position.number == 0:
        return False
    (timeline,) = connection.execute("SELECT timeline FROM head").fetchone()
    if position.timeline < timeline or in_history(connection, position):
        return False
    (oldest,) = connection.execute("SELECT MIN(number) FROM change_log").fetchone()
    # What was forgotten of the log says nothing.
    return position.timeline > timeline or oldest is None or position.number >= oldest


def is_lost(connection: Connection, position: str) -> bool:
    """Whether ``timeline.number`` is in a part of a history that a restore has lost."""
    timeline, _, number = position.partition(".")
    if not all(part.isdecimal() and len(part) <= 15 for part in (timeline, number)):
        return False
    # A later timeline began at or before it; or its timeline is none of this history, which an
    # older backup than the one it began with has brought back.
    found = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM change_log WHERE timeline > ?1 AND number <= ?2)"
        " OR ((SELECT timeline FROM head) > ?1"
        " AND EXISTS (SELECT 1 FROM change_log WHERE number = ?2)"
        " AND NOT EXISTS (SELECT 1 FROM change_log WHERE timeline = ?1))",
        (int(timeline), int(number)),
    ).fetchone()
    return bool(found[0])


def begin_timeline(
    connection: Connection, log: ChangeLog, who: str, timeline_min: int, wall_s: float
) -> int:
    """This transaction begins a new timeline, at least ``timeline_min``; listed with ``who``."""
    (before,) = connection.execute("SELECT timeline FROM head").fetchone()
    timeline = max(int(before) + 1, timeline_min)
    tops = [
        connection.execute(f"SELECT COALESCE(MAX({column}), 0) FROM {table}").fetchone()[0]
        for table, column in _NUMBERED
    ]
    connection.execute(
        "UPDATE head SET timeline = ?1, id_floor = MAX(id_floor, ?2) + ?3",
        (timeline, max(tops), ID_GAP),
    )
    log.begin_timeline(timeline)
    detail = f"timeline {timeline} begins after change {log.number - 1}"
    list_item(connection, log.number, wall_s, "restored", "", who, detail)
    passing("timeline-begins")
    return timeline


def restored(connection: sqlite3.Connection, wall_s: float, timeline_min: int = 0) -> Position:
    """An administrator has put a backup in place: before the server starts on it again."""
    log = ChangeLog(lambda: wall_s)
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        log.begin(connection)
        begin_timeline(connection, log, "papercutd restore", timeline_min, wall_s)
        log.seal(connection)
    return Position(
        *connection.execute("SELECT timeline, number, chain FROM head").fetchone(),
    )
