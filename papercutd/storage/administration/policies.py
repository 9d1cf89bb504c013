"""The rules of cut sites: kept at the application server, read at both.

``schema`` is empty for the application server's database, ``replica.`` at a site.
"""

from __future__ import annotations

import attrs

from papercutd.domain.decision import Policy
from papercutd.domain.policy import (
    ANY,
    Effective,
    Knob,
    Rule,
    is_understood,
    resolve,
    site_rules,
)
from papercutd.errors import NotFound
from papercutd.storage.administration.directory import CAP_DEFAULT, CAP_NONE
from papercutd.storage.engine import Connection
from papercutd.storage.people.groups import groups_of_user
from papercutd.storage.people.nested_groups import below_of, with_needs
from papercutd.storage.people.people import heir_of_user
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.site.overlay import replicated_mark

_RULES = "SELECT knob, value, site, user_group, needs, below FROM {0}site_policy"


class Policies:
    """Each method is one step of the writer's transaction."""

    def __init__(self, log: ChangeLog) -> None:
        self._log = log

    def set(self, connection: Connection, rule: Rule) -> None:
        """It takes the place of the rule for the same knob, site and group."""
        key, below = _key(rule), below_of(connection, rule.group)
        connection.execute(
            "INSERT INTO site_policy (key, site, user_group, knob, value, needs, below)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
            " site = excluded.site, user_group = excluded.user_group, knob = excluded.knob,"
            " value = excluded.value, needs = excluded.needs, below = excluded.below",
            (
                *(key, rule.site, rule.group, rule.knob, rule.value),
                *(with_needs(rule.needs, below), below),
            ),
        )
        self._log.touch("site_policy", key)

    def clear(self, connection: Connection, rule: Rule) -> None:
        """No more rule for that knob, site and group; raises NotFound."""
        key = _key(rule)
        done = connection.execute("DELETE FROM site_policy WHERE key = ?", (key,))
        if done.rowcount == 0:
            raise NotFound("rule", rule.knob)
        self._log.touch("site_policy", key)


def read_rules(connection: Connection, schema: str = "") -> list[Rule]:
    """Every rule of sites that there are, what ``site set`` says of them too."""
    rules = read_stored_rules(connection, schema)
    for site, *said in connection.execute(
        "SELECT id, policy, cap_user_e4, deny_beyond_cap"
        f" FROM {schema}site WHERE removed = 0 ORDER BY id"
    ).fetchall():
        rules = _with_site(rules, site, *said)
    return rules


def read_stored_rules(connection: Connection, schema: str = "") -> list[Rule]:
    """Without what is said of sites themselves."""
    query = (
        _RULES.format(schema)
        + f" WHERE site IN (SELECT {ANY} UNION ALL SELECT id FROM {schema}site WHERE removed = 0)"
        " ORDER BY site, user_group, knob"
    )
    return [Rule(*row) for row in connection.execute(query)]


def read_effective(
    connection: Connection, site: str, user: int | None, grey_a4_e4: int
) -> Effective:
    """What holds at this ``site`` by its replica; ``user`` None: for anybody in no group.

    A site that the replica does not have is none: closed.
    """
    found = connection.execute(
        "SELECT id, policy, cap_user_e4, deny_beyond_cap FROM replica.site WHERE name = ?", (site,)
    ).fetchone()
    if found is None:
        return Effective(policy=Policy.CLOSED)
    groups = [] if user is None else groups_of_user(connection, "replica.", user)
    rules = [
        Rule(*row)
        for row in connection.execute(
            _RULES.format("replica.") + " WHERE site IN (?, ?)", (ANY, found[0])
        )
    ]
    return resolve(_with_site(rules, *found), found[0], groups, grey_a4_e4)


def read_choice_timeout_s(connection: Connection, schema: str, site: int | None) -> int:
    """How long a provider of ``site`` waits for a person who is asked; None: it has no site."""
    rules = [
        Rule(*row)
        for row in connection.execute(
            _RULES.format(schema) + " WHERE site IN (?, ?) AND knob = ?",
            (ANY, site or ANY, Knob.ACCOUNT_CHOICE_TIMEOUT.value),
        )
    ]
    return resolve(rules, site or ANY, (), 0).choice_timeout_s


