"""Tests of protocols.keepalive."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from protocols.keepalive import Deadlines
from protocols.limits import HANDSHAKE_TIMEOUT_S, IDLE_TIMEOUT_S


class DeadlinesTests(SynchronousTestCase):
    def test_the_handshake_has_its_own_however_much_is_said(self) -> None:
        deadlines = Deadlines(100.0)
        deadlines.heard_at = 104.9
        self.assertGreater(deadlines.next_at(), 104.99)
        self.assertEqual(deadlines.next_at(), 100.0 + HANDSHAKE_TIMEOUT_S)
        self.assertLessEqual(deadlines.next_at(), 105.0)

    def test_once_open_only_silence_counts(self) -> None:
        deadlines = Deadlines(100.0)
        deadlines.opened()
        deadlines.heard_at = 130.0
        self.assertEqual(deadlines.next_at(), 130.0 + IDLE_TIMEOUT_S)
        self.assertGreater(deadlines.next_at(), 174.9)
        self.assertLessEqual(deadlines.next_at(), 175.0)

    def test_silence_before_the_handshake(self) -> None:
        deadlines = Deadlines(0.0, handshake_timeout_s=60.0, idle_timeout_s=10.0)
        self.assertEqual(deadlines.next_at(), 10.0)
