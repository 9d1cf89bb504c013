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
    #: Jobs are held and released too, at devices where there are some.
    has_held: bool = False
    #: Print servers have CUPS beside their direct printers; wants ``has_held``.
    has_cups: bool = False
    #: Jobs printed at once. Faults make a run what it is: twice the seeds show more than
    #: twice the jobs.
    jobs: int = 24
    #: What people have, in parts of what 60 jobs would leave them little of.
    funds: float = 0.5
    #: There are shared accounts; wants ``has_devices``.
    has_shared: bool = False
    #: Some users are asked who pays, and answer or not.
    has_choices: bool = False
    #: Some users come and go.
    has_people: bool = False
    #: People whom nobody knows print too (core_newcomers.py).
    has_newcomers: bool = False
    #: Of both sites.
    policy: str = "capped"
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

#: What people copy there is charged to shared accounts too.
SHARED = attrs.evolve(DEVICES, name="shared", has_shared=True)

#: Secure and find-me printers, whose jobs people collect.
_OF_HELD = {"F46": 1.5, "F56": 0.4, "F57": 1.5, "F58": 2.0, "F67": 0.7, "F68": 1.0}
HELD = attrs.evolve(
    BASE,
    name="held",
    has_devices=True,
    has_held=True,
    has_cups=True,
    jobs=12,
    rates={**BASE.rates, **_OF_HELD},
)

#: The network and crashes go on, at half the rate, while disks go back.
_HALF = {code: rate / 2 for code, rate in BASE.rates.items()}
#: What was denied, or given back, in a lost window may be forgotten with it: no F45.
_HALF.pop("F45")


def _restoring(name: str, rates: Mapping[str, float]) -> Profile:
    return attrs.evolve(BASE, name=name, quiet_s=180.0, rates={**_HALF, **rates})


SITE_RESTORE = _restoring("site-restore", {"F23": 0.7, "F26": 1.0, "F33": 0.5})
CLONE = _restoring("clone", {"F28": 1.0, "F29": 1.0, "F63": 0.7})
REVERT = _restoring("revert", {"F27": 1.0, "F34": 0.7, "F62": 1.0})
APP_RESTORE = _restoring("app-restore", {"F30": 0.7, "F31": 0.7})
MIXED = _restoring(
    "mixed",
    {
        **{"F23": 0.3, "F26": 0.5, "F27": 0.4, "F28": 0.4, "F29": 0.4, "F30": 0.4, "F31": 0.4},
        **{"F33": 0.3, "F34": 0.3, "F62": 0.4, "F63": 0.3},
    },
)
#: With held jobs as well, at direct printers; it has bad seeds still (docs/testing.md).
MIXED_HELD = attrs.evolve(
    MIXED,
    name="mixed-held",
    has_held=True,
    jobs=20,
    rates={**MIXED.rates, "F46": 0.5, "F58": 0.7, "F67": 0.3},
)
#: What damages records and clocks, and what nobody can read.
DISKS = _restoring(
    "disks",
    {**{"F16": 1.0, "F24": 1.0, "F38": 0.7, "F40": 0.7, "F64": 1.0, "F65": 0.7, "F66": 0.7}},
)
#: The application server goes back while a site runs twice.
APP_RESTORE_CLONE = _restoring("app-restore-clone", {"F32": 1.0})
#: People are merged, renamed and deleted, providers revoked.
PEOPLE = attrs.evolve(
    _restoring(
        "people",
        {"F43": 1.0, "F49": 0.7, "F53": 0.7, "F54": 1.0, "F55": 1.5, "F42": 1.0},
    ),
    has_people=True,
)
#: Vouchers are redeemed at both cut sites at once, while servers go back and people are merged.
VOUCHERS = attrs.evolve(
    _restoring("vouchers", {"F26": 0.6, "F30": 0.4, "F31": 0.4, "F55": 0.7, "F69": 3.0}),
    has_people=True,
)
#: People whom no server knows, while sites are cut, prices change and quotas run.
NEWCOMERS = attrs.evolve(
    BASE,
    name="newcomers",
    has_newcomers=True,
    rates={**_HALF, "F5": 2.0, "F6": 1.0, "F7": 1.0, "F42": 1.0, "F53": 1.0},
)
#: Sites spend what they were granted, and nothing else.
STRICT = attrs.evolve(
    BASE,
    name="strict",
    policy="strict",
    rates={**_HALF, "F5": 2.0, "F6": 1.0, "F7": 1.0, "F60": 2.0},
)
#: The same while its memory goes back or runs twice.
STRICT_RESTORE = attrs.evolve(
    _restoring(
        "strict-restore",
        {"F23": 0.5, "F26": 0.7, "F27": 0.5, "F28": 0.5, "F30": 0.3, "F31": 0.3, "F60": 1.0},
    ),
    policy="strict",
)
#: The policy of a site changes under way.
POLICY = attrs.evolve(BASE, name="policy", rates={**_HALF, "F5": 2.0, "F47": 2.0, "F60": 0.5})
#: Little goes wrong: who is refused then could not pay.
CALM = attrs.evolve(BASE, name="calm", quiet_s=90.0, intensity=(0.0, 0.15))
CALM_STRICT = attrs.evolve(CALM, name="calm-strict", policy="strict")
#: What was denied or given back is asked for again and again.
AGAIN = attrs.evolve(
    BASE, name="again", swarm=1.0, rates={"F5": 2.0, "F11": 2.0, "F44": 3.0, "F45": 8.0}
)
#: A site's disk is lost with what it has forwarded to nobody.
GONE = attrs.evolve(
    BASE,
    name="gone",
    quiet_s=180.0,
    swarm=1.0,
    rates={"F5": 4.0, "F6": 2.0, "F7": 2.0, "F33": 3.0},
)
#: People are asked who pays what they print.
CHOICES = attrs.evolve(BASE, name="choices", jobs=8, has_choices=True)
#: Everybody is of the release before, until each is upgraded.
UPGRADE = attrs.evolve(BASE, name="upgrade", rates={**_HALF, "F20": 3.0})
#: Fourteen days cut: see fortnight.py, which makes what happens.
FORTNIGHT = Profile(
    "fortnight", chaos_s=14 * 86_400.0, quiet_s=900.0, rates={}, jobs=43, has_people=True
)
_ALL = (
    *(BASE, DEVICES, SHARED, HELD, SITE_RESTORE, CLONE, REVERT, APP_RESTORE, MIXED),
    *(
        DISKS,
        APP_RESTORE_CLONE,
        PEOPLE,
        NEWCOMERS,
        VOUCHERS,
        STRICT,
        STRICT_RESTORE,
        POLICY,
        CALM,
        CALM_STRICT,
        AGAIN,
        GONE,
        UPGRADE,
        FORTNIGHT,
        CHOICES,
    ),
)

#: Of every night's seeds, in turn: the plain one four times as often.
NIGHTLY = (BASE, BASE, BASE, *_ALL)
#: What a whole night has to have met; each of its seeds is of another profile.
_NIGHT = attrs.evolve(
    BASE, name="nightly", rates={code: 1.0 for one in NIGHTLY for code in one.rates}
)

PROFILES: dict[str, Profile] = {profile.name: profile for profile in (*_ALL, MIXED_HELD, _NIGHT)}


def profile_of(name: str, seed: int) -> Profile:
    """The profile that ``seed`` has in a run of profile ``name``."""
    return NIGHTLY[seed % len(NIGHTLY)] if name == _NIGHT.name else PROFILES[name]