def rules_not_understood(connection: Connection) -> list[str]:
    """Rules that concern this site and that this release cannot evaluate, for people."""
    found = connection.execute(
        "SELECT knob, value, site_policy.site, user_group, needs, below, user_group.name"
        " FROM replica.site_policy LEFT JOIN replica.user_group ON user_group.id = user_group"
        " WHERE site_policy.site IN (?, (SELECT id FROM replica.site"
        " WHERE name = (SELECT site FROM identity))) ORDER BY site_policy.key",
        (ANY,),
    )
    rules = [(Rule(*row[:6]), row[6]) for row in found]
    return [
        rule.knob if rule.group == ANY else f"{rule.knob} of group {name or rule.group}"
        for rule, name in rules
        if not is_understood(rule)
    ]


@attrs.frozen
class StrictAt:
    """For whom one site is STRICT, at the application server."""

    everybody: bool = False
    #: Else who it is has to be weighed by these, of this site; none: nobody.
    site: int = 0
    rules: tuple[Rule, ...] = ()

    def holds_for(self, connection: Connection, user: int) -> bool:
        """Whether it is for ``user``, or whose heir it is."""
        if not self.rules:
            return self.everybody
        groups = groups_of_user(connection, "", heir_of_user(connection, "", user))
        # No price is needed to tell which policy it is.
        return resolve(list(self.rules), self.site, groups, 0).policy is Policy.STRICT


def read_strict(connection: Connection, site: int) -> StrictAt:
    """For whom ``site`` is STRICT; for nobody, where there is no such site."""
    found = connection.execute(
        "SELECT id, policy, cap_user_e4, deny_beyond_cap FROM site WHERE id = ? AND removed = 0",
        (site,),
    ).fetchone()
    if found is None:
        return StrictAt()
    query = _RULES.format("") + " WHERE site IN (?, ?) AND knob = ?"
    values = (ANY, site, Knob.POLICY.value)
    rules = [Rule(*row) for row in connection.execute(query, values)]
    if Policy.STRICT.value not in (found[1], *(rule.value for rule in rules)):
        # For nobody: the rules need not be weighed.
        return StrictAt()
    if not rules:
        # It is what ``site set`` says.
        return StrictAt(everybody=True)
    return StrictAt(site=site, rules=tuple(_with_site(rules, *found)))


def is_strict(connection: Connection, site: int, user: int) -> bool:
    """At the application server: whether ``site`` is STRICT for ``user``, or whose heir it is."""
    return read_strict(connection, site).holds_for(connection, user)


#: Of a row of ``site``: it is STRICT for somebody, or may be.
MAY_BE_STRICT = (
    "(site.policy = 'strict' OR EXISTS (SELECT 1 FROM site_policy WHERE knob = 'policy'"
    f" AND value = 'strict' AND site_policy.site IN ({ANY}, site.id)))"
)


def unsettled_total_e4(connection: Connection) -> int:
    """What was spent at this site, by anybody, that its replica does not contain yet."""
    (settled_e4,) = connection.execute(
        "SELECT COALESCE(SUM(reserved_e4), 0) FROM decision WHERE state = 'settled'"
        " AND number > ? AND key NOT IN (SELECT key FROM replica.charged)",
        (replicated_mark(connection),),
    ).fetchone()
    (open_e4,) = connection.execute(
        "SELECT COALESCE(SUM(reserved_e4), 0) FROM decision WHERE state = 'open'"
        " AND key NOT IN (SELECT key FROM replica.charged)"
    ).fetchone()
    return int(settled_e4 + open_e4)


def _with_site(rules: list[Rule], site: int, policy: str, cap_e4: int, deny: int) -> list[Rule]:
    """``rules`` and what ``site set`` said of one site."""
    cap = {CAP_DEFAULT: None, CAP_NONE: "none"}.get(cap_e4, f"e4:{cap_e4}")
    return site_rules(site, policy, cap, bool(deny), rules)


def _key(rule: Rule) -> str:
    return f"{rule.site}.{rule.group}.{rule.knob}"
