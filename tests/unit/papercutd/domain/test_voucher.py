"""Serials: a symbol mistyped, or two that changed places, is always found."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.voucher import (
    LENGTH,
    SYMBOLS,
    hash_serial,
    make_serial,
    parse_serial,
    show_serial,
)
from papercutd.errors import InvalidValue


class SerialTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.serial = make_serial(random.Random(5).randrange)

    def test_as_printed(self) -> None:
        shown = show_serial(self.serial)
        self.assertEqual([len(part) for part in shown.split("-")], [4, 4, 4, 4])
        for typed in (shown, shown.lower(), f"  {self.serial} ", shown.replace("-", " - ")):
            self.assertEqual(parse_serial(typed), self.serial)

    def test_every_symbol_mistyped(self) -> None:
        for at in range(LENGTH):
            for symbol in set(SYMBOLS) - {self.serial[at]}:
                with self.assertRaises(InvalidValue):
                    parse_serial(self.serial[:at] + symbol + self.serial[at + 1 :])

    def test_every_two_that_changed_places(self) -> None:
        for one in range(LENGTH):
            for other in range(one):
                typed = list(self.serial)
                if typed[one] != typed[other]:
                    typed[one], typed[other] = typed[other], typed[one]
                    with self.assertRaises(InvalidValue):
                        parse_serial("".join(typed))

    def test_words(self) -> None:
        for typed, words in {
            "ABC": "has 16 letters and digits: these are 3",
            self.serial[:-1] + "0": "'0' is in no serial",
            "": "these are 0",
        }.items():
            with self.assertRaises(InvalidValue) as caught:
                parse_serial(typed)
            self.assertIn(words, str(caught.exception))

    def test_hashes_differ(self) -> None:
        draw = random.Random(6).randrange
        self.assertEqual(len({hash_serial(make_serial(draw)) for _ in range(1_000)}), 1_000)
