"""Coverage-guided: ``python -m tests.fuzz.atheris_lines CORPUS [-max_total_time=1200]``.

atheris is no dependency: install it by hand. Bytes choose protocol and side, then are what the
peer says. Stops at the first finding and keeps the bytes in a file, as libFuzzer does.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import atheris  # type: ignore[import-not-found]

with atheris.instrument_imports(include=["protocols"]):
    from protocols.machine import Side
    from tests.fuzz.conversation import Conversation
    from tests.fuzz.corpus import SPECS, spoken

PAIRS = tuple((protocol, side) for protocol in SPECS for side in Side)


def one_input(data: bytes) -> None:
    """Raises Finding."""
    if len(data) < 2:
        return
    made = Conversation(*PAIRS[data[0] % len(PAIRS)], random.Random(data[1]))
    if data[1] < 200:
        made.open()
    made.hear(data[2:])


def write_corpus(folder: Path) -> None:
    """Each line of the transcripts, for the protocol and the side that hear it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (protocol, side) in enumerate(PAIRS):
        other = Side.SERVER if side is Side.CLIENT else Side.CLIENT
        for index, line in enumerate(spoken(protocol, other)):
            (folder / f"{protocol}-{side.value}-{index}").write_bytes(
                bytes((number, index % 200)) + line + b"\n"
            )


if __name__ == "__main__":
    write_corpus(Path(sys.argv[1]))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
