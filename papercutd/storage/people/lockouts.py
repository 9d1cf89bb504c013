"""Lockouts of people at the application server: those of all servers, summed (design 4.11).

A lockout counts once, by the key of its record, and only while it is young: what is forgotten
here is too old to count when it comes again in another stream. Times are the application
server's clock, as far as the site that counted could tell.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from papercutd.domain.lockout import DAY_S, NO_LOCKOUT, Lockout, sum_lockouts
from papercutd.errors import Rejected
from papercutd.storage.engine import Connection
from papercutd.storage.people.people import heir_of_user, merged_users
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.records import Locked, Record

#: Who counted, where it was not a site.
APPLICATION = "application"
#: Seconds for which lockouts are remembered, by when they were taken in; and beyond which one
#: that comes in is too old. The first is longer: nothing that was forgotten counts again.
KEPT_S = 35 * DAY_S
TOO_OLD_S = 30 * DAY_S
#: Rows that one lockout clears away at the most.
CLEARED_MAX = 100


@attrs.frozen
class LockedUser:
    """What a server knows of one user's lockouts."""

    user: int
    name: str
    lockout: Lockout
    #: Names what ended the earlier ones: another value is another unlocking.
    unlocked: str


def position_of(text: str) -> tuple[int, int]:
    """``timeline.number``, to be compared; (0, 0) for anything else."""
    timeline, _, number = text.partition(".")
    if not all(part.isdecimal() and len(part) <= 15 for part in (timeline, number)):
        return (0, 0)
    return (int(timeline), int(number))


class Lockouts:
    """Each method is one step of a transaction."""

    def __init__(self, log: ChangeLog, wall_s: Callable[[], float]) -> None:
        self._log = log
        self._wall_s = wall_s

    def note(
        self,
        connection: Connection,
        key: str,
        user: int,
        server: str,
        began_at: float,
        position: str,
    ) -> Lockout:
        """One lockout that ``server`` counted, knowing our history up to ``position``.

        Raises Rejected ``bad-fields`` for somebody who is not there.
        """
        now_s = self._wall_s()
        user = self._heir(connection, user)
        if not now_s - TOO_OLD_S < began_at:
            return self._read(connection, user)
        unlocked = self._unlocked(connection, user)
        # Who had not heard of the unlocking counted what it has ended.
        is_ended = position_of(position) < position_of(unlocked)
        new = connection.execute(
            "INSERT INTO lockout_event VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (key, user, server, min(began_at, now_s), now_s, is_ended),
        ).rowcount
        if new:
            self._sum(connection, user, unlocked)
            self._clear(connection, now_s)
        return self._read(connection, user)

    def take(self, connection: Connection, record: Record, locked: Locked, site: str) -> None:
        """What a site has told: a lockout, or the end of those counted there."""
        server = f"site:{site}"
        if locked.ended:
            self.end_of_site(connection, record.key, locked.user, server)
        else:
            began_at, position = locked.began_at, record.position
            self.note(connection, record.key, locked.user, server, began_at, position)

    def end_of_site(self, connection: Connection, key: str, user: int, server: str) -> None:
        """An administrator of that site has ended the lockouts counted there: those only."""
        user = self._heir(connection, user)
        now_s = self._wall_s()
        new = connection.execute(
            "INSERT INTO lockout_event VALUES (?, ?, ?, ?, ?, 1) ON CONFLICT DO NOTHING",
            (key, user, server, now_s, now_s),
        ).rowcount
        if new:
            connection.execute(
                "UPDATE lockout_event SET ended = 1 WHERE user = ? AND server = ?", (user, server)
            )
            self._sum(connection, user, self._unlocked(connection, user))

    def unlock(self, connection: Connection, user: int) -> None:
        """End them everywhere, those too that a cut site has counted and not told yet."""
        for one in merged_users(connection, "", self._heir(connection, user)):
            connection.execute("UPDATE lockout_event SET ended = 1 WHERE user = ?", (one,))
            self._sum(connection, one, self._log.position_text)

    def _sum(self, connection: Connection, user: int, unlocked: str) -> None:
        begun = [
            row[0]
            for row in connection.execute(
                "SELECT began_at FROM lockout_event WHERE user = ? AND ended = 0", (user,)
            )
        ]
        found = sum_lockouts(begun)
        connection.execute(
            "INSERT INTO lockout VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (user) DO UPDATE SET"
            " lockouts = excluded.lockouts, lasts_s = excluded.lasts_s,"
            " ends_at = excluded.ends_at, unlocked = excluded.unlocked,"
            " noted_at = excluded.noted_at",
            (user, found.count, found.lasts_s, found.ends_at, unlocked, self._wall_s()),
        )
        self._log.touch("lockout", user)

    def _clear(self, connection: Connection, now_s: float) -> None:
        oldest = (now_s - KEPT_S, CLEARED_MAX)
        connection.execute(
            "DELETE FROM lockout_event WHERE key IN"
            " (SELECT key FROM lockout_event WHERE taken_at < ? LIMIT ?)",
            oldest,
        )
        for (user,) in connection.execute(
            "SELECT user FROM lockout WHERE noted_at < ? LIMIT ?", oldest
        ).fetchall():
            connection.execute("DELETE FROM lockout WHERE user = ?", (user,))
            self._log.touch("lockout", user, ("user", user))

    def _read(self, connection: Connection, user: int) -> Lockout:
        found = connection.execute(
            "SELECT lockouts, lasts_s, ends_at FROM lockout WHERE user = ?", (user,)
        ).fetchone()
        return NO_LOCKOUT if found is None else Lockout(*found)

    def _unlocked(self, connection: Connection, user: int) -> str:
        found = connection.execute(
            "SELECT unlocked FROM lockout WHERE user = ?", (user,)
        ).fetchone()
        return "" if found is None else str(found[0])

    def _heir(self, connection: Connection, user: int) -> int:
        if connection.execute("SELECT 1 FROM user WHERE id = ?", (user,)).fetchone() is None:
            raise Rejected("bad-fields", "no such user")
        return heir_of_user(connection, "", user)


def read_locked(connection: Connection) -> list[LockedUser]:
    """Everybody of whom the application server knows a lockout or an unlocking."""
    return [
        LockedUser(user, name, Lockout(*lockout), unlocked)
        for user, name, unlocked, *lockout in connection.execute(
            "SELECT l.user, u.name, l.unlocked, l.lockouts, l.lasts_s, l.ends_at"
            " FROM lockout AS l JOIN user AS u ON u.id = l.user ORDER BY l.user"
        )
    ]
