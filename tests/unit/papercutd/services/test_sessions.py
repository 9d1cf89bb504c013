"""Identities that replace each other."""

from __future__ import annotations

import random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.environment import Environment
from papercutd.services.sessions import FIGHT_SHOWN_S, Sessions
from protocols.codes import Code


class Ended:
    """Of a session, what is asked for here."""

    def __init__(self) -> None:
        self.codes: list[Code] = []

    def end(self, code: Code, retry_after_s: float = 0.0) -> None:
        self.codes.append(code)


class FightTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sessions = Sessions(Environment(self.clock, lambda: 0.0, random.Random(1)))

    def replace(self, count: int, every_s: float) -> None:
        for _ in range(count):
            self.sessions.enter("device:mfd", Ended())  # type: ignore[arg-type]
            self.clock.advance(every_s)

    def test_three_within_a_minute(self) -> None:
        self.replace(3, 20.0)
        self.assertEqual(self.sessions.fighting, set())
        self.replace(1, 20.0)
        self.assertEqual(self.sessions.fighting, {"device:mfd"})

    def test_now_and_then_is_no_fight(self) -> None:
        self.replace(20, 31.0)
        self.assertEqual(self.sessions.fighting, set())

    def test_over_after_an_hour_and_reported_again(self) -> None:
        self.replace(4, 20.0)
        self.clock.advance(FIGHT_SHOWN_S)
        self.assertEqual(self.sessions.fighting, set())
        self.replace(3, 1.0)
        self.assertEqual(self.sessions.fighting, {"device:mfd"})
        self.assertEqual(len(self.flushLoggedErrors()), 0)
