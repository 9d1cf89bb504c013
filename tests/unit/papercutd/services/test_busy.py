"""A site whose application server has no time: what it sends again, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from papercutd.domain.chain import CHAIN_START, MARK_START, next_chain
from papercutd.services import snapshots, uplink
from papercutd.services.comeback import LONGEST_S
from papercutd.storage.replication.replicated import TABLES
from papercutd.storage.replication.site_scopes import SiteScope
from papercutd.storage.replication.snapshot import SnapshotImage
from protocols.codes import Code
from protocols.errors import Refusal
from protocols.site import messages
from tests.support.stores import Branch
from tests.unit.papercutd.services.test_runs import RunCase

Grew = Callable[[SnapshotImage], None]


class Called:
    """Of a session, what is sent in it; the test answers."""

    is_open = True
    version = 2

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Deferred[Any]]] = []

    def call(self, message: object) -> Deferred[Any]:
        self.calls.append((message, Deferred()))
        return self.calls[-1][1]

    def abort(self) -> None:
        self.is_open = False


class BusyCase(RunCase):
    def setUp(self) -> None:
        super().setUp()
        # A record is a batch.
        self.patch(uplink, "_BATCH_RECORDS", 1)
        self.called = Called()

    def wait(self) -> None:
        """The longest that it may stay away."""
        self.turner.settle()
        for _ in range(round(2 * LONGEST_S)):
            self.turner.clock.advance(1.0)
            self.turner.settle()

    def refuse(self, index: int, code: Code = Code.BUSY) -> None:
        self.called.calls[index][1].errback(Refusal(code, {"retry_after_s": 2.0}))


class JournalTests(BusyCase):
    def setUp(self) -> None:
        super().setUp()
        for _ in range(4):
            self.turner.run(self.site.end_session(self.branch.provider()))
        self.turner.run(self.site.uplink.start())
        self.link = self.site.uplink
        self.read = self.branch.store.journal_after
        self.marks = [self.link.acked]
        self.link._tasks.spawn(self.link._forward(self.called, self.link.acked), "forwarding")
        self.addCleanup(lambda: self.turner.run(self.site.tasks.stop()))
        self.turner.settle()

    def acknowledge(self, index: int) -> None:
        message, answer = self.called.calls[index]
        batch = self.turner.result(self.read(MARK_START, 99, 99_999))
        chain = CHAIN_START
        for body in batch.records[: message.after + 1]:
            chain = next_chain(chain, body.encode())
        answer.callback(messages.JournalAck(message.after + 1, chain))

    def sent(self) -> list[int]:
        """The number before each batch."""
        return [message.after for message, _ in self.called.calls]

    def test_one_then_more(self) -> None:
        self.assertEqual(self.sent(), [0])
        self.acknowledge(0)
        self.turner.settle()
        self.assertEqual(self.sent(), [0, 1, 2])

    def test_again_after_a_wait(self) -> None:
        self.refuse(0)
        self.turner.settle()
        self.turner.clock.advance(1.9)
        self.turner.settle()
        self.assertEqual(self.sent(), [0])
        self.wait()
        self.assertEqual(self.sent(), [0, 0])
        self.assertIsNone(self.link.journal_refused)

    def test_what_stood_behind_it(self) -> None:
        """It is in vain, and all is sent again from the last acknowledgement."""
        self.acknowledge(0)
        self.turner.settle()
        self.refuse(1)
        self.wait()
        self.assertEqual(self.sent(), [0, 1, 2])
        self.refuse(2, Code.GAP)
        self.wait()
        self.assertEqual(self.sent(), [0, 1, 2, 1])
        self.assertTrue(self.called.is_open)

    def test_a_gap_of_itself_ends_the_session(self) -> None:
        self.refuse(0, Code.GAP)
        self.turner.settle()
        self.assertFalse(self.called.is_open)

    def test_turned_away_while_it_reads(self) -> None:
        """Nobody waits to be woken then: the last batch was stuck for ever."""
        for index in range(2):
            self.acknowledge(index)
            self.turner.settle()
        # The last two are under way; one is acknowledged, which makes it read on.
        self.assertEqual(self.sent(), [0, 1, 2, 3])

        def journal_after(*about: Any) -> Deferred[Any]:
            return self.read(*about).addCallback(self._refused_meanwhile)

        self.patch(self.branch.store, "journal_after", journal_after)
        self.acknowledge(2)
        self.wait()
        self.assertEqual(self.sent(), [0, 1, 2, 3, 3])

    def _refused_meanwhile(self, batch: Any) -> Any:
        if not self.called.calls[3][1].called:
            self.refuse(3)
        return batch


class SnapshotTests(BusyCase):
    def test_asked_again(self) -> None:
        done = Deferred.fromCoroutine(
            self.site.uplink._patiently(self.called, messages.Snapshot())  # type: ignore[arg-type]
        )
        for times in range(1, 4):
            self.assertEqual(len(self.called.calls), times)
            self.refuse(times - 1)
            self.wait()
        self.called.calls[3][1].callback("offer")
        self.assertEqual(self.successResultOf(done), "offer")

    def test_other_refusals_are_told(self) -> None:
        done = Deferred.fromCoroutine(
            self.site.uplink._patiently(self.called, messages.Snapshot())  # type: ignore[arg-type]
        )
        self.refuse(0, Code.UNAVAILABLE)
        self.failureResultOf(done, Refusal)


class OfferTests(RunCase):
    def setUp(self) -> None:
        super().setUp()
        self.made = 0
        make = self.centre.store.snapshot

        def snapshot(scope: SiteScope, grouped: bool, grew: Grew) -> Deferred[SnapshotImage]:
            self.made += 1
            return make(scope, grouped, grew)

        self.patch(self.centre.store, "snapshot", snapshot)
        self.snapshots = snapshots.Snapshots(self.turner.environment(), self.centre.store)

    def offer(
        self, who: str, resume: str = "", known: Any = None, grouped: bool = True
    ) -> snapshots.KeptSnapshot:
        offer = self.snapshots.offer(who, resume, known, grouped=grouped)
        return self.turner.run(offer)  # type: ignore[return-value]

    def load(self, who: str, kept: snapshots.KeptSnapshot) -> None:
        for index in range(len(kept.image.chunks)):
            self.turner.run(self.snapshots.chunk(who, kept.id, index))

    def test_one_for_many(self) -> None:
        waiting = [
            Deferred.fromCoroutine(self.snapshots.offer(who, "", None)) for who in ("a", "b", "c")
        ]
        self.turner.settle()
        found = {self.successResultOf(one).id for one in waiting}
        self.assertEqual((len(found), self.made), (1, 1))

    def test_not_for_ever(self) -> None:
        self.load("a", self.offer("a"))
        self.turner.clock.advance(snapshots.SHARED_S + 1)
        self.load("b", self.offer("b"))
        self.assertEqual(self.made, 2)

    def test_no_replica_goes_back(self) -> None:
        first = self.offer("a")
        self.centre.user("zoe", 1)
        known = self.turner.result(self.centre.store.head())
        self.assertGreater(known.number, first.image.position.number)
        self.assertEqual(self.offer("b", known=known).image.position, known)
        # Of another timeline it is no position of ours.
        self.offer("c", known=type(known)(known.timeline + 1, known.number + 99, "x"))
        self.assertEqual(self.made, 2)

    def test_for_an_older_release(self) -> None:
        """Its rows come one by one, and are the same; what is kept of the other form is not its."""
        together = self.offer("a")
        alone = self.offer("b", together.id, grouped=False)
        self.assertEqual(self.made, 2)
        found: list[Any] = []
        for kept in (together, alone):
            branch = Branch(self.turner)
            self.turner.result(branch.store.begin_snapshot())
            for index, chunk in enumerate(kept.image.chunks):
                rows = msgspec.json.decode(chunk)
                columns = {type(row[2]) for row in rows}
                self.assertEqual(columns, {list if kept is together else dict})
                self.turner.result(branch.store.load_chunk(kept.id, index, rows))
            self.turner.run(branch.store.finish_snapshot(kept.image.position))
            names = (spec.table for spec in TABLES.values())
            found.append([branch.query(f"SELECT * FROM replica.{name}") for name in names])
        self.assertEqual(found[0], found[1])
        self.assertEqual(self.offer("b", alone.id, grouped=False).id, alone.id)

    def test_of_another_timeline(self) -> None:
        first = self.offer("a")
        self.snapshots.begin_timeline(first.image.position.timeline)
        self.assertNotEqual(self.offer("a", resume=first.id).id, first.id)

    def test_so_many_at_once(self) -> None:
        kept = [self.offer(f"site {number}") for number in range(snapshots.LOADING_MAX)]
        with self.assertRaises(Refusal) as caught:
            self.offer("one more")
        self.assertIs(caught.exception.code, Code.BUSY)
        with self.assertRaises(Refusal):
            self.turner.run(self.snapshots.chunk("one more", kept[0].id, 0))
        self.load("site 3", kept[3])
        self.assertEqual(self.offer("one more", resume=kept[0].id).id, kept[0].id)
