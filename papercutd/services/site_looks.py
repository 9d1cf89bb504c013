"""At a site: users, shared accounts, prices and quotas, as its copy and its own journal have them.

Each operation has the name and the arguments that it has at the application server, and the same
names for the same figures. What a site does not know is not there, and of one object it is said.
"""

from __future__ import annotations

from typing import Any, Protocol

from papercutd.domain.chain import Position
from papercutd.errors import NotFound
from papercutd.services.operation import Operation, Progress, take
from papercutd.services.quota_operations import shown_quota
from papercutd.services.shared_account_operations import shown_account
from papercutd.services.user_operations import shown_user
from papercutd.storage.interfaces import ISiteStore
from papercutd.storage.site.looks_here import AT_THIS_SITE

_USER_UNKNOWN = (
    "what was printed, paid and credited elsewhere since that position; charges of other servers;"
    " e-mail, department and the like; a deleted user is shown as disabled"
)
_ACCOUNT_UNKNOWN = (
    "what was printed, paid and credited elsewhere since that position; notes; former names;"
    " of users and groups those that this site is not sent"
)
_QUOTA_UNKNOWN = "what its runs credited, and to how many"


class LookedAt(Protocol):
    """What is needed of the site server."""

    store: ISiteStore

    @property
    def position(self) -> Position | None: ...

    @property
    def state(self) -> str: ...


class SiteLookOperations:
    """``user.show``, ``account.list``, ``account.show``, ``price.show``, ``quota.list`` and
    ``quota.show``."""

    def __init__(self, server: LookedAt) -> None:
        self._server = server
        self._looks = server.store.looks

    def all(self) -> dict[str, Operation]:
        return {
            "user.show": self.user,
            "account.list": self.accounts,
            "account.show": self.account,
            "price.show": self.prices,
            "quota.list": self.quotas,
            "quota.show": self.quota,
        }

    async def user(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """One user with the balance known here and the last jobs settled here."""
        found = await self._looks.user(take(arguments, "name")["name"])
        return {**shown_user(found), **self._known(_USER_UNKNOWN)}

    async def accounts(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Shared accounts after a name, at most 500; ``below``: one account and what is below."""
        given = take(arguments, after="", below="")
        return [shown_account(row) for row in await self._looks.accounts(**given)]

    async def account(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """One shared account, with who may charge it."""
        found = await self._looks.account(take(arguments, "name")["name"])
        return {**shown_account(found), **self._known(_ACCOUNT_UNKNOWN)}

    async def prices(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Versions of the prices, the newest first, at most 500; ``before``: the older ones."""
        return await self._looks.prices(take(arguments, before=0)["before"])

    async def quotas(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """All quotas."""
        take(arguments)
        return [shown_quota(row) for row in await self._looks.quotas()]

    async def quota(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """One quota."""
        name = take(arguments, "name")["name"]
        for row in await self._looks.quotas():
            if row["name"] == name:
                return {**shown_quota(row), **self._known(_QUOTA_UNKNOWN)}
        raise NotFound(f"quota {AT_THIS_SITE}", name)

    def _known(self, unknown: str) -> dict[str, str | None]:
        """How far a figure can be believed."""
        position = self._server.position
        return {
            "state": self._server.state,
            "as_of": None if position is None else position.text,
            "not_known_here": unknown,
        }
