"""Work in pieces gives way to others."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papercutd.services.pieces import Pieces


class PiecesTests(SynchronousTestCase):
    def test_small_while_others_write_and_large_again(self) -> None:
        pieces = Pieces(30, 200)
        found = []
        # The last two changed nothing: no change has their number.
        for number in (7, 8, 10, 13, 15, 20, 21, 22, 23, 24, 24, 24):
            pieces.done(number)
            found.append(pieces.rows)
        self.assertEqual(found, [200, 200, 100, 50, 30, 30, 60, 120, 200, 200, 200, 200])
