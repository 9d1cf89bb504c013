"""How long somebody is locked out: each further lockout within a day doubles the time.

It counts the lockouts of all servers, in whatever order they come to be known.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

#: Seconds of the first lockout.
LOCKOUT_S = 900.0
#: The longest; and what began within so many seconds of the latest counts with it.
DAY_S = 86_400.0
#: Lockouts that one server can have within a day: the next would begin later.
A_DAY_MAX = 7


@attrs.frozen
class Lockout:
    """What several lockouts of one person come to."""

    #: How many count together.
    count: int
    #: The last one's length.
    lasts_s: float
    ends_at: float

    def left_s(self, now_s: float) -> float:
        """Seconds that remain, never more than the whole: a clock set back adds nothing."""
        return min(max(self.ends_at - now_s, 0.0), self.lasts_s)


#: Nobody is locked out.
NO_LOCKOUT = Lockout(0, 0.0, 0.0)


def sum_lockouts(begun: Sequence[float]) -> Lockout:
    """The sum of lockouts that began at these times."""
    if not begun:
        return NO_LOCKOUT
    latest = max(begun)
    count = sum(latest - at < DAY_S for at in begun)
    lasts_s = min(LOCKOUT_S * 2.0 ** min(count - 1, 10), DAY_S)
    return Lockout(count, lasts_s, latest + lasts_s)
