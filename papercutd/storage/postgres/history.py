"""PostgreSQL's own history: noticed when a standby of it is promoted that may be behind.

A promoted standby begins a timeline of PostgreSQL's. What was committed and had not reached it
is lost, and nobody says so. Who knows what was committed compares; who does not takes it for a
restore, as `papercutd restore` does: everybody offers again what they kept (design.md 4.12).
"""

from __future__ import annotations

from papercutd.errors import AlreadyRunning
from papercutd.storage.engine import Connection
from papercutd.storage.postgres.connection import ConnectionLost
from papercutd.storage.replication.change_log import ChangeLog, in_history, read_head
from papercutd.storage.replication.timeline import begin_timeline
from papercutd.storage.sqlite.writer import Participant

#: Of a physical standby that was not promoted: empty.
_NOW = (
    "SELECT CASE WHEN pg_is_in_recovery() THEN ''"
    " ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END"
)


class WentBack(AlreadyRunning):
    """PostgreSQL lacks what was committed."""

    def __str__(self) -> str:
        return (
            "PostgreSQL lacks what was committed, a standby was promoted that was behind: ending,"
            " the next start begins a new timeline"
        )


class History:
    """What a writer knows of the history it writes."""

    def __init__(self, schema: str, participant: Participant | None) -> None:
        self._is_watched = schema == "application"
        self._log = participant if isinstance(participant, ChangeLog) else None
        self._known = ""
        self.was_promoted = False

    def check(self, connection: Connection) -> None:
        """At each connection; raises ConnectionLost at a standby, and WentBack."""
        if not self._is_watched:
            return
        (now,) = connection.execute(_NOW).fetchone()
        if not now:
            raise ConnectionLost("that is a standby, which nobody can write")
        if not self._known:
            (before,) = connection.execute("SELECT history FROM application.writer").fetchone()
            self.was_promoted = bool(before) and before != now
        elif now != self._known and not self._has_all(connection):
            raise WentBack("PostgreSQL")
        if not self.was_promoted:
            _note(connection, now)
        self._known = now

    def _has_all(self, connection: Connection) -> bool:
        """Whether all that we saw committed is there."""
        last = None if self._log is None else self._log.last
        return last is not None and in_history(connection, last)


def _note(connection: Connection, now: str) -> None:
    connection.execute("UPDATE application.writer SET history = ? WHERE history <> ?", (now, now))


def begin_after_promotion(connection: Connection, log: ChangeLog, wall_s: float) -> str:
    """The first transaction after a promotion begins a timeline of ours; where it stands."""
    (now,) = connection.execute(_NOW).fetchone()
    begin_timeline(connection, log, "a promoted PostgreSQL", 0, wall_s)
    _note(connection, now)
    return read_head(connection).text
