"""A long run: ``python -m tests.fuzz --lines 1000000``.

Conversations of all three protocols, both sides, from one seed. Prints lines a second, the
peak of memory and what is in use at a tenth and at the end, and the answers by code. Ends with
1 at the first finding, which it prints with the command that repeats it, and when memory grew.
"""

from __future__ import annotations

import argparse
import gc
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
#: Part of the lines after which caches are filled and memory is to stay.
WARM_PART = 10
#: KiB that the peak may grow from there: rarer and longer lines, fragmentation.
GROWTH_MAX_KIB = 8_192
#: Blocks of memory that may be in use more than there: what a few lines leave.
BLOCKS_MAX = 5_000
_PAIRS = tuple((protocol, side) for protocol in SPECS for side in Side)


def peak_kib() -> int:
    """The most memory this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def blocks_in_use() -> int:
    """What the interpreter holds, garbage not counted: it does not grow if nothing leaks."""
    gc.collect()
    return sys.getallocatedblocks()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0, help="the first conversation")
    parser.add_argument("--conversations", type=int, default=0, help="how many; 0: any number")
    options = parser.parse_args()
    said: Counter[str] = Counter()
    heard = 0
    warm_kib = warm_blocks = 0
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
        if not warm_kib and heard >= options.lines // WARM_PART:
            warm_kib, warm_blocks = peak_kib(), blocks_in_use()
        if heard >= options.lines:
            break
    took_s = time.monotonic() - began_at
    end_kib, end_blocks = peak_kib(), blocks_in_use()
    print(f"{heard:,} lines in {took_s:,.0f} s: {heard / took_s:,.0f} a second")
    print(f"peak of memory: {warm_kib or end_kib:,} KiB at a tenth, {end_kib:,} at the end")
    print(f"blocks in use: {warm_blocks or end_blocks:,} at a tenth, {end_blocks:,} at the end")
    for word, count in said.most_common():
        print(f"{count:12,}  {word}")
    has_grown = end_kib - warm_kib > GROWTH_MAX_KIB or end_blocks - warm_blocks > BLOCKS_MAX
    if warm_kib and has_grown:
        print("memory grew")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
