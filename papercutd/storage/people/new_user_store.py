"""Rules for new users, and what becomes of unknown ones, as administrators set them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from papercutd.domain.policy import UnknownUsers
from papercutd.domain.unknown_users import HOUR_S
from papercutd.storage.administration.directory import Directory
from papercutd.storage.administration.listings import Row
from papercutd.storage.administration.rule_store import Transactions
from papercutd.storage.engine import Connection
from papercutd.storage.jobs import unknown_users
from papercutd.storage.jobs.unknown_users import ANY_SITE, UnknownPeople
from papercutd.storage.people import new_users
from papercutd.storage.replication.change_log import ChangeLog


@attrs.frozen
class UnknownView:
    """What is set for unknown users."""

    settings: list[Row]
    per_hour: int
    #: There were too many in the last hour.
    is_alarmed: bool


class NewUserStore:
    """Each method is one transaction, or one read beside the writer."""

    def __init__(
        self,
        store: Transactions,
        log: ChangeLog,
        directory: Directory,
        unknown: UnknownPeople,
        wall_s: Callable[[], float],
    ) -> None:
        self._store = store
        self._directory = directory
        self._rules = new_users.NewUserRules(log)
        self._unknown = unknown
        self._wall_s = wall_s

    def set_rule(self, group: str | None, changes: dict[str, Any]) -> Deferred[None]:
        """Of ``group``, None: of everybody. Raises NotFound, InvalidValue."""
        return self._store.write(lambda c: self._rules.set(c, group, changes))

    def remove_rule(self, group: str | None) -> Deferred[None]:
        """Raises NotFound."""
        return self._store.write(lambda c: self._rules.remove(c, group))

    def rules(self) -> Deferred[list[Row]]:
        return self._store.read(new_users.read_rules)

    def check_groups(self, names: Sequence[str]) -> Deferred[list[int]]:
        """Raises NotFound."""
        return self._store.read(lambda c: new_users.ids_of_groups(c, names))

    def set_unknown(
        self, site: str | None, what: UnknownUsers | None, per_hour: int | None
    ) -> Deferred[None]:
        """For the printers of ``site``, None: of all that have no setting of their own.

        ``what`` None: as at all others. Raises NotFound, InvalidValue.
        """

        def change(connection: Connection) -> None:
            at = ANY_SITE if site is None else self._directory.id_of(connection, "site", site)
            if per_hour is not None:
                self._unknown.set_per_hour(connection, per_hour)
            if what is not None or site is not None:
                self._unknown.set(connection, at, what)

        return self._store.write(change)

    def unknown(self) -> Deferred[UnknownView]:
        now = self._wall_s()

        def view(connection: Connection) -> UnknownView:
            since_s = now - unknown_users.read_alarmed_at(connection)
            return UnknownView(
                unknown_users.read_settings(connection),
                unknown_users.read_per_hour(connection),
                0 <= since_s < HOUR_S,
            )

        return self._store.read(view)

    def met(self, before: int = 0) -> Deferred[list[Row]]:
        """At most 500 users made because they printed, the newest first."""
        return self._store.read(lambda c: unknown_users.read_met(c, before))
