"""Profiles: which faults, how often, for how long."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen
class Profile:
    """How hard a run is.

    ``rates``: faults of each kind a run has on the average, by their numbers in the
    catalogue. A seed draws which kinds it has at all (``swarm``: the chance of each), and
    has the more of those: runs that are all alike miss what only a lone fault shows.
    """

    name: str
    #: Time with faults, then time without: by its end everything must be settled.
    chaos_s: float
    quiet_s: float
    rates: Mapping[str, float]
    swarm: float = 0.6
    #: People copy at devices too.
    has_devices: bool = False
    #: A run's own factor on all rates is drawn between these.
    intensity: tuple[float, float] = (0.4, 1.6)

    @property
    def total_s(self) -> float:
        return self.chaos_s + self.quiet_s


BASE = Profile(
    "base",
    chaos_s=120.0,
    quiet_s=150.0,
    rates={
        **{"F1": 1.0, "F2": 1.0, "F3": 1.5, "F4": 1.0, "F5": 1.5, "F6": 1.0, "F7": 1.0},
        **{"F8": 0.7, "F9": 0.7, "F10": 0.7, "F11": 1.5, "F12": 1.5},
        **{"F14": 1.0, "F15": 1.0, "F18": 0.7, "F19": 0.4, "F21": 0.5, "F25": 0.7},
        **{"F35": 0.5, "F36": 0.3, "F37": 0.4},
        **{"F42": 1.0, "F44": 1.0, "F45": 1.0, "F57": 1.0, "F59": 1.0, "F61": 0.7},
    },
)

#: The same, with devices at both sites.
DEVICES = attrs.evolve(BASE, name="devices", has_devices=True)

PROFILES: dict[str, Profile] = {profile.name: profile for profile in (BASE, DEVICES)}
