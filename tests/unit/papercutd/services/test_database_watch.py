"""What slows a database is told in status, and logged once an hour."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from papercutd.errors import StorageFull
from papercutd.services.database_watch import LOOK_S, SAID_S, DatabaseWatch


class WatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.answer: Deferred[list[str]] = succeed([])
        self.said: list[str] = []
        globalLogPublisher.addObserver(self._hear)
        self.addCleanup(globalLogPublisher.removeObserver, self._hear)
        self.watch = DatabaseWatch(self.clock, lambda: self.answer)
        self.addCleanup(self.watch.stop)

    def _hear(self, event: LogEvent) -> None:
        if "what" in event:
            self.said.append(event["what"])

    def look(self, *found: str) -> None:
        self.answer = succeed(list(found))
        self.clock.advance(LOOK_S)

    def test_told_as_long_as_it_lasts(self) -> None:
        self.watch.start()
        self.assertEqual(self.watch.status()["database"]["warnings"], [])
        self.look("autovacuum is off")
        self.assertEqual(self.watch.status()["database"]["warnings"], ["autovacuum is off"])
        self.look()
        self.assertEqual(self.watch.status()["database"]["warnings"], [])

    def test_logged_once_an_hour(self) -> None:
        self.watch.start()
        for minute in range(5):
            self.look(f"a transaction of anna is open for {minute} min")
        self.assertEqual(len(self.said), 1)
        self.clock.advance(SAID_S)
        self.look("a transaction of anna is open for 90 min", "table head has 9 dead rows")
        self.assertEqual(len(self.said), 3)

    def test_a_database_that_is_away(self) -> None:
        self.watch.start()
        self.look("autovacuum is off")
        self.answer = fail(StorageFull())
        self.clock.advance(LOOK_S)
        self.assertEqual(self.watch.found, ["autovacuum is off"])
        self.look()
        self.assertEqual(self.watch.found, [])
