"""Prices as an administrator names things, and as they are stored: by ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from papercutd.domain.price_draft import Draft, DraftList
from papercutd.domain.pricing import Multiplier, OwnList, PriceList
from papercutd.errors import InvalidValue, NotFound
from papercutd.storage.administration.directory import Directory, decode_prices
from papercutd.storage.engine import Connection
from papercutd.storage.people.groups import find_group
from papercutd.storage.people.nested_groups import with_inner


def find_prices(connection: Connection, directory: Directory, draft: Draft) -> PriceList:
    """``draft`` with every name found; raises NotFound for one that nothing bears.

    Which groups are within another is written down as it is now: a site cannot look.
    """

    def find_printer(name: str) -> int:
        return directory.id_of(connection, "printer", name)

    def find_one(name: str) -> int:
        return find_group(connection, name)

    printers_of = _find(((own.name, own.printers) for own in draft.lists), find_printer)
    groups_of = _find(((own.name, own.groups) for own in draft.lists), find_one)
    shares = _find([("the multipliers", [name for name, _ in draft.multipliers])], find_one)
    lists = []
    for own, printers, groups in zip(draft.lists, printers_of, groups_of, strict=True):
        below = tuple(group for group in with_inner(connection, groups) if group not in groups)
        lists.append(OwnList(own.name, own.table, printers, groups, below))
    multipliers = []
    for group, (_, share) in zip(shares[0], draft.multipliers, strict=True):
        below = tuple(one for one in with_inner(connection, [group]) if one != group)
        multipliers.append(Multiplier(group, share, below))
    table = draft.table
    return PriceList(
        *(0, draft.effective_from, draft.currency, table.papers, table.other, table.rules),
        tuple(lists),
        tuple(multipliers),
    )


def _find(
    lists: Iterable[tuple[str, Sequence[str]]], find: Callable[[str], int]
) -> list[tuple[int, ...]]:
    """The ids of what is named in each list; raises InvalidValue for one that is named twice."""
    where: dict[int, str] = {}
    found = []
    for of, names in lists:
        ids = []
        for name in names:
            one = find(name)
            if one in where:
                raise InvalidValue(name[:64], f"is in {where[one]} and in {of}: once is enough")
            where[one] = of
            ids.append(one)
        found.append(tuple(ids))
    return found


def read_draft(connection: Connection, version: int) -> Draft:
    """That version with names, the newest for 0; raises NotFound. What is removed is left out."""
    found = connection.execute(
        "SELECT body FROM price WHERE version = ?1 OR ?1 = 0 ORDER BY version DESC LIMIT 1",
        (version,),
    ).fetchone()
    if found is None:
        raise NotFound("version of the prices", str(version))
    prices = decode_prices(found[0])
    groups = _names(connection, "user_group")
    printers = _names(connection, "printer")
    lists = []
    for own in prices.lists:
        whose = (
            tuple(printers[one] for one in own.printers if one in printers),
            tuple(groups[one] for one in own.groups if one in groups),
        )
        if any(whose):
            lists.append(DraftList(own.name, own.table, *whose))
    return Draft(
        prices.currency,
        prices.effective_from,
        prices.table,
        tuple(lists),
        tuple((groups[m.group], m.multiplier) for m in prices.multipliers if m.group in groups),
    )


def _names(connection: Connection, table: str) -> dict[int, str]:
    return dict(connection.execute(f"SELECT id, name FROM {table} WHERE removed = 0").fetchall())
