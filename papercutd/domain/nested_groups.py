"""Groups within groups: whoever is in the inner one is in the outer one too.

Groups are known by their ids; ``Nested`` holds for each group those that stand directly in it.
There are a thousand groups at the most, so all of it is looked at at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from papercutd.errors import InvalidValue

Nested = Mapping[int, Set[int]]
#: Groups from the outermost to the innermost, both counted.
DEPTH_MAX = 10
#: Groups that stand directly in another, in all.
PLACES_MAX = 5_000


def below(nested: Nested, groups: Iterable[int]) -> set[int]:
    """``groups``, and all within them."""
    found: set[int] = set()
    waiting = list(groups)
    while waiting:
        group = waiting.pop()
        if group not in found:
            found.add(group)
            waiting.extend(nested.get(group, ()))
    return found


def above(nested: Nested, group: int) -> set[int]:
    """``group``, and all that it is within."""
    return {outer for outer in {group, *nested} if group in below(nested, [outer])}


def path(nested: Nested, outer: int, inner: int) -> list[int]:
    """From ``outer`` to ``inner``, both of them; empty: it is not within."""
    came_from = {outer: outer}
    waiting = [outer]
    while waiting:
        group = waiting.pop(0)
        if group == inner:
            found = [group]
            while found[-1] != outer:
                found.append(came_from[found[-1]])
            return found[::-1]
        for one in sorted(nested.get(group, ())):
            if one not in came_from:
                came_from[one] = group
                waiting.append(one)
    return []


def depth_below(nested: Nested, group: int) -> int:
    """Groups of the longest chain that begins with ``group``."""
    return 1 + max((depth_below(nested, one) for one in nested.get(group, ())), default=0)


def check_place(nested: Nested, names: Mapping[int, str], outer: int, inner: int) -> None:
    """Raises InvalidValue, in words, unless ``inner`` may be put into ``outer``."""
    if outer == inner:
        raise InvalidValue("group", f"{names[inner]!r} cannot be within itself")
    circle = path(nested, inner, outer)
    if circle:
        chain = " > ".join(names[group] for group in circle)
        raise InvalidValue(
            "group",
            f"{names[outer]!r} is within {names[inner]!r} already ({chain}): no group can be"
            " within itself",
        )
    if sum(map(len, nested.values())) >= PLACES_MAX:
        raise InvalidValue("group", f"would be the place beyond {PLACES_MAX} in all groups")
    reversed_: dict[int, set[int]] = {}
    for one, within in nested.items():
        for other in within:
            reversed_.setdefault(other, set()).add(one)
    depth = depth_below(reversed_, outer) + depth_below(nested, inner)
    if depth > DEPTH_MAX:
        raise InvalidValue(
            "group", f"would make {depth} groups within each other, more than {DEPTH_MAX}"
        )
