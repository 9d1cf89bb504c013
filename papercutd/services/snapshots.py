"""Snapshots for sites: made once for many, kept for those interrupted, loaded by few at once."""

from __future__ import annotations

from collections.abc import Hashable

import attrs
from twisted.internet.defer import DeferredLock

from papercutd.domain.chain import Position
from papercutd.environment import Environment
from papercutd.errors import Rejected
from papercutd.services.admission import Places
from papercutd.storage.interfaces import IApplicationStore
from papercutd.storage.site_scopes import EVERYBODY, SiteScope
from papercutd.storage.snapshot import SnapshotImage

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


@attrs.frozen
class KeptSnapshot:
    """A snapshot that sites may load chunk by chunk."""

    id: str
    image: SnapshotImage
    made_at: float
    scope: SiteScope
    #: Rows of one table are together.
    grouped: bool = True


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
    ) -> KeptSnapshot:
        """The snapshot ``resume`` if it is kept, else one that is not before ``known``.

        Sites with a scope of their own have snapshots of their own, and so have those of an
        older release, whose rows come one by one.
        Raises Refusal ``busy`` while as many sites as may are loading one.
        """
        self.places.take(who)
        self._forget_old()
        kept = self._kept.get(resume)
        if kept is not None and _is_for(kept, scope, grouped):
            return kept
        await self._making.acquire()
        try:
            return self._young(known, scope, grouped) or await self._make(scope, grouped)
        finally:
            self._making.release()

    def chunk(self, who: Hashable, snapshot: str, index: int) -> bytes:
        """Raises Rejected ``snapshot-gone``, or Refusal ``busy`` as ``offer`` does."""
        kept = self._kept.get(snapshot)
        if kept is None or index >= len(kept.image.chunks):
            raise Rejected("snapshot-gone")
        self.places.take(who)
        if index == len(kept.image.chunks) - 1:
            self.places.leave(who)
        return kept.image.chunks[index]

    def begin_timeline(self, timeline: int) -> None:
        """What is kept is of a history that is not ours any more."""
        self._timeline = timeline
        self._kept.clear()

    def _forget_old(self) -> None:
        now = self._env.now()
        for old in [s for s in self._kept.values() if now - s.made_at > SNAPSHOT_KEPT_S]:
            del self._kept[old.id]

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
        image = await self._store.snapshot(scope, grouped)
        kept = KeptSnapshot(self._env.new_id(), image, self._env.now(), scope, grouped)
        if image.position.timeline >= self._timeline:
            while len(self._kept) >= SNAPSHOTS_MAX:
                del self._kept[next(iter(self._kept))]
            self._kept[kept.id] = kept
        return kept


def _is_for(kept: KeptSnapshot, scope: SiteScope, grouped: bool) -> bool:
    """Whether it has the rows of ``scope``, in that form, and is not from before it was set."""
    if kept.grouped != grouped:
        return False
    if not (scope.groups or kept.scope.groups):
        return kept.image.position.number >= scope.since
    return kept.scope == scope
