"""Batches on PostgreSQL: those of hot operations are worked on in memory.

Such a batch has two journeys to the database, however many operations it has: begin and read;
write, compare the writer's number, and commit.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.python.failure import Failure

from papercutd.storage.engine import Connection, RowRefused, Statement
from papercutd.storage.hot import Hot
from papercutd.storage.postgres.connection import PostgresConnection
from papercutd.storage.postgres.workspace import NotCovered, Workspace
from papercutd.storage.sqlite.writer import BARE, Batch, Participant, Waiting

#: Operations in memory between two pauses for the reactor.
PIECE = 32


class WorkedBatch(Batch):
    """A batch whose operations are run on a workspace."""

    def __init__(
        self,
        workspace: Workspace,
        participant: Participant | None,
        before_commit: Callable[[], None] | None,
        after_commit: Callable[[], None] | None,
        commit: Callable[..., object],
        committed: Callable[[Participant], None],
        pause: Callable[[], None],
    ) -> None:
        super().__init__(workspace, participant, before_commit, after_commit)
        self._workspace = workspace
        self._end = commit
        self._after = committed
        self._pause = pause
        self._count = 0

    def run_all(self, batch: list[Waiting]) -> list[Waiting]:
        """Run ``batch`` and commit; those that are left to be run on the database itself."""
        self._workspace.want(
            waiting.operation.wanted for waiting in batch if isinstance(waiting.operation, Hot)
        )
        self._count = 0
        try:
            self.run(batch)
        except RowRefused:
            # One of them asks for, or writes, what the database does not take: each by itself.
            return batch
        return [
            waiting
            for waiting in batch
            if isinstance(waiting.result, Failure) and waiting.result.check(NotCovered)
        ]

    def _attempt(self, waiting: Waiting) -> bool:
        if self._count and self._count % PIECE == 0:
            self._pause()
        self._count += 1
        self._workspace.guard(True)
        try:
            return super()._attempt(waiting)
        finally:
            self._workspace.guard(False)

    def _commit(self, connection: Connection) -> None:
        self._end(self._workspace.database, *self._workspace.changes())
        self._workspace.forget()

    def _committed(self, participant: Participant) -> None:
        self._after(participant)


class PostgresBatch(Batch):
    """A batch run as it is, or on a workspace where all its operations are hot."""

    def __init__(
        self,
        connection: Connection,
        participant: Participant | None = None,
        before_commit: Callable[[], None] | None = None,
        after_commit: Callable[[], None] | None = None,
        workspace: Workspace | None = None,
    ) -> None:
        super().__init__(connection, participant, before_commit, after_commit)
        self._worked = (
            None
            if workspace is None
            else WorkedBatch(
                *(workspace, participant, before_commit, after_commit),
                *(self._commit, self._committed, self._pause),
            )
        )

    def _commit(self, connection: Connection, *last: Statement) -> None:
        assert isinstance(connection, PostgresConnection)
        connection.execute_all(*last, ("COMMIT", ()))

    def _pause(self) -> None:
        """Between two operations in memory: let others go on, where there are any."""

    def run_hot(self, batch: list[Waiting]) -> list[Waiting]:
        """Run ``batch``, all hot; those that are left to ``run``."""
        return batch if self._worked is None else self._worked.run_all(batch)

    def run(self, batch: list[Waiting]) -> None:
        if batch[0].group != BARE and all(isinstance(one.operation, Hot) for one in batch):
            batch = self.run_hot(batch)
        if batch:
            super().run(batch)
