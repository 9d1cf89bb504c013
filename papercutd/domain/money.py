"""Money: an integer in 1/10000 of the currency unit, everywhere and only that.

Names of such integers end in ``_e4``. Decimal appears here alone, to parse what
a person typed and to show what a person reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from papercutd.errors import InvalidValue

#: No amount, balance or total reaches this, in either sign; the stores check it too.
AMOUNT_LIMIT_E4 = 10**15
#: What one act may give or take at the most: what is mistyped must not use up the account that
#: all adjustments are booked against.
SUM_MAX_E4 = 10**13
_AMOUNT = re.compile(r"[+-]?\d{1,11}(\.\d{1,4})?")
_LOOKS: tuple[tuple[Callable[[str], object], str], ...] = (
    (lambda text: "," in text, "holds a comma: write 1234.50, a point before the cents"),
    (re.compile(r"[^\W\d_]{2,}|[$€£¥₹]|\bkr\b").search, "holds a currency: write digits alone"),
    (re.compile(r"\d[eE][+-]?\d").search, "is written with an exponent: write all its digits"),
    (re.compile(r"\d{12,}").search, "has more than eleven digits before the point"),
    (re.compile(r"\.\d{5,}").search, "has more than four digits behind the point"),
    (re.compile(r"\s").search, "holds a space"),
)


def parse_amount_e4(text: str, *, field: str = "amount") -> int:
    """``"12.50"`` -> ``125000``. Only digits, one point, one sign.

    Raises InvalidValue for anything else, saying what is wrong: commas, currency signs,
    exponents, more than four decimals or eleven digits.
    """
    if not _AMOUNT.fullmatch(text) or not text.isascii():
        problems = (words for looks, words in _LOOKS if looks(text))
        problem = next(problems, "is no amount such as 12.50")
        raise InvalidValue(field, f"{problem} (it is {text[:40]!r})")
    amount_e4 = int(Decimal(text).scaleb(4))
    return check_amount_e4(amount_e4, field=field)


def check_amount_e4(amount_e4: int, *, field: str = "amount") -> int:
    """``amount_e4`` itself; raises InvalidValue when it is out of bounds."""
    if not -AMOUNT_LIMIT_E4 < amount_e4 < AMOUNT_LIMIT_E4:
        raise InvalidValue(field, "is out of bounds")
    return amount_e4


def parse_sum_e4(text: str, *, field: str = "amount") -> int:
    """What one act gives or takes, as ``parse_amount_e4``."""
    amount_e4 = parse_amount_e4(text, field=field)
    if abs(amount_e4) > SUM_MAX_E4:
        most = show_amount(SUM_MAX_E4)
        raise InvalidValue(field, f"is more than is given or taken at once: {most} at the most")
    return amount_e4


def show_amount(amount_e4: int) -> str:
    """``125000`` -> ``"12.50"``; two decimals at least, four at most."""
    sign = "-" if amount_e4 < 0 else ""
    units, fraction = divmod(abs(amount_e4), 10_000)
    digits = f"{fraction:04d}"
    digits = digits[:2] + digits[2:].rstrip("0")
    return f"{sign}{units}.{digits}"
