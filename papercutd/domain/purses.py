"""Several purses of one person: in which order they are spent, and given back to.

The personal account is the main purse. Only money that leaves empties the others: those that stand
before the main one, then that one down to zero, then those behind it; what nobody has is the
main one's to owe. What comes back goes the other way, to each never more than it gave.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from papercutd.errors import InvalidValue

#: The kind of purse that every personal account is; of rank 0.
MAIN = 1
#: What it is called until an administrator says otherwise.
MAIN_NAME = "cash"
#: Kinds of one installation: each is a line of everybody's balance.
KINDS_MAX = 20
NAME_MAX = 40
#: Of the transfer of what a purse gave or got: so, and its name.
REASON = "purse "


@attrs.frozen
class Parts:
    """An amount, purse by purse in the order of spending: ``first``, main, ``last``."""

    first: tuple[int, ...]
    main_e4: int
    last: tuple[int, ...]

    @property
    def total_e4(self) -> int:
        return sum(self.first) + self.main_e4 + sum(self.last)


def spend(amount_e4: int, held: Parts) -> Parts:
    """How much of ``amount_e4`` each gives of what it holds; the main one, all that is left."""
    left_e4 = amount_e4
    first, left_e4 = _take(left_e4, held.first)
    main_e4 = min(left_e4, max(0, held.main_e4))
    last, left_e4 = _take(left_e4 - main_e4, held.last)
    return Parts(tuple(first), main_e4 + left_e4, tuple(last))


def give_back(amount_e4: int, gave: Parts, main_e4: int) -> Parts:
    """How much of ``amount_e4`` each has back of what it gave, last spent first.

    The main purse, which holds ``main_e4``, owes nothing before another has anything; what nobody
    gave is the main one's.
    """
    owed_e4 = min(amount_e4, max(0, gave.main_e4), max(0, -main_e4))
    last, left_e4 = _take(amount_e4 - owed_e4, gave.last[::-1])
    back_e4 = min(left_e4, max(0, gave.main_e4 - owed_e4))
    first, left_e4 = _take(left_e4 - back_e4, gave.first[::-1])
    return Parts(tuple(first[::-1]), owed_e4 + back_e4 + left_e4, tuple(last[::-1]))


def _take(amount_e4: int, from_each: Sequence[int]) -> tuple[list[int], int]:
    """Of each in turn as much as it has; and what is left to be taken."""
    taken = []
    for held_e4 in from_each:
        part_e4 = min(amount_e4, max(0, held_e4))
        taken.append(part_e4)
        amount_e4 -= part_e4
    return taken, amount_e4


def check_name(name: str) -> str:
    """Raises InvalidValue for what names no purse."""
    if not name.strip() or name != name.strip() or len(name) > NAME_MAX or not name.isprintable():
        raise InvalidValue(
            "name", f"is empty, longer than {NAME_MAX}, or holds spaces around or control signs"
        )
    return name


def ranks_of(order: Sequence[str], known: Sequence[str], main: str = MAIN_NAME) -> dict[str, int]:
    """The rank of each purse when they are spent in that ``order``; that of ``main`` is 0.

    Raises InvalidValue for an order that does not name each of ``known`` once.
    """
    for name in order:
        if name not in known:
            raise InvalidValue("order", f"names {name!r}: there is no such purse")
        if order.count(name) > 1:
            raise InvalidValue("order", f"names {name!r} twice")
    lacking = [name for name in known if name not in order]
    if lacking:
        raise InvalidValue("order", f"lacks {', '.join(lacking)}: name every purse")
    place = order.index(main)
    return {name: at - place for at, name in enumerate(order)}
