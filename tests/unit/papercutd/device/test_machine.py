"""The paper: at its speed, counted, and what is left after a jam or a loss of power."""

from __future__ import annotations

import sqlite3
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papercutd.device.machine import REMEMBERED_MAX, Jam, Machine, MachineSettings, Trouble
from papercutd.errors import StorageFull
from papercutd.storage.sqlite.migrate import open_database
from papercutd.storage.sqlite.writer import InlineWriter
from tests.support.stores import Turner


class MachineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.turner = Turner()
        self.clock = self.turner.clock
        self.connection: sqlite3.Connection = open_database(":memory:", "machine")
        self.addCleanup(self.connection.close)
        self.is_full = False
        self.machine = self.make(Trouble())

    def make(self, trouble: Trouble) -> Machine:
        writer = InlineWriter(self.connection, self.clock, before_commit=self.before_commit)
        return Machine(self.turner.environment(), writer, MachineSettings(120.0), trouble)

    def before_commit(self) -> None:
        if self.is_full:
            raise StorageFull

    def feed(self, key: str = "a", function: str = "copy", colour: bool = False) -> list[Any]:
        """One page in half a second; what came of it."""
        heard: list[Any] = []
        Deferred.fromCoroutine(self.machine.feed(key, function, colour)).addBoth(heard.append)
        self.clock.advance(0.5)
        self.turner.settle()
        return heard

    def counters(self) -> dict[str, int]:
        return self.turner.result(self.machine.counters())

    def counted(self, key: str) -> int:
        return self.turner.result(self.machine.counted(key))

    def test_it_counts_by_function_colour_and_run(self) -> None:
        self.assertEqual(self.feed(), [1])
        self.assertEqual(self.feed(), [2])
        self.assertEqual(self.feed("b", "scan", True), [1])
        self.assertEqual(self.counters(), {"copy grey": 2, "scan colour": 1})
        self.assertEqual([self.counted(key) for key in "abc"], [2, 1, 0])

    def test_a_page_takes_its_time(self) -> None:
        heard: list[Any] = []
        Deferred.fromCoroutine(self.machine.feed("a", "copy", False)).addBoth(heard.append)
        self.clock.advance(0.499)
        self.turner.settle()
        self.assertEqual((heard, self.counters()), ([], {}))
        self.clock.advance(0.001)
        self.turner.settle()
        self.assertEqual(heard, [1])

    def test_the_controller_s_time_is_not_added_to_the_engine_s(self) -> None:
        self.feed()
        self.clock.advance(0.2)
        heard: list[Any] = []
        Deferred.fromCoroutine(self.machine.feed("a", "copy", False)).addBoth(heard.append)
        self.clock.advance(0.3)
        self.turner.settle()
        self.assertEqual(heard, [2])

    def test_a_jam_until_it_is_cleared(self) -> None:
        self.machine = self.make(Trouble(jam_at=2))
        self.assertEqual(self.feed(), [1])
        for _ in range(2):
            (failure,) = self.feed()
            failure.trap(Jam)
        self.machine.clear()
        self.assertEqual(self.feed(), [2])
        self.assertEqual(self.counters(), {"copy grey": 2})

    def test_after_a_loss_of_power_it_knows_what_came_out(self) -> None:
        lost: list[int] = []
        self.machine = self.make(Trouble(power_at=2, lose_power=lambda: lost.append(1)))
        self.feed()
        # The page is out and counted, and the controller never hears of it.
        self.assertEqual(self.feed(), [])
        self.assertEqual(lost, [1])
        self.machine = self.make(Trouble())
        self.assertEqual((self.counted("a"), self.counters()), (2, {"copy grey": 2}))

    def test_no_page_that_cannot_be_counted(self) -> None:
        self.is_full = True
        (failure,) = self.feed()
        failure.trap(StorageFull)
        self.is_full = False
        self.assertEqual(self.counters(), {})

    def test_it_remembers_its_latest_runs(self) -> None:
        self.connection.execute(
            "INSERT INTO run (key, pages) WITH RECURSIVE n(i) AS"
            " (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT 'old' || i, 1 FROM n",
            (REMEMBERED_MAX + 5,),
        )
        self.feed("new")
        (count,) = self.connection.execute("SELECT COUNT(*) FROM run").fetchone()
        self.assertEqual(count, REMEMBERED_MAX)
        self.assertEqual((self.counted("new"), self.counted("old1")), (1, 0))
