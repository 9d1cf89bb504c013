"""Changes to a site: each once and in order, whether from the log or as they are committed."""

from __future__ import annotations

import random
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.chain import Position
from papercutd.environment import Environment
from papercutd.services.change_feed import ROUND_S_PER_SITE, ChangeFeed
from papercutd.services.tasks import Tasks
from papercutd.storage.replication.change_log import Change
from protocols.limits import CHUNK_LENGTH_MAX


def change(number: int) -> Change:
    return Change(Position(1, number, f"{number:02x}"), [("user", number, {"id": number})], 0.0)


def of_jobs(number: int, *accounts: int, padding: str = "") -> Change:
    """Somebody's job was charged to each of ``accounts``."""
    rows: list[Any] = [
        ("account", account, {"id": account, "debits_e4": number, "name": padding})
        for account in accounts
    ]
    return Change(Position(1, number, f"{number:02x}"), rows, 0.0)


class FakeSession:
    is_open = True
    waiting_bytes = 0

    def __init__(self) -> None:
        self.sent: list[tuple[int, int]] = []

        self.rows: list[Any] = []

    def notify_prepared(self, prepared: Any) -> None:
        event = msgspec.json.decode(prepared.line.split(b" ", 2)[2])
        self.sent.append((event["from_number"], event["to"]["number"]))
        self.rows.extend(event["rows"])


class SlowStore:
    """Answers when told to."""

    def __init__(self) -> None:
        self.reads: list[tuple[int, Deferred[list[Change]]]] = []

    def changes_after(self, number: int, entries: int, size: int) -> Deferred[list[Change]]:
        answer: Deferred[list[Change]] = Deferred()
        self.reads.append((number, answer))
        return answer


class FeedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.store, self.session = SlowStore(), FakeSession()
        self.clock = Clock()
        env = Environment(self.clock, lambda: 0.0, random.Random(1))
        self.feed = ChangeFeed(env, self.store, Tasks())  # type: ignore[arg-type]

    def subscribe(self, number: int, credit: int = 10**6) -> None:
        session: Any = self.session
        self.feed.subscribe(session, Position(1, number, ""), credit)

    def answer(self, *numbers: int) -> None:
        _, waiting = self.store.reads.pop(0)
        waiting.callback([change(number) for number in numbers])

    def contiguous(self, first: int, last: int) -> list[tuple[int, int]]:
        return [(number - 1, number) for number in range(first, last + 1)]

    def test_from_the_log_then_as_committed(self) -> None:
        self.subscribe(3)
        self.answer(4, 5)
        self.answer()
        for number in (6, 7):
            self.feed.committed(change(number))
        self.clock.advance(ROUND_S_PER_SITE)
        self.assertEqual(self.session.sent, self.contiguous(4, 7))

    def test_committed_while_the_log_is_read(self) -> None:
        """What the recent changes have sent meanwhile is not sent again from the log."""
        for number in range(1, 6):
            self.feed.committed(change(number))
        self.subscribe(0)
        # Told of another commit, it goes on from the recent changes at once.
        self.feed.committed(change(6))
        self.answer(1, 2, 3, 4)
        while self.store.reads:
            self.answer()
        self.feed.committed(change(7))
        self.clock.advance(ROUND_S_PER_SITE)
        self.assertEqual(self.session.sent, self.contiguous(1, 7))

    def test_without_credit_it_waits(self) -> None:
        self.subscribe(0, credit=1)
        self.answer(1, 2, 3)
        self.assertEqual(self.session.sent, [(0, 1)])
        session: Any = self.session
        for number in (4, 5):
            self.feed.committed(change(number))
        self.feed.credit(session, 10**6)
        while self.store.reads:
            after, _ = self.store.reads[0]
            self.answer(*range(after + 1, 6))
        self.assertEqual(self.session.sent, self.contiguous(1, 5))

    def follow_closely(self, *changes: Change) -> None:
        """The first goes at once, the others come before the next round."""
        self.subscribe(changes[0].position.number - 1)
        while self.store.reads:
            self.answer()
        for one in changes:
            self.feed.committed(one)
        self.clock.advance(ROUND_S_PER_SITE)

    def test_jobs_that_follow_closely_travel_as_one(self) -> None:
        self.follow_closely(*(of_jobs(number, 7, 7 + number) for number in range(1, 5)))
        self.assertEqual(self.session.sent, [(0, 1), (1, 4)])
        joined = self.session.rows[2:]
        # Of each row the last state, in the order of the last changes.
        self.assertEqual(
            [(key, columns["debits_e4"]) for _, key, columns in joined],
            [(9, 2), (10, 3), (7, 4), (11, 4)],
        )

    def test_what_administrators_change_is_a_line_of_its_own(self) -> None:
        self.follow_closely(
            *(of_jobs(1, 7), of_jobs(2, 7), of_jobs(3, 7), change(4), of_jobs(5, 7), change(6))
        )
        self.assertEqual(self.session.sent, [(0, 1), (1, 3), (3, 4), (4, 5), (5, 6)])

    def test_what_is_joined_fits_a_line(self) -> None:
        padding = "x" * (CHUNK_LENGTH_MAX // 3)
        self.follow_closely(*(of_jobs(n, n, padding=padding) for n in range(1, 7)))
        self.assertEqual(self.session.sent, [(0, 1), (1, 3), (3, 5), (5, 6)])

    def test_a_large_change_has_several_parts(self) -> None:
        padding = "x" * (CHUNK_LENGTH_MAX // 3)
        self.follow_closely(of_jobs(1, *range(5), padding=padding), of_jobs(2, 1))
        self.assertEqual(self.session.sent, [(0, 1), (0, 1), (0, 1), (1, 2)])
        self.assertEqual([key for _, key, _ in self.session.rows], [0, 1, 2, 3, 4, 1])

    def test_each_is_sent_at_once_when_none_follows(self) -> None:
        self.subscribe(0)
        self.answer()
        for number in range(1, 4):
            self.feed.committed(of_jobs(number, 7))
            self.assertEqual(self.session.sent, self.contiguous(1, number))
            self.clock.advance(ROUND_S_PER_SITE)

    def test_stopped_nothing_is_due(self) -> None:
        self.follow_closely(of_jobs(1, 7))
        self.feed.committed(of_jobs(2, 7))
        self.feed.committed(of_jobs(3, 7))
        self.feed.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
