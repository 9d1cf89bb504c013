"""Open keys of a journal that this one replaces: what came of them is read from the spooler.

A provider that lost its disk comes with a new journal id; its servers tell it what the old
journal held open (ADOPT). What printed is settled as it was decided, a guess that is listed;
what did not print is given back, and asked for anew when it does. What the spooler does not
know, and what was handed in without one, stays listed (design 4.3).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import attrs
from twisted.internet.task import deferLater
from twisted.logger import Logger

from papercutd.domain.decision import Decision
from papercutd.domain.document import AS_DECIDED
from papercutd.domain.job import Completion
from papercutd.environment import Environment
from papercutd.errors import StorageError
from papercutd.provider.journal import LostKey, ProviderJournal
from papercutd.provider.servers import Known
from papercutd.services import wire
from papercutd.services.tasks import Tasks
from protocols.provider.messages import Adopt

_log = Logger()
#: Seconds between two looks at a job that is being printed.
LOOK_S = 5.0
#: Keys of one journal that are kept; the servers list them all.
KEYS_MAX = 2_000


@attrs.frozen
class Fate:
    """What a spooler knows of a job. ``outcome``: empty while it is under way."""

    #: It may have printed something.
    has_begun: bool
    outcome: str = ""
    user_name: str = ""
    title: str = ""


class Witness(Protocol):
    """A spooler that remembers jobs by their ``job-uuid``."""

    async def fate(self, job_uuid: str) -> Fate | None:
        """What it knows; None: nothing (any more)."""


class LostKeys:
    """Settles them, one after the other as their fate is known."""

    def __init__(
        self,
        env: Environment,
        journal: ProviderJournal,
        known: Known,
        tasks: Tasks,
        witness: Witness | None,
        settle: Callable[[], None],
    ) -> None:
        """``settle`` is called when a server is owed something.

        Without a ``witness`` documents are handed in here, and printers remember nothing.
        """
        self._env = env
        self._journal = journal
        self._known = known
        self._tasks = tasks
        self._settle = settle
        self._witness = witness
        self._under_way: set[str] = set()
        #: Keys of pages that are not whole, by (who gave them, their journal).
        self._pages: dict[tuple[str, str], list[LostKey]] = {}

    async def told(self, target: str, event: Adopt) -> None:
        """A server names open keys of a journal before ours; ``target``: who gave them."""
        told = (target, event.journal)
        keys = self._pages.setdefault(told, [])
        more = [
            LostKey(
                f"{one.job}/{one.step}",
                one.job_uuid,
                target,
                event.journal,
                self._env.wall_s(),
                None if one.decision is None else wire.decision_in(one.decision),
            )
            for one in event.keys
        ]
        keys += more[: KEYS_MAX - len(keys)]
        if not event.last:
            return
        del self._pages[told]
        # What is missing has been settled, by whoever knew.
        if await self._journal.keep_lost_keys(target, event.journal, keys):
            _log.warn(
                "{count} jobs of a lost journal are open at {target}: see status",
                count=len(keys),
                target=target,
            )
            await self.go_on()

    async def go_on(self) -> None:
        """Take up all that are open; at start, and when there are new ones."""
        if self._witness is None:
            return
        for key in await self._journal.lost_keys():
            if key.job_uuid and key.key not in self._under_way:
                self._under_way.add(key.key)
                self._tasks.spawn(self._find_out(key, self._witness), "a job of a lost journal")

    async def _find_out(self, key: LostKey, witness: Witness) -> None:
        try:
            while not await self._is_over(key, witness):
                await deferLater(self._env.clock, LOOK_S, lambda: None)
            self._settle()
        finally:
            self._under_way.discard(key.key)

    async def _is_over(self, key: LostKey, witness: Witness) -> bool:
        """Whether nothing is left to be found out; what was found is written down."""
        job = key.key.split("/")[0]
        known = await self._journal.last_of_uuid(key.job_uuid)
        if known is not None and known.job == job:
            # The journal was not lost, it has a new id: its job is followed as ever.
            return True
        fate = None if known is not None else await witness.fate(key.job_uuid)
        with suppress(StorageError):
            if known is not None or (fate is not None and not fate.has_begun):
                # It has been asked for anew, or will be when it prints.
                await self._journal.cancel(key.key, key.target, "superseded")
                return True
            if fate is None or key.decision is None:
                return True
            if fate.outcome:
                done = self._completion(key.key, key.decision, fate)
                await self._journal.settle_lost(key, done)
                return True
        return False

    def _completion(self, key: str, decision: Decision, fate: Fate) -> Completion:
        job, step = key.split("/")
        return Completion(
            job=job,
            step=step,
            provider=self._known.identity.name,
            printer=decision.printer,
            user_name=fate.user_name,
            document=AS_DECIDED,
            decision=decision,
            # What a printer had counted by then was in the journal.
            pages=None if fate.outcome == "completed" else 0,
            outcome=fate.outcome,
            assumed=True,
            title=fate.title,
            completed_at=self._env.wall_s(),
        )
