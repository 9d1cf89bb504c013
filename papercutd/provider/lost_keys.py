"""Open keys of a journal that this one replaces: what came of them is read from the spooler.

A provider that lost its disk comes with a new journal id; its servers tell it what the old
journal held open (ADOPT). What printed is settled as it was decided, a guess that is listed;
what did not print is given back, and asked for anew when it does. What the spooler does not
know, and what was handed in without one, stays listed (design 4.3).
"""

from __future__ import annotations

from collections.abc import Callable, Set
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

    async def fates(self, job_uuids: Set[str]) -> dict[str, Fate]:
        """What it knows of each; those it does not know (any more) are missing."""


class LostKeys:
    """Settles them as their fate becomes known."""

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
        self._is_looking = False
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
        if self._witness is not None and not self._is_looking:
            self._is_looking = True
            self._tasks.spawn(self._look(self._witness), "jobs of lost journals")

    async def _look(self, witness: Witness) -> None:
        try:
            while await self._find_out(witness):
                await deferLater(self._env.clock, LOOK_S, lambda: None)
        finally:
            self._is_looking = False

    async def _find_out(self, witness: Witness) -> bool:
        """Write down what is known by now; whether there is more to be found out later."""
        try:
            keys = [key for key in await self._journal.lost_keys() if key.job_uuid]
            unknown = [key for key in keys if not await self._is_known(key)]
            fates = await witness.fates({key.job_uuid for key in unknown}) if unknown else {}
            are_over = [await self._is_over(key, fates.get(key.job_uuid)) for key in unknown]
        except StorageError:
            return True
        self._settle()
        return not all(are_over)

    async def _is_known(self, key: LostKey) -> bool:
        """Whether our own journal has the job."""
        known = await self._journal.last_of_uuid(key.job_uuid)
        # Of the same id: the journal was not lost, it has a new id; its job is followed as ever.
        if known is not None and known.job != key.key.split("/")[0]:
            # Its backend came before we were told: it was asked for anew.
            await self._give_back(key)
        return known is not None

    async def _is_over(self, key: LostKey, fate: Fate | None) -> bool:
        """Whether nothing is left to be found out; what was found is written down."""
        if fate is not None and not fate.has_begun:
            # It will be asked for anew when it prints.
            await self._give_back(key)
        elif fate is not None and key.decision is not None:
            if not fate.outcome:
                return False
            await self._journal.settle_lost(key, self._completion(key.key, key.decision, fate))
        return True

    async def _give_back(self, key: LostKey) -> None:
        await self._journal.cancel(key.key, key.target, "superseded")

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
