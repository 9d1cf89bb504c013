"""F20: every node is upgraded in the midst of everything, one by one, in every order."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.core import CoreScenario
from tests.simulation.findings import Findings
from tests.simulation.node import Crash
from tests.simulation.profiles import PROFILES, Profile
from tests.simulation.scenario import run_scenario
from tests.simulation.world import World

SEEDS = range(1, 7)
DOWN_S = 1.5


class UpgradeScenario(CoreScenario):
    """Everybody speaks version 1 alone at first; each is upgraded once, at its own time."""

    def __init__(self, world: World, rng: random.Random, profile: Profile) -> None:
        super().__init__(world, rng, profile)
        self._chaos_s = profile.chaos_s
        self._order = world.random("upgrades")

    def run(self) -> Findings:
        for name in self.installation.topology.nodes():
            self.installation.speaks[name] = (1,)
            self.world.later(self._order.uniform(5.0, self._chaos_s), self._upgrade, name)
        return super().run()

    def _upgrade(self, name: str) -> None:
        del self.installation.speaks[name]
        node = self.world.nodes[name]
        self.world.sometimes(f"upgraded {name}")
        if node.is_up:
            node.crash(Crash.KILLED)
            self.world.later(DOWN_S, self._back, name)

    def _back(self, name: str) -> None:
        node = self.world.nodes[name]
        if not node.is_up and self.world.now >= node.down_until_s:
            node.boot()


class UpgradeTests(SynchronousTestCase):
    timeout = 300

    def tearDown(self) -> None:
        # Coroutines of processes that crashed are thrown away, and what they held with them.
        self.flushLoggedErrors(RuntimeError)

    def test_seeds(self) -> None:
        for seed in SEEDS:
            findings = run_scenario(UpgradeScenario, seed, PROFILES["base"])
            text = "\n".join(str(finding) for finding in findings.found)
            self.assertTrue(findings.is_good, f"seed {seed}\n{text}")
            self.assertGreater(findings.counts["jobs"], 0)

    def test_with_devices(self) -> None:
        findings = run_scenario(UpgradeScenario, 3, PROFILES["devices"])
        text = "\n".join(str(finding) for finding in findings.found)
        self.assertTrue(findings.is_good, text)
