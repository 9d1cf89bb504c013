"""What is told of a move that takes long."""

from __future__ import annotations

import io
import json

from twisted.trial.unittest import SynchronousTestCase

from papercutd.commands.migrate_store import _readable
from papercutd.commands.move_progress import Progress


class ProgressTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 100.0
        self.progress = Progress(6, out=io.StringIO(), clock=lambda: self.now)

    def test_rows(self) -> None:
        self.progress.stage("copying", 4_000)
        self.progress.at("transfer")
        self.now += 2
        self.progress.add(1_000)
        self.assertEqual(
            self.progress.line(),
            "1 of 6, copying transfer: 1000 of 4000 rows, 25 %, 500 rows/s, 6 s left",
        )

    def test_nothing_done_yet(self) -> None:
        self.progress.stage("checking the source")
        self.now += 7
        self.assertEqual(self.progress.line(), "1 of 6, checking the source: 7 s so far")
        self.progress.stage("copying", 4_000)
        self.assertEqual(self.progress.took_s, {"checking the source": 7.0})
        self.now += 3
        self.assertEqual(self.progress.line(), "2 of 6, copying: 0 of 4000 rows, 0 %, 0 rows/s")

    def test_json(self) -> None:
        self.progress.as_json = True
        self.progress.stage("comparing", 10)
        self.now += 1
        self.progress.add(10)
        said = json.loads(self.progress.line())
        self.assertEqual((said["rows"], said["percent"], said["left_s"]), (10, 100, 0))

    def test_a_short_one_says_nothing(self) -> None:
        with self.progress as progress:
            progress.stage("copying", 1)
        self.assertEqual(self.progress.out.getvalue(), "")

    def test_the_end(self) -> None:
        done = {
            **{"moved": True, "rows": 9, "tables": [{}], "took_s": 1.5, "from": "a", "to": "b"},
            **{
                "stages_s": {"copying": 1.25},
                "kept": ["c"],
                "write": 'store = "b"',
                "next": "start",
            },
        }
        lines = _readable(done).splitlines()
        self.assertEqual(lines[0], "moved: 9 rows of 1 tables in 1.5 s")
        self.assertEqual(lines[1], "       1.25 s copying")
        self.assertEqual(lines[-3:], ["configuration:", '    store = "b"', "next: start"])
