"""``audit``: what administrators did, page by page."""

from __future__ import annotations

import json
from typing import Any

from papercutd.domain.flags import with_flags
from papercutd.domain.moments import parse_moment
from papercutd.errors import InvalidValue
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.administration.listings import PAGE_ROWS
from papercutd.storage.interfaces import IApplicationStore


class AuditOperations:
    """``audit``."""

    def __init__(self, store: IApplicationStore) -> None:
        self._store = store

    def all(self) -> dict[str, Operation]:
        return {"audit": self.audit}

    async def audit(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A page of entries, the newest first; ``next`` asks for the one after, none: the last."""
        given = take(arguments, since="", who="", operation="", before="")
        since = parse_moment("since", given["since"]) if given["since"] else 0.0
        before = parse_place(given["before"]) if given["before"] else None
        found = await self._store.audit.entries(since, given["who"], given["operation"], before)
        after = f"{found[-1]['at']!r} {found[-1]['id']}" if len(found) == PAGE_ROWS else None
        return {"entries": [shown_entry(row) for row in found], "next": after}


def parse_place(text: str) -> tuple[float, int]:
    """(at, id) of ``1800000000.0 17``; raises InvalidValue."""
    at, _, number = text.partition(" ")
    try:
        return float(at), int(number)
    except ValueError:
        raise InvalidValue("before", "is not what `next` of a page says") from None


def shown_entry(row: dict[str, Any]) -> dict[str, Any]:
    for name in ("arguments", "was", "became"):
        try:
            row[name] = json.loads(row[name]) if row[name] else {}
        except ValueError:
            # Somebody has changed it: `verify` names the row.
            continue
    for name in ("was", "became"):
        # Entries of older releases have flags as the database has them.
        if isinstance(row[name], dict):
            for one in row[name].values():
                if isinstance(one, dict):
                    with_flags(one)
    return row
