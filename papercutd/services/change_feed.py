"""Changes to the sites, as they are committed: in order, in bounded lines, on credit.

A line is made once and sent to everybody who is as far. While commits follow each other
closely, several that only jobs made travel as one: the last state of each row. Whatever an
administrator changed is a line of its own, so that each of its places in the history is known.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from functools import cached_property

import attrs
import msgspec
from twisted.internet.interfaces import IDelayedCall

from papercutd.domain.chain import Position
from papercutd.domain.site_scope import Reach, Seen, Whose, whose
from papercutd.environment import Environment
from papercutd.services.tasks import Tasks
from papercutd.services.wire import position_out
from papercutd.storage.interfaces import IApplicationStore
from papercutd.storage.replication.change_log import Change
from papercutd.storage.replication.replicated import CHARGE
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
#: A site with a scope is told so often of a position by which nothing changed for it.
POSITION_S = 1.0
#: Between two rounds of lines lie so many seconds for each site: what a round costs grows
#: with their number, and so does what it joins.
ROUND_S_PER_SITE = 0.0005
ROUND_MAX_S = 0.5


class _Encoded:
    """A change, each of its rows as JSON once somebody is to be told."""

    def __init__(self, change: Change) -> None:
        self.change = change
        self.is_of_jobs = all(row[0] in JOB_TABLES for row in change.rows)

    @cached_property
    def rows(self) -> list[bytes]:
        return [msgspec.json.encode(row) for row in self.change.rows]

    @cached_property
    def whose(self) -> Whose:
        """Of a change that only jobs made: whom its rows may concern."""
        return whose(self.change.rows, self.change.owners)


@attrs.frozen
class _Batch:
    """Lines to send, each with the bytes of its rows, and the change they end at."""

    lines: list[tuple[Prepared, int]]
    last: Change

    @property
    def number(self) -> int:
        return self.last.position.number


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


Key = tuple[str, int | str]
Rows = list[tuple[Key, bytes]]


def _told(encoded: _Encoded, reach: Reach | None) -> Rows:
    """The rows of a change that a site is told of; None: of all."""
    change = encoded.change
    if reach is None:
        keys = [(row[0], row[1]) for row in change.rows]
        return list(zip(keys, encoded.rows, strict=True))
    if encoded.is_of_jobs:
        reach.begin_jobs()
        places: Iterable[int] = reach.concerned(encoded.whose)
    else:
        reach.begin(change.rows, change.owners)
        places = range(len(change.rows))
    told: Rows = []
    for place in places:
        row = change.rows[place]
        key = (row[0], row[1])
        seen = reach.look(row, change.owners.get(key, ()))
        if seen is Seen.WHOLE:
            told.append((key, encoded.rows[place]))
        elif seen is Seen.GONE:
            told.append((key, msgspec.json.encode((*key, None))))
    return told


def _join(changes: Iterator[_Encoded], reach: Reach | None) -> tuple[list[bytes], Change]:
    """What is told of the first of ``changes`` that says anything, and of those that fit with it.

    And the last of them: nothing else is told of any up to it.
    """
    rows: dict[Key, bytes] = {}
    size = 0
    last: Change | None = None
    for one in changes:
        if rows and not one.is_of_jobs:
            break
        told = _told(one, reach)
        size += _size(row for _, row in told)
        if rows and size > _PART_BYTES:
            break
        for key, row in told:
            # Of each row the last state, in the order of the last changes.
            rows.pop(key, None)
            rows[key] = row
        last = one.change
        if told and not one.is_of_jobs:
            break
    assert last is not None
    return list(rows.values()), last


def _batch(after: int, changes: Iterator[_Encoded], reach: Reach | None = None) -> _Batch:
    """The next lines of ``changes``, for a replica at number ``after``.

    No lines where they say nothing to a site with a ``reach``: it is told the place by and by.
    """
    rows, last = _join(changes, reach)
    lines = _lines(after, rows, last) if rows or reach is None else []
    return _Batch(lines, last)


def _lines(after: int, rows: list[bytes], last: Change) -> list[tuple[Prepared, int]]:
    """From number ``after`` to ``last``, each with the bytes of its rows."""
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
    return lines


@attrs.define(eq=False)
class _Subscriber:
    session: Session
    #: Of the last change that was looked at, and of the last that the site was told of.
    number: int
    told: int
    credit_bytes: int
    #: Which rows the site is told of; None: all.
    reach: Reach | None = None
    #: The last change that said nothing to it, and of which it has not been told.
    untold: Change | None = None
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
        self._positions: IDelayedCall | None = None

    def committed(self, change: Change) -> None:
        """A transaction was committed; called in order, in the reactor's thread."""
        self._recent[change.position.number] = _Encoded(change)
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
        for due in (self._round, self._positions):
            if due is not None:
                due.cancel()
        self._round = self._positions = None

    def subscribe(
        self,
        session: Session,
        position: Position,
        credit_bytes: int,
        reach: Reach | None = None,
    ) -> None:
        """Send ``session`` what comes after ``position``, as far as ``reach``."""
        if not session.is_open:
            # It has ended since it asked, and nobody would take it from the list.
            return
        number = position.number
        subscriber = _Subscriber(session, number, number, credit_bytes, reach)
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
            if subscriber.reach is not None:
                changes = self._recent_after(after)
                self._send(subscriber, _batch(subscriber.told, changes, subscriber.reach))
                continue
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
                self._send_all(subscriber, [_Encoded(change) for change in changes])
                if not changes or subscriber.number + 1 in self._recent:
                    break
        finally:
            subscriber.is_reading = False
        if subscriber.number + 1 in self._recent:
            self._pump(subscriber)

    def _send_all(self, subscriber: _Subscriber, changes: list[_Encoded]) -> None:
        """Send ``changes``, which follow on what was sent, as long as there is credit."""
        while changes and self._may_send(subscriber):
            batch = _batch(subscriber.told, iter(changes), subscriber.reach)
            self._send(subscriber, batch)
            while changes and changes[0].change.position.number <= batch.number:
                del changes[0]

    def _send(self, subscriber: _Subscriber, batch: _Batch) -> None:
        subscriber.number = batch.number
        if batch.lines:
            self._tell(subscriber, batch.lines)
            return
        subscriber.untold = batch.last
        if self._positions is None:
            self._positions = self._env.clock.callLater(POSITION_S, self._tell_positions)

    def _tell_positions(self) -> None:
        self._positions = None
        for session in list(self._subscribers):
            self.tell_position(session)

    def tell_position(self, session: Session) -> None:
        """By what came last nothing changed for the site: it is told that it is so far, now."""
        subscriber = self._subscribers.get(session)
        if subscriber is not None and subscriber.untold is not None:
            self._tell(subscriber, _lines(subscriber.told, [], subscriber.untold))

    @staticmethod
    def _tell(subscriber: _Subscriber, lines: list[tuple[Prepared, int]]) -> None:
        for line, size in lines:
            subscriber.session.notify_prepared(line)
            subscriber.credit_bytes -= size
        subscriber.told = subscriber.number
        subscriber.untold = None
