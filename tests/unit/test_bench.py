"""The harness of the benchmarks: its rows, its pictures, and what its load generator says."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from papercutd.storage.replication.records import decode_record
from protocols.provider import messages as provider
from protocols.site import messages as site
from tests.bench import picture
from tests.bench.__main__ import FIGURES
from tests.bench.figures import Row, median_of_ratios, percentile, table
from tests.bench.talk import Jobs, Journals, Slot, new_id


class FiguresTests(SynchronousTestCase):
    def test_verdicts(self) -> None:
        self.assertEqual(Row("a", 2.0, "ms", 2.0).verdict, "meets")
        self.assertEqual(Row("a", 2.1, "ms", 2.0).verdict, "below")
        self.assertEqual(Row("a", 2.1, "x", 3.0, at_most=False).verdict, "below")
        self.assertEqual(Row("a", 3.0, "x", 3.0, at_most=False).verdict, "meets")
        self.assertEqual(Row("a", 3.0, "x").verdict, "")
        self.assertEqual(Row("a", None, "x", 3.0, note="not here").verdict, "")

    def test_lines_end_with_goal_and_verdict(self) -> None:
        shown = table([Row("jobs", 1234.5, "jobs/s", 3, at_most=False), Row("peer", 1.0, "x")])
        first, second = shown.splitlines()
        self.assertTrue(first.endswith("meets"), first)
        self.assertIn("1,234.50 jobs/s", first)
        self.assertIn("1.00 x", second)

    def test_figures_of_several_runs(self) -> None:
        self.assertEqual(percentile([3.0, 1.0, 2.0], 0.99), 3.0)
        self.assertEqual(percentile([], 0.5), 0.0)
        self.assertEqual(median_of_ratios([2.0, 9.0, 4.0], [1.0, 3.0, 4.0]), 2.0)

    def test_each_figure_has_rows(self) -> None:
        self.assertTrue(all(callable(figure) for figure in FIGURES.values()))


class PictureTests(SynchronousTestCase):
    def test_they_are_svg(self) -> None:
        lines = {"SQLite": [(1, 300.0), (64, 1200.0)], "PostgreSQL": [(1, 90.0), (64, 400.0)]}
        drawn = (
            picture.draw({"a cut": [1.0, 900.0]}),
            picture.throughput(lines),
            picture.drain({"run 1": [(0.0, 10_000.0), (1.5, 0.0)]}),
            picture.shares({"SQLite": [1.0, 2.0, 30.0], "PostgreSQL": [5.0]}),
        )
        for one in drawn:
            self.assertTrue(ElementTree.fromstring(one).tag.endswith("svg"))

    def test_ticks_are_round_and_reach(self) -> None:
        self.assertEqual(picture.ticks_to(9.36), [0, 2, 4, 6, 8, 10])
        self.assertEqual(picture.ticks_to(0.0)[0], 0)


class TalkTests(SynchronousTestCase):
    """What the generator puts together from parts are messages of the protocol."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        (self.folder / "printer").write_text("7")
        (self.folder / "provider").write_text("north-provider")

    def test_whole_job(self) -> None:
        jobs, slot = Jobs(self.folder, 0, {"users": 3}), Slot()
        verb, _, body = jobs.begin(slot).partition(b" ")
        asked = msgspec.json.decode(body, type=provider.Authorize)
        self.assertEqual((verb, asked.printer), (b"AUTHORIZE", 7))
        slot.step = 1
        decision = {
            **{"verdict": "allow", "reason": "", "decider": "application", "user": 1},
            **{"account": 4, "printer": 7, "price_version": 1, "lines": []},
        }
        following = jobs.go_on(slot, json.dumps(decision).encode())
        assert following is not None
        verb, _, body = following.partition(b" ")
        done = msgspec.json.decode(body, type=provider.Complete)
        self.assertEqual(
            (verb, done.job, done.user_name), (b"COMPLETE", asked.job, asked.user_name)
        )
        slot.step = 2
        self.assertIsNone(jobs.go_on(slot, b"{}"))

    def test_journal(self) -> None:
        journals = Journals(self.folder, 0, {"users": 1})
        _, _, body = journals.begin(Slot()).partition(b" ")
        batch = msgspec.json.decode(body, type=site.Journal)
        records = [decode_record(record) for record in batch.records]
        self.assertEqual({record.kind for record in records}, {"completed"})
        _, _, body = journals.begin(Slot()).partition(b" ")
        following = msgspec.json.decode(body, type=site.Journal)
        self.assertEqual(following.after, len(records))

    def test_ids_are_new(self) -> None:
        self.assertEqual(len({new_id() for _ in range(100)}), 100)
