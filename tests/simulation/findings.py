"""What a run found, and what it has met: the result of a scenario."""

from __future__ import annotations

import collections
from typing import Any

import attrs

#: Findings kept of one run: the first matter, a broken rule breaks at every commit after.
FINDINGS_MAX = 50


@attrs.frozen
class Finding:
    """One thing that must not be."""

    #: ``I1`` ... of the invariants, or ``defect`` (an exception nobody expected).
    invariant: str
    at_s: float
    node: str
    text: str

    def __str__(self) -> str:
        return f"{self.at_s:10.3f} s  {self.invariant:<7} {self.node or '-':<14} {self.text}"


@attrs.define
class Findings:
    """The result of one seed."""

    seed: int = 0
    profile: str = ""
    found: list[Finding] = attrs.field(factory=list)
    #: Findings beyond FINDINGS_MAX.
    more: int = 0
    #: What happened at least once, how often: the ``sometimes`` counters.
    sometimes: collections.Counter[str] = attrs.field(factory=collections.Counter)
    #: Invariants and how often each was checked.
    checked: collections.Counter[str] = attrs.field(factory=collections.Counter)
    #: What the scenario did: jobs, sessions, ...
    counts: collections.Counter[str] = attrs.field(factory=collections.Counter)
    trace: str = ""
    events: int = 0
    simulated_s: float = 0.0
    #: The faults of this seed, a line each.
    plan: list[str] = attrs.field(factory=list)

    @property
    def is_good(self) -> bool:
        return not self.found

    def add(self, finding: Finding) -> None:
        if len(self.found) < FINDINGS_MAX:
            self.found.append(finding)
        else:
            self.more += 1

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "seed": self.seed,
            "profile": self.profile,
            "good": self.is_good,
            "found": [attrs.asdict(finding) for finding in self.found],
            "more": self.more,
            "sometimes": dict(sorted(self.sometimes.items())),
            "checked": dict(sorted(self.checked.items())),
            "counts": dict(sorted(self.counts.items())),
            "trace": self.trace,
            "events": self.events,
            "simulated_s": self.simulated_s,
            "plan": self.plan,
        }
