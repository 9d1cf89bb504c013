"""What administrators did, by time: one line of JSON each, on the disk before it counts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path


class AuditFile:
    """An append-only file that only its owner may read."""

    def __init__(self, path: Path, wall_s: Callable[[], float]) -> None:
        self._path = path
        self._wall_s = wall_s

    def write(self, who: str, what: str) -> None:
        """Raises OSError when it cannot be kept: then it must not be done either."""
        entry = {"at": round(self._wall_s(), 3), "who": who, "what": what}
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        descriptor = os.open(self._path, flags, 0o600)
        try:
            os.write(descriptor, json.dumps(entry).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
