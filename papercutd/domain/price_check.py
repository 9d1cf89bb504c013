"""Whether a version of the prices can be one: whole and within bounds, else not taken at all."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from itertools import pairwise

from papercutd.domain.price_table import MULTIPLIER_MAX, UNIT_LIMIT_E4, WHOLE, PriceTable
from papercutd.domain.pricing import PriceList
from papercutd.errors import InvalidValue

#: Of all lists of one version together.
LINES_MAX = 5_000
LISTS_MAX = 200
MULTIPLIERS_MAX = 500
_BOUNDS = "is negative or out of bounds"


def check_prices(prices: PriceList) -> None:
    """Raise InvalidValue, naming what is wrong."""
    tables = [prices.table, *(own.table for own in prices.lists)]
    if len(prices.lists) > LISTS_MAX or len(prices.multipliers) > MULTIPLIERS_MAX:
        raise InvalidValue("prices", f"have over {LISTS_MAX} lists or {MULTIPLIERS_MAX} groups")
    if sum(1 for table in tables for _ in table.stated) > LINES_MAX:
        raise InvalidValue("prices", f"have over {LINES_MAX} lines")
    for table in tables:
        _check_table(table)
    for one in prices.multipliers:
        if not 1 <= one.multiplier <= MULTIPLIER_MAX:
            raise InvalidValue("multiplier", f"is not from 0.0001 to {MULTIPLIER_MAX // WHOLE}")
    _once("list", (own.name for own in prices.lists))
    _once("printer", (printer for own in prices.lists for printer in own.printers))
    _once("group", (group for own in prices.lists for group in own.groups))
    _once("group", (one.group for one in prices.multipliers))
    if max(prices.dearest.side_e4, prices.dearest.first_page_e4) >= UNIT_LIMIT_E4:
        raise InvalidValue("price", f"{_BOUNDS}, with the multipliers")


def _check_table(table: PriceTable) -> None:
    rules = table.rules
    amounts = (rules.first_page_e4, rules.minimum_e4, rules.scan_e4, rules.fax_e4)
    units = (*amounts, *(unit for line in table.stated for unit in line.units_e4))
    if any(not 0 <= unit < UNIT_LIMIT_E4 for unit in units):
        raise InvalidValue("price", _BOUNDS)
    if any(not 0 <= d <= WHOLE for d in (rules.duplex_discount_e4, rules.grey_discount_e4)):
        raise InvalidValue("discount", "is not from 0% to 100%")
    _once("paper", (line.paper for line in table.papers))
    _once("paper", (category.price.paper for category in rules.up_to))
    for small, large in pairwise(rules.up_to):
        is_within = small.short_mm <= large.short_mm and small.long_mm <= large.long_mm
        if not is_within:
            words = f"overlaps {large.price.paper}: neither size is within the other"
            raise InvalidValue(small.price.paper, words)


def _once(what: str, found: Iterable[Hashable]) -> None:
    seen = set()
    for one in found:
        if one in seen:
            raise InvalidValue(what, f"{one} occurs twice")
        seen.add(one)
