"""Lockouts of people at a site: its own, in its journal, and the sum that its replica has.

The longer one holds. A site that is cut goes by its own; they are summed with those of other
sites at the application server, and come back as a row of the replica.
"""

from __future__ import annotations

from papercutd.domain.lockout import DAY_S, LOCKOUT_S, NO_LOCKOUT, Lockout, sum_lockouts
from papercutd.storage.engine import Connection
from papercutd.storage.people.lockouts import LockedUser, position_of
from papercutd.storage.people.people import merged_users
from papercutd.storage.replication.records import LOCKOUT, Locked, Record, encode_record
from papercutd.storage.site import replica
from papercutd.storage.site.site_journal import append_body

#: Seconds after which a lockout of this site counts for nothing any more.
_KEPT_S = 2 * DAY_S


def lock_out(
    connection: Connection,
    key: str,
    user: int,
    failures: int,
    dated_s: float,
    wall_s: float,
) -> None:
    """``user`` failed so often that it is locked out: one record."""
    position = _position(connection)
    connection.execute(
        "INSERT INTO lockout_event VALUES (?, ?, ?, ?)", (key, user, position, dated_s)
    )
    # A clock that jumped ahead and back leaves none for ever.
    connection.execute("DELETE FROM lockout_event WHERE abs(began_at - ?) > ?", (dated_s, _KEPT_S))
    connection.execute("DELETE FROM unlocked WHERE ends_at < ?", (dated_s - _KEPT_S,))
    found = _read(connection, user)
    lasts_s = found[0].lockout.lasts_s if found else LOCKOUT_S
    _append(
        *(connection, key, position, wall_s),
        Locked(user, failures, dated_s, lasts_s),
    )


def unlock(connection: Connection, key: str, user: int, dated_s: float, wall_s: float) -> None:
    """Let ``user`` in again here, whatever the others say; they go by their own."""
    for one in merged_users(connection, "replica.", user):
        connection.execute("DELETE FROM lockout_event WHERE user = ?", (one,))
        connection.execute(
            "INSERT INTO unlocked"
            " SELECT user, ends_at FROM replica.lockout WHERE user = ?"
            " ON CONFLICT (user) DO UPDATE SET ends_at = excluded.ends_at",
            (one,),
        )
    _append(*(connection, key, _position(connection), wall_s), Locked(user, 0, dated_s, ended=True))


def read_locked(connection: Connection) -> list[LockedUser]:
    """Everybody of whom this site knows a lockout or an unlocking."""
    return _read(connection, None)


def _read(connection: Connection, one: int | None) -> list[LockedUser]:
    found = []
    for user, name, unlocked, count, lasts_s, ends_at, let_in in connection.execute(
        "SELECT u.id, u.name, COALESCE(l.unlocked, ''), COALESCE(l.lockouts, 0),"
        " COALESCE(l.lasts_s, 0.0), COALESCE(l.ends_at, 0.0), unlocked.ends_at"
        " FROM replica.user AS u LEFT JOIN replica.lockout AS l ON l.user = u.id"
        " LEFT JOIN unlocked ON unlocked.user = u.id"
        " WHERE u.id IN (SELECT user FROM lockout_event UNION SELECT user FROM replica.lockout)"
        " AND (?1 IS NULL OR u.id = ?1) ORDER BY u.id",
        (one,),
    ).fetchall():
        own = sum_lockouts(
            [
                began_at
                for position, began_at in connection.execute(
                    "SELECT position, began_at FROM lockout_event WHERE user = ?", (user,)
                )
                if position_of(position) >= position_of(unlocked)
            ]
        )
        is_let_in = let_in is not None and ends_at <= let_in
        everywhere = NO_LOCKOUT if is_let_in else Lockout(count, lasts_s, ends_at)
        longer = max(own, everywhere, key=lambda lockout: lockout.ends_at)
        found.append(LockedUser(user, name, longer, unlocked))
    return found


def _position(connection: Connection) -> str:
    position = replica.read_position(connection)
    return "" if position is None else position.text


def _append(connection: Connection, key: str, position: str, wall_s: float, locked: Locked) -> None:
    record = Record(LOCKOUT, key, position, wall_s, lockout=locked)
    append_body(connection, encode_record(record), wall_s)
