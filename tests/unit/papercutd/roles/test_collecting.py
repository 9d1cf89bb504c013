"""A server's garbage collector."""

from __future__ import annotations

import gc

from twisted.trial.unittest import SynchronousTestCase

from papercutd.roles.collecting import YOUNG_MAX, collect_seldom


class CollectingTests(SynchronousTestCase):
    def test_what_is_there_is_let_be_and_what_comes_is_not(self) -> None:
        self.addCleanup(gc.set_threshold, *gc.get_threshold())
        self.addCleanup(gc.unfreeze)
        collect_seldom()
        self.assertGreater(gc.get_freeze_count(), 1_000)
        self.assertEqual(gc.get_threshold()[0], YOUNG_MAX)
        circle: list[object] = []
        circle.append(circle)
        del circle
        self.assertGreater(gc.collect(), 0)
