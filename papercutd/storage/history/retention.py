"""What is old enough to be forgotten, with clocks that jump.

Rows name the wall clock of their writing. A machine without a battery writes in 1970 until it
is told the time: a day later all of that seemed 57 years old. After a jump of the clock nothing
is forgotten until what was written before it is certainly old enough. Time is trusted as it
runs, and across a restart by the wall clock, at most seven days.
"""

from __future__ import annotations

import math

import attrs
import msgspec

from papercutd.storage.engine import Connection

#: Acknowledged records are kept for so long (design 4.5, TIMES).
RETENTION_S = 35 * 86_400.0
#: More than this between the two clocks is a jump.
JUMP_S = 86_400.0
OFF_MAX_S = 7 * 86_400.0
_NAME = "retention"


@attrs.frozen
class Ages:
    """What is old by the wall clock, which may be believed."""

    #: Written before, or stamped beyond: by a clock that was wrong more than 35 days ago.
    before: float
    beyond: float


#: Nothing is old.
NOTHING = Ages(-math.inf, math.inf)


class _Kept(msgspec.Struct):
    """How it was when last looked at."""

    age_s: float
    wall_s: float
    #: Nothing is forgotten before this age.
    until_age_s: float = 0.0
    #: The newest record then.
    number: int = 0


def read_ages(connection: Connection, wall_s: float, running_s: float | None) -> Ages:
    """What may be forgotten now, NOTHING perhaps.

    ``running_s``: since this process last asked; None: it has not asked yet.
    """
    found = connection.execute("SELECT body FROM setting WHERE name = ?", (_NAME,)).fetchone()
    kept = _Kept(0.0, wall_s) if found is None else msgspec.json.decode(found[0], type=_Kept)
    by_wall_s = wall_s - kept.wall_s
    elapsed_s = min(max(by_wall_s, 0.0), OFF_MAX_S) if running_s is None else running_s
    kept.age_s += elapsed_s
    if abs(by_wall_s - elapsed_s) > JUMP_S or _went_back(connection, kept.number):
        kept.until_age_s = kept.age_s + RETENTION_S
    kept.wall_s = wall_s
    (kept.number,) = connection.execute("SELECT COALESCE(MAX(number), 0) FROM record").fetchone()
    connection.execute(
        "INSERT OR REPLACE INTO setting (name, body) VALUES (?, ?)",
        (_NAME, msgspec.json.encode(kept)),
    )
    if kept.age_s < kept.until_age_s:
        return NOTHING
    return Ages(wall_s - RETENTION_S, wall_s + JUMP_S)


def _went_back(connection: Connection, after: int) -> bool:
    """Whether a record since ``after`` is stamped before the one before it.

    A clock that was wrong for an hour, either way, has gone back once.
    """
    found = connection.execute(
        "SELECT 1 FROM (SELECT written_at, LAG(written_at) OVER (ORDER BY number) AS before"
        " FROM record WHERE number >= ?) WHERE written_at < before - ? LIMIT 1",
        (after, JUMP_S),
    ).fetchone()
    return found is not None
