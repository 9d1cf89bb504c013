"""Money: an integer in 1/10000 of the currency unit, everywhere and only that.

Names of such integers end in ``_e4``. Decimal appears here alone, to parse what
a person typed and to show what a person reads.
"""

from __future__ import annotations

import re
from decimal import Decimal

from papercutd.errors import InvalidValue

#: No amount, balance or total reaches this, in either sign; the stores check it too.
AMOUNT_LIMIT_E4 = 10**15
_AMOUNT = re.compile(r"[+-]?\d{1,11}(\.\d{1,4})?")


def parse_amount_e4(text: str, *, field: str = "amount") -> int:
    """``"12.50"`` -> ``125000``. Only digits, one point, one sign.

    Raises InvalidValue for anything else: commas, currency signs, exponents,
    more than four decimals or eleven digits.
    """
    if not _AMOUNT.fullmatch(text) or not text.isascii():
        raise InvalidValue(field, "write it as digits with a point, such as 12.50")
    amount_e4 = int(Decimal(text).scaleb(4))
    return check_amount_e4(amount_e4, field=field)


def check_amount_e4(amount_e4: int, *, field: str = "amount") -> int:
    """``amount_e4`` itself; raises InvalidValue when it is out of bounds."""
    if not -AMOUNT_LIMIT_E4 < amount_e4 < AMOUNT_LIMIT_E4:
        raise InvalidValue(field, "is out of bounds")
    return amount_e4


def show_amount(amount_e4: int) -> str:
    """``125000`` -> ``"12.50"``; two decimals at least, four at most."""
    sign = "-" if amount_e4 < 0 else ""
    units, fraction = divmod(abs(amount_e4), 10_000)
    digits = f"{fraction:04d}"
    digits = digits[:2] + digits[2:].rstrip("0")
    return f"{sign}{units}.{digits}"
