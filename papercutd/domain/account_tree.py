r"""Shared accounts as a tree: names such as ``parent\sub``, and where one may stand.

An account is known by its id; ``Tree`` holds all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from papercutd.errors import InvalidValue, quoted

#: Between a parent's name and its sub-account's.
SEPARATOR = "\\"
#: Accounts from the top to the lowest, both counted.
DEPTH_MAX = 8
#: Characters of a full name.
NAME_MAX = 255
#: Whoever may charge its parent (at the top: everybody), everybody, or those listed alone.
ACCESS_MODES = ("inherit", "everybody", "listed")
#: All of them, closed ones too: a tree is looked at as a whole.
ACCOUNTS_MAX = 100_000


@attrs.frozen
class Node:
    """One account: its full name, and the account above it."""

    name: str
    parent: int | None = None
    closed: bool = False
    #: Who may charge it: one of ACCESS_MODES.
    access: str = "inherit"

    @property
    def own_name(self) -> str:
        """Without the parents'."""
        return self.name.rpartition(SEPARATOR)[2]


Tree = Mapping[int, Node]


def fold_account_name(name: str) -> str:
    """As names are compared: neither capitals nor spaces around count."""
    return name.strip().casefold()


def split_name(name: str, field: str = "name") -> tuple[str, str]:
    r"""(the parent's full name, the own name) of ``parent\sub``; raises InvalidValue."""
    if len(name) > NAME_MAX:
        raise InvalidValue(field, f"is longer than {NAME_MAX} characters: it has {len(name)}")
    if not name or not name.isprintable():
        raise InvalidValue(field, "is empty or holds control characters")
    parts = name.split(SEPARATOR)
    if not all(part and part == part.strip() for part in parts):
        raise InvalidValue(
            field,
            f"has a backslash at the wrong place: it stands between a parent's name and a"
            f" sub-account's, without spaces, such as Physics\\Laser (it is {quoted(name[:80])})",
        )
    parent, _, own = name.rpartition(SEPARATOR)
    return parent, own


def check_own_name(name: str, field: str = "name") -> str:
    """``name`` itself, of an account below some other; raises InvalidValue."""
    if SEPARATOR in name:
        raise InvalidValue(field, "holds a backslash, which stands between parent and sub-account")
    return split_name(name, field)[1]


def names_above(name: str) -> list[str]:
    """The full names of all above it, from the top, and its own."""
    parts = name.split(SEPARATOR)
    return [SEPARATOR.join(parts[: count + 1]) for count in range(len(parts))]


def joined(parent: str, own: str) -> str:
    """The full name of ``own`` below ``parent``; empty: at the top."""
    return f"{parent}{SEPARATOR}{own}" if parent else own


def above(tree: Tree, account: int | None) -> Iterator[int]:
    """``account``, its parent, and so on to the top."""
    for _ in range(len(tree) + 1):
        if account is None:
            return
        yield account
        account = tree[account].parent


def below(tree: Tree, account: int) -> list[int]:
    """``account`` and all below it; each after its parent."""
    children: dict[int, list[int]] = {}
    for one, node in tree.items():
        if node.parent is not None:
            children.setdefault(node.parent, []).append(one)
    found = [account]
    for one in found:
        found += sorted(children.get(one, ()))
    return found


def check_place(tree: Tree, account: int | None, parent: int | None) -> None:
    """Raises InvalidValue, in words, unless ``account`` (None: a new one) may stand below
    ``parent`` (None: at the top)."""
    if parent is None:
        return
    up = list(above(tree, parent))
    if account is not None and account in up:
        chain = " > ".join(
            repr(tree[one].own_name) for one in reversed(up[: up.index(account) + 1])
        )
        raise InvalidValue(
            "parent",
            f"{quoted(tree[parent].name)} is {quoted(tree[account].name)} itself"
            if account == parent
            else f"{quoted(tree[parent].name)} is below {quoted(tree[account].name)} ({chain}):"
            " no account can be below itself",
        )
    if tree[parent].closed:
        raise InvalidValue("parent", f"{quoted(tree[parent].name)} is closed")
    depth = len(up) + (1 if account is None else _height(tree, account))
    if depth > DEPTH_MAX:
        raise InvalidValue(
            "parent", f"would make {depth} accounts below each other, more than {DEPTH_MAX}"
        )


def renamed(tree: Tree, account: int, parent: int | None, own: str) -> dict[int, str]:
    """The full names of ``account`` and of all below it, once it is called ``own`` below
    ``parent``; raises InvalidValue for one too long."""
    was = len(tree[account].name)
    name = joined(tree[parent].name if parent is not None else "", own)
    names = {one: name + tree[one].name[was:] for one in below(tree, account)}
    longest = max(names.values(), key=len)
    if len(longest) > NAME_MAX:
        raise InvalidValue("name", f"would make {quoted(longest[:80])}... longer than {NAME_MAX}")
    return names


def access_of(tree: Tree, account: int) -> int:
    """The account whose list says who may charge ``account``; 0: everybody may."""
    for one in above(tree, account):
        if tree[one].access != "inherit":
            return one if tree[one].access == "listed" else 0
    return 0


def _height(tree: Tree, account: int) -> int:
    """Accounts of the longest chain down from ``account``."""
    up = len(list(above(tree, account)))
    return max(len(list(above(tree, one))) for one in below(tree, account)) - up + 1
