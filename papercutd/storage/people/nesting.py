"""Groups put into groups, and taken out, at the application server.

Whatever follows from it changes in the same transaction: rules say which groups are within
their own, and sites with a scope are sent the people of all of them.
"""

from __future__ import annotations

from papercutd.domain.nested_groups import above, check_place
from papercutd.storage.engine import Connection
from papercutd.storage.people.member_history import nested_anew
from papercutd.storage.people.nested_groups import listed_below, read_nested, with_needs
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.site_scopes import SCOPE_GROUPS, set_scope


class Nesting:
    """Each method is one step of the writer's transaction."""

    def __init__(self, log: ChangeLog) -> None:
        self._log = log

    def put(self, connection: Connection, outer: int, inner: int) -> bool:
        """``inner`` stands in ``outer``; False: it did already. Raises InvalidValue."""
        nested = read_nested(connection)
        if inner in nested.get(outer, ()):
            return False
        names = dict(connection.execute("SELECT id, name FROM user_group").fetchall())
        check_place(nested, names, outer, inner)
        key = f"{outer}.{inner}"
        connection.execute("INSERT INTO group_nested VALUES (?, ?, ?)", (outer, inner, key))
        self._log.touch("group_nested", key)
        self._renew(connection, above(nested, outer))
        return True

    def take(self, connection: Connection, outer: int, inner: int) -> bool:
        """``inner`` does not stand in ``outer`` any more; False: it did not."""
        concerned = above(read_nested(connection), outer)
        done = connection.execute(
            "DELETE FROM group_nested WHERE parent = ? AND child = ?", (outer, inner)
        )
        if done.rowcount:
            self._log.touch("group_nested", f"{outer}.{inner}")
            self._renew(connection, concerned)
        return bool(done.rowcount)

    def forget(self, connection: Connection, group: int) -> None:
        """``group`` is being removed: it stands nowhere, and nothing stands in it."""
        concerned = above(read_nested(connection), group) - {group}
        gone = connection.execute(
            "DELETE FROM group_nested WHERE parent = ?1 OR child = ?1 RETURNING key", (group,)
        )
        for (key,) in gone.fetchall():
            self._log.touch("group_nested", key)
        self._renew(connection, concerned)

    def _renew(self, connection: Connection, concerned: set[int]) -> None:
        """What is within the ``concerned`` has changed: rules and scopes say so."""
        nested_anew(connection, self._log.number)
        nested = read_nested(connection)
        for key, group, was, needs in connection.execute(
            "SELECT key, user_group, below, needs FROM site_policy WHERE user_group <> 0"
        ).fetchall():
            if group not in concerned:
                continue
            now = listed_below(nested, group)
            if now != was:
                connection.execute(
                    "UPDATE site_policy SET below = ?, needs = ? WHERE key = ?",
                    (now, with_needs(needs, now), key),
                )
                self._log.touch("site_policy", key)
        for site, scope in connection.execute(SCOPE_GROUPS).fetchall():
            groups = {int(group) for group in scope.split(",")}
            if groups & concerned:
                # Who is within may be half the installation: it is loaded as a new scope is.
                set_scope(connection, self._log, site, groups)
