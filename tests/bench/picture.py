"""Pictures of figures as SVG: dots on a scale of time, lines, and shares of waits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import attrs

WIDTH, LEFT, ROW = 760, 250, 64
_TICKS_MS = (1, 10, 100, 1_000, 2_000)
_COLOURS = ("#247", "#b52", "#383", "#739", "#777", "#a80")
Points = Sequence[tuple[float, float]]


def _x(milliseconds: float) -> float:
    """Where a wait lies: 1 ms at the left edge, 3 s at the right."""
    share = math.log10(max(milliseconds, 1.0)) / math.log10(3_000)
    return LEFT + (WIDTH - LEFT - 20) * min(share, 1.0)


def _begin(height: int) -> list[str]:
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]


def draw(waits: Mapping[str, Sequence[float]]) -> str:
    """One dot a wait, milliseconds by what happened, on a logarithmic scale."""
    height = ROW * len(waits) + 50
    parts = _begin(height)
    for tick in _TICKS_MS:
        label = f"{tick} ms" if tick < 1_000 else f"{tick // 1_000} s"
        x = round(_x(tick), 1)
        colour = "#c33" if tick == 2_000 else "#ddd"
        parts.append(f'<path d="M{x} 16V{height - 30}" stroke="{colour}"/>')
        parts.append(f'<text x="{x}" y="{height - 12}" text-anchor="middle">{label}</text>')
    for number, (name, values) in enumerate(waits.items()):
        y = 40 + number * ROW
        parts.append(f'<text x="10" y="{y}">{name}</text>')
        note = f"{len(values)} decisions, longest {max(values):.0f} ms"
        parts.append(f'<text x="10" y="{y + 18}" fill="#666">{note}</text>')
        for index, value in enumerate(values):
            # Spread up and down, so that equal waits are seen.
            offset = (index * 7 % 21) - 10
            parts.append(
                f'<circle cx="{_x(value):.1f}" cy="{y + offset}" r="2.5" fill="#247"'
                ' fill-opacity="0.5"/>'
            )
    parts.append("</svg>\n")
    return "\n".join(parts)


@attrs.frozen
class Axis:
    """What one direction of a picture shows."""

    title: str
    ticks: Sequence[float]
    is_logarithmic: bool = False
    show: Callable[[float], str] = "{:,g}".format

    def share(self, value: float) -> float:
        """Where ``value`` lies, from 0 to 1."""
        low, high = self.ticks[0], self.ticks[-1]
        if low == high:
            return 0.5
        if self.is_logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(max(value, low))
        return min(max((value - low) / (high - low), 0.0), 1.0)


def chart(lines: Mapping[str, Points], across: Axis, up: Axis) -> str:
    """Lines between axes, each named at the right."""
    height, left, right, top, bottom = 340, 80, WIDTH - 190, 20, 290
    parts = _begin(height)
    x_of = lambda value: round(left + across.share(value) * (right - left), 1)  # noqa: E731
    y_of = lambda value: round(bottom - up.share(value) * (bottom - top), 1)  # noqa: E731
    for tick in across.ticks:
        x = x_of(tick)
        parts.append(f'<path d="M{x} {top}V{bottom}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{across.show(tick)}</text>'
        )
    for tick in up.ticks:
        y = y_of(tick)
        parts.append(f'<path d="M{left} {y}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{up.show(tick)}</text>')
    middle = (left + right) / 2
    parts.append(f'<text x="{middle}" y="{height - 10}" text-anchor="middle">{across.title}</text>')
    parts.append(f'<text x="10" y="14">{up.title}</text>')
    for number, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{x_of(x)},{y_of(y)}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = top + 14 + number * 20
        parts.append(f'<text x="{right + 12}" y="{y}" fill="{colour}">{name}</text>')
    parts.append("</svg>\n")
    return "\n".join(parts)


def ticks_to(highest: float, count: int = 5) -> list[float]:
    """Round numbers from 0 to at least ``highest``."""
    step = highest / count or 1.0
    scale = 10 ** math.floor(math.log10(step))
    step = next(n * scale for n in (1, 2, 5, 10) if n * scale >= step)
    return [n * step for n in range(math.ceil(highest / step or 1) + 1)]


def throughput(lines: Mapping[str, Points]) -> str:
    """Whole jobs a second by the number of connections."""
    counts = sorted({x for points in lines.values() for x, _ in points})
    highest = max(y for points in lines.values() for _, y in points)
    across = Axis("connections, 4 jobs in flight on each", counts, is_logarithmic=True)
    return chart(lines, across, Axis("whole jobs a second", ticks_to(highest)))


def drain(lines: Mapping[str, Points]) -> str:
    """Records still to be forwarded, over time."""
    last = max(x for points in lines.values() for x, _ in points)
    most = max(y for points in lines.values() for _, y in points)
    across = Axis("seconds since the link was healed", ticks_to(last))
    return chart(lines, across, Axis("records left", ticks_to(most)))


def shares(waits: Mapping[str, Sequence[float]]) -> str:
    """Which share of waits took how long at the most."""
    lines = {}
    for name, values in waits.items():
        ordered = sorted(values)
        step = len(ordered) // 200 or 1
        lines[name] = [
            (value, 100 * (index + 1) / len(ordered))
            for index, value in enumerate(ordered)
            if index % step == 0 or index == len(ordered) - 1
        ]
    across = Axis("milliseconds", (0.5, 1, 2, 5, 10, 20, 50, 100, 1_000), is_logarithmic=True)
    return chart(lines, across, Axis("% of AUTHORIZE answered", (0, 25, 50, 75, 95, 100)))
