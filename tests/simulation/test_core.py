"""300 seeds of the core: real servers under faults, and every tenth twice (I18)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.core import run_core

SEEDS_OF_A_TEST = 30


class BaseTests(SynchronousTestCase):
    """A test for each thirty seeds; a failing seed says how it is replayed."""

    timeout = 300

    def check(self, first: int) -> None:
        for seed in range(first, first + SEEDS_OF_A_TEST):
            findings = run_core(seed)
            text = "\n".join(str(finding) for finding in findings.found)
            self.assertTrue(findings.is_good, f"make simulate SEEDS=1 FIRST_SEED={seed}\n{text}")
            self.assertGreater(findings.counts["jobs"], 0)
            if seed % 10 == 0:
                self.assertEqual(run_core(seed).trace, findings.trace, f"seed {seed} (I18)")


def _add(number: int) -> None:
    first = 1 + number * SEEDS_OF_A_TEST

    def test(self: BaseTests) -> None:
        self.check(first)

    name = f"test_seeds_{first:04d}"
    test.__name__ = name
    setattr(BaseTests, name, test)


for _number in range(10):
    _add(_number)
