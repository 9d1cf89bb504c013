"""A site's replica compared with the application server, row by row, and mended (anti-entropy).

Ranges of each replicated table are compared by one digest, those that differ by their rows.
Both sides go on working, so a row is damaged only if the application server says the same of
it before and after we looked, and it is not what we hold. It is then sent again as a change,
in the order of all changes.
"""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from papercutd.domain.chain import Position
from papercutd.environment import Environment
from papercutd.errors import Rejected
from papercutd.services import wire
from papercutd.services.link import Link
from papercutd.services.uplink import Uplink
from papercutd.storage.interfaces import ISiteStore
from papercutd.storage.replication.replicated import RANGE_MAX, RangeDigest, tables_at
from protocols.errors import SessionLost
from protocols.site import messages as site

_log = Logger()
#: Rows of one range.
RANGE_ROWS = 1_000
#: Seconds in which the replica is to reach a position that the application server named.
FOLLOW_MAX_S = 60.0
FOLLOW_INTERVAL_S = 0.05
#: Rows named one by one.
NAMED_MAX = 200
Bound = int | str | None


@attrs.define
class Repaired:
    """What one comparison found."""

    at: float
    compared_rows: int = 0
    damaged_rows: int = 0
    repaired_rows: int = 0
    #: ``table: row KEY``, the first of them.
    named: list[str] = attrs.field(factory=list)


class ReplicaRepair:
    """Compares and mends one site's replica, one run at a time."""

    def __init__(self, env: Environment, store: ISiteStore, link: Link, uplink: Uplink) -> None:
        self._env = env
        self._store = store
        self._link = link
        self._uplink = uplink
        self._is_running = False
        self._version = 1
        #: The last one that came to its end; None: none yet.
        self.last: Repaired | None = None

    async def run(self) -> Repaired:
        """Compare every table and have what is damaged sent again.

        Raises Rejected ``busy`` while one runs and ``timeout`` when the replica does not follow;
        SessionLost or Refusal of the link.
        """
        if self._is_running:
            raise Rejected("busy")
        self._is_running = True
        try:
            found = Repaired(self._env.wall_s())
            # Columns and tables that only one side has are not compared.
            self._version = self._link.speaks or 1
            for table in tables_at(self._version):
                await self._table(table, found)
            self.last = found
        finally:
            self._is_running = False
        if found.damaged_rows:
            _log.error(
                "the replica had {count} damaged rows, {repaired} are mended: {named}",
                count=found.damaged_rows,
                repaired=found.repaired_rows,
                named=", ".join(found.named[:10]),
            )
        return found

    async def _table(self, table: str, found: Repaired) -> None:
        for illegible in await self._store.drop_illegible(table):
            # Its true row is missing now, which the comparison finds.
            _name(found, table, illegible)
        after: Bound = None
        while True:
            own = await self._held(table, after, None, RANGE_ROWS)
            until = _key(own.rows[-1][0]) if own.count == RANGE_ROWS else None
            await self._range(table, after, until, found)
            if until is None:
                return
            after = until

    async def _range(self, table: str, after: Bound, until: Bound, found: Repaired) -> None:
        page, own = await self._look(table, after, until, listed=False)
        found.compared_rows += own.count
        if page.count == own.count and page.digest == own.digest:
            return
        while True:
            page, own = await self._look(table, after, until, listed=True)
            bound = page.rows[-1][0] if page.more else until
            if page.more:
                own = await self._held(table, after, bound)
            await self._rows(table, (after, bound), (page, own), found)
            if not page.more:
                return
            after = bound

    async def _rows(
        self,
        table: str,
        bounds: tuple[Bound, Bound],
        looked: tuple[site.DigestPage, RangeDigest],
        found: Repaired,
    ) -> None:
        """Mend what differs, and has not merely changed, within ``bounds``."""
        first = _by_key(looked[0].rows)
        held = {_key(key): digest for key, digest in looked[1].rows}
        suspect = [k for k in {**first, **held} if first.get(k) != held.get(k)]
        if not suspect:
            return
        again, _ = await self._look(table, *bounds, listed=True)
        second = _by_key(again.rows)
        if again.more:
            # It grew meanwhile: of what is beyond the list nothing is known.
            suspect = [k for k in suspect if k in second]
        damaged = [k for k in suspect if first.get(k) == second.get(k)]
        for start in range(0, len(damaged), site.RESEND_MAX):
            keys = damaged[start : start + site.RESEND_MAX]
            for key in keys:
                _name(found, table, key)
            sent = await self._ask(site.Resend(table, keys))
            await self._follow(wire.position_in(sent.position))
        if damaged:
            own = await self._held(table, *bounds)
            now = {_key(key): digest for key, digest in own.rows}
            mended = [k for k in damaged if now.get(k) != held.get(k)]
            found.repaired_rows += len(mended)

    async def _look(
        self, table: str, after: Bound, until: Bound, *, listed: bool
    ) -> tuple[site.DigestPage, RangeDigest]:
        """What the application server says of the range, and what we hold at that or later."""
        page = await self._ask(site.Digests(table, after, until, listed))
        await self._follow(wire.position_in(page.position))
        return page, await self._held(table, after, until, page_max(until))

    def _held(
        self, table: str, after: Bound, until: Bound, count_max: int | None = None
    ) -> Deferred[RangeDigest]:
        return self._store.replica_range(table, after, until, count_max, self._version)

    def _ask(self, message: Any) -> Deferred[Any]:
        if self._link.speaks not in (None, self._version):
            # The other side was upgraded meanwhile: what was compared before means nothing now.
            raise SessionLost("the application server speaks another version now")
        return self._link.request(message)

    async def _follow(self, position: Position | None) -> None:
        """Wait until the replica is at ``position``."""
        assert position is not None
        waited_s = 0.0
        while (own := self._uplink.position) is None or own.number < position.number:
            if waited_s >= FOLLOW_MAX_S:
                raise Rejected("timeout")
            await deferLater(self._env.clock, FOLLOW_INTERVAL_S, lambda: None)
            waited_s += FOLLOW_INTERVAL_S


def page_max(until: Bound) -> int | None:
    """An open range is compared as far as the application server digests one."""
    return RANGE_MAX if until is None else None


def _name(found: Repaired, table: str, key: int | str) -> None:
    found.damaged_rows += 1
    if len(found.named) < NAMED_MAX:
        found.named.append(f"{table}: row {key}")


def _key(key: int | bytes) -> int | str:
    return key.decode("utf-8", "replace") if isinstance(key, bytes) else key


def _by_key(rows: list[Any]) -> dict[int | str, str]:
    return {key: digest for key, digest in rows}
