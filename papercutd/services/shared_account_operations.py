"""Shared accounts: ``papercutd account``."""

from __future__ import annotations

from typing import Any

from papercutd.domain.import_formats import write_row
from papercutd.domain.markup import parse_rate, show_rate
from papercutd.domain.money import parse_amount_e4, parse_sum_e4, show_amount
from papercutd.domain.shared_import import write_account
from papercutd.domain.user_fields import parse_until, show_end
from papercutd.errors import InvalidValue
from papercutd.services.import_operations import ImportOperations
from papercutd.services.operation import Operation, Progress, take
from papercutd.services.shared_account_import import SharedAccountImport
from papercutd.storage.administration.listings import PAGE_ROWS
from papercutd.storage.interfaces import IApplicationStore
from papercutd.storage.money.shared_account_store import SharedAccountStore
from papercutd.storage.money.shared_accounts import FOREVER_S, Access

#: Users and groups of one call.
NAMES_MAX = 1_000
_SETTINGS = ("pin", "invoice", "comment", "notes", "access")


class SharedAccountOperations:
    """At the application server; sites have the accounts in their replicas."""

    def __init__(self, store: IApplicationStore, imports: ImportOperations | None) -> None:
        """Without ``imports`` no files are imported."""
        self._store = store
        self._imports = imports

    @property
    def _shared(self) -> SharedAccountStore:
        found: SharedAccountStore = self._store.shared
        return found

    def all(self) -> dict[str, Operation]:
        imports: dict[str, Operation] = {}
        if self._imports is not None:
            people = self._store.people
            imports = SharedAccountImport(self._shared, people, self._imports).all()
        return {
            "account.add": self.add,
            "account.list": self.list,
            "account.show": self.show,
            "account.set": self.set,
            "account.rename": self.rename,
            "account.move": self.move,
            "account.close": self.close,
            "account.reopen": self.reopen,
            "account.access-add": self.access_add,
            "account.access-remove": self.access_remove,
            "account.adjust": self.adjust,
            "account.export": self.export,
            **imports,
        }

    async def add(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Add a shared account, with ``parent`` or a full name below another one."""
        given = take(
            arguments,
            "name",
            **{"balance": "0", "restricted": True, "parent": "", "now": False},
            **dict.fromkeys((*_SETTINGS, "overdraft", "markup", "disabled_until")),
        )
        name = f"{given['parent']}\\{given['name']}" if given["parent"] else given["name"]
        balance_e4 = parse_sum_e4(given["balance"], field="balance")
        settings = {"restricted": given["restricted"], **_settings(given)}
        account = await self._shared.add(name, balance_e4, settings, given["now"])
        return {"account": account, "name": name}

    async def list(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Shared accounts after a name, at most 500; ``below``: one account and what is below."""
        given = take(arguments, after="", below="")
        found = await self._shared.page(given["after"], given["below"])
        for row in found:
            del row["by"]
        return [shown_account(row) for row in found]

    async def show(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """One shared account, with who may charge it."""
        return shown_account(await self._shared.show(take(arguments, "name")["name"]))

    async def set(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Change what is named of an account; everything else stays."""
        restricted = arguments.get("restricted")
        given = take(
            {k: v for k, v in arguments.items() if k != "restricted"},
            "name",
            **dict.fromkeys((*_SETTINGS, "overdraft", "markup", "disabled_until")),
        )
        settings = _settings(given)
        if restricted is not None:
            if not isinstance(restricted, bool):
                raise InvalidValue("restricted", "is yes or no")
            settings["restricted"] = restricted
        if not settings:
            raise InvalidValue("name", "is all that was given: say what to change")
        await self._shared.set(given["name"], settings)
        return await self.show({"name": given["name"]}, progress)

    async def rename(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Another own name; what is below is called by it too."""
        given = take(arguments, "name", "new_name", now=False)
        name = await self._shared.rename(given["name"], given["new_name"], given["now"])
        return {"name": name, "was": given["name"]}

    async def move(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Below another account, or with an empty ``parent`` to the top."""
        given = take(arguments, "name", "parent", now=False)
        name = await self._shared.move(given["name"], given["parent"], given["now"])
        return {"name": name, "was": given["name"]}

    async def close(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """An account and all below it are charged no more; what comes in late still posts."""
        name = take(arguments, "name")["name"]
        return {"name": name, "closed": await self._shared.close(name)}

    async def reopen(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A closed account, it alone, can be charged again."""
        name = take(arguments, "name")["name"]
        await self._shared.reopen(name)
        return await self.show({"name": name}, progress)

    async def access_add(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Users and groups may charge an account, all of them or none; with the first one nobody
        else may any more."""
        name, named = _named(arguments)
        changed = await self._shared.change_access(name, add=named)
        return {"changed": changed, **await self.show({"name": name}, progress)}

    async def access_remove(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Users and groups may not charge an account any more, all of them or none."""
        name, named = _named(arguments)
        changed = await self._shared.change_access(name, remove=named)
        return {"changed": changed, **await self.show({"name": name}, progress)}

    async def adjust(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Credit or debit an account."""
        given = take(arguments, "name", "amount", reason="")
        amount_e4 = parse_sum_e4(given["amount"])
        await self._shared.adjust(given["name"], amount_e4, given["reason"])
        return await self.show({"name": given["name"]}, progress)

    async def export(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """At most 500 lines of a file of accounts, beyond the name ``after``; where to go on."""
        found = await self._shared.export(take(arguments, after="")["after"])
        lines = [write_row(write_account(row, show_amount(row["balance_e4"]))) for row in found]
        return {"lines": lines, "after": found[-1]["name"] if len(found) == PAGE_ROWS else None}


def shown_account(row: dict[str, Any]) -> dict[str, Any]:
    """With its figures in words."""
    until, rate_e4 = row["disabled_until"], row.pop("markup_e4")
    disabled = "no" if until is None else f"until {show_end(until)}"
    return {
        **row,
        "disabled": "for good" if until == FOREVER_S else disabled,
        "markup": f"{show_rate(rate_e4)} %",
        "balance": show_amount(row["balance_e4"]),
    }


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {k: given[k] for k in _SETTINGS if given[k] is not None}
    if given["overdraft"] is not None:
        settings["overdraft_e4"] = parse_amount_e4(given["overdraft"], field="overdraft")
    if given["markup"] is not None:
        settings["markup_e4"] = parse_rate(given["markup"])
    if given["disabled_until"] is not None:
        settings["disabled_until"] = _parse_disabled(given["disabled_until"])
    return settings


def _parse_disabled(text: str) -> float | None:
    if text == "forever":
        return FOREVER_S
    try:
        return None if text == "no" else parse_until(text)
    except InvalidValue:
        raise InvalidValue(
            "disabled-until",
            "is a day such as 2027-01-31 (that day included), with a time 18:00 (UTC), forever,"
            " or no",
        ) from None


def _named(arguments: dict[str, Any]) -> tuple[str, Access]:
    given = take(arguments, "name", users=[], groups=[])
    names = [*given["users"], *given["groups"]]
    if not names or len(names) > NAMES_MAX or not all(isinstance(one, str) for one in names):
        raise InvalidValue("users, groups", f"are between 1 and {NAMES_MAX} names")
    return given["name"], Access(tuple(given["users"]), tuple(given["groups"]))
