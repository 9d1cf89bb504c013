"""Serials of vouchers: what is printed, typed and kept.

Fifteen symbols drawn at random of 31 (74 bits) and one that checks them. 31 is prime, so the
weighted sum finds every symbol mistyped and every two that changed places. Neither O and 0,
nor I and 1, nor U are among them: nobody has to guess which one is meant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import ClassVar

import attrs

from papercutd.errors import InvalidValue, NotFound

SYMBOLS = "23456789ABCDEFGHJKLMNPQRSTVWXYZ"
LENGTH = 16
_VALUES = {symbol: value for value, symbol in enumerate(SYMBOLS)}


class UnknownSerial(NotFound):
    """No voucher that is known has that serial: perhaps somebody guesses."""


@attrs.frozen(auto_exc=True, str=False)
class NoVoucher(InvalidValue):
    """What was typed is no voucher that is good now: look at the paper, or ask who sold it."""

    #: Of what cannot be taken, to whoever is told codes.
    code: ClassVar[str] = "invalid-value"
    #: In one word: ``mistyped``, ``unknown``, ``redeemed``, ``cancelled`` or ``expired``.
    why: str


def make_serial(draw: Callable[[int], int]) -> str:
    """Sixteen symbols; ``draw(n)`` is a number below n that nobody guesses."""
    drawn = "".join(SYMBOLS[draw(len(SYMBOLS))] for _ in range(LENGTH - 1))
    return drawn + SYMBOLS[-_sum(drawn) * pow(LENGTH, -1, len(SYMBOLS)) % len(SYMBOLS)]


def parse_serial(text: str) -> str:
    """As it is kept, of what a person typed; raises NoVoucher."""
    serial = "".join(text.upper().replace("-", " ").split())
    if len(serial) != LENGTH:
        raise NoVoucher(
            "serial", f"has {LENGTH} letters and digits: these are {len(serial)}", "mistyped"
        )
    wrong = next((symbol for symbol in serial if symbol not in _VALUES), None)
    if wrong is not None:
        words = f"{wrong!r} is in no serial: look at the voucher again"
        raise NoVoucher("serial", words, "mistyped")
    if _sum(serial) % len(SYMBOLS):
        words = "is mistyped: a letter or digit is another on the voucher"
        raise NoVoucher("serial", words, "mistyped")
    return serial


def show_serial(serial: str) -> str:
    """``ABCD-EFGH-...``, as it is printed."""
    return "-".join(serial[at : at + 4] for at in range(0, LENGTH, 4))


def hash_serial(serial: str) -> str:
    """What is kept of it: nobody finds 74 random bits by trying, so it needs no key."""
    return hashlib.blake2b(serial.encode(), digest_size=24, person=b"voucher").hexdigest()


def told_of(hash: str) -> str:
    """What sites are told of a voucher: a hash of its serial's hash.

    Who shows the hash itself has seen the serial: from what a site knows nobody finds it.
    """
    return hashlib.blake2b(hash.encode(), digest_size=24, person=b"voucher-told").hexdigest()


def check_worth(
    redeemed_at: float | None, cancelled_at: float | None, expires_at: float | None, at: float
) -> None:
    """Raises NoVoucher, with words for who holds the paper, unless it is good ``at`` then."""
    if redeemed_at is not None:
        raise NoVoucher("serial", f"was redeemed before, on {show_day(redeemed_at)}", "redeemed")
    if cancelled_at is not None:
        raise NoVoucher("serial", f"was cancelled on {show_day(cancelled_at)}", "cancelled")
    if expires_at is not None and expires_at <= at:
        words = f"has expired: it was good before {show_day(expires_at)}"
        raise NoVoucher("serial", words, "expired")


def show_day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def _sum(symbols: str) -> int:
    return sum(weight * _VALUES[symbol] for weight, symbol in enumerate(symbols, 1))
