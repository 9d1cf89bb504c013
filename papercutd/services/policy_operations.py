"""What cut sites may do for whom: ``papercutd policy``."""

from __future__ import annotations

from typing import Any

from papercutd.domain.account_mode import Mode, show_mode
from papercutd.domain.money import show_amount
from papercutd.domain.policy import (
    ANY,
    EVERYWHERE_ONLY,
    SITE_ONLY,
    Effective,
    Knob,
    Payer,
    Rule,
    UnknownUsers,
    alarms,
    bound_e4,
    is_understood,
    needed_for,
    resolve,
)
from papercutd.domain.policy_words import find_knob, parse_value, show_time, show_value
from papercutd.domain.unknown_users import needs_of
from papercutd.errors import InvalidValue, NotFound
from papercutd.services.operation import Operation, Progress, take
from papercutd.services.site_server import SiteServer
from papercutd.storage.administration.rule_store import RuleView
from papercutd.storage.interfaces import IRuleStore

#: Groups for which it is looked whether a change widens what they may overspend.
GROUPS_LOOKED_AT_MAX = 50


class PolicyOperations:
    """At the application server."""

    def __init__(self, store: IRuleStore) -> None:
        self._store = store

    def all(self) -> dict[str, Operation]:
        return {
            "policy.show": self.show,
            "policy.set": self.set,
            "policy.clear": self.clear,
        }

    async def show(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """The rules, what comes of them at each site, and how much a person may overspend."""
        given = take(arguments, site=None, group=None, user=None)
        view = await self._store.view()
        if given["group"] is not None and given["user"] is not None:
            raise InvalidValue("user", "and group are not shown at once: leave one away")
        groups: list[int] = []
        told: dict[str, Any] = {"for": "anybody in no group"}
        if given["group"] is not None:
            groups = [_id_of(view.groups, "group", given["group"])]
            told = {"for": f"group {view.groups[groups[0]]}"}
        elif given["user"] is not None:
            user = await self._store.grouped_user(given["user"])
            groups = user.groups
            told = {
                "for": f"user {user.name}",
                "groups": [view.groups[group] for group in groups],
                "restricted": user.restricted,
            }
        site = ANY if given["site"] is None else _id_of(view.sites, "site", given["site"])
        effective = _at_sites(view, view.rules, groups)
        told["sites"] = [
            _shown(view, view.sites[one], effective[one]) for one in effective if site in (ANY, one)
        ]
        told["overspend_bound"] = _bound_shown(bound_e4(effective.values()))
        if not told.get("restricted", True):
            means = "not restricted: a cut site never stops this user for money, unless CLOSED"
            told["overspend_bound"] = {"bound_e4": None, "means": means}
        told["rules"] = [
            _rule_shown(view, rule)
            for rule in view.rules
            if _concerns(rule, site, groups, given["group"] is None and given["user"] is None)
        ]
        return told

    async def set(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Set knobs for a site or any, and a group or any."""
        given = take(arguments, settings={}, site=None, group=None)
        view = await self._store.view()
        site, group = _place(view, given)
        if not given["settings"]:
            raise InvalidValue("settings", "are needed: KNOB=VALUE, such as cap=200pages")
        shared = {name: id for id, name in view.shared_accounts.items()}
        rules = []
        for name, text in given["settings"].items():
            knob = find_knob(name)
            if not isinstance(text, str):
                raise InvalidValue(knob.value, "is not a text")
            if knob in SITE_ONLY and group != ANY:
                raise InvalidValue(knob.value, "is of a site as a whole: leave the group away")
            if knob in EVERYWHERE_ONLY and site != ANY:
                raise InvalidValue(knob.value, "is the same everywhere: leave the site away")
            value = parse_value(knob, text, shared)
            needs = needed_for(knob, value) or needs_of(knob.value, value)
            rules.append(Rule(knob.value, value, site, group, needs))
        await self._store.change_rules(set=rules)
        return {
            "set": [_rule_shown(view, rule) for rule in rules],
            **_told_of_change(view, await self._store.view(), rules),
        }

    async def clear(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Take rules away: of the knobs named, else all for that site and group."""
        given = take(arguments, knobs=[], site=None, group=None)
        view = await self._store.view()
        site, group = _place(view, given)
        here = [r for r in view.stored if (r.site, r.group) == (site, group)]
        named = {str(knob) for knob in given["knobs"]}
        rules = [rule for rule in here if not named or rule.knob in named]
        missing = named - {rule.knob for rule in rules}
        if missing or not rules:
            raise NotFound("rule for that site and group", ", ".join(sorted(missing)) or "any knob")
        await self._store.change_rules(clear=rules)
        return {
            "cleared": [_rule_shown(view, rule) for rule in rules],
            **_told_of_change(view, await self._store.view(), []),
        }


async def site_alarms(store: IRuleStore, away_s: dict[str, float]) -> dict[str, list[str]]:
    """Alarms of sites that are not connected, by name; ``away_s``: for how long they are not."""
    view = await store.view()
    effective = _at_sites(view, view.rules, [])
    return {
        view.sites[site]: alarms(policy, 0, away_s[view.sites[site]])
        for site, policy in effective.items()
        if view.sites[site] in away_s
    }


class SitePolicyOperations:
    """At a site: what holds there, by its replica."""

    def __init__(self, server: SiteServer) -> None:
        self._server = server

    def all(self) -> dict[str, Operation]:
        return {"policy.show": self.show}

    async def show(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """What holds at this site for a user, or for anybody in no group."""
        name = take(arguments, user=None)["user"]
        user, told = None, "anybody in no group"
        if name is not None:
            person = await self._server.store.login_by_name(name)
            if person is None:
                raise NotFound("user", name)
            user, told = person.user, f"user {person.name}"
        effective = await self._server.policy.of(user)
        view = RuleView([], [], {}, {}, {}, 0)
        row = _shown(view, "here", effective)
        return {"for": told, "state": self._server.state, **row}


def _place(view: RuleView, given: dict[str, Any]) -> tuple[int, int]:
    site, group = given["site"], given["group"]
    return (
        ANY if site is None else _id_of(view.sites, "site", site),
        ANY if group is None else _id_of(view.groups, "group", group),
    )


def _id_of(names: dict[int, str], kind: str, name: str) -> int:
    for id, known in names.items():
        if known == name or (kind == "group" and known.casefold() == name.strip().casefold()):
            return id
    raise NotFound(kind, name)


def _at_sites(view: RuleView, rules: list[Rule], groups: list[int]) -> dict[int, Effective]:
    return {site: resolve(rules, site, groups, view.grey_a4_e4) for site in view.sites}


def _concerns(rule: Rule, site: int, groups: list[int], all_groups: bool) -> bool:
    return (site == ANY or rule.site in (ANY, site)) and (
        all_groups or rule.group in (ANY, *groups)
    )


# What is told.


def _rule_shown(view: RuleView, rule: Rule) -> dict[str, Any]:
    return {
        "site": view.sites.get(rule.site, str(rule.site)) if rule.site else "any",
        "group": view.groups.get(rule.group, str(rule.group)) if rule.group else "any",
        "knob": rule.knob,
        "value": show_value(rule.knob, rule.value, view.shared_accounts),
        "understood": is_understood(rule),
    }


def _shown(view: RuleView, site: str, effective: Effective) -> dict[str, Any]:
    account = effective.account.payer.value
    if effective.account.payer is Payer.SHARED:
        shared = effective.account.shared or 0
        account = f"shared:{view.shared_accounts.get(shared, str(shared))}"
    return {
        "site": site,
        "policy": effective.policy.value,
        "cap_e4": effective.cap_user_e4,
        "beyond_cap": "deny" if effective.deny_beyond_cap else "hold",
        "stale_after": show_time(effective.stale_after_s),
        "passwords": "until-stale" if effective.passwords else "never",
        "account": account,
        "account_mode": _mode_shown(view, effective),
        "account_choice_timeout": show_time(effective.choice_timeout_s),
        "unknown_users": effective.unknown_users.value,
        "alarm_total_e4": effective.alarm_total_e4,
        "alarm_age": show_time(effective.alarm_age_s),
        "not_understood": ", ".join(sorted(effective.unevaluable)) or None,
    }


def _mode_shown(view: RuleView, effective: Effective) -> str:
    mode = effective.account_mode or Mode()
    return show_mode(mode.text, view.shared_accounts)


def _bound_shown(bound: int | None) -> dict[str, Any]:
    if bound is None:
        return {
            "bound_e4": None,
            "means": "no bound: each site without a cap may spend the whole balance once",
        }
    return {"bound_e4": bound, "means": "the most one restricted user may overspend"}


def _told_of_change(before: RuleView, after: RuleView, rules: list[Rule]) -> dict[str, Any]:
    warnings = []
    ruled = sorted({rule.group for rule in after.rules if rule.group in after.groups})
    looked_at: list[list[int]] = [[], *([group] for group in ruled[:GROUPS_LOOKED_AT_MAX])]
    for groups in looked_at:
        who = f"group {after.groups[groups[0]]}" if groups else "anybody"
        old = bound_e4(_at_sites(before, before.rules, groups).values())
        new = bound_e4(_at_sites(after, after.rules, groups).values())
        if old is not None and (new is None or new > old):
            now = "without a bound" if new is None else f"up to {show_amount(new)}"
            warnings.append(f"{who} may now overspend {now}, {show_amount(old)} before")
    for rule in rules:
        if (rule.knob, rule.value) == (
            Knob.UNKNOWN_USERS.value,
            UnknownUsers.UNCOLLECTED.value,
        ):
            warnings.append("what unknown users print is paid by nobody, without a bound")
        if (rule.knob, rule.value) == (Knob.STALE_AFTER.value, "never"):
            warnings.append("passwords that were changed or taken away go on counting while cut")
    bound = bound_e4(_at_sites(after, after.rules, []).values())
    return {"overspend_bound": _bound_shown(bound), "warnings": warnings}
