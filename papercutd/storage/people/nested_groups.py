"""Groups within groups, at the application server.

Rules say which groups are within their own, and a site with a scope is sent the people of all of
them (nesting.py). Sites have the rows themselves for shared accounts alone, of which there
are too many for that (money/shared_access.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from papercutd.domain.capabilities import NESTED_GROUPS
from papercutd.domain.nested_groups import Nested, above, below
from papercutd.storage.engine import Connection


def read_nested(connection: Connection) -> dict[int, set[int]]:
    """For each group those that stand directly in it."""
    nested: dict[int, set[int]] = {}
    for parent, child in connection.execute("SELECT parent, child FROM group_nested").fetchall():
        nested.setdefault(parent, set()).add(child)
    return nested


def with_inner(connection: Connection, groups: Iterable[int]) -> list[int]:
    """``groups`` and all within them, in order."""
    return sorted(below(read_nested(connection), groups))


def all_groups_of(connection: Connection, groups: Iterable[int]) -> list[int]:
    """``groups``, of which somebody is a member, and all that these are within, in order."""
    nested = read_nested(connection)
    return sorted(set().union(*(above(nested, group) for group in groups)))


def below_of(connection: Connection, group: int) -> str:
    """As a rule for ``group`` has it: the groups within, separated by commas."""
    return listed_below(read_nested(connection), group) if group else ""


def with_needs(needs: str, below: str) -> str:
    """What whoever evaluates a rule must be able to, by whether groups are within its own."""
    words = set(needs.split()) - {NESTED_GROUPS}
    return " ".join(sorted(words | ({NESTED_GROUPS} if below else set())))


def listed_below(nested: Nested, group: int) -> str:
    """The same of ``nested``."""
    return ",".join(map(str, sorted(below(nested, [group]) - {group})))
