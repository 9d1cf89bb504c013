"""Freeze a release: ``python -m tests.frozen.freeze COMMIT tests/frozen/NAME.tar.xz``.

What a running node needs of that commit and nothing else, as a tar archive: the same commit
gives the same archive (names in order, no owner, no time). Made once for each version of
the wire and kept: tests run new nodes beside it.
"""

from __future__ import annotations

import io
import lzma
import subprocess
import sys
import tarfile
from pathlib import Path

PACKAGES = ("papercutd", "protocols", "plugins", "twisted/plugins")


def freeze(commit: str) -> bytes:
    """The archive of ``commit`` of the repository that this directory is in."""
    files = subprocess.run(
        ["git", "archive", "--format=tar", commit, *PACKAGES], check=True, capture_output=True
    ).stdout
    made = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(files)) as source,
        tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as target,
    ):
        for member in sorted(source.getmembers(), key=lambda one: one.name):
            if not member.isfile():
                continue
            kept = tarfile.TarInfo(member.name)
            kept.size, kept.mode = member.size, 0o755 if member.mode & 0o100 else 0o644
            target.addfile(kept, source.extractfile(member))
    return lzma.compress(made.getvalue(), preset=9 | lzma.PRESET_EXTREME)


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(freeze(sys.argv[1]))
