"""How long each decision took, drawn: one dot a decision, on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

WIDTH, LEFT, ROW = 760, 250, 64
_TICKS_MS = (1, 10, 100, 1_000, 2_000)


def _x(milliseconds: float) -> float:
    """Where a wait lies: 1 ms at the left edge, 3 s at the right."""
    share = math.log10(max(milliseconds, 1.0)) / math.log10(3_000)
    return LEFT + (WIDTH - LEFT - 20) * min(share, 1.0)


def draw(waits: Mapping[str, Sequence[float]]) -> str:
    """An SVG of ``waits``, milliseconds by what happened."""
    height = ROW * len(waits) + 50
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
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
