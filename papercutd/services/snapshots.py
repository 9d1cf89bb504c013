"""Snapshots for sites: made once for many, kept for those interrupted, loaded by few at once.

A site begins with the first chunk while the others are made.
"""

from __future__ import annotations

from collections.abc import Hashable

import attrs
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure

from papercutd.acquired import Acquired
from papercutd.domain.chain import Position
from papercutd.environment import Environment
from papercutd.errors import Rejected
from papercutd.services.admission import Places
from papercutd.storage.interfaces import IApplicationStore
from papercutd.storage.replication.site_scopes import EVERYBODY, SiteScope
from papercutd.storage.replication.snapshot import SnapshotImage

_log = Logger()

#: Snapshots kept for sites that load them, and for how long.
SNAPSHOTS_MAX = 4
SNAPSHOT_KEPT_S = 900.0
#: One so young is offered to others too: changes bring them up to date.
SHARED_S = 60.0
#: Sites that load one at once; others are told to come again after so long.
LOADING_MAX = 8
RETRY_AFTER_S = 5.0
#: Seconds without a request for a chunk after which a site's place is another's. The longest
#: line takes 8 s at 64 kbit/s.
IDLE_MAX_S = 30.0


@attrs.define
class Making:
    """Whether all chunks of a snapshot are there; who waits for more is told."""

    is_over: bool = False
    _waiting: list[Deferred[None]] = attrs.field(factory=list)

    def wait(self) -> Deferred[None]:
        """Until more is there, or no more comes."""
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        return done

    def grew(self) -> None:
        told, self._waiting = self._waiting, []
        for done in told:
            done.callback(None)

    def end(self) -> None:
        self.is_over = True
        self.grew()


@attrs.frozen
class KeptSnapshot:
    """A snapshot that sites may load chunk by chunk."""

    id: str
    image: SnapshotImage
    made_at: float
    scope: SiteScope
    #: Rows of one table are together.
    grouped: bool = True
    making: Making = attrs.field(factory=Making, eq=False)


class Snapshots:
    """All snapshots of one application server. ``who`` is a session that loads one."""

    def __init__(self, env: Environment, store: IApplicationStore) -> None:
        self._env = env
        self._store = store
        self._kept: dict[str, KeptSnapshot] = {}
        self._making = DeferredLock()
        self._timeline = 0
        self.places = Places(env, LOADING_MAX, IDLE_MAX_S, RETRY_AFTER_S)

    async def offer(
        self,
        who: Hashable,
        resume: str,
        known: Position | None,
        scope: SiteScope = EVERYBODY,
        grouped: bool = True,
        growing: bool = False,
    ) -> KeptSnapshot:
        """The snapshot ``resume`` if it is kept, else one that is not before ``known``.

        It may be in the making where it may be ``growing``, else it is whole.

        Sites with a scope of their own have snapshots of their own, and so have those of an
        older release, whose rows come one by one.
        Raises Refusal ``busy`` while as many sites as may are loading one.
        """
        self.places.take(who)
        self._forget_old()
        kept = self._kept.get(resume)
        if kept is None or not _is_for(kept, scope, grouped):
            await self._making.acquire()
            with Acquired(self._making.release):
                kept = self._young(known, scope, grouped) or await self._make(scope, grouped)
        while not growing and not kept.making.is_over:
            await kept.making.wait()
            if kept.id not in self._kept:
                raise Rejected("snapshot-gone")
        return kept

    async def chunk(self, who: Hashable, snapshot: str, index: int) -> tuple[bytes, bool]:
        """A chunk, when it is there, and whether it is the last.

        Raises Rejected ``snapshot-gone``, or Refusal ``busy`` as ``offer`` does.
        """
        kept = self._kept.get(snapshot)
        if kept is not None:
            self.places.take(who)
        # The last is known by the end of the making.
        while kept is not None and index + 1 >= len(kept.image.chunks) and not kept.making.is_over:
            await kept.making.wait()
            kept = self._kept.get(snapshot)
        if kept is None or index >= len(kept.image.chunks):
            raise Rejected("snapshot-gone")
        is_last = kept.making.is_over and index == len(kept.image.chunks) - 1
        if is_last:
            self.places.leave(who)
        return kept.image.chunks[index], is_last

    def begin_timeline(self, timeline: int) -> None:
        """What is kept is of a history that is not ours any more."""
        self._timeline = timeline
        for kept in list(self._kept.values()):
            self._forget(kept)

    def _forget_old(self) -> None:
        now = self._env.now()
        for old in [s for s in self._kept.values() if now - s.made_at > SNAPSHOT_KEPT_S]:
            self._forget(old)

    def _forget(self, kept: KeptSnapshot) -> None:
        """It is kept no more; who waits for its next chunk is told so."""
        self._kept.pop(kept.id, None)
        kept.making.end()

    def _young(
        self, known: Position | None, scope: SiteScope, grouped: bool
    ) -> KeptSnapshot | None:
        """No replica goes back; one of another history has no place in ours."""
        now = self._env.now()
        for kept in reversed(self._kept.values()):
            at, least = kept.image.position, 0
            if known is not None and known.timeline == at.timeline:
                least = known.number
            is_young = now - kept.made_at <= SHARED_S and at.number >= least
            if is_young and _is_for(kept, scope, grouped):
                return kept
        return None

    async def _make(self, scope: SiteScope, grouped: bool) -> KeptSnapshot:
        """One that has begun: its position is known."""
        begun: Deferred[KeptSnapshot] = Deferred()
        ours: KeptSnapshot | None = None

        def grew(image: SnapshotImage) -> None:
            nonlocal ours
            if ours is None:
                ours = KeptSnapshot(self._env.new_id(), image, self._env.now(), scope, grouped)
                self._keep(ours)
                begun.callback(ours)
            elif ours.image is image:
                ours.making.grew()
            else:
                # The database was lost in the midst of it, and is read anew.
                self._forget(ours)

        def made(image: SnapshotImage) -> None:
            # Perhaps before all that is told on the way.
            grew(image)
            assert ours is not None
            ours.making.end()

        def failed(failure: Failure) -> None:
            if ours is None:
                begun.errback(failure)
                return
            self._forget(ours)
            _log.error("a snapshot was not made: {why}", why=failure.getErrorMessage())

        self._store.snapshot(scope, grouped, grew).addCallbacks(made, failed)
        return await begun

    def _keep(self, kept: KeptSnapshot) -> None:
        if kept.image.position.timeline >= self._timeline:
            while len(self._kept) >= SNAPSHOTS_MAX:
                self._forget(next(iter(self._kept.values())))
            self._kept[kept.id] = kept


def _is_for(kept: KeptSnapshot, scope: SiteScope, grouped: bool) -> bool:
    """Whether it has the rows of ``scope``, in that form, and is not from before it was set."""
    if kept.grouped != grouped:
        return False
    if not (scope.groups or kept.scope.groups):
        return kept.image.position.number >= scope.since
    return kept.scope == scope
