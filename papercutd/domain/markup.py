"""What a shared account adds to a price: a part of it, in 1/10000, as a line of its own.

The line says its rate in its name: so whoever has the lines of a decision alone can tell what
fewer or more pages cost.
"""

from __future__ import annotations

import re
from functools import lru_cache

from papercutd.errors import InvalidValue

#: All of the price.
WHOLE = 10_000
#: Ten times the price.
MARKUP_MAX_E4 = 10 * WHOLE
#: No paper's line ends in this.
_NAME = re.compile(r"mark-up (\d{1,4})(?:\.(\d{1,2}))? %")


def markup_name(rate_e4: int) -> str:
    """``1250`` -> ``mark-up 12.5 %``."""
    return f"mark-up {show_rate(rate_e4)} %"


def show_rate(rate_e4: int) -> str:
    """In percent: ``1250`` -> ``12.5``."""
    percent, rest = divmod(rate_e4, 100)
    return f"{percent}.{rest:02d}".rstrip("0") if rest else str(percent)


@lru_cache(maxsize=1024)
def rate_of_name(what: str) -> int | None:
    """The rate that a line's name says; None: it is no mark-up's."""
    found = _NAME.fullmatch(what)
    if found is None:
        return None
    return int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))


def markup_e4(amount_e4: int, rate_e4: int) -> int:
    """That part of ``amount_e4``, rounded down once: in favour of who pays."""
    return amount_e4 * rate_e4 // WHOLE


def parse_rate(text: str, field: str = "markup") -> int:
    """Percent as somebody writes them: ``12.5``. Raises InvalidValue."""
    found = re.fullmatch(r"(\d{1,4})(?:\.(\d{1,2}))?", text.strip().removesuffix("%").strip())
    if found is None or not text.isascii():
        raise InvalidValue(field, f"is percent such as 12.5 (it is {text[:40]!r})")
    rate_e4 = int(found[1]) * 100 + int((found[2] or "").ljust(2, "0"))
    if rate_e4 > MARKUP_MAX_E4:
        raise InvalidValue(field, f"is at most {MARKUP_MAX_E4 // 100} percent")
    return rate_e4
