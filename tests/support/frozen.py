"""Releases that were frozen, unpacked to be run: their packages come first in PYTHONPATH."""

from __future__ import annotations

import atexit
import shutil
import tarfile
import tempfile
from functools import cache
from pathlib import Path

from tests.support import quick_start
from tests.support.installation import ROOT

ARCHIVES = Path(__file__).resolve().parents[1] / "frozen"
#: The release of this tree.
NOW = str(ROOT)


@cache
def unpacked(name: str) -> str:
    """The directory of the frozen release ``name``, such as ``version1``."""
    directory = tempfile.mkdtemp(prefix=f"pc-{name}-")
    atexit.register(shutil.rmtree, directory, True)
    with tarfile.open(ARCHIVES / f"{name}.tar.xz") as archive:
        archive.extractall(directory, filter="data")
    quick_start.add_release(directory)
    return directory
