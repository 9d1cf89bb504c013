"""Unknown people whom a cut site makes users of, where its policy says so.

Each is one record of the journal; the application server makes the user, unless somebody bears
that name by then. Until the replica has them they print here as a new user of the rule for
everybody would, below the cap.
"""

from __future__ import annotations

import attrs

from papercutd.domain.capabilities import USERS_MET
from papercutd.domain.decision import Decision, Funds, Policy, Reason, decide_cut
from papercutd.domain.job import Request, device_owner, fold_user_name, is_submit
from papercutd.domain.new_user import EVERYBODY, Start, start_of
from papercutd.domain.policy import Effective
from papercutd.domain.unknown_users import HOUR_S, PER_HOUR_AT_SITE, name_of_new
from papercutd.errors import InvalidValue
from papercutd.storage.engine import Connection
from papercutd.storage.people.new_users import read_rule
from papercutd.storage.replication.records import USER_MET, Met, Record, encode_record
from papercutd.storage.site.overlay import replicated_mark
from papercutd.storage.site.site_journal import append_body

#: Beyond it a name that the application server knows not by then is met anew.
KEPT_S = 35 * 86_400.0


def start_here(connection: Connection, request: Request, wall_s: float) -> Start | None:
    """How somebody whom the replica does not know begins; None: no user is made of them here."""
    if device_owner(request.provider) is not None or not is_submit(request.step):
        return None
    if request.account is not None:
        # Nobody unknown has chosen an account.
        return None
    try:
        name = name_of_new(request.user_name)
    except InvalidValue:
        return None
    if not _is_met(connection, fold_user_name(name)) and _too_many(connection, wall_s):
        return None
    return start_of(read_rule(connection, EVERYBODY, "replica."), ())


def decide_met(
    connection: Connection, held: Decision, request: Request, policy: Effective, start: Start
) -> Decision:
    """Of somebody who begins so, and whose own account pays; ``held``: what holds the job."""
    folded = fold_user_name(name_of_new(request.user_name))
    settled_e4, beyond_e4, open_e4 = _spent(connection, folded)
    funds = Funds(start.restricted, start.credit_e4, settled_e4, open_e4, -start.overdraft_e4)
    money = policy.money(beyond_e4 + open_e4)
    if money.policy is Policy.STRICT and funds.restricted:
        # Nothing of theirs lies here.
        return attrs.evolve(held, reason=Reason.FUNDS)
    verdict, reason = decide_cut(funds, money, held.amount_e4)
    return attrs.evolve(held, verdict=verdict, reason=reason)


def keep_met(connection: Connection, request: Request, position: str, wall_s: float) -> str:
    """The job of somebody unknown is allowed: they are journalled, once; the folded name."""
    name = name_of_new(request.user_name)
    folded = fold_user_name(name)
    if not _is_met(connection, folded):
        connection.execute("DELETE FROM user_met WHERE at < ?", (wall_s - KEPT_S,))
        connection.execute("INSERT INTO user_met VALUES (?, ?, ?)", (folded, name, wall_s))
        record = Record(USER_MET, f"met:{folded}", position, wall_s, needs=(USERS_MET,))
        append_body(connection, encode_record(attrs.evolve(record, met=Met(name))), wall_s)
    return folded


def _is_met(connection: Connection, folded: str) -> bool:
    found = connection.execute("SELECT 1 FROM user_met WHERE folded = ?", (folded,)).fetchone()
    return found is not None


def _too_many(connection: Connection, wall_s: float) -> bool:
    (count,) = connection.execute(
        "SELECT COUNT(*) FROM user_met WHERE at > ?", (wall_s - HOUR_S,)
    ).fetchone()
    return bool(count >= PER_HOUR_AT_SITE)


def _spent(connection: Connection, folded: str) -> tuple[int, int, int]:
    """Of their own: settled here in all, beyond what the replica contains, and open."""
    return connection.execute(  # type: ignore[no-any-return]
        "SELECT COALESCE(SUM(CASE WHEN state = 'settled' THEN reserved_e4 END), 0),"
        " COALESCE(SUM(CASE WHEN state = 'settled' AND number > ?1 THEN reserved_e4 END), 0),"
        " COALESCE(SUM(CASE WHEN state = 'open' THEN reserved_e4 END), 0)"
        " FROM decision WHERE met = ?2 AND met <> '' AND account IS NULL",
        (replicated_mark(connection), folded),
    ).fetchone()
