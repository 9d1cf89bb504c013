"""The garbage collector of a server: it stops everything while it looks, so it looks seldom.

Python's own settings suit programs that begin small. A loaded application server spent a tenth of
its processor's time on them, and stood still for a quarter of a second at the worst.
"""

from __future__ import annotations

import gc

#: Objects that are made and not gone, after which it looks at the young ones: Python's is 700, and
#: a thousand requests in flight are 20,000.
YOUNG_MAX = 50_000
#: After so many looks at the young it looks at those that have lived on, after so many of these at
#: all: what old sessions leave behind is not to wait long.
LOOKS, LOOKS_AT_MORE = 5, 2


def collect_seldom() -> None:
    """Once all is there that stays: modules, tables of messages, what the database was read for."""
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, LOOKS, LOOKS_AT_MORE)
