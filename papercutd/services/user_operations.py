"""Users as administrators set them: ``papercutd user set``, ``disable``, ``enable``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from papercutd.domain.money import parse_amount_e4, show_amount
from papercutd.domain.user_fields import (
    DETAILS,
    NAME_MAX,
    check_text,
    parse_until,
    show_end,
)
from papercutd.errors import InvalidValue
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.interfaces import IApplicationStore

Show = Callable[[dict[str, Any], Progress], Awaitable[Any]]


class UserOperations:
    """At the application server; sites have users in their replicas."""

    def __init__(self, store: IApplicationStore, show: Show) -> None:
        """``show``: the operation that shows a user."""
        self._store = store
        self._show = show

    def all(self) -> dict[str, Operation]:
        return {
            "user.set": self.set,
            "user.disable": self.disable,
            "user.enable": self.enable,
        }

    async def set(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Change what is named of a user; everything else stays.

        With ``group`` in place of the name: the account mode of everybody in it.
        """
        if arguments.get("group") is not None:
            return await self._set_group(arguments, progress)
        restricted = arguments.get("restricted")
        given = take(
            {k: v for k, v in arguments.items() if k != "restricted"},
            "name",
            **dict.fromkeys(("full_name", "overdraft", "until", "account_mode", "group", *DETAILS)),
        )
        settings: dict[str, Any] = {k: given[k] for k in DETAILS if given[k] is not None}
        if given["full_name"] is not None:
            settings["full_name"] = check_text("full-name", given["full_name"], NAME_MAX)
        if given["overdraft"] is not None:
            settings["overdraft_e4"] = parse_amount_e4(given["overdraft"], field="overdraft")
        if given["until"] is not None:
            settings["expires_at"] = parse_until(given["until"])
        if given["account_mode"] is not None:
            settings["account_mode"] = given["account_mode"]
        if restricted is not None:
            if not isinstance(restricted, bool):
                raise InvalidValue("restricted", "is yes or no")
            settings["restricted"] = restricted
        if not settings:
            raise InvalidValue("name", "is all that was given: say what to change")
        await self._store.people.set_user(given["name"], settings)
        return await self._show({"name": given["name"]}, progress)

    async def _set_group(self, arguments: dict[str, Any], progress: Progress) -> Any:
        given = take(arguments, "group", "account_mode")
        changed, after = 0, None
        while True:
            count, after = await self._store.people.set_account_modes(
                given["group"], given["account_mode"], after or 0
            )
            changed += count
            progress({"changed": changed})
            if after is None:
                return {"group": given["group"], "changed": changed}

    async def disable(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A user prints no more, and keeps name, money and history."""
        return await self._disable(arguments, progress, True)

    async def enable(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A disabled user prints again."""
        return await self._disable(arguments, progress, False)

    async def _disable(
        self, arguments: dict[str, Any], progress: Progress, is_disabled: bool
    ) -> Any:
        name = take(arguments, "name")["name"]
        await self._store.people.set_user(name, {"disabled": int(is_disabled)})
        return await self._show({"name": name}, progress)


def shown_user(row: dict[str, Any]) -> dict[str, Any]:
    """With figures and the end in words."""
    if "expires_at" in row:
        row["until"] = show_end(row["expires_at"])
    return {**row, "balance": show_amount(row["balance_e4"])}
