"""Quota runs by themselves: what is due is run within a minute, piece by piece."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from papercutd.environment import Environment
from papercutd.errors import StorageClosed, StorageFull
from papercutd.services.operation import Progress
from papercutd.services.pieces import Pieces
from papercutd.services.tasks import Tasks
from papercutd.storage.interfaces import IApplicationStore
from papercutd.storage.money.schedules import PIECE_ACCOUNTS, PIECE_ACCOUNTS_MIN

_log = Logger()
#: How often it is looked whether a run is due.
LOOK_INTERVAL_S = 60.0
#: Runs of one answer; more were made all the same.
LISTED_MAX = 500


async def run_due(
    store: IApplicationStore,
    name: str | None = None,
    make_up: bool = False,
    progress: Progress = lambda figures: None,
) -> list[dict[str, Any]]:
    """Run what is due, to its end; what was run. Between two pieces others have the writer."""
    runs: dict[tuple[str, str], dict[str, Any]] = {}
    pieces = Pieces(PIECE_ACCOUNTS_MIN, PIECE_ACCOUNTS)
    while True:
        piece = await store.run_quota(name, make_up, pieces.rows)
        if piece is None:
            return list(runs.values())[-LISTED_MAX:]
        pieces.done(piece.number)
        run = runs.setdefault(
            (piece.name, piece.period),
            {
                **{"name": piece.name, "period": piece.period, "users": 0},
                **{"credited_e4": 0, "withheld_e4": 0},
            },
        )
        run["users"] += piece.users
        run["credited_e4"] += piece.credited_e4
        run["withheld_e4"] += piece.withheld_e4
        progress({"quota": f"{piece.name} {piece.period}", "users": run["users"]})


class Quotas:
    """The clock of the runs at a running application server."""

    def __init__(self, env: Environment, store: IApplicationStore, tasks: Tasks) -> None:
        self._store = store
        self._tasks = tasks
        self._is_running = False
        self._looking = LoopingCall(self._look)
        self._looking.clock = env.clock

    def start(self) -> None:
        self._looking.start(LOOK_INTERVAL_S, now=False).addErrback(
            lambda failure: _log.failure("looking for quota runs ended", failure=failure)
        )

    def stop(self) -> None:
        """A run under way goes on where it was after the next start."""
        if self._looking.running:
            self._looking.stop()

    def _look(self) -> None:
        if not self._is_running:
            self._is_running = True
            self._tasks.spawn(self._run(), "running quotas")

    async def _run(self) -> None:
        try:
            for run in await run_due(self._store):
                _log.info("quota {name} {period}: {users} users, {credited_e4} credited", **run)
        except (StorageFull, StorageClosed):
            # The next minute, or the next start, goes on.
            return
        finally:
            self._is_running = False
