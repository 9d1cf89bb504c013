"""What a site's policy says of log-ins, states and alarms, as its replica has it now."""

from __future__ import annotations

from typing import Any

from papercutd.domain.policy import Effective, alarms
from papercutd.domain.staleness import LinkState
from papercutd.errors import Rejected
from papercutd.services.freshness import Freshness
from papercutd.services.tasks import Tasks
from papercutd.storage.interfaces import ISiteStore

#: Rows that change what holds for everybody; a snapshot is told as a row of ``printer``.
_TABLES = frozenset({"site_policy", "site", "price", "printer"})


class SitePolicy:
    """The policy of a running site; the money's part of it is read with each decision."""

    def __init__(self, store: ISiteStore, freshness: Freshness, tasks: Tasks) -> None:
        self._store = store
        self._freshness = freshness
        self._tasks = tasks
        #: What holds for anybody in no group; before the first replica the defaults.
        self.everyone = Effective()

    async def refresh(self) -> None:
        self.everyone = await self.of(None)

    def applied(self, rows: list[Any]) -> None:
        """These rows have come into the replica."""
        if any(row[0] in _TABLES for row in rows):
            self._tasks.spawn(self.refresh(), "reading the policy")

    async def of(self, user: int | None) -> Effective:
        """What holds for ``user``; without a replica the defaults."""
        try:
            return await self._store.policy_of(user)
        except Rejected:
            return Effective()

    @property
    def state(self) -> LinkState:
        """online, cut, or cut and stale: by the limit for everybody."""
        return self._freshness.state(self.everyone.stale_after_s)

    async def takes_passwords(self, user: int) -> bool:
        """Whether a cached password of ``user`` is taken now."""
        if self._freshness.state() is LinkState.ONLINE:
            return True
        policy = await self.of(user)
        return policy.takes_passwords and (
            self._freshness.state(policy.stale_after_s) is not LinkState.STALE
        )

    async def status(self) -> dict[str, Any]:
        """For ``status``."""
        policy = self.everyone
        return {
            "stale_s": round(self._freshness.stale_s, 1),
            "stale_after_s": policy.stale_after_s,
            "policy": policy.policy.value,
            "unsettled_e4": await self._store.unsettled_total_e4(),
            "alarms": await self.alarms(),
            "not_understood": await self._store.rules_not_understood(),
        }

    async def alarms(self) -> list[str]:
        """``site-total`` and ``replica-age``; none while online."""
        if self._freshness.state() is LinkState.ONLINE:
            return []
        total_e4 = await self._store.unsettled_total_e4()
        return alarms(self.everyone, total_e4, self._freshness.stale_s)

    async def checks(self) -> list[dict[str, Any]]:
        """For health: rules that this release cannot evaluate hold jobs."""
        found, unknown = await self.alarms(), await self._store.rules_not_understood()
        return [
            {"name": "money while cut", "ok": not found, "detail": ", ".join(found)},
            {"name": "policy understood", "ok": not unknown, "detail": ", ".join(unknown)},
        ]
