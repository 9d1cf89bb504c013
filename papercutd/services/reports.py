"""Reports of pages and money by month, and the clock that keeps their sums up to date."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from papercutd.environment import Environment
from papercutd.errors import InvalidValue, StorageClosed, StorageFull
from papercutd.services.operation import Operation, Progress, take
from papercutd.services.tasks import Tasks
from papercutd.storage.interfaces import IApplicationStore

_log = Logger()
ROLL_INTERVAL_S = 60.0
BY = ("user", "printer", "account", "named", "site", "group", "month")
ORDERS = {"pages": "pages", "money": "amount_e4"}
COUNT_MAX = 5_000
_MONTH = re.compile("[0-9]{4}-(0[1-9]|1[0-2])")


async def roll_all(store: IApplicationStore, progress: Progress = lambda figures: None) -> int:
    """Roll the sums forward to the head, as it was; up to which change they are."""
    rolled = await store.monthly.rolled()
    until = rolled.of
    while rolled.stale or rolled.number < until:
        rolled = await store.monthly.roll()
        progress({"summed": rolled.number, "of": until})
    return int(rolled.number)


class ReportOperations:
    """``report`` and ``report.rebuild``."""

    def __init__(self, store: IApplicationStore) -> None:
        self._store = store

    def all(self) -> dict[str, Operation]:
        return {"report": self.report, "report.rebuild": self.rebuild}

    async def report(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Sums of charges of whole months, those with most first."""
        given = take(arguments, "what", by="month", count=100, since="", until="")
        if given["what"] not in ORDERS:
            raise InvalidValue("what", "is pages or money")
        if given["by"] not in BY:
            raise InvalidValue("by", f"is one of {', '.join(BY)}")
        if not 1 <= given["count"] <= COUNT_MAX:
            raise InvalidValue("count", f"is not between 1 and {COUNT_MAX}")
        since = _month("from", given["since"], "0001-01")
        until = _month("to", given["until"], "9999-12")
        if since > until:
            raise InvalidValue("from", "is after --to")
        try:
            await roll_all(self._store, progress)
        except StorageFull:
            # What is not in the sums is added as it is read.
            pass
        return await self._store.monthly.report(
            given["by"], since, until, ORDERS[given["what"]], given["count"]
        )

    async def rebuild(self, arguments: dict[str, Any], progress: Progress) -> Any:
        """Make the sums anew of all charges, piece by piece, while others work."""
        take(arguments)
        await self._store.monthly.begin_again()
        number = await roll_all(self._store, progress)
        return {"summed_up_to_change": number}


def _month(field: str, text: str, otherwise: str) -> str:
    if not text:
        return otherwise
    if not _MONTH.fullmatch(text):
        raise InvalidValue(field, "is no month such as 2027-01")
    return text


class Monthly:
    """The clock of a running application server: sums follow the charges within a minute."""

    def __init__(self, env: Environment, store: IApplicationStore, tasks: Tasks) -> None:
        self._store = store
        self._tasks = tasks
        self._is_running = False
        self._looking = LoopingCall(self._look)
        self._looking.clock = env.clock

    def start(self) -> None:
        self._looking.start(ROLL_INTERVAL_S, now=True).addErrback(
            lambda failure: _log.failure("rolling sums forward ended", failure=failure)
        )

    def stop(self) -> None:
        if self._looking.running:
            self._looking.stop()

    def _look(self) -> None:
        if not self._is_running:
            self._is_running = True
            self._tasks.spawn(self._run(), "rolling sums forward")

    async def _run(self) -> None:
        try:
            await roll_all(self._store)
        except (StorageFull, StorageClosed):
            # The next minute, or the next start, goes on.
            return
        finally:
            self._is_running = False
