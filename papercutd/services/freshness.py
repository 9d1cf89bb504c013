"""How fresh a site's replica is: the staleness clock, kept through restarts and kill -9."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from papercutd.domain.chain import Position
from papercutd.domain.staleness import LinkState, StalenessClock, state_of
from papercutd.environment import Environment
from papercutd.errors import StorageError
from papercutd.storage.interfaces import ISiteStore

_log = Logger()
#: Seconds between two writings: what is heard in between and lost with the process only
#: makes the replica look so much older than it is.
KEEP_INTERVAL_S = 60.0
#: A replica older than this is stale, unless a policy says otherwise.
STALE_AFTER_S = 7 * 86_400.0


class Freshness:
    """The staleness clock of a running site."""

    def __init__(self, env: Environment, store: ISiteStore, is_cut: Callable[[], bool]) -> None:
        self._env = env
        self._store = store
        self._is_cut = is_cut
        self._clock = StalenessClock(None, env.wall_s(), env.now())
        self._keeping = LoopingCall(self._keep)
        self._keeping.clock = env.clock
        store.go_by(self.stale_now_s)

    async def start(self) -> None:
        """Go on from what the last run wrote down; before the link starts."""
        kept = await self._store.staleness()
        self._clock = StalenessClock(kept, self._env.wall_s(), self._env.now())
        # At once: what this start has added is not added again by the next.
        await self._keep()
        self._keeping.start(KEEP_INTERVAL_S, now=False).addErrback(
            lambda failure: _log.failure("keeping the staleness ended", failure=failure)
        )

    async def stop(self) -> None:
        if self._keeping.running:
            self._keeping.stop()
            await self._keep()

    # From the link.

    def told(self, head: Position | None, clock_s: float, own: Position | None) -> None:
        """The application server said its clock and head; ``own`` is the replica's position."""
        self._clock.told(head, clock_s, self._env.now(), own)

    def reached(self, own: Position) -> None:
        """The replica has come to ``own``."""
        self._clock.reached(own)

    def link_down(self) -> None:
        self._clock.link_down()

    # For everybody else.

    @property
    def stale_s(self) -> float:
        """How long ago the replica was up to date."""
        return self._clock.stale_s(self._env.now())

    def stale_now_s(self) -> float:
        """The application server's wall clock as far as this site can tell: dated promises
        and prices go by it. Until it was heard once, our own.
        """
        found = self._clock.stale_now_s(self._env.now())
        return self._env.wall_s() if found is None else found

    def state(self, limit_s: float | None = STALE_AFTER_S) -> LinkState:
        """online, cut, or cut and stale."""
        return state_of(self._is_cut(), self.stale_s, limit_s)

    async def _keep(self) -> None:
        try:
            await self._store.keep_staleness(self._clock.keep(self._env.now(), self._env.wall_s()))
        except StorageError:
            # A full disk: the next minute tries again.
            _log.debug("the staleness was not written")
