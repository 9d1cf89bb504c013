"""A plan of faults, drawn from the seed before anything runs."""

from __future__ import annotations

import random
from collections.abc import Callable

import attrs

from tests.simulation.faults import KINDS, FaultKind
from tests.simulation.profiles import Profile
from tests.simulation.stage import End, Fault, Stage, Topology

#: Nothing is harmed in the first seconds: everybody connects and loads a first replica.
CALM_S = 8.0


@attrs.define
class FaultPlan:
    """The faults of one run, in order of time. All are over by ``chaos_s``."""

    faults: list[Fault]
    chaos_s: float

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """A line each, for people."""
        return [str(fault) for fault in self.faults]

    @classmethod
    def generate(
        cls, rng: random.Random, profile: Profile, topology: Topology, logic: frozenset[str]
    ) -> FaultPlan:
        """A plan of ``profile``; ``logic``: the faults of the load that the scenario makes."""
        intensity = rng.uniform(*profile.intensity)
        faults: list[Fault] = []
        for code, rate in profile.rates.items():
            # Drawn for each kind alike, whether it is used or not: a plan changes little
            # when a kind is added.
            is_met, chance = rng.random() < profile.swarm, rng.random()
            kind = KINDS[code]
            # A scenario may make a fault of the load better than we can at random.
            if kind.begin is None and code not in logic:
                continue
            expected = rate * intensity / profile.swarm
            number = int(expected) + (chance < expected % 1.0)
            own = random.Random(rng.getrandbits(64))
            for _ in range(number if is_met else 0):
                fault = _draw(own, kind, profile, topology)
                if fault is not None:
                    faults.append(fault)
        faults.sort(key=lambda fault: (fault.at_s, fault.kind, fault.targets))
        return cls(faults, profile.chaos_s)

    def start(self, stage: Stage) -> None:
        """Let it run: faults begin and end at their times, and at ``chaos_s`` all is mended."""
        _Running(stage, self)

    def trouble_until(self, now_s: float) -> float:
        """When a fault was last under way, as seen at ``now_s``; 0: none has begun."""
        begun = [fault for fault in self.faults if fault.at_s <= now_s]
        return max((min(now_s, fault.at_s + fault.duration_s) for fault in begun), default=0.0)


def _draw(
    rng: random.Random, kind: FaultKind, profile: Profile, topology: Topology
) -> Fault | None:
    at_s = rng.uniform(CALM_S, max(profile.chaos_s - 2.0, CALM_S))
    duration_s = min(rng.uniform(*kind.duration_s), profile.chaos_s - at_s)
    choices = _TARGETS[kind.target](topology)
    if not choices:
        return None
    targets = rng.choice(choices)
    values = {name: rng.uniform(*bounds) for name, bounds in kind.values.items()}
    return Fault(round(at_s, 3), kind.code, kind.title, targets, round(duration_s, 3), values)


_TARGETS: dict[str, Callable[[Topology], list[tuple[str, ...]]]] = {
    "link": lambda topology: [*topology.links()],
    "site link": lambda topology: [*topology.site_links()],
    "asker link": lambda topology: [*topology.asker_links()],
    "node": lambda topology: [(name,) for name in topology.nodes()],
    "server": lambda topology: [(name,) for name in topology.servers()],
    "application": lambda topology: [(topology.application,)],
    "site": lambda topology: [(name,) for name in topology.sites],
    "provider": lambda topology: [(name,) for name in topology.providers],
    "none": lambda topology: [()],
}


class _Running:
    """The faults that have begun and not ended."""

    def __init__(self, stage: Stage, plan: FaultPlan) -> None:
        self._stage = stage
        self._world = stage.world
        self._active: dict[int, tuple[Fault, End]] = {}
        for number, fault in enumerate(plan.faults):
            self._world.later(fault.at_s - self._world.now, self._begin, number, fault)
        self._world.later(plan.chaos_s - self._world.now, self._mend)

    def _begin(self, number: int, fault: Fault) -> None:
        begin = self._stage.logic.get(fault.kind)
        if begin is not None:
            end = begin(fault)
        else:
            of_kind = KINDS[fault.kind].begin
            assert of_kind is not None
            end = of_kind(self._stage, fault)
        self._world.trace.note(self._world.now, "", f"begin {fault.kind}")
        self._world.sometimes(f"{fault.kind} tried")
        self._active[number] = (fault, end)
        self._world.later(fault.duration_s, self._end, number)

    def _end(self, number: int) -> None:
        active = self._active.pop(number, None)
        if active is not None:
            fault, end = active
            self._world.trace.note(self._world.now, "", f"end {fault.kind}")
            if end():
                self._world.sometimes(fault.kind)

    def _mend(self) -> None:
        for number in list(self._active):
            self._end(number)
        self._stage.mend_all()
