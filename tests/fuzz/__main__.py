"""A long run: ``python -m tests.fuzz --lines 1000000``.

Conversations of all three protocols, both sides, from one seed. Prints lines a second, the
peak of memory at the start and at the end, and the answers by code. Ends with 1 at the first
finding, which it prints with the command that repeats it, and when memory grew.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import sys
import time
from collections import Counter

from protocols.machine import Side
from tests.fuzz.conversation import Finding, run
from tests.fuzz.corpus import SPECS

#: Lines of one conversation at the most; a session ends after ten bad ones.
CONVERSATION_LINES = 40
#: Lines after which caches are filled and the peak of memory is to stay.
WARM_LINES = 50_000
#: KiB that the peak may grow from there: fragmentation, no more.
GROWTH_MAX_KIB = 8_192
_PAIRS = tuple((protocol, side) for protocol in SPECS for side in Side)


def peak_kib() -> int:
    """The most memory this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0, help="the first conversation")
    parser.add_argument("--conversations", type=int, default=0, help="how many; 0: any number")
    options = parser.parse_args()
    said: Counter[str] = Counter()
    heard = 0
    warm_kib = 0
    numbers = itertools.count(options.first)
    if options.conversations:
        numbers = itertools.islice(numbers, options.conversations)  # type: ignore[assignment]
    began_at = time.monotonic()
    for number in numbers:
        protocol, side = _PAIRS[number % len(_PAIRS)]
        try:
            heard += run(protocol, side, number, CONVERSATION_LINES, said).heard
        except Finding as finding:
            print(f"{protocol}, {side.value}, conversation {number}: {finding}")
            print(f"again: python -m tests.fuzz --first {number} --conversations 1")
            return 1
        if not warm_kib and heard >= WARM_LINES:
            warm_kib = peak_kib()
        if heard >= options.lines:
            break
    took_s = time.monotonic() - began_at
    end_kib = peak_kib()
    print(f"{heard:,} lines in {took_s:,.0f} s: {heard / took_s:,.0f} a second")
    print(f"peak of memory: {warm_kib or end_kib:,} KiB at the start, {end_kib:,} at the end")
    for word, count in said.most_common():
        print(f"{count:12,}  {word}")
    if warm_kib and end_kib - warm_kib > GROWTH_MAX_KIB:
        print("memory grew")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
