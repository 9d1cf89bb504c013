"""How a site comes again where there was no time for it."""

from __future__ import annotations

import random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.environment import Environment
from papercutd.services.comeback import DEFAULT_S, LONGEST_S, Comeback, JournalPace
from protocols.codes import Code
from protocols.errors import Refusal
from protocols.limits import JOURNAL_BATCHES_MAX


def busy(**fields: object) -> Refusal:
    return Refusal(Code.BUSY, fields)


class ComebackTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.env = Environment(Clock(), lambda: 0.0, random.Random(1))
        self.comeback = Comeback(self.env)

    def test_longer_each_time(self) -> None:
        bound_s = 2.0
        for _ in range(8):
            wait_s = self.comeback.wait_s(busy(retry_after_s=2.0))
            self.assertTrue(bound_s <= wait_s <= 2 * bound_s, wait_s)
            bound_s = min(2 * bound_s, LONGEST_S)
        self.comeback.served()
        self.assertLessEqual(self.comeback.wait_s(busy(retry_after_s=2.0)), 4.0)

    def test_never_sooner_than_asked(self) -> None:
        self.assertGreaterEqual(self.comeback.wait_s(busy(retry_after_s=60)), 60.0)

    def test_not_all_together(self) -> None:
        waits = {Comeback(self.env).wait_s(busy(retry_after_s=2.0)) for _ in range(100)}
        self.assertEqual(len(waits), 100)

    def test_what_a_peer_may_say(self) -> None:
        for said in (None, "soon", [], -5, 0, 1e300):
            wait_s = Comeback(self.env).wait_s(busy(retry_after_s=said))
            self.assertTrue(0 < wait_s <= 7200, said)
        self.assertGreaterEqual(self.comeback.wait_s(busy()), DEFAULT_S)


class JournalPaceTests(SynchronousTestCase):
    def setUp(self) -> None:
        env = Environment(Clock(), lambda: 0.0, random.Random(1))
        self.pace = JournalPace(Comeback(env))

    def test_one_more_for_each_that_is_acknowledged(self) -> None:
        seen = []
        for _ in range(JOURNAL_BATCHES_MAX + 3):
            seen.append(self.pace.window)
            self.pace.in_flight += 1
            self.pace.acknowledged()
        self.assertEqual(seen[:3], [1, 2, 3])
        self.assertEqual(max(seen), JOURNAL_BATCHES_MAX)

    def test_turned_away(self) -> None:
        self.pace.window = self.pace.in_flight = 3
        self.pace.turned_away(busy(retry_after_s=2.0))
        self.assertTrue(self.pace.is_turned_away)
        # What stood behind it.
        self.pace.turned_away(busy(retry_after_s=2.0))
        self.pace.turned_away(Refusal(Code.GAP))
        self.assertEqual((self.pace.in_flight, self.pace.window), (0, 1))
        self.assertTrue(2.0 <= self.pace.begin_again() <= 4.0)
        self.assertFalse(self.pace.is_turned_away)
