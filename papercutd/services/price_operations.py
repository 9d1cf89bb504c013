"""How charges come about, what a document would cost, and whole versions of the prices."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred

from papercutd.domain.document import Document, PageGroup, is_believed
from papercutd.domain.paper_sizes import charged_name
from papercutd.domain.price_draft import as_document, parse_draft, parse_since
from papercutd.domain.price_lines import parse_lines
from papercutd.domain.price_table import NO_RULES
from papercutd.domain.price_versions import overtaken, show_from
from papercutd.domain.pricing import PriceList
from papercutd.errors import InvalidValue, NotFound
from papercutd.services.operation import Operation, Progress, take
from papercutd.storage.administration.listings import Row
from papercutd.storage.interfaces import IApplicationStore


class Quoting(Protocol):
    """The store of either server."""

    def explain(self, word: str) -> Deferred[list[Row]]: ...
    def quote(self, document: Document, user: str, printer: str) -> Deferred[Row]: ...


class PriceFileOperations:
    """``price.import`` and ``price.export``: at the application server."""

    def __init__(self, store: IApplicationStore) -> None:
        self._store = store

    def all(self) -> dict[str, Operation]:
        return {
            "price.set": self.set,
            "price.show": self.show,
            "price.import": self.import_prices,
            "price.export": self.export,
        }

    async def set(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A new version of the prices: ``{"A4": ["0.05", "0.20"], "*": [...]}``.

        Two more prices of a line are those of paper printed on both sides.
        """
        since = parse_since(arguments.get("effective_from", 0.0))
        rest = {k: v for k, v in arguments.items() if k != "effective_from"}
        given = take(rest, prices={}, currency="EUR")
        papers, other = parse_lines(given["prices"])
        await check_simple(self._store)
        waiting = await self._store.waiting_prices(since)
        prices = PriceList(0, since, given["currency"], papers, other)
        return _made(await self._store.add_prices(prices), since, waiting)

    async def show(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Versions of the prices, the newest first, at most 500; ``before``: the older ones."""
        return await self._store.prices(take(arguments, before=0)["before"])

    async def import_prices(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A new version of all prices; with ``check`` it is only looked at. All, or nothing."""
        given = take(arguments, prices={}, check=False)
        draft = parse_draft(given["prices"])
        waiting = await self._store.waiting_prices(draft.effective_from)
        version = await self._store.import_prices(draft, not given["check"])
        tables = [draft.table, *(own.table for own in draft.lists)]
        lines = sum(len(list(table.stated)) for table in tables)
        made = _made(version, draft.effective_from, [] if given["check"] else waiting)
        return {**made, "version": version or None, "lines": lines, "lists": len(tables)}

    async def export(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """A version as ``price.import`` takes it; 0: the newest."""
        return as_document(await self._store.export_prices(take(arguments, version=0)["version"]))


class QuoteOperations:
    """``explain`` and ``price.test``, the same at either server."""

    def __init__(self, store: Quoting) -> None:
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
        return await self._store.quote(document, *(given[name] for name in _WHO))


_WHO = {"user": "", "printer": "", "account": ""}


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


def _made(version: int, since: float, waiting: list[tuple[int, float]]) -> Row:
    """What is told of a new version, and of those that it overtook."""
    words = overtaken(waiting, version, since)
    return {"version": version, "from": show_from(since), "warnings": words}


async def check_simple(store: IApplicationStore) -> None:
    """Raise InvalidValue where lines alone would lose rules, lists or multipliers in silence."""
    try:
        draft = await store.export_prices(0)
    except NotFound:
        return
    if draft.table.rules != NO_RULES or draft.lists or draft.multipliers:
        raise InvalidValue(
            "prices",
            "have rules, lists or multipliers that this would take away: export them, change the"
            " file and import it",
        )
