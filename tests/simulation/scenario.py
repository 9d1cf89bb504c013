"""What the runner runs: a scenario makes nodes and load in a world and judges them."""

from __future__ import annotations

import random
from typing import Protocol

from tests.simulation.findings import Findings
from tests.simulation.profiles import Profile
from tests.simulation.world import World


class Scenario(Protocol):
    """One run. Made anew for each seed; ``rng`` is the load's own randomness."""

    def __init__(self, world: World, rng: random.Random, profile: Profile) -> None: ...

    def run(self) -> Findings:
        """Run the whole profile, and return ``world.finish()``."""


def run_scenario(
    make: type[Scenario], seed: int, profile: Profile, world: World | None = None
) -> Findings:
    """One seed. ``world``: made for this seed, with a trace's listener perhaps."""
    world = world if world is not None else World(seed)
    world.findings.profile = profile.name
    return make(world, world.random("load"), profile).run()
