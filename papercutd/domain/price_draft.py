"""A version of the prices as an administrator writes it: read whole, or refused with words.

A document of plain values; printers and groups are named, for storage to find. ``as_document``
writes what ``parse_draft`` reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from papercutd.domain.moments import parse_moment
from papercutd.domain.money import parse_amount_e4, show_amount
from papercutd.domain.paper_sizes import charged_name, size_mm
from papercutd.domain.price_lines import OTHER, parse_lines, parse_pair
from papercutd.domain.price_table import MULTIPLIER_MAX, WHOLE, PagePrice, PriceTable, Rules, UpTo
from papercutd.errors import InvalidValue

#: Before a size: it and every smaller one.
UP_TO = "<="
_DISCOUNTS = ("duplex_discount", "grey_discount")
_AMOUNTS = ("first_page", "minimum", "scan", "fax")
RULE_WORDS = (*_DISCOUNTS, *_AMOUNTS)
_TABLE_WORDS = frozenset({"lines", *RULE_WORDS})
_LIST_WORDS = _TABLE_WORDS | {"name", "printers", "groups"}
_TOP_WORDS = _TABLE_WORDS | {"currency", "effective_from", "multipliers", "lists"}


@attrs.frozen
class DraftList:
    """A list for printers and groups, by their names."""

    name: str
    table: PriceTable
    printers: tuple[str, ...]
    groups: tuple[str, ...]


@attrs.frozen
class Draft:
    """What is to become the next version."""

    currency: str
    effective_from: float
    table: PriceTable
    lists: tuple[DraftList, ...] = ()
    #: Names of groups, and what they pay of each unit price in 1/10000.
    multipliers: tuple[tuple[str, int], ...] = ()


def parse_draft(document: Any) -> Draft:
    """Raises InvalidValue, naming the list and the line."""
    found = _mapping("prices", document, _TOP_WORDS)
    currency, since = found.get("currency", "EUR"), found.get("effective_from", 0.0)
    if not isinstance(currency, str) or not 1 <= len(currency) <= 8 or not currency.isalpha():
        raise InvalidValue("currency", "is letters such as EUR")
    table = _table("", {k: v for k, v in found.items() if k in _TABLE_WORDS})
    lists = tuple(_own(one) for one in _list("lists", found.get("lists", [])))
    shares = _mapping("multipliers", found.get("multipliers", {}))
    multipliers = tuple((group, _multiplier(group, text)) for group, text in shares.items())
    return Draft(currency, parse_since(since), table, lists, multipliers)


def parse_since(since: Any) -> float:
    """When prices come into force: a day or moment of UTC, or seconds since 1970 (0: at once)."""
    is_number = isinstance(since, (int, float)) and not isinstance(since, bool)
    if not is_number and not isinstance(since, str):
        raise InvalidValue("effective_from", "is a day such as 2027-01-31")
    return parse_moment("effective_from", str(since))


def _own(document: Any) -> DraftList:
    found = _mapping("list", document, _LIST_WORDS)
    name = found.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= 64 or not name.isprintable():
        raise InvalidValue("list", "needs a name")
    whose = []
    for word in ("printers", "groups"):
        names = _list(f"{name}: {word}", found.get(word, []))
        if not all(isinstance(one, str) for one in names):
            raise InvalidValue(f"{name}: {word}", "are names")
        whose.append(tuple(names))
    if not any(whose):
        raise InvalidValue(name, "is for no printer and no group: nobody would get it")
    table = _table(f"{name}: ", {k: v for k, v in found.items() if k in _TABLE_WORDS})
    return DraftList(name, table, *whose)


def _table(of: str, found: Mapping[str, Any]) -> PriceTable:
    """``of``: which list, before the words of what is wrong."""
    lines: dict[str, Any] = {}
    up_to: list[UpTo] = []
    try:
        for text, pair in _mapping("lines", found.get("lines", {})).items():
            if text.strip().startswith(UP_TO):
                up_to.append(_up_to(text, pair))
                continue
            # Several sizes may share a line.
            for size in text.replace(",", " ").split() or [text]:
                if size in lines:
                    raise InvalidValue(size, "is given twice: write one line")
                lines[size] = pair
        papers, other = parse_lines(lines)
        up_to.sort(key=lambda one: (one.short_mm * one.long_mm, one.price.paper))
        shares = [_discount(word, found.get(word, "0%")) for word in _DISCOUNTS]
        amounts = [_amount(word, found.get(word, "0")) for word in _AMOUNTS]
    except InvalidValue as error:
        raise InvalidValue(f"{of}{error.field}", error.reason) from None
    return PriceTable(papers, other, Rules(tuple(up_to), *shares, *amounts))


def _up_to(text: str, pair: Any) -> UpTo:
    paper = charged_name(text.strip().removeprefix(UP_TO))
    size = size_mm(paper)
    if size is None:
        raise InvalidValue(text, "is no size")
    return UpTo(*size, PagePrice(f"{UP_TO}{paper}", *parse_pair(text, pair)))


def _amount(word: str, text: Any) -> int:
    amount_e4 = parse_amount_e4(str(text), field=word)
    if amount_e4 < 0:
        raise InvalidValue(word, "is negative")
    return amount_e4


def _discount(word: str, text: Any) -> int:
    """``"12.5%"`` in 1/10000."""
    if not isinstance(text, str) or not text.endswith("%"):
        raise InvalidValue(word, "is a percentage such as 12.5%")
    share = parse_amount_e4(text[:-1], field=word)
    if share % 100 or not 0 <= share <= 100 * WHOLE:
        raise InvalidValue(word, "is from 0% to 100%, with two decimals at the most")
    return share // 100


def _multiplier(group: str, text: Any) -> int:
    field = f"multiplier of {group}"
    share = parse_amount_e4(str(text), field=field)
    if not 1 <= share <= MULTIPLIER_MAX:
        raise InvalidValue(field, f"is from 0.0001 to {MULTIPLIER_MAX // WHOLE}")
    return share


def _mapping(field: str, found: Any, words: frozenset[str] | None = None) -> dict[str, Any]:
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise InvalidValue(field, "is not an object of names and values")
    unknown = sorted(set(found) - words) if words is not None else []
    if unknown:
        raise InvalidValue(unknown[0][:64], f"is nothing that {field} have")
    return found


def _list(field: str, found: Any) -> list[Any]:
    if not isinstance(found, list):
        raise InvalidValue(field, "is not a list")
    return found


def as_document(draft: Draft) -> dict[str, Any]:
    """What is read as the same draft; rules that do nothing are left out."""
    found: dict[str, Any] = {
        "currency": draft.currency,
        "effective_from": _since(draft.effective_from),
    }
    found.update(_of_table(draft.table))
    if draft.multipliers:
        found["multipliers"] = {group: show_amount(share) for group, share in draft.multipliers}
    if draft.lists:
        found["lists"] = [
            {
                "name": own.name,
                "printers": list(own.printers),
                "groups": list(own.groups),
                **_of_table(own.table),
            }
            for own in draft.lists
        ]
    return found


def _since(since: float) -> str | float:
    """A moment as people write it; what is no whole second stays a number."""
    if since == 0 or since % 1:
        return since
    return f"{datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M:%S}".removesuffix(" 00:00:00")


def _of_table(table: PriceTable) -> dict[str, Any]:
    rules = table.rules
    lines = {line.paper: line for line in table.papers}
    lines.update({one.price.paper: one.price for one in rules.up_to})
    lines[OTHER] = table.other
    found: dict[str, Any] = {"lines": {paper: _pair(line) for paper, line in lines.items()}}
    for word, share in zip(
        _DISCOUNTS, (rules.duplex_discount_e4, rules.grey_discount_e4), strict=True
    ):
        if share:
            found[word] = f"{show_amount(share * 100)}%"
    amounts = (rules.first_page_e4, rules.minimum_e4, rules.scan_e4, rules.fax_e4)
    for word, amount_e4 in zip(_AMOUNTS, amounts, strict=True):
        if amount_e4:
            found[word] = show_amount(amount_e4)
    return found


def _pair(line: PagePrice) -> list[str]:
    """Two prices, or four."""
    pair = [line.grey_e4, line.colour_e4]
    if line.grey_duplex_e4 is not None or line.colour_duplex_e4 is not None:
        pair.append(line.grey_e4 if line.grey_duplex_e4 is None else line.grey_duplex_e4)
        pair.append(line.colour_e4 if line.colour_duplex_e4 is None else line.colour_duplex_e4)
    return [show_amount(unit_e4) for unit_e4 in pair]
