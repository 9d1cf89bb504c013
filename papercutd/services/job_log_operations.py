"""``job-log``: jobs that were charged, refused or ended without paper, page by page."""

from __future__ import annotations

from typing import Any

from papercutd.domain.moments import parse_moment
from papercutd.errors import InvalidValue
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.history.job_log import Filter, Place
from papercutd.storage.interfaces import IApplicationStore


class JobLogOperations:
    """``job-log``."""

    def __init__(self, store: IApplicationStore) -> None:
        self._store = store

    def all(self) -> dict[str, Operation]:
        return {"job-log": self.job_log}

    async def job_log(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Of the next jobs those asked for, and ``next``, where to go on; none: these were all."""
        words = (
            *("user", "printer", "account", "site", "decider", "invoice"),
            *("since", "until", "after"),
        )
        flags = ("forced", "assumed", "refused", "charged", "oldest_first")
        given = take(arguments, **dict.fromkeys(words, ""), **dict.fromkeys(flags, False))
        for name in ("since", "until"):
            given[name] = parse_moment(name, given[name]) if given[name] else None
        if given["invoice"] not in ("", "yes", "no"):
            raise InvalidValue("invoice", "is yes or no")
        after, oldest_first = given.pop("after"), given.pop("oldest_first")
        page = await self._store.job_log.page(
            Filter(**given), parse_place(after) if after else None, oldest_first
        )
        return {
            "jobs": page.rows,
            "looked_through": page.looked,
            "next": None if page.next is None else f"{page.next[0]} {page.next[1]}",
        }


def parse_place(text: str) -> Place:
    """``17 KEY`` as ``next`` says it; raises InvalidValue."""
    number, _, key = text.partition(" ")
    if not number.isdecimal() or int(number) >= 2**62 or len(key) > 1_000 or "\0" in key:
        raise InvalidValue("after", "is not what `next` of a page says")
    return int(number), key
