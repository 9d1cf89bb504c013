"""F20: a rolling upgrade, one node after the other, in any order, in the midst of everything."""

from __future__ import annotations

import random

from tests.simulation.core_nodes import CoreInstallation
from tests.simulation.stage import End, Fault, Stage

DOWN_S = 1.5


class Upgrades:
    """Everybody speaks version 1 alone at first. ``Upgrades(stage, installation, rng)``."""

    def __init__(self, stage: Stage, installation: CoreInstallation, rng: random.Random) -> None:
        self._stage = stage
        self._in = installation
        self._rng = rng

    def register(self) -> None:
        for name in self._stage.topology.nodes():
            self._in.speaks[name] = (1,)
        self._stage.logic["F20"] = self._upgrade_all

    def _upgrade_all(self, fault: Fault) -> End:
        names = list(self._in.speaks)
        for name in names:
            after_s = self._rng.uniform(0.0, fault.duration_s)
            self._stage.world.later(after_s, self._upgrade, name)
        return lambda: bool(names)

    def _upgrade(self, name: str) -> None:
        if self._in.speaks.pop(name, None) is not None:
            self._stage.world.sometimes(f"upgraded {name}")
            self._stage.crash(name, DOWN_S)
