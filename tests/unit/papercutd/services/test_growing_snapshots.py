"""A site loads the first chunks of a snapshot while the others are made."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from papercutd.domain.chain import Position
from papercutd.errors import Rejected, StorageFull
from papercutd.services import snapshots
from papercutd.storage.replication.site_scopes import SiteScope
from papercutd.storage.replication.snapshot import SnapshotImage
from tests.support.stores import Turner

Grew = Callable[[SnapshotImage], None]


class GrowingTests(SynchronousTestCase):
    """From a store that makes it when it is told to."""

    def setUp(self) -> None:
        self.turner = Turner()
        self.making: list[tuple[Grew, Deferred[SnapshotImage]]] = []
        self.image = SnapshotImage(Position(1, 7, "c" * 64), [])
        store: Any = SimpleNamespace(snapshot=self.snapshot)
        self.snapshots = snapshots.Snapshots(self.turner.environment(), store)

    def snapshot(self, scope: SiteScope, grouped: bool, grew: Grew) -> Deferred[SnapshotImage]:
        done: Deferred[SnapshotImage] = Deferred()
        self.making.append((grew, done))
        return done

    def grow(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.image.chunks.append(chunk)
            self.making[-1][0](self.image)

    def begin(self) -> snapshots.KeptSnapshot:
        offered = self.offer()
        self.assertNoResult(offered)
        self.making[-1][0](self.image)
        return self.successResultOf(offered)

    def offer(self, who: str = "a", growing: bool = True) -> Deferred[snapshots.KeptSnapshot]:
        return Deferred.fromCoroutine(self.snapshots.offer(who, "", None, growing=growing))

    def chunk(self, kept: snapshots.KeptSnapshot, index: int) -> Deferred[tuple[bytes, bool]]:
        return Deferred.fromCoroutine(self.snapshots.chunk("a", kept.id, index))

    def test_each_when_it_is_there(self) -> None:
        kept = self.begin()
        asked = [self.chunk(kept, index) for index in range(3)]
        self.grow(b"[0]", b"[1]")
        # Whether the second is the last is not known.
        self.assertEqual(self.successResultOf(asked[0]), (b"[0]", False))
        self.assertNoResult(asked[1])
        self.making[-1][1].callback(self.image)
        self.assertEqual(self.successResultOf(asked[1]), (b"[1]", True))
        self.failureResultOf(asked[2], Rejected)

    def test_who_does_not_know_of_it_waits(self) -> None:
        kept = self.begin()
        whole = self.offer("b", growing=False)
        shared = self.offer("c")
        self.grow(b"[0]")
        self.assertNoResult(whole)
        self.assertIs(self.successResultOf(shared), kept)
        self.making[-1][1].callback(self.image)
        self.assertIs(self.successResultOf(whole), kept)
        self.assertEqual(len(self.making), 1)

    def test_it_fails(self) -> None:
        kept = self.begin()
        asked, whole = self.chunk(kept, 1), self.offer("b", growing=False)
        self.grow(b"[0]", b"[1]")
        self.making[-1][1].errback(StorageFull())
        for one in (asked, whole, self.chunk(kept, 0)):
            self.failureResultOf(one, Rejected)
        self.offer("c")
        self.assertEqual(len(self.making), 2)

    def test_it_fails_before_it_began(self) -> None:
        offered = self.offer()
        self.making[-1][1].errback(StorageFull())
        self.failureResultOf(offered, StorageFull)

    def test_read_anew(self) -> None:
        """A database that is lost in the midst has other rows afterwards: nothing is mixed."""
        kept = self.begin()
        self.grow(b"[0]", b"[1]")
        asked = self.chunk(kept, 1)
        self.image = SnapshotImage(Position(1, 9, "d" * 64), [])
        self.grow(b"[5]")
        self.failureResultOf(asked, Rejected)
        self.making[-1][1].callback(self.image)
        self.failureResultOf(self.chunk(kept, 0), Rejected)
        self.failureResultOf(self.chunk(kept, 1), Rejected)

    def test_of_another_timeline(self) -> None:
        kept = self.begin()
        asked = self.chunk(kept, 0)
        self.snapshots.begin_timeline(2)
        self.failureResultOf(asked, Rejected)
        self.grow(b"[0]")
        self.failureResultOf(self.chunk(kept, 0), Rejected)

    def test_made_before_it_is_told(self) -> None:
        offered = self.offer()
        self.image.chunks.append(b"[0]")
        self.making[-1][1].callback(self.image)
        self.making[-1][0](self.image)
        kept = self.successResultOf(offered)
        self.assertEqual(self.successResultOf(self.chunk(kept, 0)), (b"[0]", True))
