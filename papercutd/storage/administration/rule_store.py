"""Groups and the rules of cut sites, as administrators use them at the application server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred

from papercutd.domain.job import fold_user_name
from papercutd.domain.policy import Rule
from papercutd.errors import NotFound
from papercutd.storage.administration.directory import Directory, decode_prices
from papercutd.storage.administration.listings import Row
from papercutd.storage.administration.policies import Policies, read_rules, read_stored_rules
from papercutd.storage.engine import Connection
from papercutd.storage.people.groups import Groups, groups_of_user, read_groups, read_members
from papercutd.storage.replication.change_log import ChangeLog

T = TypeVar("T")


@attrs.frozen
class RuleView:
    """Everything that the rules are about, at one moment."""

    #: With what ``site set`` says of sites.
    rules: list[Rule]
    #: Only those that ``change_rules`` made.
    stored: list[Rule]
    #: Names by id.
    sites: dict[int, str]
    groups: dict[int, str]
    shared_accounts: dict[int, str]
    #: A grey A4 page by the prices in force.
    grey_a4_e4: int


@attrs.frozen
class GroupedUser:
    """A user as rules see them."""

    name: str
    restricted: bool
    groups: list[int]


class Transactions(Protocol):
    """The store that this is a part of."""

    def write(self, operation: Callable[[Connection], T]) -> Deferred[T]: ...
    def read(self, operation: Callable[[Connection], T]) -> Deferred[T]: ...
    def read_long(self, operation: Callable[[Connection], T]) -> Deferred[T]: ...


class RuleStore:
    """Each method is one transaction, or one read beside the writer."""

    def __init__(
        self,
        store: Transactions,
        log: ChangeLog,
        directory: Directory,
        wall_s: Callable[[], float],
    ) -> None:
        self._store = store
        self._directory = directory
        self._wall_s = wall_s
        self._groups = Groups(log, directory)
        self._policies = Policies(log)

    # Groups.

    def add_group(self, name: str) -> Deferred[int]:
        """Raises AlreadyExists, InvalidValue."""
        return self._store.write(lambda c: self._groups.add(c, name))

    def remove_group(self, name: str) -> Deferred[int]:
        """How many users it had; its rules are gone too. Raises NotFound."""
        return self._store.write(lambda c: self._groups.remove(c, name))

    def change_group(
        self, name: str, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> Deferred[int]:
        """All or none of them; how many changed. Raises NotFound."""
        return self._store.write(lambda c: self._groups.change(c, name, add, remove))

    def groups(self) -> Deferred[list[Row]]:
        return self._store.read(read_groups)

    def change_nested(
        self, name: str, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> Deferred[int]:
        """Groups put into a group and taken out, all or none; how many changed. Raises NotFound,
        and InvalidValue for what would be within itself, or too deep."""
        return self._store.write(lambda c: self._groups.change_groups(c, name, add, remove))

    def members(self, name: str, after: str = "", nested: bool = False) -> Deferred[list[Row]]:
        """At most 500 of its users, by name; ``nested``: of groups within it too. NotFound."""
        folded = fold_user_name(after) if after else ""
        return self._store.read(lambda c: read_members(c, name, folded, nested))

    # Rules.

    def change_rules(self, set: Iterable[Rule] = (), clear: Iterable[Rule] = ()) -> Deferred[None]:
        """All or none of them; raises NotFound for one to clear that there is not."""

        def change(connection: Connection) -> None:
            for rule in clear:
                self._policies.clear(connection, rule)
            for rule in set:
                self._policies.set(connection, rule)

        return self._store.write(change)

    def view(self) -> Deferred[RuleView]:
        wall_s = self._wall_s()

        def names(connection: Connection, query: str) -> dict[int, str]:
            return {row[0]: row[1] for row in connection.execute(query)}

        def view(connection: Connection) -> RuleView:
            found = connection.execute(
                "SELECT body FROM price WHERE effective_from <= ? ORDER BY version DESC LIMIT 1",
                (wall_s,),
            ).fetchone()
            return RuleView(
                read_rules(connection),
                read_stored_rules(connection),
                names(connection, "SELECT id, name FROM site WHERE removed = 0 ORDER BY name"),
                names(
                    connection, "SELECT id, name FROM user_group WHERE removed = 0 ORDER BY folded"
                ),
                names(
                    connection,
                    "SELECT id, name FROM account WHERE kind = 'shared' AND closed = 0"
                    " ORDER BY name",
                ),
                0 if found is None else decode_prices(found[0]).grey_a4_e4,
            )

        return self._store.read(view)

    def grouped_user(self, name: str) -> Deferred[GroupedUser]:
        """Raises NotFound."""

        def find(connection: Connection) -> GroupedUser:
            person = self._directory.find_person(connection, name)
            if person is None:
                raise NotFound("user", name)
            row: tuple[Any, ...] = connection.execute(
                "SELECT user.name, account.restricted FROM user"
                " JOIN account ON account.id = user.account WHERE user.id = ?",
                (person.id,),
            ).fetchone()
            groups = groups_of_user(connection, "", person.id)
            return GroupedUser(row[0], bool(row[1]), groups)

        return self._store.read(find)
