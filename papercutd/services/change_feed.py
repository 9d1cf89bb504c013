"""Changes to the sites, as they are committed: in order, in bounded lines, on credit."""

from __future__ import annotations

from collections import OrderedDict

import attrs
import msgspec

from papercutd.domain.chain import Position
from papercutd.services.tasks import Tasks
from papercutd.services.wire import position_out
from papercutd.storage.change_log import Change
from papercutd.storage.interfaces import IApplicationStore
from papercutd.storage.replicated import Row
from protocols.endpoint import Session
from protocols.limits import CHUNK_LENGTH_MAX
from protocols.site.messages import Changes

#: Recent changes kept encoded, for the sites that keep up.
RECENT_MAX = 2_000
_READ_ENTRIES = 200
_READ_BYTES = 1_000_000
#: Bytes of one part's rows; with its envelope the line stays below the bound.
_PART_BYTES = CHUNK_LENGTH_MAX - 1_024
#: Bytes that may wait in a session before its changes pause.
_WAITING_BYTES_MAX = 262_144


def split_rows(rows: list[Row]) -> list[tuple[list[Row], int]]:
    """``rows`` in parts of bounded size, each with its bytes; at least one part."""
    parts: list[tuple[list[Row], int]] = []
    part: list[Row] = []
    size = 0
    for row in rows:
        length = len(msgspec.json.encode(row)) + 1
        if part and size + length > _PART_BYTES:
            parts.append((part, size))
            part, size = [], 0
        part.append(row)
        size += length
    parts.append((part, size))
    return parts


@attrs.define(eq=False)
class _Subscriber:
    session: Session
    number: int
    credit_bytes: int
    is_reading: bool = False


class ChangeFeed:
    """All subscribers of one application server."""

    def __init__(self, store: IApplicationStore, tasks: Tasks) -> None:
        self._store = store
        self._tasks = tasks
        self._subscribers: dict[Session, _Subscriber] = {}
        self._recent: OrderedDict[int, Change] = OrderedDict()

    def committed(self, change: Change) -> None:
        """A transaction was committed; called in order, in the reactor's thread."""
        self._recent[change.position.number] = change
        while len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)
        for subscriber in list(self._subscribers.values()):
            self._pump(subscriber)

    def subscribe(self, session: Session, position: Position, credit_bytes: int) -> None:
        """Send ``session`` what comes after ``position``."""
        subscriber = _Subscriber(session, position.number, credit_bytes)
        self._subscribers[session] = subscriber
        self._read_on(subscriber)

    def unsubscribe(self, session: Session) -> None:
        self._subscribers.pop(session, None)

    def credit(self, session: Session, size: int) -> None:
        """The site applied ``size`` bytes."""
        subscriber = self._subscribers.get(session)
        if subscriber is not None:
            subscriber.credit_bytes += size
            self._pump(subscriber)

    def behind(self, session: Session, head: int) -> int | None:
        """How many changes the site's subscription has still to be sent."""
        subscriber = self._subscribers.get(session)
        return None if subscriber is None else head - subscriber.number

    def _may_send(self, subscriber: _Subscriber) -> bool:
        return (
            subscriber.session.is_open
            and subscriber.credit_bytes > 0
            and subscriber.session.waiting_bytes < _WAITING_BYTES_MAX
        )

    def _pump(self, subscriber: _Subscriber) -> None:
        while self._may_send(subscriber):
            change = self._recent.get(subscriber.number + 1)
            if change is None:
                if self._recent and subscriber.number + 1 < next(iter(self._recent)):
                    self._read_on(subscriber)
                return
            self._send(subscriber, change)

    def _read_on(self, subscriber: _Subscriber) -> None:
        if not subscriber.is_reading:
            subscriber.is_reading = True
            self._tasks.spawn(self._catch_up(subscriber), "reading changes")

    async def _catch_up(self, subscriber: _Subscriber) -> None:
        """Send from the log until the recent changes follow on."""
        try:
            while self._may_send(subscriber):
                changes = await self._store.changes_after(
                    subscriber.number, _READ_ENTRIES, _READ_BYTES
                )
                for change in changes:
                    if change.position.number <= subscriber.number:
                        # Sent from the recent changes while this was read.
                        continue
                    if not self._may_send(subscriber):
                        return
                    self._send(subscriber, change)
                if not changes or subscriber.number + 1 in self._recent:
                    break
        finally:
            subscriber.is_reading = False
        if subscriber.number + 1 in self._recent:
            self._pump(subscriber)

    def _send(self, subscriber: _Subscriber, change: Change) -> None:
        parts = split_rows(change.rows)
        to = position_out(change.position)
        assert to is not None
        for index, (rows, size) in enumerate(parts):
            subscriber.session.notify(
                Changes(
                    from_number=subscriber.number,
                    to=to,
                    part=index,
                    last=index == len(parts) - 1,
                    rows=rows,
                    committed_at=change.committed_at,
                )
            )
            subscriber.credit_bytes -= size
        subscriber.number = change.position.number
