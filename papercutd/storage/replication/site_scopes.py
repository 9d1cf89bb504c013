"""Which people a site is sent: the groups of its scope, and what follows from them.

Design 4.9: by default a site gets every user; who enters its scope comes whole in that change.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from papercutd.domain.chain import Position
from papercutd.domain.site_scope import OWNED_BY_USER, SCOPE, SCOPE_GROUPS_MAX, Reach
from papercutd.errors import InvalidValue
from papercutd.storage.engine import Connection
from papercutd.storage.people.nested_groups import with_inner
from papercutd.storage.replication.change_log import Change, ChangeLog, in_history
from papercutd.storage.replication.replicated import TABLES, Replicated


@attrs.frozen
class SiteScope:
    """Of one site; no ``groups``: everybody. Groups within those that were named are among
    them."""

    site: int = 0
    groups: tuple[int, ...] = ()
    #: The number of the change by which it became so.
    since: int = 0


EVERYBODY = SiteScope()
#: Sites with a scope, and the groups that were named for it.
SCOPE_GROUPS = "SELECT id, scope FROM site WHERE scope <> '' AND removed = 0 ORDER BY id"


def read_scope(connection: Connection, name: str) -> SiteScope:
    """The scope of the site called ``name``; of one that there is not, everybody."""
    found = connection.execute(
        "SELECT id, scope, scope_since FROM site WHERE name = ? AND removed = 0", (name,)
    ).fetchone()
    return EVERYBODY if found is None else _scope(connection, *found)


def can_go_on(connection: Connection, name: str, position: Position) -> bool:
    """Whether the site's replica at ``position`` is of our history, and of its present scope."""
    return position.number >= read_scope(connection, name).since and in_history(
        connection, position
    )


def set_scope(
    connection: Connection, log: ChangeLog, site: int, groups: Iterable[int]
) -> SiteScope:
    """``site`` is sent the members of ``groups`` alone; none: everybody again.

    Raises InvalidValue for too many.
    """
    ids = tuple(sorted(set(groups)))
    if len(ids) > SCOPE_GROUPS_MAX:
        raise InvalidValue("groups", f"are more than {SCOPE_GROUPS_MAX}")
    connection.execute(
        "UPDATE site SET scope = ?, scope_since = ? WHERE id = ?",
        (",".join(map(str, ids)), log.number, site),
    )
    log.touch("site", site, (SCOPE, site))
    # Its number is a place in the history, from which on replicas are by the new scope.
    log.place()
    return _scope(connection, site, ",".join(map(str, ids)), log.number)


def scopes_changed(change: Change) -> list[str]:
    """Names of the sites whose scope was changed by ``change``."""
    return [
        row[2]["name"]
        for row in change.rows
        if row[0] == "site"
        and row[2] is not None
        and any(kind == SCOPE for kind, _ in change.owners.get((row[0], row[1]), ()))
    ]


def sites_in_need(connection: Connection, group: int) -> list[str]:
    """Names of the sites whose scope has that group, or one that it is within."""
    return [
        name
        for name, scope in connection.execute(
            "SELECT name, scope FROM site WHERE scope <> '' AND removed = 0 ORDER BY name"
        ).fetchall()
        if group in _scope(connection, 0, scope, 0).groups
    ]


def read_reach(connection: Connection, scope: SiteScope) -> Reach | None:
    """What a site of that scope is sent, as it stands; None: everything."""
    if not scope.groups:
        return None
    members = dict(
        connection.execute(
            f"SELECT key, user FROM group_member WHERE user_group IN ({_listed(scope)})"
        ).fetchall()
    )
    within = TABLES["account"].condition + f" AND {condition_of(TABLES['account'], scope)}"
    accounts = connection.execute(f"SELECT id, kind FROM account WHERE {within}").fetchall()
    askers = connection.execute(
        "SELECT 'provider:' || name FROM provider WHERE site = ?1 UNION"
        " SELECT 'device:' || name FROM device WHERE site = ?1 UNION"
        " SELECT owner FROM stood WHERE site = ?1",
        (scope.site,),
    )
    return Reach(
        scope.site,
        frozenset(scope.groups),
        members,
        {id for id, kind in accounts if kind == "personal"},
        {id for id, kind in accounts if kind == "shared"},
        # As they own jobs: a print provider by its name alone.
        {owner.removeprefix("provider:") for (owner,) in askers},
    )


def within(spec: Replicated, scope: SiteScope) -> Replicated:
    """``spec`` with the rows alone that a site of that scope is sent."""
    if not scope.groups:
        return spec
    both = f"({spec.condition}) AND ({condition_of(spec, scope)})"
    return attrs.evolve(spec, condition=both)


def condition_of(spec: Replicated, scope: SiteScope) -> str:
    """SQL that holds for the rows of ``spec`` that are within; as Reach has it."""
    members = f"(SELECT user FROM group_member WHERE user_group IN ({_listed(scope)}))"
    if spec.table in OWNED_BY_USER:
        return f"{OWNED_BY_USER[spec.table]} IN {members}"
    accounts = f"kind = 'shared' OR user IN {members}"
    if spec.table == "account":
        return f"({accounts})"
    if spec.table == "reservation":
        return f"account IN (SELECT id FROM account WHERE {accounts})"
    if spec.table == "stream":
        return f"site = {scope.site} OR state <> 'live'"
    return "1 = 1"


def touch_person(connection: Connection, log: ChangeLog, user: int) -> None:
    """Whoever enters a scope, or leaves it: every row of theirs is in this change."""
    for spec in TABLES.values():
        if spec.table in OWNED_BY_USER:
            owned = f"{OWNED_BY_USER[spec.table]} = ?"
        elif spec.table == "account":
            owned = "user = ?"
        elif spec.table == "reservation":
            owned = "account IN (SELECT id FROM account WHERE user = ?)"
        else:
            continue
        for (key,) in connection.execute(
            f"SELECT {spec.key} FROM {spec.source} WHERE ({spec.condition}) AND {owned}", (user,)
        ).fetchall():
            log.touch(spec.table, key)


def _scope(connection: Connection, site: int, scope: str, since: int) -> SiteScope:
    named = _groups(scope)
    if not named:
        return SiteScope(site, (), since)
    return SiteScope(site, tuple(with_inner(connection, named)), since)


def _groups(scope: str) -> tuple[int, ...]:
    return tuple(int(group) for group in scope.split(",") if group)


def _listed(scope: SiteScope) -> str:
    return ", ".join(map(str, scope.groups))
