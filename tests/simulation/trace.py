"""The trace of a world: a running hash over everything that happened in it.

Two runs of one seed must give one hash; if they do not, something real (a clock, a
set's order, a thread) has leaked into the simulation, and no finding can be replayed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from hashlib import blake2b

#: Time of the event, number of the node (0: the world itself), number of the kind, bytes.
_HEAD = struct.Struct("<dHHI")
_BUFFER_MAX = 65_536

#: Hears of each event: (time_s, node, kind, data).
Listener = Callable[[float, str, str, bytes], None]


class Trace:
    """Hashes (time, node, kind, bytes) of every event, in order."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=16)
        self._buffer = bytearray()
        self._numbers: dict[str, int] = {}
        self.events = 0
        #: For people who look for the cause of a finding; costs time.
        self.listener: Listener | None = None

    def note(self, time_s: float, node: str, kind: str, data: bytes = b"") -> None:
        """One event. ``node`` is empty for what no node does (the network, a fault)."""
        self.events += 1
        numbers = self._numbers
        # A name is written once, when it is first met; its number stands for it then.
        node_number = numbers.get(node)
        if node_number is None:
            node_number = self._enter(node)
        kind_number = numbers.get(kind)
        if kind_number is None:
            kind_number = self._enter(kind)
        self._buffer += _HEAD.pack(time_s, node_number, kind_number, len(data))
        if data:
            self._buffer += data
        if len(self._buffer) > _BUFFER_MAX:
            self._flush()
        if self.listener is not None:
            self.listener(time_s, node, kind, data)

    def _enter(self, name: str) -> int:
        number = self._numbers[name] = len(self._numbers)
        self._buffer += name.encode() + b"\0"
        return number

    def _flush(self) -> None:
        self._hash.update(self._buffer)
        self._buffer.clear()

    def digest(self) -> str:
        """The hash so far, hexadecimal."""
        self._flush()
        return self._hash.hexdigest()
