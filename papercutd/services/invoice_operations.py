"""``account.invoices``: what is to be invoiced to shared accounts, and what they are named for."""

from __future__ import annotations

from typing import Any

from papercutd.domain.moments import parse_moment
from papercutd.errors import InvalidValue
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.interfaces import IApplicationStore


class InvoiceOperations:
    """``account.invoices``."""

    def __init__(self, store: IApplicationStore) -> None:
        self._store = store

    def all(self) -> dict[str, Operation]:
        return {"account.invoices": self.invoices}

    async def invoices(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Of each shared account what it paid and what people paid who named it, of a period."""
        given = take(arguments, since="", until="", below="")
        since, until = (
            parse_moment(name, given[name]) if given[name] else None for name in ("since", "until")
        )
        if since is not None and until is not None and since >= until:
            raise InvalidValue("since", "is not before --until")
        return await self._store.invoicing.invoices(since, until, given["below"])
