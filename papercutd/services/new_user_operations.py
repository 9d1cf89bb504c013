"""How new users begin, and what becomes of unknown ones: ``papercutd new-user-rule``,
``papercutd unknown-users``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from papercutd.domain.money import parse_amount_e4, show_amount
from papercutd.domain.new_user import NOTHING_SAID
from papercutd.domain.policy import UnknownUsers
from papercutd.domain.unknown_users import AT_CENTRE
from papercutd.errors import InvalidValue
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.interfaces import IApplicationStore
from papercutd.storage.people.new_user_store import NewUserStore

#: Groups that users of one command, or of one file, are put into.
GROUPS_MAX = 20


class NewUserOperations:
    """At the application server; a site has the rule for everybody in its replica."""

    def __init__(self, store: IApplicationStore) -> None:
        self._store: NewUserStore = store.new_users

    def all(self) -> dict[str, Operation]:
        return {
            "new-user-rule.list": self.list,
            "new-user-rule.set": self.set,
            "new-user-rule.remove": self.remove,
            "unknown-users.show": self.unknown_show,
            "unknown-users.set": self.unknown_set,
            "unknown-users.list": self.unknown_list,
        }

    async def list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """All rules for new users: everybody's, then by group."""
        take(arguments)
        return [_shown(row) for row in await self._store.rules()]

    async def set(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Change what is given of the rule of a group, or of everybody."""
        restricted = arguments.get("restricted")
        given = take(
            {k: v for k, v in arguments.items() if k != "restricted"},
            **dict.fromkeys(("group", "credit", "overdraft", "account_mode")),
        )
        changes: dict[str, Any] = {}
        for field in ("credit", "overdraft"):
            if given[field] is not None:
                none = given[field] == "none"
                changes[f"{field}_e4"] = (
                    None if none else parse_amount_e4(given[field], field=field)
                )
        if restricted is not None:
            words = {"yes": True, "no": False, "none": None, True: True, False: False}
            if not isinstance(restricted, str | bool) or restricted not in words:
                raise InvalidValue("restricted", "is yes, no or none")
            changes["restricted"] = words[restricted]
        if given["account_mode"] is not None:
            none = given["account_mode"] == "none"
            changes["account_selection"] = None if none else given["account_mode"]
        if not changes:
            raise InvalidValue("rule", NOTHING_SAID)
        await self._store.set_rule(given["group"], changes)
        (shown,) = [
            _shown(row)
            for row in await self._store.rules()
            if _is_of(row["user_group"], given["group"])
        ]
        return shown

    async def remove(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """The rule of a group, or of everybody, is no more."""
        group = take(arguments, group=None)["group"]
        await self._store.remove_rule(group)
        return {"group": group or "everybody"}

    async def unknown_show(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """What becomes of jobs of unknown users, at printers of each site and of all others."""
        take(arguments)
        view = await self._store.unknown()
        own = {row["site"]: row["what"] for row in view.settings}
        everywhere = own.pop(None, UnknownUsers.DENY.value)
        return {
            "unknown_users": everywhere,
            "at_sites": own,
            "per_hour": view.per_hour,
            "too_many_in_the_last_hour": view.is_alarmed,
        }

    async def unknown_set(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Set it for the printers of one site, or for all that have no setting of their own."""
        per_hour = arguments.get("per_hour")
        given = take({k: v for k, v in arguments.items() if k != "per_hour"}, what=None, site=None)
        if per_hour is not None and type(per_hour) is not int:
            raise InvalidValue("per-hour", "is a number")
        words = {one.value: one for one in AT_CENTRE}
        what = words.get(given["what"] or "")
        is_default = given["what"] == "default" and given["site"] is not None
        if given["what"] is not None and what is None and not is_default:
            more = ", or default for one site" if given["site"] is not None else ""
            raise InvalidValue("unknown-users", f"is one of {', '.join(words)}{more}")
        if given["what"] is None and (per_hour is None or given["site"] is not None):
            raise InvalidValue("unknown-users", f"is needed: one of {', '.join(words)}")
        await self._store.set_unknown(given["site"], what, per_hour)
        return await self.unknown_show({}, progress)

    async def unknown_list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """At most 500 users made because they printed, the newest first, below ``before``."""
        before = arguments.get("before", 0)
        if type(before) is not int or before < 0:
            raise InvalidValue("before", "is the id of a user")
        return [
            {**row, "at": f"{datetime.fromtimestamp(row['at'], UTC):%Y-%m-%d %H:%M} UTC"}
            for row in await self._store.met(before)
        ]


def names_of_groups(names: list[Any]) -> list[str]:
    """Raises InvalidValue."""
    if len(names) > GROUPS_MAX or not all(isinstance(name, str) for name in names):
        raise InvalidValue("groups", f"are at most {GROUPS_MAX} names")
    return names


def unknown_users_check(is_alarmed: bool) -> dict[str, Any]:
    """For ``status``."""
    detail = "more in an hour than are made users: jobs are held" if is_alarmed else ""
    return {"name": "unknown-users", "ok": not is_alarmed, "detail": detail}


def _is_of(shown: str | None, given: str | None) -> bool:
    if shown is None or given is None:
        return shown is given
    return shown.casefold() == given.strip().casefold()


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A field that the rule leaves open is null."""
    amounts = {
        name: None if row[f"{name}_e4"] is None else show_amount(row[f"{name}_e4"])
        for name in ("credit", "overdraft")
    }
    return {
        "group": row["user_group"] or "everybody",
        **amounts,
        **{f"{name}_e4": row[f"{name}_e4"] for name in amounts},
        "restricted": row["restricted"],
        "account_mode": row["account_selection"],
    }
