"""The points at which a test has a process kill itself."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.errors import ConfigError
from papercutd.roles.crash_points import VARIABLE, CrashPoint, crash_point
from protocols.endpoint import Session


class CrashPointTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.addCleanup(setattr, Session, "tap", None)
        self.died = 0

    def point(self, text: str) -> CrashPoint:
        made = crash_point(self.clock, {VARIABLE: text})

        def die() -> None:
            self.died += 1

        made.die = die
        return made

    def test_none_by_default(self) -> None:
        made = crash_point(self.clock, {})
        made.before_commit()
        made.before_send(b"1 PING {}\n")
        self.assertEqual((made.point, Session.tap), ("", None))

    def test_at_the_nth_passing(self) -> None:
        made = self.point("after-commit:3")
        for expected in (0, 0, 1, 1):
            made.before_commit()
            made.after_commit()
            self.assertEqual(self.died, expected)

    def test_before_a_line_of_that_word(self) -> None:
        made = self.point("before-send.OK")
        self.assertIs(Session.tap, made)
        for line in (b"1 PING {}\n", b"* BYE {}\n", b"1 NO busy {}\n", b"\n"):
            made.before_send(line)
        self.assertEqual(self.died, 0)
        made.before_send(b"7 OK {}\n")
        self.assertEqual(self.died, 1)

    def test_after_a_line_once_it_left(self) -> None:
        made = self.point("after-send.CHANGES")
        made.before_send(b"* CHANGES {}\n")
        made.after_send(b"* CHANGES {}\n")
        self.assertEqual(self.died, 0)
        self.clock.advance(1.0)
        self.assertEqual(self.died, 1)

    def test_a_point_there_is_not(self) -> None:
        for text in (
            "commit",
            "before-send",
            "before-send.DANCE",
            "after-commit:0",
            "after-commit:x",
        ):
            self.assertRaises(ConfigError, crash_point, self.clock, {VARIABLE: text})
