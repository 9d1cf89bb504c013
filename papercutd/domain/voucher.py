"""Serials of vouchers: what is printed, typed and kept.

Fifteen symbols drawn at random of 31 (74 bits) and one that checks them. 31 is prime, so the
weighted sum finds every symbol mistyped and every two that changed places. Neither O and 0,
nor I and 1, nor U are among them: nobody has to guess which one is meant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from papercutd.errors import InvalidValue

SYMBOLS = "23456789ABCDEFGHJKLMNPQRSTVWXYZ"
LENGTH = 16
_VALUES = {symbol: value for value, symbol in enumerate(SYMBOLS)}


def make_serial(draw: Callable[[int], int]) -> str:
    """Sixteen symbols; ``draw(n)`` is a number below n that nobody guesses."""
    drawn = "".join(SYMBOLS[draw(len(SYMBOLS))] for _ in range(LENGTH - 1))
    return drawn + SYMBOLS[-_sum(drawn) * pow(LENGTH, -1, len(SYMBOLS)) % len(SYMBOLS)]


def parse_serial(text: str) -> str:
    """As it is kept, of what a person typed; raises InvalidValue."""
    serial = "".join(text.upper().replace("-", " ").split())
    if len(serial) != LENGTH:
        raise InvalidValue("serial", f"has {LENGTH} letters and digits: these are {len(serial)}")
    wrong = next((symbol for symbol in serial if symbol not in _VALUES), None)
    if wrong is not None:
        raise InvalidValue("serial", f"{wrong!r} is in no serial: look at the voucher again")
    if _sum(serial) % len(SYMBOLS):
        raise InvalidValue("serial", "is mistyped: a letter or digit is another on the voucher")
    return serial


def show_serial(serial: str) -> str:
    """``ABCD-EFGH-...``, as it is printed."""
    return "-".join(serial[at : at + 4] for at in range(0, LENGTH, 4))


def hash_serial(serial: str) -> str:
    """What is kept of it: nobody finds 74 random bits by trying, so it needs no key."""
    return hashlib.blake2b(serial.encode(), digest_size=24, person=b"voucher").hexdigest()


def _sum(symbols: str) -> int:
    return sum(weight * _VALUES[symbol] for weight, symbol in enumerate(symbols, 1))
