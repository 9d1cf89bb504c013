"""When a certificate is renewed, by a clock of the test's."""

from __future__ import annotations

import random
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.environment import Environment
from papercutd.identity.renewal import NodeIdentity, Renewer
from papercutd.identity.tls import Credentials
from tests.support.certificates import credentials, dns, make_authority, odd_credentials

WALL_S = 1_800_000_000.0
DAY_S = 86_400.0


class RenewerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.offset_s = 0.0
        self.authority = make_authority(WALL_S)
        self.asked: list[float] = []
        self.fails = False

    def wall_s(self) -> float:
        return WALL_S + self.offset_s + self.clock.seconds()

    def renewer(self, to_days: float) -> Renewer:
        directory = Path(self.mktemp())
        directory.mkdir()
        names = [dns("site", "north")]
        odd_credentials(self.authority, names, WALL_S, -10.0, to_days).save(directory)
        self.identity = NodeIdentity(directory)
        env = Environment(self.clock, self.wall_s, random.Random(1))
        made = Renewer(env, self.identity, self.ask)
        made.start()
        self.addCleanup(made.stop)
        return made

    async def ask(self, present: Credentials) -> Credentials:
        self.asked.append(self.clock.seconds())
        if self.fails:
            raise OSError("nobody there")
        return credentials(self.authority, "site", "north", self.wall_s())

    def pass_days(self, days: float) -> None:
        for _ in range(round(days * 24)):
            self.clock.advance(3_600)

    def test_at_the_start_when_due(self) -> None:
        renewer = self.renewer(100.0)
        self.assertEqual(renewer.status()["alarm"], False)
        self.clock.advance(10)
        self.assertEqual(len(self.asked), 1)
        self.assertGreater(renewer.status()["days_left"], 390)

    def test_daily_until_a_third_is_left(self) -> None:
        self.renewer(200.0)
        self.pass_days(60)
        self.assertEqual(self.asked, [])
        self.pass_days(10)
        self.assertEqual(len(self.asked), 1)

    def test_again_when_it_failed(self) -> None:
        self.fails = True
        renewer = self.renewer(20.0)
        self.pass_days(1)
        self.assertGreater(len(self.asked), 10)
        status = renewer.status()
        self.assertEqual((status["alarm"], status["renewal_problem"]), (True, "nobody there"))
        self.fails = False
        self.pass_days(0.2)
        self.assertEqual((renewer.status()["alarm"], renewer.problem), (False, ""))

    def test_a_clock_at_1970_or_2099_ends_nothing(self) -> None:
        renewer = self.renewer(100.0)
        self.fails = True
        for offset_s in (-WALL_S, 2.3e9):
            self.offset_s = offset_s
            self.pass_days(1)
            renewer.status()
        self.offset_s, self.fails = 0.0, False
        self.pass_days(2)
        self.assertGreater(renewer.status()["days_left"], 390)

    def test_stopped(self) -> None:
        renewer = self.renewer(100.0)
        renewer.stop()
        self.pass_days(2)
        self.assertEqual(self.asked, [])
