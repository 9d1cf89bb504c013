"""Jobs of people who are nobody's user, at the application server.

As it is set they are denied, held, or made users in the transaction that decides (domain rules
for names, new-user rules for the rest). A client that invents names is bounded: beyond so many
new users in an hour its jobs are held, and it is said.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from papercutd.domain.job import Request, device_owner, is_submit
from papercutd.domain.policy import UnknownUsers
from papercutd.domain.unknown_users import (
    HOUR_S,
    PER_HOUR,
    PER_HOUR_MAX,
    PER_HOUR_OF_SITE,
    name_of_new,
)
from papercutd.domain.user_fields import forms_of_name
from papercutd.errors import AlreadyExists, InvalidValue, NameKept
from papercutd.storage.administration.directory import Directory, Person
from papercutd.storage.administration.listed import list_item
from papercutd.storage.administration.listings import PAGE_ROWS, Row, rows
from papercutd.storage.engine import Connection
from papercutd.storage.money.accounts import Entry
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.scope import site_of_owner

#: ``met_by`` of those who asked at the application server itself.
CENTRE = "application"
#: Stands for all sites.
ANY_SITE = 0


@attrs.frozen
class Met:
    """Who prints: ``person``, or nobody; then what becomes of the job."""

    person: Person | None
    what: UnknownUsers = UnknownUsers.DENY


class UnknownPeople:
    """Each method is one step of the writer's transaction."""

    def __init__(self, log: ChangeLog, directory: Directory, wall_s: Callable[[], float]) -> None:
        self._log = log
        self._directory = directory
        self._wall_s = wall_s

    def meet(self, connection: Connection, request: Request, who: str) -> Met:
        """Of a job of somebody who is nobody's user."""
        if device_owner(request.provider) is not None or not is_submit(request.step):
            # Nobody unknown logs in.
            return Met(None)
        what = read_what(connection, site_of_owner(connection, request.provider))
        if what is not UnknownUsers.CREATE:
            return Met(None, what)
        try:
            name = name_of_new(request.user_name)
        except InvalidValue:
            return Met(None)
        now = self._wall_s()
        if self._count(connection, CENTRE, now) >= read_per_hour(connection):
            self._say(connection, CENTRE, who, request.key, now)
            return Met(None, UnknownUsers.HOLD)
        person = self._make(connection, name, CENTRE, request.key, now)
        return Met(person, UnknownUsers.HOLD)

    def met_at_site(self, connection: Connection, name: str, site: str, key: str) -> None:
        """A site's record: it made a user of that name, whom a cut kept it from knowing.

        Where somebody bears or bore the name, or another site met the same, it is they.
        """
        name = name_of_new(name)
        if self._find(connection, name) is not None:
            return
        now = self._wall_s()
        if self._count(connection, site, now) >= PER_HOUR_OF_SITE:
            self._say(connection, site, site, key, now)
            return
        self._make(connection, name, site, key, now)

    def set(self, connection: Connection, site: int, what: UnknownUsers | None) -> None:
        """For the printers of ``site``, or (ANY_SITE) of all that have no setting of their own;
        None: of that site there is none any more."""
        if what is None:
            connection.execute("DELETE FROM unknown_user_setting WHERE site = ?", (site,))
        else:
            connection.execute(
                "INSERT INTO unknown_user_setting (site, what) VALUES (?, ?)"
                " ON CONFLICT (site) DO UPDATE SET what = excluded.what",
                (site, what.value),
            )
        self._log.place()

    def set_per_hour(self, connection: Connection, per_hour: int) -> None:
        """Raises InvalidValue."""
        if not 1 <= per_hour <= PER_HOUR_MAX:
            raise InvalidValue("per-hour", f"is not from 1 to {PER_HOUR_MAX}")
        _settle_row(connection)
        connection.execute(
            "UPDATE unknown_user_setting SET per_hour = ? WHERE site = ?", (per_hour, ANY_SITE)
        )
        self._log.place()

    def _find(self, connection: Connection, name: str) -> Person | None:
        for form in forms_of_name(name):
            person = self._directory.find_person(connection, form)
            if person is not None:
                return person
        return None

    def _make(
        self, connection: Connection, name: str, met_by: str, key: str, now: float
    ) -> Person | None:
        """None: it cannot be given, such as one that was somebody's until lately."""
        known = self._find(connection, name)
        if known is not None:
            # Written with its accents in another way.
            return known
        entry = Entry("", 0, "new user", "", now, now)
        try:
            user = self._directory.add_user(connection, name, source="print", entry=entry)
        except (AlreadyExists, NameKept, InvalidValue):
            return None
        connection.execute(
            "INSERT INTO user_met (user, at, met_by, key, number) VALUES (?, ?, ?, ?, ?)",
            (user, now, met_by, key, self._log.number),
        )
        return self._find(connection, name)

    @staticmethod
    def _count(connection: Connection, met_by: str, now: float) -> int:
        found = connection.execute(
            "SELECT COUNT(*) FROM user_met WHERE met_by = ? AND at > ?", (met_by, now - HOUR_S)
        ).fetchone()
        return int(found[0])

    def _say(self, connection: Connection, met_by: str, who: str, key: str, now: float) -> None:
        """There are too many: once an hour it is listed, and all that hour status says so."""
        _settle_row(connection)
        done = connection.execute(
            "UPDATE unknown_user_setting SET alarmed_at = ?1 WHERE site = ?2"
            " AND (alarmed_at <= ?1 - ?3 OR alarmed_at > ?1)",
            (now, ANY_SITE, HOUR_S),
        )
        if done.rowcount:
            detail = f"met by {met_by}: more than are made users in an hour"
            list_item(connection, self._log.number, now, "unknown-users-many", key, who, detail)


