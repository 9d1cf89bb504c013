"""What an act is about that is no one row: as its entry in the audit shows it before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from papercutd.errors import NotFound
from papercutd.storage.administration.listings import Row, rows
from papercutd.storage.engine import Connection
from papercutd.storage.jobs.unknown_users import read_per_hour, read_settings
from papercutd.storage.money.purses import read_kinds
from papercutd.storage.people.groups import find_group
from papercutd.storage.people.nested_groups import with_inner

#: What was asked back of a charge, given and written off, and the account that paid.
_CHARGE = (
    "SELECT account.name AS account, credits_e4 - debits_e4 + purses_e4 AS balance_e4,"
    " (SELECT COALESCE(SUM(granted_e4), 0) FROM refund WHERE refund.charge_id = c.charge_id)"
    " AS given_back_e4,"
    " (SELECT COUNT(*) FROM refund WHERE refund.charge_id = c.charge_id) AS refunds,"
    " (SELECT COUNT(*) FROM refund WHERE refund.charge_id = c.charge_id AND state = 'asked')"
    " AS refunds_open,"
    " (SELECT amount_e4 FROM written_off WHERE written_off.charge_id = c.charge_id)"
    " AS written_off_e4,"
    " (SELECT name FROM assigned JOIN user ON user.id = assigned.user"
    " WHERE assigned.charge_id = c.charge_id) AS assigned_to"
    " FROM charge AS c JOIN account ON account.id = c.account WHERE c.charge_id = ?"
)


def _prices(connection: Connection, name: str) -> Row:
    """Each version is kept as it was: its number is enough."""
    query = "SELECT version, effective_from FROM price ORDER BY version DESC LIMIT 1"
    return _one(rows(connection, query))


def _purses(connection: Connection, name: str) -> Row:
    return {"order": [kind.name for kind in read_kinds(connection)]}


def _unknown_users(connection: Connection, name: str) -> Row:
    found: Row = {"per_hour": read_per_hour(connection)}
    for row in read_settings(connection):
        found[row["site"] or "all others"] = row["what"]
    return found


def _new_user_rule(connection: Connection, name: str) -> Row:
    """``name``: a group's; empty: that of everybody."""
    group = find_group(connection, name) if name else 0
    query = (
        "SELECT credit_e4, restricted, overdraft_e4, account_selection FROM new_user_rule"
        " WHERE user_group = ?"
    )
    return _one(rows(connection, query, group))


def _modes(connection: Connection, name: str) -> Row:
    """How many in a group have which mode of account selection."""
    groups = with_inner(connection, [find_group(connection, name)])
    places = ", ".join("?" * len(groups))
    found = connection.execute(
        "SELECT account_mode, COUNT(*) FROM user WHERE merged_into IS NULL"
        f" AND deleted_at IS NULL AND id IN (SELECT user FROM group_member WHERE user_group IN"
        f" ({places})) GROUP BY account_mode ORDER BY account_mode",
        tuple(groups),
    )
    return {mode or "default": count for mode, count in found.fetchall()}


def _vouchers(connection: Connection, name: str) -> Row:
    query = (
        "SELECT b.amount_e4, b.count, b.expires_at, COUNT(v.redeemed_at) AS redeemed,"
        " COUNT(v.cancelled_at) AS cancelled FROM voucher_batch AS b"
        " JOIN voucher AS v ON v.batch = b.id WHERE b.name = ?"
        " GROUP BY b.id, b.amount_e4, b.count, b.expires_at"
    )
    return _one(rows(connection, query, name))


def _charge(connection: Connection, name: str) -> Row:
    return _one(rows(connection, _CHARGE, name))


def _refund(connection: Connection, name: str) -> Row:
    """A request, and the charge it is about."""
    if not name.isdecimal() or int(name) >= 2**62:
        return {}
    query = "SELECT charge_id, state, granted_e4, answer FROM refund WHERE id = ?"
    found = _one(rows(connection, query, int(name)))
    return found and {**found, **_charge(connection, found["charge_id"])}


def _one(found: list[Row]) -> Row:
    return found[0] if found else {}


#: By the kind of object.
VIEWS: Mapping[str, Callable[[Connection, str], Row]] = {
    "prices": _prices,
    "purses": _purses,
    "unknown-users": _unknown_users,
    "new-user-rule": _new_user_rule,
    "modes": _modes,
    "vouchers": _vouchers,
    "charge": _charge,
    "refund": _refund,
}


def read_view(connection: Connection, kind: str, name: str) -> Row:
    """Empty where there is nothing of that name."""
    try:
        return VIEWS[kind](connection, name)
    except NotFound:
        return {}
