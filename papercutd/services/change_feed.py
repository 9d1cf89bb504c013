"""Changes to the sites, as they are committed: in order, in bounded lines, on credit.

A line is made once and sent to everybody who is as far. While commits follow each other
closely, several that only jobs made travel as one: the last state of each row. Whatever an
administrator changed is a line of its own, so that each of its places in the history is known.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

import attrs
import msgspec
from twisted.internet.interfaces import IDelayedCall

from papercutd.domain.chain import Position
from papercutd.environment import Environment
from papercutd.services.tasks import Tasks
from papercutd.services.wire import position_out
from papercutd.storage.change_log import Change
from papercutd.storage.interfaces import IApplicationStore
from papercutd.storage.replicated import CHARGE
from protocols.endpoint import Prepared, Session, prepare
from protocols.limits import CHUNK_LENGTH_MAX
from protocols.machine import Side
from protocols.site.messages import Changes
from protocols.site.spec import SITE

#: Recent changes kept encoded, for the sites that keep up.
RECENT_MAX = 2_000
_READ_ENTRIES = 200
_READ_BYTES = 1_000_000
#: Bytes of one part's rows; with its envelope the line stays below the bound.
_PART_BYTES = CHUNK_LENGTH_MAX - 1_024
#: Bytes that may wait in a session before its changes pause.
_WAITING_BYTES_MAX = 262_144
#: Rows that jobs change: changes of no others may travel as one. Of all others a site is to
#: know each place in the history, or a restore could list as lost what is still there.
JOB_TABLES = frozenset({"account", "reservation", "stream", "allowance", CHARGE})
#: Between two rounds of lines lie so many seconds for each site: what a round costs grows
#: with their number, and so does what it joins.
ROUND_S_PER_SITE = 0.0005
ROUND_MAX_S = 0.5


@attrs.frozen
class _Encoded:
    """A change, each of its rows as JSON."""

    change: Change
    rows: list[bytes]
    is_of_jobs: bool


@attrs.frozen
class _Batch:
    """Lines to send, each with the bytes of its rows, and the number they end at."""

    lines: list[tuple[Prepared, int]]
    number: int


def _encode(change: Change) -> _Encoded:
    return _Encoded(
        change,
        [msgspec.json.encode(row) for row in change.rows],
        all(row[0] in JOB_TABLES for row in change.rows),
    )


def _size(rows: Iterable[bytes]) -> int:
    """As the site counts them, for credit."""
    return sum(len(row) + 1 for row in rows)


def _split(rows: list[bytes]) -> list[list[bytes]]:
    """``rows`` in parts of bounded size; at least one part."""
    parts: list[list[bytes]] = [[]]
    size = 0
    for row in rows:
        if parts[-1] and size + len(row) + 1 > _PART_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(row)
        size += len(row) + 1
    return parts


def _join(changes: Iterator[_Encoded]) -> tuple[list[bytes], Change]:
    """The rows of the first of ``changes``, and of those after it that fit, and the last one."""
    first = next(changes)
    if not first.is_of_jobs:
        return first.rows, first.change
    last = first
    rows = _latest({}, first)
    size = _size(rows.values())
    for one in changes:
        size += _size(one.rows)
        if not one.is_of_jobs or size > _PART_BYTES:
            break
        rows, last = _latest(rows, one), one
    return list(rows.values()), last.change


Key = tuple[str, int | str]


def _latest(rows: dict[Key, bytes], encoded: _Encoded) -> dict[Key, bytes]:
    """``rows`` with those of a later change, in its order, in place of what they replace."""
    for (table, key, _), row in zip(encoded.change.rows, encoded.rows, strict=True):
        rows.pop((table, key), None)
        rows[table, key] = row
    return rows


def _batch(after: int, changes: Iterator[_Encoded]) -> _Batch:
    """The next lines of ``changes``, which begin after number ``after``."""
    rows, last = _join(changes)
    to = position_out(last.position)
    assert to is not None
    parts = _split(rows)
    lines = []
    for index, part in enumerate(parts):
        message = Changes(
            from_number=after,
            to=to,
            part=index,
            last=index == len(parts) - 1,
            rows=[msgspec.Raw(row) for row in part],
            committed_at=last.committed_at,
        )
        lines.append((prepare(SITE, Side.SERVER, message), _size(part)))
    return _Batch(lines, last.position.number)


@attrs.define(eq=False)
class _Subscriber:
    session: Session
    number: int
    credit_bytes: int
    is_reading: bool = False


class ChangeFeed:
    """All subscribers of one application server."""

    def __init__(self, env: Environment, store: IApplicationStore, tasks: Tasks) -> None:
        self._env = env
        self._store = store
        self._tasks = tasks
        self._subscribers: dict[Session, _Subscriber] = {}
        self._recent: OrderedDict[int, _Encoded] = OrderedDict()
        #: What is sent to who has the number, until the next commit.
        self._batches: dict[int, _Batch] = {}
        self._round_at = float("-inf")
        self._round: IDelayedCall | None = None

    def committed(self, change: Change) -> None:
        """A transaction was committed; called in order, in the reactor's thread."""
        self._recent[change.position.number] = _encode(change)
        self._batches.clear()
        while len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)
        if self._round is None:
            pause_s = min(ROUND_S_PER_SITE * len(self._subscribers), ROUND_MAX_S)
            wait_s = self._round_at + pause_s - self._env.now()
            if wait_s > 0:
                self._round = self._env.clock.callLater(wait_s, self._send_round)
            else:
                self._send_round()

    def _send_round(self) -> None:
        self._round = None
        self._round_at = self._env.now()
        for subscriber in list(self._subscribers.values()):
            self._pump(subscriber)

    def stop(self) -> None:
        """Nothing more is sent: the sessions have ended."""
        if self._round is not None:
            self._round.cancel()
            self._round = None

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
            after = subscriber.number
            if after + 1 not in self._recent:
                if self._recent and after + 1 < next(iter(self._recent)):
                    self._read_on(subscriber)
                return
            batch = self._batches.get(after)
            if batch is None:
                batch = self._batches[after] = _batch(after, self._recent_after(after))
            self._send(subscriber, batch)

    def _recent_after(self, number: int) -> Iterator[_Encoded]:
        while (number := number + 1) in self._recent:
            yield self._recent[number]

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
                # Some may have been sent from the recent changes while they were read.
                while changes and changes[0].position.number <= subscriber.number:
                    del changes[0]
                self._send_all(subscriber, [_encode(change) for change in changes])
                if not changes or subscriber.number + 1 in self._recent:
                    break
        finally:
            subscriber.is_reading = False
        if subscriber.number + 1 in self._recent:
            self._pump(subscriber)

    def _send_all(self, subscriber: _Subscriber, changes: list[_Encoded]) -> None:
        """Send ``changes``, which follow on what was sent, as long as there is credit."""
        while changes and self._may_send(subscriber):
            batch = _batch(subscriber.number, iter(changes))
            self._send(subscriber, batch)
            while changes and changes[0].change.position.number <= batch.number:
                del changes[0]

    @staticmethod
    def _send(subscriber: _Subscriber, batch: _Batch) -> None:
        for line, size in batch.lines:
            subscriber.session.notify_prepared(line)
            subscriber.credit_bytes -= size
        subscriber.number = batch.number
