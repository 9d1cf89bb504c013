"""A disk of a few megabytes that can be filled: a tmpfs, which needs root."""

from __future__ import annotations

import subprocess
from pathlib import Path


class SmallDisk:
    """Mounted at ``path``, an empty directory, until it is closed."""

    def __init__(self, path: Path, size: str = "24m") -> None:
        self._path = path
        path.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "papercutd-test", str(path)],
            check=True,
        )

    @property
    def _filler(self) -> Path:
        return self._path / "filler"

    def fill(self) -> None:
        """Until not one byte more goes onto it."""
        with open(self._filler, "ab", buffering=0) as filler:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        filler.write(b"x" * size)
                except OSError:
                    continue

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self._path)], check=False, capture_output=True)
