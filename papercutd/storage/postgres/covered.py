"""Which statements may run on a part of the database, and on which rows they depend.

Of most it can be read off: ``FROM table WHERE column = ?`` needs the rows of that value.
What is written otherwise is named here, word for word. Any other statement is not covered:
it is no error, only slower.
"""

from __future__ import annotations

import re
from functools import lru_cache

import attrs

from papercutd.domain.policy import Knob

#: Tables of which the operations change or delete rows that they have.
_CHANGED = {"account", "decision", "hold", "run"}
_TAIL = r"(?P<tail>(?: (?:AND|ORDER BY|LIMIT|RETURNING) .*)?)$"
_PLAIN = re.compile(
    r"(?:SELECT [^()]*(?:\([^()]*\)[^()]*)* FROM (?P<read>\w+)"
    r"|UPDATE (?P<changed>\w+) SET .*"
    r"|DELETE FROM (?P<deleted>\w+))"
    r" WHERE (?P<column>\w+) = (?P<place>\?\d*)" + _TAIL
)
#: What makes a statement depend on more than its first condition.
_MORE = re.compile(r"\b(?:JOIN|UNION|EXISTS|NOT IN|WITH)\b|, \w+ WHERE|\bSELECT\b.*\bSELECT\b")


@attrs.frozen
class Need:
    """The value at ``place`` must be one for which ``column`` of ``table`` was read."""

    table: str
    column: str
    place: int = 0


#: By the table that is inserted into: what must have been read.
_INSERTS: dict[str, tuple[Need, ...]] = {
    "transfer": (),
    "listed": (),
    "decision": (Need("decision", "key"),),
    "hold": (Need("hold", "key"),),
    "charge": (Need("charge", "charge_id"),),
    "job_log": (Need("charge", "key"), Need("job_log", "key")),
}
#: Statements of storage/jobs/charging.py and what it calls, that say more than the plain ones.
_KNOWN: dict[str, tuple[Need, ...]] = {
    # charging.check_job_owner: the key that the range begins with, and who asks.
    "SELECT 1 FROM decision WHERE key > ? AND key < ? AND provider <> ? LIMIT 1": (
        Need("decision", "job of other than", -1),
    ),
    # charging._check_printer_of
    "SELECT provider.name FROM printer JOIN provider ON provider.id = printer.provider"
    " WHERE printer.id = ?": (Need("printer", "id"),),
    # scope.check_printer
    "SELECT provider.name, site.name, release <> 'immediate' FROM printer AS printer"
    " JOIN provider AS provider ON provider.id = printer.provider"
    " LEFT JOIN site AS site ON site.id = provider.site"
    " WHERE printer.id = ? AND printer.removed = 0": (Need("printer", "id"),),
    "SELECT device.printer, site.name FROM device AS device"
    " LEFT JOIN site AS site ON site.id = device.site"
    " WHERE device.name = ? AND device.removed = 0": (Need("device", "name"),),
    # people.find_user
    "SELECT id FROM user WHERE folded = ?1 UNION ALL"
    " SELECT user FROM former_name WHERE folded = ?1 LIMIT 1": (Need("user", "folded"),),
    # charging.prices_now
    "SELECT version FROM price WHERE effective_from <= ? ORDER BY version DESC LIMIT 1": (
        Need("price", "in force at"),
    ),
    # charging._dearest
    "SELECT version FROM price": (Need("price", "all"),),
    # timeline.is_lost: nothing is, of the newest timeline.
    "SELECT EXISTS (SELECT 1 FROM change_log WHERE timeline > ?1 AND number <= ?2)"
    " OR ((SELECT timeline FROM head) > ?1"
    " AND EXISTS (SELECT 1 FROM change_log WHERE number = ?2)"
    " AND NOT EXISTS (SELECT 1 FROM change_log WHERE timeline = ?1))": (
        Need("change_log", "later than"),
    ),
    # directory._find_bearer
    "SELECT DISTINCT user FROM user_name WHERE folded = ?1"
    " AND (?2 IS NULL OR (since <= ?2 AND (until IS NULL OR until > ?2)))": (
        Need("user", "folded"),
    ),
    # late_charges.last_run: whatever the account, it is one of those that are read.
    "SELECT due_at, schedule FROM quota_run WHERE finished_at IS NOT NULL OR ? <="
    " (SELECT done_account FROM schedule WHERE id = quota_run.schedule)"
    " ORDER BY due_at DESC, schedule DESC LIMIT 1": (),
    # purses.read_purses: the kinds are read whole.
    "SELECT a.id, a.purse, k.name, k.rank, a.credits_e4 - a.debits_e4 FROM account AS a"
    " JOIN purse_kind AS k ON k.id = a.purse WHERE a.parent = ? AND a.kind = 'purse'"
    " ORDER BY k.rank, k.id": (Need("account", "purses of"),),
    # policies.is_strict
    "SELECT knob, value, site, user_group, needs, below FROM site_policy"
    " WHERE site IN (?, ?) AND knob = ?": (
        Need("site_policy", "site", 1),
        Need("site_policy", "knob", 2),
    ),
    # unknown_users.read_what: they are read whole.
    "SELECT what FROM unknown_user_setting WHERE site IN (?, ?) ORDER BY site DESC LIMIT 1": (),
    # account_settling.read_rules_anywhere
    "SELECT knob, value, site, user_group, needs, below FROM site_policy"
    " WHERE site = 0 AND knob = ?": (Need("site_policy", "knob anywhere"),),
}
#: The one knob whose rules are read for the sites that are concerned, and those for any site.
KNOB = Knob.POLICY.value
KNOBS_ANYWHERE = (Knob.ACCOUNT.value, Knob.ACCOUNT_MODE.value)


@lru_cache(maxsize=1024)
def needs_of(sql: str) -> tuple[Need, ...] | None:
    """What ``sql`` needs; None: it is not covered."""
    known = _KNOWN.get(sql)
    if known is not None:
        return known
    inserted = re.match(r"INSERT INTO (\w+) ", sql)
    if inserted is not None:
        return _INSERTS.get(inserted[1])
    found = _PLAIN.match(sql)
    if found is None or _MORE.search(sql) or _has_or(found["tail"]):
        return None
    table = found["read"] or found["changed"] or found["deleted"]
    if found["read"] is None and table not in _CHANGED:
        return None
    digits = found["place"][1:]
    place = int(digits) - 1 if digits else sql[: found.start("place")].count("?")
    return (Need(table, found["column"], place),)


def _has_or(tail: str) -> bool:
    """Whether the conditions have an OR that is in no brackets."""
    depth = 0
    for word in re.findall(r"[()]|\bOR\b", tail):
        depth += {"(": 1, ")": -1}.get(word, 0)
        if word == "OR" and depth == 0:
            return True
    return False
