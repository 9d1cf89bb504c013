"""Groups of users: ``papercutd group``."""

from __future__ import annotations

from typing import Any

from papercutd.errors import InvalidValue
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.interfaces import IRuleStore

#: Users of one call.
USERS_MAX = 1_000


class GroupOperations:
    """At the application server; sites have the groups in their replicas."""

    def __init__(self, store: IRuleStore) -> None:
        self._store = store

    def all(self) -> dict[str, Operation]:
        return {
            "group.add": self.add,
            "group.remove": self.remove,
            "group.list": self.list,
            "group.members": self.members,
            "group.add-users": self.add_users,
            "group.remove-users": self.remove_users,
        }

    async def add(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Add a group."""
        name = take(arguments, "name")["name"]
        return {"id": await self._store.add_group(name), "name": name}

    async def remove(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Take a group away, with the rules for it."""
        name = take(arguments, "name")["name"]
        return {"name": name, "users": await self._store.remove_group(name)}

    async def list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """All groups, with how many users each has."""
        take(arguments)
        return await self._store.groups()

    async def members(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """At most 500 users of a group, by name."""
        given = take(arguments, "name", after="")
        return await self._store.members(given["name"], given["after"])

    async def add_users(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Put users into a group, all of them or none."""
        name, users = _name_and_users(arguments)
        return {"name": name, "added": await self._store.change_group(name, add=users)}

    async def remove_users(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Take users out of a group, all of them or none."""
        name, users = _name_and_users(arguments)
        return {"name": name, "removed": await self._store.change_group(name, remove=users)}


def _name_and_users(arguments: dict[str, Any]) -> tuple[str, list[str]]:
    given = take(arguments, "name", users=[])
    users = given["users"]
    if not users or len(users) > USERS_MAX or not all(isinstance(user, str) for user in users):
        raise InvalidValue("users", f"are between 1 and {USERS_MAX} names")
    return given["name"], users