def read_what(connection: Connection, site: int | None) -> UnknownUsers:
    """What is set for the printers of ``site``; None: for those of none."""
    found = connection.execute(
        "SELECT what FROM unknown_user_setting WHERE site IN (?, ?) ORDER BY site DESC LIMIT 1",
        (ANY_SITE, ANY_SITE if site is None else site),
    ).fetchone()
    return UnknownUsers.DENY if found is None else UnknownUsers(found[0])


def read_per_hour(connection: Connection) -> int:
    found = connection.execute(
        "SELECT per_hour FROM unknown_user_setting WHERE site = ?", (ANY_SITE,)
    ).fetchone()
    return PER_HOUR if found is None else int(found[0])


def read_alarmed_at(connection: Connection) -> float:
    """When it was said last that there were too many; 0: never."""
    found = connection.execute(
        "SELECT alarmed_at FROM unknown_user_setting WHERE site = ?", (ANY_SITE,)
    ).fetchone()
    return 0.0 if found is None else float(found[0])


def read_settings(connection: Connection) -> list[Row]:
    """What is set, of every site that has a setting of its own, and for all others (site null)."""
    return rows(
        connection,
        "SELECT site.name AS site, what FROM unknown_user_setting LEFT JOIN site"
        " ON site.id = unknown_user_setting.site WHERE unknown_user_setting.site = 0"
        " OR site.removed = 0 ORDER BY unknown_user_setting.site > 0, site.name LIMIT 10000",
    )


def read_met(connection: Connection, before: int) -> list[Row]:
    """Users made because they printed, the newest first, with ids below ``before`` (0: all)."""
    return rows(
        connection,
        "SELECT user.id, user.name, user_met.at, met_by, user_met.key, merged_into IS NOT NULL"
        " AS merged, deleted_at IS NOT NULL AS deleted FROM user_met"
        " JOIN user ON user.id = user_met.user WHERE (?1 = 0 OR user.id < ?1)"
        f" ORDER BY user.id DESC LIMIT {PAGE_ROWS}",
        before,
    )


def _settle_row(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO unknown_user_setting (site, what) VALUES (?, ?) ON CONFLICT DO NOTHING",
        (ANY_SITE, UnknownUsers.DENY.value),
    )
