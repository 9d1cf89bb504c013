"""The lines of a price list as a person writes them: refused whole, with the line named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from papercutd.domain.money import parse_amount_e4
from papercutd.domain.paper_sizes import charged_name
from papercutd.domain.pricing import PagePrice
from papercutd.errors import InvalidValue

#: The line that serves every size without one of its own.
OTHER = "*"


def parse_lines(prices: Mapping[str, Any]) -> tuple[tuple[PagePrice, ...], PagePrice]:
    """``{"A4": ["0.05", "0.20"], "*": [...]}``: a line for each size, and that of the others.

    Two more prices of a line are those of paper printed on both sides.
    """
    written: dict[str, str] = {}
    lines: dict[str, PagePrice] = {}
    for text, pair in prices.items():
        paper = OTHER if text.strip() == OTHER else charged_name(text)
        if paper in lines:
            raise InvalidValue(text, f"is the same paper as {written[paper]}: write one line")
        written[paper], lines[paper] = text, PagePrice(paper, *parse_pair(text, pair))
    other = lines.pop(OTHER, None)
    if other is None:
        raise InvalidValue("prices", "need a line * for all other sizes")
    return tuple(lines.values()), other


def parse_pair(text: str, pair: Any) -> list[int]:
    """The two or four prices of the line ``text``."""
    if not isinstance(pair, list) or len(pair) not in (2, 4):
        raise InvalidValue(text, "needs a grey and a colour price, and for duplex both or neither")
    amounts = [parse_amount_e4(str(amount), field=text) for amount in pair]
    if min(amounts) < 0:
        raise InvalidValue(text, "has a negative price")
    return amounts
