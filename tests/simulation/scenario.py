"""What the runner runs: a scenario makes nodes and load in a world and judges them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from tests.simulation.findings import Findings
from tests.simulation.profiles import Profile
from tests.simulation.world import World


class Scenario(Protocol):
    """One run, made anew for each seed."""

    def run(self) -> Findings:
        """Run the whole profile, and return ``world.finish()``."""


#: How a scenario is made; the randomness is the load's own.
Make = Callable[[World, random.Random, Profile], Scenario]


def run_scenario(make: Make, seed: int, profile: Profile, world: World | None = None) -> Findings:
    """One seed. ``world``: made for this seed, with a trace's listener perhaps."""
    world = world if world is not None else World(seed)
    world.findings.profile = profile.name
    return make(world, world.random("load"), profile).run()
