"""How charges come about, and what a document would cost: nothing is changed by either."""

from __future__ import annotations

from typing import Any

from papercutd.domain.document import Document, PageGroup, is_believed
from papercutd.domain.paper_sizes import charged_name
from papercutd.errors import InvalidValue
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.interfaces import IApplicationStore


class PriceOperations:
    """``explain`` and ``price.test``."""

    def __init__(self, store: IApplicationStore) -> None:
        self._store = store

    def all(self) -> dict[str, Operation]:
        return {"explain": self.explain, "price.test": self.test}

    async def explain(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Line by line, how a charge came about: of a charge id, a key or a job id."""
        return await self._store.explain(take(arguments, "charge")["charge"])

    async def test(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """What a document would cost now; nothing is reserved."""
        given = take(arguments, groups=[], copies=1, duplex=False, format="application/pdf", **_WHO)
        groups = tuple(_group(row) for row in given["groups"])
        document = Document(groups, given["copies"], given["duplex"], given["format"])
        if not groups or not is_believed(document):
            raise InvalidValue("pages", "are none, or more than can be printed at all")
        return await self._store.quote(document, given["user"], given["printer"])


_WHO = {"user": "", "printer": ""}


def _group(row: Any) -> PageGroup:
    """``["A4", 10, 3]``: paper, sides, and how many of them carry colour."""
    is_group = isinstance(row, list) and len(row) == 3 and isinstance(row[0], str)
    if not is_group or not all(type(number) is int for number in row[1:]):
        raise InvalidValue("groups", "are lists of a paper, its sides and those with colour")
    paper, pages, colour = row
    if pages < 1:
        raise InvalidValue("pages", "is less than 1")
    if not 0 <= colour <= pages:
        raise InvalidValue("colour", "is more than there are pages, or negative")
    return PageGroup(charged_name(paper), pages, colour)
