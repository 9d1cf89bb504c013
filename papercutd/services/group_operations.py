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
            "group.add-groups": self.add_groups,
            "group.remove-groups": self.remove_groups,
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
        """At most 500 users of a group, by name; ``nested``: of groups within it too."""
        given = take(arguments, "name", after="", nested=False)
        return await self._store.members(given["name"], given["after"], given["nested"])

    async def add_users(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Put users into a group, all of them or none."""
        name, users = _name_and_users(arguments)
        return {"name": name, "added": await self._store.change_group(name, add=users)}

    async def remove_users(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Take users out of a group, all of them or none."""
        name, users = _name_and_users(arguments)
        return {"name": name, "removed": await self._store.change_group(name, remove=users)}

    async def add_groups(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Put groups into a group, all or none: their users are its own too."""
        name, groups = _name_and_groups(arguments)
        return {"name": name, "added": await self._store.change_nested(name, add=groups)}

    async def remove_groups(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Take groups out of a group, all or none."""
        name, groups = _name_and_groups(arguments)
        return {"name": name, "removed": await self._store.change_nested(name, remove=groups)}


def _name_and_groups(arguments: dict[str, Any]) -> tuple[str, list[str]]:
    given = take(arguments, "name", groups=[])
    return given["name"], _names("groups", given["groups"])


def _name_and_users(arguments: dict[str, Any]) -> tuple[str, list[str]]:
    given = take(arguments, "name", users=[])
    return given["name"], _names("users", given["users"])


def _names(field: str, names: list[Any]) -> list[str]:
    if not names or len(names) > USERS_MAX or not all(isinstance(name, str) for name in names):
        raise InvalidValue(field, f"are between 1 and {USERS_MAX} names")
    return names
