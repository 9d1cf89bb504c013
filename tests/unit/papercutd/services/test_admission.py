"""What sites have to catch up with: so much at once, and the rest is told when to come again."""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.environment import Environment
from papercutd.services.admission import Places, Turns
from protocols.codes import Code
from protocols.errors import Refusal


class TurnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turns = Turns(2, 3, 1.5)
        self.begun: list[Deferred[Any]] = []

    def begin(self) -> Deferred[Any]:
        def work() -> Deferred[Any]:
            self.begun.append(Deferred())
            return self.begun[-1]

        return Deferred.fromCoroutine(self.turns.run(work))

    def test_so_many_at_once(self) -> None:
        done = [self.begin() for _ in range(5)]
        self.assertEqual(len(self.begun), 2)
        self.begun[0].callback("first")
        self.assertEqual(self.successResultOf(done[0]), "first")
        self.assertEqual(len(self.begun), 3)
        self.assertEqual(self.turns.most, 5)

    def test_the_rest_comes_again(self) -> None:
        for _ in range(5):
            self.begin()
        refusal = self.failureResultOf(self.begin(), Refusal).value
        self.assertEqual((refusal.code, refusal.fields), (Code.BUSY, {"retry_after_s": 1.5}))
        self.assertEqual(self.turns.turned_away, 1)
        self.begun[0].callback(None)
        self.assertNoResult(self.begin())

    def test_work_that_fails_gives_its_turn_away(self) -> None:
        done = [self.begin() for _ in range(3)]
        self.begun[0].errback(ValueError())
        self.failureResultOf(done[0], ValueError)
        self.assertEqual(len(self.begun), 3)

    def test_thrown_away_with_its_process(self) -> None:
        """By the garbage collector, in any order: nobody who is gone has a turn."""
        turns = Turns(1, 1, 1.0)
        works = [turns.run(Deferred) for _ in range(2)]
        done = [Deferred.fromCoroutine(work) for work in works]
        for work in reversed(works):
            work.close()
        for one in done:
            self.assertNoResult(one)

    def test_work_that_ends_at_once(self) -> None:
        """However many wait for their turn, nothing is called within one another."""
        turns = Turns(1, 5_000, 1.0)
        first: Deferred[None] = Deferred()
        done = [Deferred.fromCoroutine(turns.run(lambda: first))]

        async def nothing() -> None:
            return

        done += [Deferred.fromCoroutine(turns.run(nothing)) for _ in range(5_000)]
        first.callback(None)
        for one in done:
            self.successResultOf(one)


class PlacesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        env = Environment(self.clock, lambda: 0.0, random.Random(1))
        self.places = Places(env, 2, 30.0, 5.0)

    def test_so_many(self) -> None:
        self.places.take("a")
        self.places.take("b")
        self.places.take("a")
        refusal = self.assertRaises(Refusal, self.places.take, "c")
        self.assertEqual((refusal.code, refusal.fields), (Code.BUSY, {"retry_after_s": 5.0}))
        self.places.leave("a")
        self.places.leave("nobody")
        self.places.take("c")
        self.assertEqual((self.places.most, self.places.turned_away), (2, 1))

    def test_who_does_not_use_it_loses_it(self) -> None:
        self.places.take("a")
        self.clock.advance(20)
        self.places.take("b")
        self.clock.advance(20)
        self.places.take("c")
        self.assertRaises(Refusal, self.places.take, "a")
        self.places.take("b")
