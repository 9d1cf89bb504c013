"""What many seeds found, for people and for machines."""

from __future__ import annotations

import collections
from typing import Any

from tests.simulation.faults import KINDS
from tests.simulation.findings import Findings
from tests.simulation.oracle import INVARIANTS
from tests.simulation.profiles import Profile

_SHOWN_MAX = 10


class Summary:
    """Sums over the seeds of one profile."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self.seeds = 0
        #: Seeds with findings.
        self.bad: list[int] = []
        self.invariants: collections.Counter[str] = collections.Counter()
        self._sometimes: collections.Counter[str] = collections.Counter()
        self._in_seeds: collections.Counter[str] = collections.Counter()
        self._checked: collections.Counter[str] = collections.Counter()
        self._counts: collections.Counter[str] = collections.Counter()
        self._events = 0
        self._simulated_s = 0.0

    def add(self, findings: Findings) -> None:
        self.seeds += 1
        self._sometimes.update(findings.sometimes)
        self._in_seeds.update(findings.sometimes.keys())
        self._checked.update(findings.checked)
        self._counts.update(findings.counts)
        self._events += findings.events
        self._simulated_s += findings.simulated_s
        if not findings.is_good:
            self.bad.append(findings.seed)
            self.invariants.update({finding.invariant for finding in findings.found})

    def never(self) -> list[str]:
        """Faults of the profile that had no effect in any seed."""
        return [code for code in self._profile.rates if not self._sometimes[code]]

    def unjudged(self) -> list[str]:
        """Invariants of which no check ran in any seed: silence is not health."""
        return [code for code in INVARIANTS if not self._checked[code]]

    def describe(self, findings: Findings, with_plan: bool) -> str:
        """One seed."""
        lines = [
            f"seed {findings.seed}: {len(findings.found) + findings.more} findings,"
            f" {findings.events} events, trace {findings.trace}"
        ]
        if with_plan:
            lines.extend(f"    {line}" for line in findings.plan)
        lines.extend(f"    {finding}" for finding in findings.found[:_SHOWN_MAX])
        unshown = len(findings.found) + findings.more - _SHOWN_MAX
        if unshown > 0:
            lines.append(f"    and {unshown} more")
        return "\n".join(lines)

    def text(self) -> str:
        """All of it, for people."""
        lines = ["", f"{'fault':<6}{'':<36}{'tried':>8}{'met':>8}{'in seeds':>10}"]
        for code in self._profile.rates:
            tried, met = self._sometimes[f"{code} tried"], self._sometimes[code]
            title = KINDS[code].title
            lines.append(f"{code:<6}{title:<36}{tried:>8}{met:>8}{self._in_seeds[code]:>10}")
        others = [name for name in sorted(self._sometimes) if name.split()[0] not in KINDS]
        for heading, counter, names in (
            ("sometimes", self._sometimes, others),
            ("checked", self._checked, sorted(self._checked)),
            ("counts", self._counts, sorted(self._counts)),
        ):
            if names:
                lines.append("")
                lines.extend(f"{heading:<11}{name:<31}{counter[name]:>8}" for name in names)
        lines.append("")
        if self.unjudged():
            lines.append(f"never judged: {', '.join(self.unjudged())}")
        if self.never():
            lines.append(f"never had an effect: {', '.join(self.never())}")
        lines.append(
            f"{self.seeds} seeds of profile {self._profile.name}, {len(self.bad)} bad;"
            f" {self._events} events, {self._simulated_s / 3600:.1f} simulated hours"
        )
        if self.bad:
            lines.append(f"bad seeds: {' '.join(map(str, self.bad[:50]))}")
            found = ", ".join(f"{name} in {n}" for name, n in sorted(self.invariants.items()))
            lines.append(f"found: {found}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """All of it, for machines."""
        return {
            "profile": self._profile.name,
            "seeds": self.seeds,
            "bad": self.bad,
            "invariants": dict(sorted(self.invariants.items())),
            "sometimes": dict(sorted(self._sometimes.items())),
            "never": self.never(),
            "unjudged": self.unjudged(),
            "checked": dict(sorted(self._checked.items())),
            "counts": dict(sorted(self._counts.items())),
            "events": self._events,
            "simulated_s": round(self._simulated_s, 3),
        }
