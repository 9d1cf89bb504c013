"""Where faults take place: a world, who is who in it, and how its nodes come back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from tests.simulation.network import SimNetwork
from tests.simulation.node import Crash, Node
from tests.simulation.world import World

#: Ends a fault, and says whether it ever had an effect.
End = Callable[[], bool]


@attrs.frozen
class Topology:
    """Names of nodes by what they are; ``providers`` to the site each stands at, or ``""``."""

    application: str
    sites: tuple[str, ...] = ()
    providers: Mapping[str, str] = attrs.field(factory=dict)
    #: Devices, to the site each stands at.
    devices: Mapping[str, str] = attrs.field(factory=dict)
    #: Other askers, by the server each talks to.
    others: Mapping[str, str] = attrs.field(factory=dict)

    def nodes(self) -> list[str]:
        return [self.application, *self.sites, *self.providers, *self.devices, *self.others]

    def servers(self) -> list[str]:
        return [self.application, *self.sites]

    def site_links(self) -> list[tuple[str, str]]:
        """(application server, site)."""
        return [(self.application, site) for site in self.sites]

    def asker_links(self) -> list[tuple[str, str]]:
        """(server, who asks it)."""
        links = [(server, asker) for asker, server in self.others.items()]
        for provider, site in self.providers.items():
            links.append((self.application, provider))
            if site:
                links.append((site, provider))
        for device, site in self.devices.items():
            links += [(self.application, device), (site, device)]
        return links

    def links(self) -> list[tuple[str, str]]:
        return [*self.site_links(), *self.asker_links()]


@attrs.frozen
class Fault:
    """One fault of a plan."""

    at_s: float
    kind: str
    title: str
    #: Nodes; for faults of a link (server, asker).
    targets: tuple[str, ...]
    duration_s: float
    values: Mapping[str, float] = attrs.field(factory=dict)

    def __str__(self) -> str:
        values = " ".join(f"{name}={value:.3g}" for name, value in self.values.items())
        where = " - ".join(self.targets)
        return (
            f"{self.at_s:8.2f} s  {self.kind:<4} {self.title:<34} {where:<28}"
            f" {self.duration_s:6.2f} s  {values}".rstrip()
        )


class Stage:
    """What faults act on."""

    def __init__(self, world: World, topology: Topology) -> None:
        self.world = world
        self.topology = topology
        #: For what faults decide as they go on.
        self.rng = world.random("faults under way")
        #: Faults of the load, which only the scenario knows how to make: kind to beginner.
        self.logic: dict[str, Callable[[Fault], End]] = {}

    @property
    def network(self) -> SimNetwork:
        return self.world.network

    def node(self, name: str) -> Node:
        return self.world.nodes[name]

    def crash(self, name: str, down_s: float, how: Crash = Crash.KILLED) -> bool:
        """Crash ``name`` for ``down_s``; False: it was down already, and stays so longer."""
        node = self.node(name)
        was_up = node.is_up
        if was_up:
            node.crash(how)
        self.restart_after(name, down_s)
        return was_up

    def restart_after(self, name: str, down_s: float) -> None:
        """``name`` starts after ``down_s``, or later if another fault keeps it down longer."""
        node = self.node(name)
        node.down_until_s = max(node.down_until_s, self.world.now + down_s)
        self.world.later(down_s, self._restart, name)

    def _restart(self, name: str) -> None:
        node = self.node(name)
        if not node.is_up and self.world.now >= node.down_until_s - 1e-6:
            node.boot()

    def held(self, *links: tuple[str, str], counter: str = "held") -> int:
        """How often the troubles of these directions have had that effect."""
        return sum(self.network.links[link].counters[counter] for link in links)

    def mend_all(self) -> None:
        """No fault any more: every link heals, every node runs."""
        self.network.links.heal_all()
        for node in self.world.nodes.values():
            if not node.is_up and node.identity == node.name:
                node.down_until_s = 0.0
                node.boot()
