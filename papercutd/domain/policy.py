"""What a cut site may do for whom: rules by site and group, resolved to one effective set.

A rule sets one knob for one site or any, and one group or any. For each knob the most
specific rule wins: site and group, then site, then group, then neither, then the default
of this release. Somebody in several groups whose rules are equally specific gets the most
cautious of them: the order of groups never matters, nor does which is within which.

A rule that this release cannot evaluate is never passed over: its knob is in
``Effective.unevaluable``, and what depends on it is held.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Iterable
from typing import Any

import attrs

from papercutd.domain.account_mode import Mode, parse_mode
from papercutd.domain.capabilities import ACCOUNT_MODES, CAPABILITIES
from papercutd.domain.decision import Policy, SiteMoney
from papercutd.domain.money import AMOUNT_LIMIT_E4

#: Stands for any site, and for any group.
ANY = 0
#: Grey A4 pages of the default cap.
CAP_DEFAULT_PAGES = 200
CAP_PAGES_MAX = 1_000_000
DAY_S = 86_400
SECONDS_MAX = 366 * DAY_S
#: Seconds for which a person is waited for who is asked about a job, and bounds of them.
CHOICE_TIMEOUT_S = 300
CHOICE_TIMEOUT_MIN_S, CHOICE_TIMEOUT_MAX_S = 10, DAY_S


class Knob(enum.Enum):
    """What rules are about."""

    POLICY = "policy"
    CAP = "cap"
    BEYOND_CAP = "beyond-cap"
    STALE_AFTER = "stale-after"
    PASSWORDS = "passwords"
    ACCOUNT = "account"
    ACCOUNT_MODE = "account-mode"
    ACCOUNT_CHOICE_TIMEOUT = "account-choice-timeout"
    UNKNOWN_USERS = "unknown-users"
    ALARM_TOTAL = "alarm-total"
    ALARM_AGE = "alarm-age"


#: Knobs of a site as a whole: no group's.
SITE_ONLY = frozenset(
    {Knob.UNKNOWN_USERS, Knob.ALARM_TOTAL, Knob.ALARM_AGE, Knob.ACCOUNT_CHOICE_TIMEOUT}
)
#: Knobs that are the same at the application server and at every site.
EVERYWHERE_ONLY = frozenset({Knob.ACCOUNT_MODE})
#: Knobs without which a site cannot say whether somebody may print.
_OF_PRINTING = frozenset(
    {
        *(Knob.POLICY.value, Knob.CAP.value, Knob.BEYOND_CAP.value, Knob.ACCOUNT.value),
        Knob.ACCOUNT_MODE.value,
    }
)
_OF_PASSWORDS = frozenset({Knob.PASSWORDS.value, Knob.STALE_AFTER.value})
_KNOWN = frozenset(knob.value for knob in Knob)


class UnknownUsers(enum.Enum):
    """What becomes of a job of somebody whom a cut site does not know."""

    HOLD = "hold"
    DENY = "deny"
    #: Printed, and booked to nobody until an administrator assigns it.
    UNCOLLECTED = "uncollected"
    #: Made a user there and then, who begins as new users do.
    CREATE = "create"


class Payer(enum.Enum):
    """Who pays a job that names no account while nobody can be asked, or nobody answers."""

    PERSONAL = "personal"
    SHARED = "shared"
    HOLD = "hold"
    DENY = "deny"


@attrs.frozen
class Account:
    """The account knob; ``shared`` is the id of the shared account."""

    payer: Payer = Payer.PERSONAL
    shared: int | None = None


@attrs.frozen
class Rule:
    """One row of the rules; ``needs``: capabilities of whoever is to evaluate it."""

    knob: str
    value: str
    site: int = ANY
    group: int = ANY
    needs: str = ""
    #: Groups within its own: their ids, separated by commas.
    below: str = ""

    def is_for(self, groups: Collection[int]) -> bool:
        """Whether it is for somebody who is in ``groups``, and in what these are within."""
        if self.group == ANY or self.group in groups:
            return True
        return bool(self.below) and any(int(one) in groups for one in self.below.split(","))

    @property
    def level(self) -> int:
        """How specific it is."""
        return 2 * (self.site != ANY) + (self.group != ANY)


@attrs.frozen
class Effective:
    """What holds for one person, or for anybody, at one site."""

    policy: Policy = Policy.CAPPED
    #: None: no cap.
    cap_user_e4: int | None = 0
    deny_beyond_cap: bool = False
    #: None: a replica is never too old.
    stale_after_s: float | None = 7.0 * DAY_S
    #: Cached passwords are taken while cut, until stale.
    passwords: bool = True
    account: Account = Account()
    #: Of users who have none of their own; None: no rule says so.
    account_mode: Mode | None = None
    #: How long somebody who is asked about a job is waited for.
    choice_timeout_s: int = CHOICE_TIMEOUT_S
    unknown_users: UnknownUsers = UnknownUsers.HOLD
    #: Unsettled money at this site, and age of the replica, that raise an alarm; None: never.
    alarm_total_e4: int | None = None
    alarm_age_s: float | None = None
    #: Knobs with a rule that this release cannot evaluate.
    unevaluable: frozenset[str] = frozenset()
    #: Where each knob comes from that is not at its default.
    sources: dict[str, Rule] = attrs.field(factory=dict)

    @property
    def can_decide(self) -> bool:
        """Whether it can be said who may print. Knobs of a later release may be about that."""
        return not any(k in _OF_PRINTING or k not in _KNOWN for k in self.unevaluable)

    @property
    def can_decide_unknown(self) -> bool:
        return self.can_decide and Knob.UNKNOWN_USERS.value not in self.unevaluable

    @property
    def creates_unknown(self) -> bool:
        """Whether somebody unknown is made a user."""
        return (
            self.unknown_users is UnknownUsers.CREATE
            and self.can_decide_unknown
            and self.policy is not Policy.CLOSED
        )

    @property
    def takes_passwords(self) -> bool:
        """Of a cut site that is not stale."""
        return self.passwords and not self.unevaluable & _OF_PASSWORDS

    def money(self, unsettled_e4: int) -> SiteMoney:
        """For ``decide_cut``."""
        return SiteMoney(self.policy, self.cap_user_e4, unsettled_e4, self.deny_beyond_cap)


@attrs.frozen
class _Kind:
    """One knob: its field, how a value is read, and which of two is the more cautious."""

    field: str
    #: (text, price of a grey A4 page); raises ValueError.
    read: Callable[[str, int], Any]
    #: The least wins among rules that are equally specific.
    caution: Callable[[Any], Any]


def _word(words: dict[str, Any]) -> Callable[[str, int], Any]:
    def read(text: str, grey_a4_e4: int) -> Any:
        if text not in words:
            raise ValueError(text)
        return words[text]

    return read


def _number(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 16 or int(text) > most:
        raise ValueError(text)
    return int(text)


def _money(text: str, grey_a4_e4: int) -> int | None:
    """``none``, ``pages:200`` (grey A4, at the price in force there) or ``e4:125000``."""
    if text == "none":
        return None
    unit, _, number = text.partition(":")
    if unit == "pages":
        return _number(number, CAP_PAGES_MAX) * grey_a4_e4
    if unit == "e4":
        return _number(number, AMOUNT_LIMIT_E4 - 1)
    raise ValueError(text)


def _seconds(text: str, grey_a4_e4: int) -> float | None:
    return None if text == "never" else float(_number(text, SECONDS_MAX))


def _mode(text: str, grey_a4_e4: int) -> Mode:
    return parse_mode(text)


def _choice_timeout(text: str, grey_a4_e4: int) -> int:
    seconds = _number(text, CHOICE_TIMEOUT_MAX_S)
    if seconds < CHOICE_TIMEOUT_MIN_S:
        raise ValueError(text)
    return seconds


def _account(text: str, grey_a4_e4: int) -> Account:
    kind, _, number = text.partition(":")
    if kind == "shared":
        return Account(Payer.SHARED, _number(number, 2**53))
    if number:
        raise ValueError(text)
    return Account(Payer(text))


def _least(value: float | None) -> float:
    return float("inf") if value is None else value


_POLICIES = [Policy.CLOSED, Policy.STRICT, Policy.CAPPED]
_PAYERS = [Payer.HOLD, Payer.DENY, Payer.SHARED, Payer.PERSONAL]
_UNKNOWN = [*(UnknownUsers.HOLD, UnknownUsers.DENY), UnknownUsers.CREATE, UnknownUsers.UNCOLLECTED]
_KINDS: dict[str, _Kind] = {
    Knob.POLICY.value: _Kind("policy", _word({p.value: p for p in Policy}), _POLICIES.index),
    Knob.CAP.value: _Kind("cap_user_e4", _money, _least),
    Knob.BEYOND_CAP.value: _Kind("deny_beyond_cap", _word({"hold": False, "deny": True}), bool),
    Knob.STALE_AFTER.value: _Kind("stale_after_s", _seconds, _least),
    Knob.PASSWORDS.value: _Kind("passwords", _word({"until-stale": True, "never": False}), bool),
    Knob.ACCOUNT.value: _Kind(
        "account", _account, lambda a: (_PAYERS.index(a.payer), a.shared or 0)
    ),
    Knob.ACCOUNT_MODE.value: _Kind("account_mode", _mode, lambda mode: mode.caution),
    Knob.ACCOUNT_CHOICE_TIMEOUT.value: _Kind("choice_timeout_s", _choice_timeout, int),
    Knob.UNKNOWN_USERS.value: _Kind(
        "unknown_users", _word({u.value: u for u in UnknownUsers}), _UNKNOWN.index
    ),
    Knob.ALARM_TOTAL.value: _Kind("alarm_total_e4", _money, _least),
    Knob.ALARM_AGE.value: _Kind("alarm_age_s", _seconds, _least),
}
_DEFAULTS = (
    Rule(Knob.CAP.value, f"pages:{CAP_DEFAULT_PAGES}"),
    Rule(Knob.ALARM_TOTAL.value, "pages:10000"),
    Rule(Knob.ALARM_AGE.value, str(DAY_S)),
)


def check_value(knob: str, value: str) -> None:
    """Raises ValueError for what this release cannot evaluate."""
    if knob not in _KINDS:
        raise ValueError(knob)
    _KINDS[knob].read(value, 1)


def needed_for(knob: Knob, value: str) -> str:
    """Capabilities that whoever evaluates a rule of it must have."""
    if knob is not Knob.ACCOUNT_MODE:
        return ""
    return parse_mode(value).needs or ACCOUNT_MODES


def is_understood(rule: Rule) -> bool:
    """Whether this release can evaluate it."""
    try:
        check_value(rule.knob, rule.value)
    except ValueError:
        return False
    return set(rule.needs.split()) <= CAPABILITIES


def resolve(
    rules: Iterable[Rule], site: int, groups: Collection[int], grey_a4_e4: int
) -> Effective:
    """What holds at ``site`` for somebody in ``groups``; none: for somebody in no group."""
    best: dict[str, list[Rule]] = {}
    for rule in rules:
        if rule.site not in (ANY, site) or not rule.is_for(groups):
            continue
        among = best.setdefault(rule.knob, [])
        if among and among[0].level < rule.level:
            among.clear()
        if not among or among[0].level == rule.level:
            among.append(rule)
    found: dict[str, Any] = {}
    for rule in _DEFAULTS:
        kind = _KINDS[rule.knob]
        found[kind.field] = kind.read(rule.value, grey_a4_e4)
    unevaluable, sources = set(), {}
    for knob, among in best.items():
        winner = _most_cautious(knob, among, grey_a4_e4)
        if winner is None:
            unevaluable.add(knob)
            continue
        found[_KINDS[knob].field], sources[knob] = winner
    return Effective(**found, unevaluable=frozenset(unevaluable), sources=sources)


def _most_cautious(knob: str, among: list[Rule], grey_a4_e4: int) -> tuple[Any, Rule] | None:
    """None: one of them cannot be evaluated, which might be the one."""
    kind = _KINDS.get(knob)
    if kind is None:
        return None
    read = []
    for rule in among:
        try:
            value = kind.read(rule.value, grey_a4_e4)
        except ValueError:
            return None
        if not set(rule.needs.split()) <= CAPABILITIES:
            return None
        read.append((kind.caution(value), rule.group, value, rule))
    _, _, value, rule = min(read, key=lambda one: one[:2])
    return value, rule


def site_rules(
    site: int, policy: str, cap_user: str | None, deny_beyond_cap: bool, rules: Iterable[Rule]
) -> list[Rule]:
    """``rules`` with what ``site set`` says of a site: the same as rules of that site.

    Where there is a rule for just that knob and site, it wins; a setting that is at its
    default (a capped site, the default cap, hold) says nothing.
    """
    listed = list(rules)
    said = {rule.knob for rule in listed if rule.site == site and rule.group == ANY}
    own = [
        (Knob.POLICY.value, policy, policy != Policy.CAPPED.value),
        (Knob.CAP.value, cap_user or "", cap_user is not None),
        (Knob.BEYOND_CAP.value, "deny", deny_beyond_cap),
    ]
    return listed + [
        Rule(knob, value, site) for knob, value, says in own if says and knob not in said
    ]


def bound_e4(effective: Iterable[Effective]) -> int | None:
    """How much one person may overspend at the most while all these sites are cut (4.10).

    None: there is no bound but the balance, once at each site.
    """
    total_e4 = 0
    for one in effective:
        # A STRICT site spends what it was given, a CLOSED one nothing; one that cannot
        # evaluate its rules holds everything.
        if one.policy is not Policy.CAPPED or not one.can_decide:
            continue
        if one.cap_user_e4 is None:
            return None
        total_e4 += one.cap_user_e4
    return total_e4


def alarms(effective: Effective, unsettled_e4: int, stale_s: float) -> list[str]:
    """What an administrator should look at while a site is cut; nobody is stopped by it."""
    found = []
    if effective.alarm_total_e4 is not None and unsettled_e4 > effective.alarm_total_e4:
        found.append("site-total")
    if effective.alarm_age_s is not None and stale_s > effective.alarm_age_s:
        found.append("replica-age")
    return found
