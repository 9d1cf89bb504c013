"""Chunks of a snapshot arrive ahead of what is written, as far as the link bears it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papercutd.errors import Rejected
from papercutd.services.snapshot_loading import WINDOW_MAX, ChunkLoader
from tests.support.stores import Turner


class ChunkLoaderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turner = Turner()
        self.asked: dict[int, Deferred[Any]] = {}
        self.most = 0
        self.last: int | None = None
        self.loads: list[tuple[int, list[Any]]] = []
        self.writing: Deferred[None] | None = None
        self.loader = ChunkLoader(self.turner.environment(), self.ask, self.load)

    async def ask(self, index: int) -> Any:
        self.asked[index] = Deferred()
        self.most = max(self.most, len(self.asked))
        return await self.asked[index]

    async def load(self, index: int, rows: list[Any]) -> None:
        self.loads.append((index, rows))
        if self.writing is not None:
            await self.writing

    def answer(self, took_s: float) -> None:
        """All chunks that were asked for, the last one first."""
        self.turner.clock.advance(took_s)
        for index in sorted(self.asked, reverse=True):
            self.asked.pop(index).callback(([f"row {index}"], index == self.last))

    def run_to_end(self, took_s: float, first: int = 0, count: int = 100) -> None:
        done = Deferred.fromCoroutine(self.loader.run(first, count))
        while self.asked:
            self.answer(took_s)
        self.successResultOf(done)

    def check_whole(self, first: int, count: int) -> None:
        rows = [row for _, part in self.loads for row in part]
        self.assertEqual(rows, [f"row {index}" for index in range(first, count)])
        done = first
        for index, part in self.loads:
            done += len(part)
            self.assertEqual(index, done - 1)

    def test_a_quick_link_has_several_on_their_way(self) -> None:
        self.run_to_end(0.001, first=7)
        self.check_whole(7, 100)
        self.assertEqual(self.most, WINDOW_MAX)
        self.assertLess(len(self.loads), 40)

    def test_a_slow_link_has_one(self) -> None:
        """16 KiB at 64 kbit/s: what people wait for must not queue behind more."""
        self.run_to_end(2.0)
        self.check_whole(0, 100)
        self.assertEqual(self.most, 1)

    def test_a_link_that_becomes_slow(self) -> None:
        done = Deferred.fromCoroutine(self.loader.run(0, 1_000))
        for _ in range(10):
            self.answer(0.001)
        self.assertEqual(self.most, WINDOW_MAX)
        self.answer(2.0)
        self.answer(2.0)
        self.most = 0
        self.answer(2.0)
        self.assertEqual(len(self.asked), 1)
        done.addErrback(lambda failure: None)
        done.cancel()

    def test_asked_for_while_others_are_written(self) -> None:
        self.writing = Deferred()
        done = Deferred.fromCoroutine(self.loader.run(0, 3))
        self.answer(0.001)
        self.assertEqual(len(self.loads), 1)
        self.assertEqual(sorted(self.asked), [1, 2])
        writing, self.writing = self.writing, None
        self.answer(0.001)
        writing.callback(None)
        self.successResultOf(done)
        self.check_whole(0, 3)

    def test_the_session_ends(self) -> None:
        done = Deferred.fromCoroutine(self.loader.run(0, 100))
        self.answer(0.001)
        for index in sorted(self.asked):
            self.asked.pop(index).errback(ConnectionError())
        self.failureResultOf(done, ConnectionError)
        # Those nobody waited for any more are not logged as lost.
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_one_that_grows(self) -> None:
        """How many there are is told by the last of them; what was asked for beyond is nothing."""
        self.last = 30
        done = Deferred.fromCoroutine(self.loader.run(4, None))
        while not done.called:
            self.turner.clock.advance(0.001)
            for index in sorted(self.asked):
                asked = self.asked.pop(index)
                if index > self.last:
                    asked.errback(Rejected("snapshot-gone"))
                else:
                    asked.callback(([f"row {index}"], index == self.last))
        self.successResultOf(done)
        self.check_whole(4, 31)
        self.assertEqual(self.most, WINDOW_MAX)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_nothing_left(self) -> None:
        self.run_to_end(0.001, first=5, count=5)
        self.assertEqual(self.loads, [])
