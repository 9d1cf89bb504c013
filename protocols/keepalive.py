"""Pure timer arithmetic of one session: how long it may be silent, and how long unopened."""

from __future__ import annotations

from protocols.limits import HANDSHAKE_TIMEOUT_S, IDLE_TIMEOUT_S


class Deadlines:
    """When a session has been quiet or unopened for too long.

    All times are monotonic seconds. The caller looks again at ``next_at`` and ends the session
    if that has not moved: a busy session costs one assignment a chunk.
    """

    __slots__ = ("_idle_timeout_s", "_open_by", "heard_at")

    def __init__(
        self,
        now: float,
        handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> None:
        self._open_by: float | None = now + handshake_timeout_s
        self._idle_timeout_s = idle_timeout_s
        #: When the last byte came; set by whoever receives.
        self.heard_at = now

    def opened(self) -> None:
        """The handshake is done."""
        self._open_by = None

    def next_at(self) -> float:
        """When to look again."""
        quiet_at = self.heard_at + self._idle_timeout_s
        return quiet_at if self._open_by is None else min(self._open_by, quiet_at)
