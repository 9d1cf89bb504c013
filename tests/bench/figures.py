"""What every figure is told in: rows with goals, beside what pictures are drawn from."""

from __future__ import annotations

import os
import statistics
import sys
import unittest
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs


@attrs.frozen
class Row:
    """One figure; without a goal it is a peer, or there for its own sake."""

    name: str
    #: None: it cannot be measured here, and ``note`` says why.
    value: float | None
    unit: str
    goal: float | None = None
    #: The goal is a limit, not a least.
    at_most: bool = True
    note: str = ""
    #: It could not be measured though it should have been; ``note`` says what happened.
    failed: bool = False

    @property
    def verdict(self) -> str:
        """``meets`` or ``below``; empty without a goal."""
        if self.value is None or self.goal is None:
            return ""
        holds = self.value <= self.goal if self.at_most else self.value >= self.goal
        return "meets" if holds else "below"

    def as_json(self) -> dict[str, Any]:
        return {**attrs.asdict(self), "is": self.verdict}

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Row:
        return cls(**{name: value for name, value in told.items() if name != "is"})


@attrs.define
class Notes:
    """What the figures of one run leave for its pictures."""

    #: Milliseconds by what happened.
    waits_ms: dict[str, list[float]] = attrs.field(factory=dict)
    #: Picture, then line: points of it.
    lines: dict[str, dict[str, list[tuple[float, float]]]] = attrs.field(factory=dict)
    #: Whole jobs a second at an engine's peak, where a figure has measured them.
    peaks: dict[str, float] = attrs.field(factory=dict)
    #: What was started for several figures, and ends with the run.
    stack: ExitStack = attrs.field(factory=ExitStack)
    _kept: dict[str, Any] = attrs.field(factory=dict)

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """What ``make`` gives, entered, the first time that ``name`` is asked for."""
        if name not in self._kept:
            self._kept[name] = self.stack.enter_context(make())
        return self._kept[name]

    def point(self, picture: str, line: str, x: float, y: float) -> None:
        self.lines.setdefault(picture, {}).setdefault(line, []).append((x, y))


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(text, file=sys.stderr, flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of ``values`` do not exceed; 0.0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median_of_ratios(figures: Sequence[float], peers: Sequence[float]) -> float:
    """Of runs in turn: each is compared with the one beside it."""
    return statistics.median(a / b for a, b in zip(figures, peers, strict=True))


def cpu_s(pid: int) -> float:
    """Seconds of processor time that a process has had, its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1])
    return 0.0


def run_case(case: unittest.TestCase) -> None:
    """Run a test for its servers and figures; it fails as a figure would."""
    result = unittest.TestResult()
    case.run(result)
    for _, why in (*result.errors, *result.failures):
        raise SystemExit(str(why))


def table(rows: Sequence[Row]) -> str:
    """As people read them: name, value, unit, goal, verdict."""
    width = max((len(row.name) for row in rows), default=0)
    lines = []
    for row in rows:
        value = "" if row.value is None else f"{row.value:,.2f}"
        limit = "at most" if row.at_most else "at least"
        goal = "" if row.goal is None else f"{limit} {row.goal:,g}"
        lines.append(f"{row.name:<{width}} {value:>12} {row.unit:<8} {goal:<14} {row.verdict}")
        if row.note:
            lines[-1] += row.note
    return "\n".join(lines)
