"""How old what a site knows is: the staleness clock (design 4.10, 4.11).

It sums monotonic time while the process runs, and wall time between two runs, of which
at most seven days count: a clock that starts in 1970 adds nothing, one in 2099 no more
than a week. Stepping the wall clock while the process runs changes nothing.
"""

from __future__ import annotations

import enum

import attrs

from papercutd.domain.chain import Position

#: What a restart may add at the most, whatever the wall clock says.
BOOT_MAX_S = 7 * 86_400.0


class LinkState(enum.Enum):
    """How a site stands, in the words that are shown everywhere."""

    ONLINE = "online"
    CUT = "cut"
    #: Cut, and the replica is older than the limit: cached passwords are not taken.
    STALE = "cut-and-stale"


@attrs.frozen
class Kept:
    """The clock as it is written down."""

    #: The application server's wall clock when it was heard last; None: it never was.
    told_s: float | None
    #: Since then, when this was written.
    stale_s: float
    #: Our own wall clock when this was written.
    wall_s: float


@attrs.frozen
class _Base:
    told_s: float | None
    stale_s: float
    #: Our monotonic clock at that.
    at_s: float


@attrs.frozen
class _Told:
    position: Position
    told_s: float
    at_s: float


class StalenessClock:
    """One run of it; every time of this class is given by the caller.

    Reading it is safe in another thread: what is read is one frozen value.
    """

    def __init__(self, kept: Kept | None, wall_s: float, now_s: float) -> None:
        """``kept``: what the last run wrote down; ``now_s`` is monotonic within this run."""
        if kept is None:
            self._base = _Base(None, 0.0, now_s)
        else:
            away_s = min(max(wall_s - kept.wall_s, 0.0), BOOT_MAX_S)
            self._base = _Base(kept.told_s, kept.stale_s + away_s, now_s)
        self._told: _Told | None = None

    def told(
        self, head: Position | None, told_s: float, now_s: float, own: Position | None
    ) -> None:
        """The application server said that its clock is ``told_s`` and its head ``head``.

        The replica is as fresh as that once it has come so far: at once where ``own``,
        its position, has; else when ``reached`` says so.
        """
        if head is None or self._told is not None:
            # One after the other: a head that moves on for ever is reached all the same.
            return
        self._told = _Told(head, told_s, now_s)
        self.reached(own)

    def reached(self, own: Position | None) -> None:
        """The replica is at ``own``."""
        told = self._told
        if told is None or own is None:
            return
        if (own.timeline, own.number) >= (told.position.timeline, told.position.number):
            self._base = _Base(told.told_s, 0.0, told.at_s)
            self._told = None

    def link_down(self) -> None:
        """What was told and not reached is asked for anew."""
        self._told = None

    def stale_s(self, now_s: float) -> float:
        """How long ago the replica was up to date."""
        base = self._base
        return base.stale_s + max(now_s - base.at_s, 0.0)

    def stale_now_s(self, now_s: float) -> float | None:
        """What the application server's wall clock says now, as far as can be told here.

        The last it told, plus the staleness; while cut it never goes back. None: it never
        told any.
        """
        base = self._base
        if base.told_s is None:
            return None
        return base.told_s + base.stale_s + max(now_s - base.at_s, 0.0)

    def keep(self, now_s: float, wall_s: float) -> Kept:
        """What is to be written down now."""
        return Kept(self._base.told_s, self.stale_s(now_s), wall_s)


def state_of(is_cut: bool, stale_s: float, limit_s: float | None) -> LinkState:
    """``limit_s`` None: a replica is never too old."""
    if not is_cut:
        return LinkState.ONLINE
    return LinkState.CUT if limit_s is None or stale_s <= limit_s else LinkState.STALE
