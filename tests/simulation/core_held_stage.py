"""Held jobs in the core's scenario: their load, their faults, what must hold of them."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.core_held import HeldChecks, HeldFaults, HeldLoad
from tests.simulation.core_nodes import CoreInstallation
from tests.simulation.core_oracle import CoreOracle
from tests.simulation.core_weekend import Weekend
from tests.simulation.stage import Stage


class Held:
    """Registers its faults with ``stage``; the scenario starts the rest."""

    def __init__(
        self,
        installation: CoreInstallation,
        stage: Stage,
        oracle: CoreOracle,
        hand_in: Callable[[str], None],
    ) -> None:
        rng = installation.world.random("held")
        self.load = HeldLoad(installation, rng, hand_in)
        HeldFaults(self.load, installation, rng).register(stage)
        self.weekend = Weekend(installation, stage, oracle._running, rng)
        self.checks = HeldChecks(installation, self.load, lambda: oracle._struck)
