"""What waits for a slow peer, with a bound."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from protocols.limits import OUTBOUND_BYTES_MAX


class OutboundQueue:
    """Lines in order towards one transport, which says when it has had enough.

    While paused, lines wait here; beyond ``bytes_max`` the peer is too slow to keep.
    """

    __slots__ = ("_bytes_max", "_is_paused", "_waiting", "_write", "waiting_bytes")

    def __init__(self, write: Callable[[bytes], None], bytes_max: int = OUTBOUND_BYTES_MAX) -> None:
        self._write = write
        self._bytes_max = bytes_max
        #: Made when a line has to wait: most sessions never have one, and a deque takes 760 bytes.
        self._waiting: deque[bytes] | None = None
        self._is_paused = False
        #: Bytes that wait here (the transport's own buffer not counted).
        self.waiting_bytes = 0

    def send(self, line: bytes) -> bool:
        """Write ``line`` now or later. False: it would not fit, the peer is to be dropped."""
        if not self._is_paused:
            self._write(line)
            return True
        if self.waiting_bytes + len(line) > self._bytes_max:
            return False
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(line)
        self.waiting_bytes += len(line)
        return True

    def pause(self) -> None:
        """The transport has enough for now."""
        self._is_paused = True

    def resume(self) -> None:
        """The transport takes more; it may pause again in the midst of it."""
        self._is_paused = False
        while self._waiting and not self._is_paused:
            line = self._waiting.popleft()
            self.waiting_bytes -= len(line)
            self._write(line)
        if not self._waiting:
            self._waiting = None

    def drain(self) -> None:
        """Hand all that waits to the transport, which is about to be closed."""
        self._is_paused = False
        rest = b"".join(self._waiting or ())
        self.clear()
        if rest:
            self._write(rest)

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting = None
        self.waiting_bytes = 0
