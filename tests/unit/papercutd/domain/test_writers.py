"""Tests of papercutd.domain.writers: the table of who writes, and what a watcher has seen."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.writers import (
    BEAT_S,
    GAP_S,
    LOOK_S,
    SILENT_S,
    STEP_BACK_S,
    Move,
    Seen,
    Watch,
    may_answer,
    next_move,
)

FRESH, LATE = SILENT_S - 0.5, SILENT_S
SERVER = Seen(7, "one", 40)


class TableTests(SynchronousTestCase):
    def test_all_of_it(self) -> None:
        table = {
            # Who holds the lock, and for how long it has been silent.
            (Seen(), FRESH): Move.TAKE,
            (Seen(), LATE): Move.TAKE,
            (SERVER, FRESH): Move.WAIT,
            (SERVER, LATE): Move.END_HOLDER,
            # It took the lock and has not beaten: it began just now, or is of an older release.
            (Seen(7, "one", None), FRESH): Move.WAIT,
            (Seen(7, "one", None), LATE): Move.WAIT,
            # A command: it ends by itself, and nobody ends it.
            (Seen(7, "", None), FRESH): Move.WAIT,
            (Seen(7, "", None), LATE): Move.WAIT,
        }
        for (seen, silent_s), move in table.items():
            self.assertIs(next_move(seen, silent_s), move, (seen, silent_s))

    def test_who_cannot_beat_stops_before_another_may_write(self) -> None:
        self.assertTrue(LOOK_S <= BEAT_S < GAP_S < STEP_BACK_S < SILENT_S)
        self.assertTrue(may_answer(STEP_BACK_S - 0.5, 1))
        self.assertFalse(may_answer(STEP_BACK_S, 1))
        # Nobody else would answer.
        self.assertTrue(may_answer(1e9, 0))


class WatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.watch = Watch()
        self.now = 100.0

    def look(self, seen: Seen, times: int = 1, after_s: float = 0.5) -> list[Move]:
        moves = []
        for _ in range(times):
            self.now += after_s
            moves.append(self.watch.look(seen, self.now))
        return moves

    def test_one_that_beats_is_left_alone(self) -> None:
        for beat in range(100):
            self.assertEqual(self.look(Seen(7, "one", beat), 2), [Move.WAIT] * 2)

    def test_one_that_is_silent(self) -> None:
        looks = int(SILENT_S / 0.5)
        self.assertEqual(self.look(SERVER, looks), [Move.WAIT] * looks)
        self.assertEqual(self.look(SERVER), [Move.END_HOLDER])
        # Its session is gone.
        self.assertEqual(self.look(Seen()), [Move.TAKE])

    def test_the_next_holder_has_all_the_time(self) -> None:
        self.look(SERVER, 15)
        self.assertEqual(self.look(Seen(8, "two", 3), 15), [Move.WAIT] * 15)

    def test_who_was_away_itself_has_seen_nothing(self) -> None:
        """Frozen, or without the database: the holder may have beaten all the while."""
        self.look(SERVER, 15)
        self.assertEqual(self.look(SERVER, 1, GAP_S + 0.5), [Move.WAIT])
        self.assertEqual(self.look(SERVER, 15), [Move.WAIT] * 15)
