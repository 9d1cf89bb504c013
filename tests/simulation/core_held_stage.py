"""Held jobs in the core's scenario: their load, their faults, what must hold of them."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.core_choices import CHOOSERS
from tests.simulation.core_cups import CupsLoad
from tests.simulation.core_held import HeldChecks, HeldFaults, HeldLoad
from tests.simulation.core_nodes import USERS, CoreInstallation
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
        self.cups: CupsLoad | None = None
        if installation.cups is not None:
            cups_rng = installation.world.random("load of CUPS")
            users = sorted((*USERS, *(CHOOSERS if installation.has_choices else ())))
            self.cups = CupsLoad(installation.cups, installation.world, cups_rng, users)
            self.cups.register(stage)
        self.weekend = Weekend(installation, stage, oracle._running, rng)
        self.checks = HeldChecks(installation, self.load, lambda: oracle._struck)

    def start(self, chaos_s: float) -> None:
        """People come from now on."""
        self.load.start(chaos_s)
        if self.cups is not None:
            self.cups.start(chaos_s)
