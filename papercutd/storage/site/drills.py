"""Drills of a site, as its journal tells them: begun, what was asked after all, ended.

Nothing is kept beside the journal: it is chained, and a drill that has no end there was
interrupted by a restart.
"""

from __future__ import annotations

import attrs

from papercutd.domain.decision import Decision
from papercutd.storage.engine import Connection
from papercutd.storage.replication.records import (
    DRILL_ASKED,
    DRILL_BEGUN,
    DRILL_ENDED,
    Record,
    decode_record,
    encode_record,
)
from papercutd.storage.site import replica
from papercutd.storage.site.site_journal import append_body

_DRILL_RECORDS = """instr(body, '"kind":"drill-') > 0"""


@attrs.frozen
class DrillRead:
    """The newest drill."""

    since: float
    #: Steps asked at the application server after all.
    asked: int
    #: Why it ended; empty: it has not.
    ended: str = ""


def begin_drill(connection: Connection, wall_s: float) -> None:
    _append(connection, DRILL_BEGUN, f"site:{_site(connection)}", wall_s)


def note_asked(connection: Connection, key: str, answer: Decision, wall_s: float) -> None:
    """``key`` was asked at the application server though the site's link was not to be used."""
    _append(connection, DRILL_ASKED, key, wall_s, answer)


def end_drill(connection: Connection, reason: str, wall_s: float) -> bool:
    """``reason`` is time, stopped, restart or full-disk; False when there is none to end."""
    found = read_drill(connection)
    if found is None or found.ended:
        return False
    _append(connection, DRILL_ENDED, reason, wall_s)
    return True


def read_drill(connection: Connection) -> DrillRead | None:
    """The newest drill of the records that are still kept; None: there was none."""
    asked, ended = 0, ""
    for (body,) in connection.execute(
        f"SELECT body FROM journal WHERE {_DRILL_RECORDS} ORDER BY number DESC"
    ):
        record = decode_record(body)
        if record.kind == DRILL_BEGUN:
            return DrillRead(record.at, asked, ended)
        if record.kind == DRILL_ASKED:
            asked += 1
        else:
            ended = record.key
    return None


def _append(
    connection: Connection,
    kind: str,
    key: str,
    wall_s: float,
    decision: Decision | None = None,
) -> None:
    position = replica.read_position(connection)
    text = "" if position is None else position.text
    record = Record(kind, key, text, wall_s, decision=decision)
    append_body(connection, encode_record(record), wall_s)


def _site(connection: Connection) -> str:
    return str(connection.execute("SELECT site FROM identity").fetchone()[0])
