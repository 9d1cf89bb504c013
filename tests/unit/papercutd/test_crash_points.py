"""The points at which a test has a process kill itself."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import papercutd
from papercutd import points
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

    def test_at_a_named_point(self) -> None:
        self.addCleanup(setattr, points, "listener", None)
        points.passing("anchored")
        self.point("at.anchored:2")
        for point in ("written.ended", "anchored"):
            points.passing(point)
        self.assertEqual(self.died, 0)
        points.passing("anchored")
        self.assertEqual(self.died, 1)

    def test_every_named_point_is_in_the_code(self) -> None:
        """And none that is passed has another name."""
        text = "".join(
            path.read_text() for path in sorted(Path(papercutd.__file__).parent.rglob("*.py"))
        )
        passed = set(re.findall(r'passing\("([a-z-]+)"\)', text))
        named = {point for point in points.POINTS if "." not in point}
        self.assertEqual(passed, named)
        written = set(re.findall(r'(?:_write|_Record|_claim)\(\s*"([a-z-]+)"', text))
        self.assertLessEqual({point.partition(".")[2] for point in points.POINTS - named}, written)

    def test_a_point_there_is_not(self) -> None:
        for text in (
            "commit",
            "before-send",
            "before-send.DANCE",
            "at.home",
            "at",
            "after-commit:0",
            "after-commit:x",
        ):
            self.assertRaises(ConfigError, crash_point, self.clock, {VARIABLE: text})
