"""Tests of fault plans: what is drawn, and that every kind of fault begins, bites and ends."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

import tests
from tests.simulation.faults import KINDS
from tests.simulation.oracle import INVARIANTS
from tests.simulation.plan import CALM_S, FaultPlan
from tests.simulation.profiles import BASE, PROFILES, Profile
from tests.simulation.selftest import TOPOLOGY, SelfTest
from tests.simulation.stage import End, Fault, Stage, Topology
from tests.simulation.world import World

ALL = frozenset(KINDS)
#: Long enough for each kind to be met.
ONE = attrs.evolve(BASE, chaos_s=90.0, quiet_s=100.0, swarm=1.0, intensity=(1.0, 1.0))


def plan_of(seed: int, profile: Profile = BASE, topology: Topology = TOPOLOGY) -> FaultPlan:
    return FaultPlan.generate(random.Random(seed), profile, topology, ALL)


class PlanTests(SynchronousTestCase):
    def test_the_seed_draws_it(self) -> None:
        self.assertEqual(plan_of(1), plan_of(1))
        self.assertNotEqual(plan_of(1), plan_of(2))

    def test_every_fault_is_over_before_the_quiet_period(self) -> None:
        for seed in range(200):
            for fault in plan_of(seed).faults:
                self.assertGreaterEqual(fault.at_s, CALM_S)
                self.assertLessEqual(fault.at_s + fault.duration_s, BASE.chaos_s + 0.002)

    def test_rates(self) -> None:
        met = Counter(fault.kind for seed in range(2000) for fault in plan_of(seed).faults)
        self.assertEqual(set(met), set(BASE.rates))
        for code, rate in BASE.rates.items():
            self.assertLess(abs(met[code] / 2000 - rate), 0.15 * rate + 0.02, code)

    def test_profiles_name_kinds_of_the_catalogue(self) -> None:
        for profile in PROFILES.values():
            self.assertEqual(set(profile.rates) - set(KINDS), set())

    def test_faults_of_the_load_only_where_the_scenario_makes_them(self) -> None:
        for seed in range(50):
            plan = FaultPlan.generate(random.Random(seed), BASE, TOPOLOGY, frozenset({"F44"}))
            self.assertTrue({"F42", "F45"}.isdisjoint(fault.kind for fault in plan.faults))

    def test_a_world_without_sites(self) -> None:
        alone = Topology("application", others={"asker": "application"})
        kinds = {fault.kind for seed in range(50) for fault in plan_of(seed, BASE, alone).faults}
        self.assertNotIn("F61", kinds)
        self.assertIn("F5", kinds)

    def test_printed(self) -> None:
        fault = Fault(12.5, "F5", "cut both ways", ("application", "north"), 3.25, {"x": 1.0})
        plan = FaultPlan([fault], 60.0)
        words = str(plan).split()
        self.assertEqual(words[:3], ["12.50", "s", "F5"])
        self.assertIn("application - north", str(plan))
        self.assertIn("x=1", str(plan))


class KindTests(SynchronousTestCase):
    def test_every_kind_bites_and_leaves_nothing_behind(self) -> None:
        for code, kind in KINDS.items():
            if kind.begin is None:
                continue
            profile = attrs.evolve(ONE, rates={code: 3.0})
            world = World(7)
            findings = SelfTest(world, world.random("load"), profile).run()
            self.assertEqual(findings.found, [], code)
            self.assertEqual(findings.sometimes[f"{code} tried"], 3, code)
            self.assertGreater(findings.sometimes[code], 0, code)
            self._check_health(world, code)

    def _check_health(self, world: World, code: str) -> None:
        for a, b in TOPOLOGY.links():
            for ends in ((a, b), (b, a)):
                link = world.network.links[ends]
                self.assertFalse(link.is_cut or link.is_tiny, code)
                self.assertEqual(link.troubles, [], code)
        for node in world.nodes.values():
            self.assertTrue(node.is_up and node.has_power and not node.is_frozen, code)
            assert node.clock is not None
            self.assertFalse(node.clock.is_paused, code)
            self.assertEqual(node.pace, 1.0, code)
            node.disk.write_file("probe", b"")

    def test_a_node_stays_down_as_long_as_the_longest_fault_wants(self) -> None:
        world = World(1)
        node = world.add_node("application", "application")
        stage = Stage(world, Topology("application"))
        node.boot()
        self.assertTrue(stage.crash("application", 10.0))
        self.assertFalse(stage.crash("application", 5.0))
        world.run(9.9)
        self.assertFalse(node.is_up)
        world.run(10.1)
        self.assertTrue(node.is_up)

    def test_the_load_makes_its_own_faults(self) -> None:
        world = World(1)
        world.add_node("application", "application").boot()
        stage = Stage(world, Topology("application"))
        seen: list[str] = []

        def begin(fault: Fault) -> End:
            seen.append(f"begin {world.now}")
            return end

        def end() -> bool:
            seen.append(f"end {world.now}")
            return True

        stage.logic["F42"] = begin
        fault = Fault(5.0, "F42", "price change", (), 3.0)
        FaultPlan([fault], 60.0).start(stage)
        world.run(60)
        self.assertEqual(seen, ["begin 5.0", "end 8.0"])
        self.assertEqual(world.findings.sometimes["F42"], 1)


class DocumentTests(SynchronousTestCase):
    def test_docs_name_every_fault_and_invariant(self) -> None:
        path = Path(tests.__file__).parent.parent / "docs" / "testing.md"
        words = set(re.findall(r"\b[FI]\d+\b", path.read_text("utf-8")))
        every = {f"F{number}" for number in range(1, 67)}
        # The catalogue, and what was found to be missing in it.
        self.assertEqual((every | set(KINDS) | set(INVARIANTS) | {"I18"}) - words, set())
