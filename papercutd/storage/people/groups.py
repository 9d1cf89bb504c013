"""Groups of users, at the application server; the same tables stand in a replica.

A group has users, and groups whose users are its own too (storage/people/nested_groups.py). Who was
merged into somebody else is no member any more.
``schema`` is empty for the application server's database, ``replica.`` at a site.
"""

from __future__ import annotations

from collections.abc import Iterable

from papercutd.errors import AlreadyExists, InvalidValue, NotFound
from papercutd.storage.administration.directory import Directory
from papercutd.storage.administration.listings import PAGE_ROWS, Row, rows
from papercutd.storage.engine import Connection
from papercutd.storage.people.member_history import join, left
from papercutd.storage.people.nested_groups import read_nested, with_inner
from papercutd.storage.people.nesting import Nesting
from papercutd.storage.people.people import merged_users
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.site_scopes import sites_in_need, touch_person
from papercutd.storage.replication.timeline import next_id

#: So many rules may each be resolved for every decision.
GROUPS_MAX = 1_000


def groups_of_user(connection: Connection, schema: str, user: int) -> list[int]:
    """Ids of the groups that ``user`` is a member of, without those that these are within:
    rules and scopes say themselves which groups are within theirs."""
    found = connection.execute(
        f"SELECT user_group FROM {schema}group_member WHERE user = ? ORDER BY user_group", (user,)
    )
    return [row[0] for row in found]


def find_group(connection: Connection, name: str) -> int:
    """The id of the group called ``name``; raises NotFound."""
    found = connection.execute(
        "SELECT id FROM user_group WHERE folded = ?", (_fold(name),)
    ).fetchone()
    if found is None:
        raise NotFound("group", name)
    return int(found[0])


class Groups:
    """Each method is one step of the writer's transaction."""

    def __init__(self, log: ChangeLog, directory: Directory) -> None:
        self._log = log
        self._directory = directory

    def add(self, connection: Connection, name: str) -> int:
        """A new group; raises AlreadyExists, InvalidValue."""
        if not name.strip() or len(name) > 63 or not name.isprintable():
            raise InvalidValue("name", "is empty, longer than 63 or holds control characters")
        (count,) = connection.execute(
            "SELECT COUNT(*) FROM user_group WHERE removed = 0"
        ).fetchone()
        if count >= GROUPS_MAX:
            raise InvalidValue("name", f"would be the group beyond {GROUPS_MAX}")
        taken = connection.execute("SELECT 1 FROM user_group WHERE folded = ?", (_fold(name),))
        if taken.fetchone() is not None:
            raise AlreadyExists("group", name)
        id = next_id(connection, "user_group")
        connection.execute(
            "INSERT INTO user_group (id, name, folded) VALUES (?, ?, ?)", (id, name, _fold(name))
        )
        self._log.touch("user_group", id)
        return id

    def remove(self, connection: Connection, name: str) -> int:
        """The group is gone, with its rules; how many users it had. Raises NotFound."""
        group = find_group(connection, name)
        needed = sites_in_need(connection, group)
        if needed:
            raise InvalidValue("name", f"is in the scope of {', '.join(needed[:5])}")
        count = 0
        for table in ("group_member", "site_policy", "account_access"):
            for (key,) in connection.execute(
                f"SELECT key FROM {table} WHERE user_group = ?", (group,)
            ).fetchall():
                connection.execute(f"DELETE FROM {table} WHERE key = ?", (key,))
                user = key.partition(".")[2]
                self._log.touch(table, key, *([("user", int(user))] if user.isdigit() else []))
                if table == "group_member":
                    count += 1
                    left(connection, group, int(user), self._log.number)
        connection.execute("DELETE FROM new_user_rule WHERE user_group = ?", (group,))
        Nesting(self._log).forget(connection, group)
        # What no name can be: names hold no control characters.
        connection.execute(
            "UPDATE user_group SET removed = 1, folded = ? WHERE id = ?", (f"\x01{group}", group)
        )
        self._log.touch("user_group", group)
        return count

    def change(
        self,
        connection: Connection,
        name: str,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
    ) -> int:
        """Users put into a group and taken out, all or none; how many changed. Raises NotFound."""
        group = find_group(connection, name)
        is_scope = bool(sites_in_need(connection, group))
        changed = 0
        for user in add:
            id = self._directory.id_of_user(connection, user)
            changed += join(connection, self._log, group, id)
            if is_scope:
                touch_person(connection, self._log, id)
        for user in remove:
            id = self._directory.id_of_user(connection, user)
            # Whoever was merged into them brings access along by its own memberships.
            changed += any(
                [
                    self._take_out(connection, group, one, is_scope)
                    for one in merged_users(connection, "", id)
                ]
            )
        return changed

    def _take_out(self, connection: Connection, group: int, user: int, is_scope: bool) -> bool:
        key = f"{group}.{user}"
        done = connection.execute("DELETE FROM group_member WHERE key = ?", (key,))
        left(connection, group, user, self._log.number)
        self._log.touch("group_member", key, ("user", user))
        if is_scope:
            touch_person(connection, self._log, user)
        return done.rowcount > 0

    def change_groups(
        self,
        connection: Connection,
        name: str,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
    ) -> int:
        """Groups put into a group and taken out, all or none; how many changed.

        Raises NotFound, and InvalidValue for what would be within itself, or too deep.
        """
        group, nesting = find_group(connection, name), Nesting(self._log)
        taken = sum(nesting.take(connection, group, find_group(connection, g)) for g in remove)
        put = sum(nesting.put(connection, group, find_group(connection, g)) for g in add)
        return taken + put


def read_groups(connection: Connection) -> list[Row]:
    """All of them with how many users each has, by name."""
    found = rows(
        connection,
        "SELECT id, name, (SELECT COUNT(*) FROM group_member JOIN user ON user.id = user"
        " WHERE user_group = user_group.id AND merged_into IS NULL AND deleted_at IS NULL) AS users"
        f" FROM user_group WHERE removed = 0 ORDER BY folded LIMIT {GROUPS_MAX}",
    )
    nested, names = read_nested(connection), {row["id"]: row["name"] for row in found}
    for row in found:
        row["groups"] = sorted(names[one] for one in nested.get(row["id"], ()))
    return found


def read_members(connection: Connection, name: str, after: str, nested: bool) -> list[Row]:
    """Users of a group beyond the folded name ``after``, by name; raises NotFound.

    ``nested``: those of the groups within it too.
    """
    group = find_group(connection, name)
    groups = with_inner(connection, [group]) if nested else [group]
    places = ", ".join("?" * len(groups))
    return rows(
        connection,
        "SELECT name, full_name FROM user WHERE merged_into IS NULL AND deleted_at IS NULL"
        " AND folded > ? AND id IN"
        f" (SELECT user FROM group_member WHERE user_group IN ({places}))"
        f" ORDER BY folded LIMIT {PAGE_ROWS}",
        *(after, *groups),
    )


def _fold(name: str) -> str:
    return name.strip().casefold()
