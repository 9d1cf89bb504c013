"""What administrators look at at a site: users, shared accounts, prices and quotas as the replica
has them, with what was decided here since. What a site is not sent is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred

from papercutd.domain.account_mode import parse_mode, show_mode
from papercutd.domain.account_tree import SEPARATOR
from papercutd.domain.decision import Decision
from papercutd.domain.job import Request
from papercutd.errors import NotFound
from papercutd.storage.administration.listings import PAGE_ROWS, Row, rows
from papercutd.storage.administration.price_versions import read_versions
from papercutd.storage.engine import Connection
from papercutd.storage.money.quota_lists import read_schedules_here
from papercutd.storage.people.people import find_user, merged_users
from papercutd.storage.site.deciding import read_purse
from papercutd.storage.site.overlay import merged_accounts, read_overlay, replicated_mark

T = TypeVar("T")
#: In the words of NotFound: a site has not everybody.
AT_THIS_SITE = "at this site named"
_USER = (
    "SELECT u.id, u.name, u.full_name, a.restricted, u.disabled, u.administrator, u.expires_at,"
    " -a.floor_e4 AS overdraft_e4, u.account, u.account_mode FROM replica.user AS u"
    " JOIN replica.account AS a ON a.id = u.account WHERE u.id = ?"
)
_ACCOUNT = (
    "SELECT a.id, a.name, a.restricted, -a.floor_e4 AS overdraft_e4,"
    " COALESCE(a.shut, a.closed) AS closed, a.disabled_until, a.markup_e4,"
    " (SELECT by_tree.name FROM replica.account AS by_tree WHERE by_tree.id = a.access)"
    " AS access_by, COALESCE(s.invoice, 'user-chooses') AS invoice,"
    " COALESCE(s.comment, 'optional') AS comment, COALESCE(s.pin_hash, '') <> '' AS has_pin,"
    " a.credits_e4 - a.debits_e4 AS balance_e4"
    " FROM replica.account AS a LEFT JOIN replica.shared_account AS s ON s.id = a.id"
    " WHERE a.kind = 'shared'"
)
_MAY = (
    "SELECT o.name FROM replica.account_access AS r JOIN replica.{0} AS o ON o.id = r.{0}"
    " WHERE r.account = (SELECT access FROM replica.account WHERE id = ?) ORDER BY o.folded"
)
_MAY_USERS, _MAY_GROUPS = _MAY.format("user"), _MAY.format("user_group")
#: Decided here, and not in the replica: (account, printed, reserved).
_HERE = (
    "SELECT account, SUM(CASE WHEN state = 'settled' THEN reserved_e4 ELSE 0 END),"
    " SUM(CASE WHEN state = 'open' THEN reserved_e4 ELSE 0 END) FROM decision"
    " WHERE account IN ({}) AND (state = 'open' OR (state = 'settled' AND number > ?))"
    " AND key NOT IN (SELECT key FROM replica.charged) GROUP BY account"
)
_DECISION = msgspec.json.Decoder(Decision)
_REQUEST = msgspec.json.Decoder(Request)


class SiteLooks:
    """Each method is one read."""

    def __init__(
        self,
        read: Callable[[Callable[[Connection], T]], Deferred[T]],
        dated_s: Callable[[], float],
    ) -> None:
        """``dated_s``: the clock of prices and of dated promises."""
        self._read: Any = read
        self._dated_s = dated_s

    def user(self, name: str) -> Deferred[Row]:
        """One user with balance and the last jobs here; raises NotFound."""
        dated_s = self._dated_s()
        found: Deferred[Row] = self._read(lambda c: read_user_here(c, name, dated_s))
        return found

    def accounts(self, after: str = "", below: str = "") -> Deferred[list[Row]]:
        """At most 500 shared accounts beyond the name ``after``; raises NotFound."""
        found: Deferred[list[Row]] = self._read(lambda c: read_accounts_here(c, after, below))
        return found

    def account(self, name: str) -> Deferred[Row]:
        """One shared account, with who may charge it; raises NotFound."""
        found: Deferred[Row] = self._read(lambda c: read_account_here(c, name))
        return found

    def prices(self, before: int = 0) -> Deferred[list[Row]]:
        """Versions of the prices, the newest first."""
        dated_s = self._dated_s()
        found: Deferred[list[Row]] = self._read(
            lambda c: read_versions(c, before, dated_s, "replica.")
        )
        return found

    def quotas(self) -> Deferred[list[Row]]:
        """All quotas, by name."""
        found: Deferred[list[Row]] = self._read(read_schedules_here)
        return found


def read_user_here(connection: Connection, name: str, dated_s: float) -> Row:
    """Raises NotFound."""
    user = find_user(connection, "replica.", name)
    found = [] if user is None else rows(connection, _USER, user)
    if user is None or not found:
        raise NotFound(f"user {AT_THIS_SITE}", name)
    (row,) = found
    account = row.pop("account")
    overlay, purse = read_overlay(connection, account), read_purse(connection, account, dated_s)
    assert overlay is not None, "read_purse would have raised"
    users = merged_users(connection, "replica.", user)
    return {
        **row,
        "account_mode": _mode_shown(connection, row["account_mode"]),
        "balance_e4": purse.balance_e4,
        "spent_here_e4": overlay.settled_e4,
        "reserved_here_e4": overlay.unsettled_e4 - overlay.settled_e4,
        "pending_e4": overlay.funds.pending_e4,
        "at_sites_e4": overlay.escrow_e4,
        "promised_e4": purse.promised_e4,
        "available_here_e4": purse.cut_e4,
        "purses": [{"name": kind, "balance_e4": held_e4} for kind, held_e4 in purse.purses],
        "merged": _names(
            connection, "SELECT name FROM replica.user WHERE id IN ({}) AND id <> ?", users, user
        ),
        "former_names": _names(
            connection, "SELECT folded FROM replica.former_name WHERE user IN ({})", users
        ),
        "groups": _names(
            connection,
            "SELECT name FROM replica.user_group WHERE id IN"
            " (SELECT user_group FROM replica.group_member WHERE user IN ({}))",
            users,
        ),
        "charges_here": _charges(connection, merged_accounts(connection, account)),
    }


def _mode_shown(connection: Connection, text: str) -> str:
    try:
        shared = parse_mode(text).shared if text else None
    except ValueError:
        # Of a newer release: as it is kept.
        return text
    named = connection.execute(
        "SELECT id, name FROM replica.account WHERE id = ?", (shared,)
    ).fetchall()
    return show_mode(text, dict(named)) or "default"


def _names(connection: Connection, query: str, ids: list[int], *more: object) -> list[str]:
    places = ", ".join("?" * len(ids))
    return sorted(row[0] for row in connection.execute(query.format(places), (*ids, *more)))


def _charges(connection: Connection, accounts: list[int]) -> list[Row]:
    """The last jobs that were settled here; ``forwarded``: the replica has them."""
    mark = replicated_mark(connection)
    found = connection.execute(
        "SELECT key, request, body, pages, reserved_e4, number, decided_at FROM decision"
        f" WHERE account IN ({', '.join('?' * len(accounts))}) AND state = 'settled'"
        " ORDER BY number DESC LIMIT 20",
        accounts,
    ).fetchall()
    return [
        {
            "key": key,
            "title": _REQUEST.decode(asked).title if asked else "",
            "pages": pages,
            "amount_e4": amount_e4,
            "decider": _DECISION.decode(body).decider,
            "forwarded": number <= mark,
            "claimed_at": decided_at,
        }
        for key, asked, body, pages, amount_e4, number, decided_at in found
    ]


def read_accounts_here(connection: Connection, after: str, below: str) -> list[Row]:
    """Raises NotFound."""
    under = ""
    values: list[object] = [after]
    if below:
        name = rows(connection, f"{_ACCOUNT} AND a.id = ?", _find(connection, below))[0]["name"]
        prefix = f"{name}{SEPARATOR}"
        under = " AND (a.name = ? OR substr(a.name, 1, ?) = ?)"
        values += [name, len(prefix), prefix]
    query = f"{_ACCOUNT} AND a.name > ?{under} ORDER BY a.name LIMIT {PAGE_ROWS}"
    return _with_here(connection, rows(connection, query, *values))


def read_account_here(connection: Connection, name: str) -> Row:
    """Raises NotFound."""
    account = _find(connection, name)
    (row,) = _with_here(connection, rows(connection, f"{_ACCOUNT} AND a.id = ?", account))
    for field, query in (("users", _MAY_USERS), ("groups", _MAY_GROUPS)):
        row[field] = [one for (one,) in connection.execute(query, (account,)).fetchall()]
    return row


def _find(connection: Connection, name: str) -> int:
    """By its full name; capitals do not count where nobody is called exactly so."""
    found = connection.execute(
        "SELECT id FROM replica.account WHERE kind = 'shared' AND lower(name) = lower(?1)"
        " ORDER BY name <> ?1, id LIMIT 1",
        (name.strip(),),
    ).fetchone()
    if found is None:
        raise NotFound(f"account {AT_THIS_SITE}", name)
    return int(found[0])


def _with_here(connection: Connection, found: list[Row]) -> list[Row]:
    """With what was decided here and the replica does not contain: one statement for all."""
    here = _decided_here(connection, [row["id"] for row in found])
    for row in found:
        spent_e4, reserved_e4 = here.get(row["id"], (0, 0))
        row["parent"] = row["name"].rpartition(SEPARATOR)[0] or None
        row["balance_e4"] -= spent_e4
        row["spent_here_e4"], row["reserved_here_e4"] = spent_e4, reserved_e4
    return found


def _decided_here(connection: Connection, ids: Iterable[int]) -> dict[int, tuple[int, int]]:
    accounts = list(ids)
    if not accounts:
        return {}
    query = _HERE.format(", ".join("?" * len(accounts)))
    decided = connection.execute(query, (*accounts, replicated_mark(connection)))
    return {id: (int(spent), int(reserved)) for id, spent, reserved in decided.fetchall()}
