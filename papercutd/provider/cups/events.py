"""What CUPS says happened to jobs: heard in order, by a subscription that outlives its restarts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from twisted.internet.defer import Deferred, DeferredLock

from papercutd.environment import Environment
from papercutd.provider.cups.server import LEASE_S, CupsServer, CupsUnreachable, Event


class Events:
    """Asks CUPS for events; ``forgotten`` is told when some may have been missed."""

    def __init__(
        self,
        env: Environment,
        cups: CupsServer,
        happened: Callable[[Event], None],
        forgotten: Callable[[], None],
    ) -> None:
        self._env = env
        self._cups = cups
        self._happened = happened
        self._forgotten = forgotten
        self._subscription: int | None = None
        self._subscribed_at = 0.0
        self._sequence = 0
        self._looking = DeferredLock()

    async def stop(self) -> None:
        if self._subscription is not None:
            with suppress(CupsUnreachable):
                await self._cups.unsubscribe(self._subscription)

    async def hear(self) -> None:
        """Hear what happened since the last time, in order."""
        await self._looking.run(lambda: Deferred.fromCoroutine(self._hear_in_turn()))

    async def _hear_in_turn(self) -> None:
        if self._subscription is not None:
            if self._env.now() - self._subscribed_at > LEASE_S / 4:
                await self._cups.renew(self._subscription)
                self._subscribed_at = self._env.now()
            events = await self._cups.events(self._subscription, self._sequence)
            if events is not None:
                for event in events:
                    self._sequence = event.sequence
                    self._happened(event)
                return
        # CUPS has forgotten us, or never knew us: what happened meanwhile, the jobs tell.
        self._subscription, self._sequence = await self._cups.subscribe(), 0
        self._subscribed_at = self._env.now()
        self._forgotten()
