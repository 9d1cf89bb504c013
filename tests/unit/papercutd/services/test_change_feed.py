"""Changes to a site: each once and in order, whether from the log or as they are committed."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.chain import Position
from papercutd.services.change_feed import ChangeFeed
from papercutd.services.tasks import Tasks
from papercutd.storage.change_log import Change


def change(number: int) -> Change:
    return Change(Position(1, number, f"{number:02x}"), [("user", number, {"id": number})], 0.0)


class FakeSession:
    is_open = True
    waiting_bytes = 0

    def __init__(self) -> None:
        self.sent: list[tuple[int, int]] = []

    def notify(self, event: Any) -> None:
        self.sent.append((event.from_number, event.to.number))


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
        self.feed = ChangeFeed(self.store, Tasks())  # type: ignore[arg-type]

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
