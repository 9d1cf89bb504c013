"""No test is lost in their order, and both kinds go on all the time."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.order import in_order, seconds_of


class Named:
    """All that is asked of a test."""

    def __init__(self, name: str) -> None:
        self.name = name

    def id(self) -> str:
        return self.name


def names_of(tests: list[Any]) -> list[str]:
    return [test.id() for test in tests]


class OrderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.names = [
            *(f"tests.integration.test_a.T.test_{number}" for number in range(60)),
            "tests.integration.test_demo.T.test_it",
            *(f"tests.simulation.test_core.ProfileTests.test_base_{n:04d}" for n in range(30)),
            *(f"tests.unit.test_b.T.test_{number}" for number in range(100)),
        ]
        self.order = names_of(in_order(Named(name) for name in self.names))

    def test_all_of_them_once(self) -> None:
        self.assertEqual(sorted(self.order), sorted(self.names))

    def test_the_longest_begin(self) -> None:
        self.assertIn("tests.integration.test_demo.T.test_it", self.order[:2])
        self.assertIn("tests.unit.", self.order[-1])
        of_unit = self.order.index("tests.unit.test_b.T.test_0")
        self.assertLess(self.order.index(self.names[-101]), of_unit)

    def test_both_kinds_to_the_end(self) -> None:
        """Of each there is as much to come, by time."""
        whole_s: dict[bool, float] = {False: 0.0, True: 0.0}
        for name in self.names:
            whole_s[".integration." in name] += seconds_of(name)
        done_s = {False: 0.0, True: 0.0}
        for name in self.order:
            done_s[".integration." in name] += seconds_of(name)
            parts = [done_s[kind] / whole_s[kind] for kind in (False, True)]
            self.assertLess(abs(parts[0] - parts[1]), 0.25)

    def test_one_kind_alone(self) -> None:
        units = [name for name in self.names if ".unit." in name]
        self.assertEqual(names_of(in_order(Named(name) for name in units)), units)
        self.assertEqual(in_order([]), [])

    def test_the_most_exact_name_says_how_long(self) -> None:
        self.assertEqual(seconds_of("tests.integration.test_demo.T.t"), 90.0)
        self.assertEqual(seconds_of("tests.integration.test_x.T.t"), 5.0)
        self.assertEqual(seconds_of("somewhere.else"), 0.1)
