"""Several application servers on one database: which of them writes, and what the others do.

Whoever has the writer's lock writes. A server that is frozen keeps its session with the database
and thereby the lock; so each shows signs of life there, a number that it counts up. No clock of
one server is ever compared with another's: who watches sees, by its own, how long the number
has stood still.
"""

from __future__ import annotations

from enum import Enum

import attrs

#: Between two signs of life, and between two looks.
BEAT_S, LOOK_S = 1.0, 0.5
#: A writer that has shown none for so long is put out. Twice what a server may be busy.
SILENT_S = 8.0
#: A writer that cannot show one for so long answers nobody, where there is another server.
STEP_BACK_S = 6.0
#: Whoever looked later than this after its last look was away itself, and has seen nothing.
GAP_S = 3.0


class Move(Enum):
    """What a server that does not write does now."""

    WAIT = "wait"
    #: Nobody has the lock.
    TAKE = "take"
    #: Its holder is silent: its session is ended, which sets the lock free.
    END_HOLDER = "end-holder"


@attrs.frozen
class Seen:
    """What one look at the database showed."""

    #: The session that has the writer's lock; 0: none has.
    holder: int = 0
    #: The server whose session that is; empty: a command's, or a server's of an older release.
    server: str = ""
    #: Its signs of life so far; None: it has shown none at all.
    beat: int | None = None


def next_move(seen: Seen, silent_s: float) -> Move:
    """``silent_s``: for how long the same holder has shown the same sign of life."""
    if seen.holder == 0:
        return Move.TAKE
    if not seen.server or seen.beat is None or silent_s < SILENT_S:
        # Of who never beat nothing is known: a command works, and ends.
        return Move.WAIT
    return Move.END_HOLDER


def may_answer(unheard_s: float, others: int) -> bool:
    """Whether a writer whose signs of life fail since ``unheard_s`` still answers.

    Alone it does: who asks is told that nothing can be written, and keeps the session.
    """
    return others == 0 or unheard_s < STEP_BACK_S


class Watch:
    """What somebody who does not write has seen, look after look."""

    def __init__(self) -> None:
        self._seen: Seen | None = None
        self._since = self._looked_at = 0.0

    def look(self, seen: Seen, now: float) -> Move:
        """``now``: by the monotonic clock of who looks."""
        if seen != self._seen or now - self._looked_at > GAP_S:
            self._seen, self._since = seen, now
        self._looked_at = now
        return next_move(seen, now - self._since)
