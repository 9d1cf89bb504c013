"""The writer on PostgreSQL: batches as storage/sqlite/writer.py has them, without a thread.

A batch is one transaction on the one connection that holds the database's writer lock. On the
journey of its COMMIT the writer's number is compared (somebody else may have taken over) and the
batch's name is left: where the answer is lost, the name tells whether it was done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from papercutd.errors import AlreadyRunning, StorageClosed, StorageError, StorageFull
from papercutd.storage.engine import Connection, Interrupted, Statement
from papercutd.storage.hot import Hot
from papercutd.storage.postgres.advice import advised
from papercutd.storage.postgres.batches import PostgresBatch
from papercutd.storage.postgres.connection import (
    WRITER,
    ConnectionLost,
    Fenced,
    PostgresConnection,
    TryAgain,
)
from papercutd.storage.postgres.database import settings
from papercutd.storage.postgres.history import History
from papercutd.storage.postgres.hub import spawn, wait
from papercutd.storage.postgres.link import ReactorLink
from papercutd.storage.postgres.locks import CHANNEL, LOCKS, session_name
from papercutd.storage.postgres.workspace import open_workspace
from papercutd.storage.sqlite.writer import (
    BARE,
    BATCH_MAX,
    HOT,
    MAIN,
    QUEUE_MAX,
    Operation,
    Participant,
    T,
    Waiting,
    fire,
    take,
)

_log = Logger()
#: Times that a batch is run again because its transaction met another or lost its connection.
TRIES_MAX = 5
#: The schema whose hot operations have a workspace.
WORKED = "application"
#: Hot operations of one batch at the most: all of them are in memory at once.
HOT_MAX = 128
#: Between two attempts to connect; meanwhile everybody is sent elsewhere at once.
RECONNECT_S = 0.5
#: Who asks behind a batch that takes longer is sent elsewhere, as they would ask there themselves
#: (design.md 4.5): the database is frozen, or slow.
PATIENCE_S = 1.0
#: Rather than for ever behind somebody who locked a table of ours: it is run again.
LOCK_S = 5.0
#: The same words are not logged again for so long.
SAID_S = 60.0


class StorageAway(StorageFull):
    """PostgreSQL cannot be reached: nothing is written. It is tried again all the time."""


class WriterReplaced(AlreadyRunning):
    """Another server writes this database now: this one ends."""


class CommitUnknown(StorageError):
    """It ended before PostgreSQL said whether the last commit was done."""


def _late() -> StorageAway:
    return StorageAway(f"PostgreSQL: no answer for {PATIENCE_S:g} s, it is frozen or slow")


class _Batch(PostgresBatch):
    """A batch whose COMMIT may lose its answer."""

    def __init__(self, writer: PostgresWriter, *arguments: Any) -> None:
        self._writer = writer
        super().__init__(*arguments)

    def _commit(self, connection: Connection, *last: Statement) -> None:
        assert isinstance(connection, PostgresConnection)
        self._writer.commit(connection, *last)

    def _committed(self, participant: Participant) -> None:
        self._writer.committed(participant)

    def _pause(self) -> None:
        self._writer.pause()


class PostgresWriter:
    """The one writer of a database."""

    def __init__(
        self,
        reactor: Any,
        dsn: str,
        schema: str,
        on_fatal: Callable[[Failure], None],
        participant: Participant | None = None,
        *,
        search_path: str = "",
        new_id: Callable[[], str],
        batch_max: int = BATCH_MAX,
        before_commit: Callable[[], None] | None = None,
        after_commit: Callable[[], None] | None = None,
        in_thread: Callable[..., Deferred[Any]] | None = None,
        server: str = "",
    ) -> None:
        """``in_thread`` runs what the participant does after a commit, where that blocks.

        ``server``: who that is among several on this database (members.py).
        """
        self._reactor = reactor
        self._schema = schema
        self._on_fatal = on_fatal
        self._participant = participant
        self._batch_max = batch_max
        self._new_id = new_id
        #: What our sessions are called, so that one that lives on there can be ended.
        self._name = session_name(server or new_id())
        self._server = server
        self._history = History(schema, participant)
        session = {
            "application_name": f"'{self._name}'",
            "lock_timeout": f"'{LOCK_S * 1000:.0f}ms'",
        }
        told = settings(search_path or schema, session)
        self._link = ReactorLink(reactor, dsn, told, self._greet)
        workspace = open_workspace(self._link.connection) if schema == WORKED else None
        self._batch = _Batch(
            *(self, self._link.connection, participant, before_commit, after_commit, workspace)
        )
        self._in_thread = in_thread
        self._fence = 0
        self._queue: deque[Waiting] = deque()
        self._is_running = self._is_dead = False
        #: Why nothing can be written now.
        self._away = ""
        self._is_late = False
        self._said = ("", 0.0)
        self._closing: Deferred[None] | None = None

    def start(self) -> Deferred[None]:
        """Connect and take the lock; raises ConnectionLost or AlreadyRunning."""
        return spawn(self._link.connect)

    @property
    def was_promoted(self) -> bool:
        """PostgreSQL's history is another than at the last start (history.py)."""
        return self._history.was_promoted

    def submit(self, operation: Operation[T], group: str = MAIN) -> Deferred[T]:
        if self._closing is not None or self._is_dead:
            return fail(StorageClosed())
        if self._away:
            return fail(StorageAway(self._away))
        if self._is_late and isinstance(operation, Hot):
            return fail(_late())
        if len(self._queue) >= QUEUE_MAX:
            return fail(StorageFull())
        answer: Deferred[T] = Deferred()
        if group == MAIN and isinstance(operation, Hot):
            group = HOT
        self._queue.append(Waiting(operation, group, answer))
        self._schedule()
        return answer

    def close(self) -> Deferred[None]:
        """Run what waits, then close the connection."""
        if self._closing is None:
            self._closing = Deferred()
            self._schedule()
        done: Deferred[None] = Deferred()
        self._closing.addCallback(lambda result: done.callback(None))
        return done

    # Turns of the reactor.

    def _schedule(self) -> None:
        if not self._is_running:
            self._is_running = True
            self._reactor.callLater(0, self._turn)

    def _turn(self) -> None:
        if self._away and self._closing is None and not self._is_dead:
            spawn(self._come_back).addCallbacks(
                lambda done: self._reactor.callLater(0, self._turn), self._failed
            )
            return
        if self._queue and not self._is_dead:
            is_hot = self._queue[0].group == HOT
            batch = take(self._queue, min(HOT_MAX, self._batch_max) if is_hot else self._batch_max)
            late = self._reactor.callLater(PATIENCE_S, self._run_late)
            running = spawn(lambda: self._run(batch)).addBoth(self._over, late)
            running.addCallbacks(lambda done: self._done(batch), self._failed)
            return
        self._is_running = False
        if self._closing is not None and not self._closing.called:
            self._link.close()
            self._closing.callback(None)

    def _run_late(self) -> None:
        """The batch under way takes long: questions behind it are sent elsewhere."""
        self._is_late = True
        asking = [waiting for waiting in self._queue if isinstance(waiting.operation, Hot)]
        others = [waiting for waiting in self._queue if not isinstance(waiting.operation, Hot)]
        self._queue.clear()
        self._queue.extend(others)
        for waiting in asking:
            waiting.result = Failure(_late())
        fire(asking)

    def _over(self, result: T, late: Any) -> T:
        self._is_late = False
        if late.active():
            late.cancel()
        return result

    def _done(self, batch: list[Waiting]) -> None:
        # What has come meanwhile is the next batch: PostgreSQL reads its rows while we answer.
        self._turn()
        fire(batch)

    def _failed(self, failure: Failure) -> None:
        """Nobody of that batch is answered, as after a crash; nor anybody else."""
        self._is_dead = True
        self._link.close()
        if self._closing is None:
            self._on_fatal(failure)
        else:
            _log.failure("it ends without its last batch", failure=failure)
        self._reactor.callLater(0, self._turn)

    # In a greenlet.

    def _run(self, batch: list[Waiting]) -> None:
        last: Exception | None = None
        for _ in range(TRIES_MAX):
            try:
                if not self._link.is_connected:
                    self._link.connect()
            except ConnectionLost as error:
                # Nothing of it was begun.
                self._send_elsewhere(batch, error)
                return
            try:
                if batch[0].group == HOT:
                    self._run_hot(batch)
                else:
                    self._batch.run(batch)
            except Interrupted as error:
                self._say("a transaction is run again", error)
                last = error
                continue
            if batch and batch[0].group == BARE and self._is_interrupted(batch):
                continue
            return
        for waiting in batch:
            waiting.result = Failure(StorageAway(f"PostgreSQL: {advised(str(last))}"))

    def _run_hot(self, batch: list[Waiting]) -> None:
        """Those that cannot be run so are the next batch."""
        left = self._batch.run_hot(batch)
        for waiting in reversed(left):
            waiting.group, waiting.result = MAIN, None
            self._queue.appendleft(waiting)
        batch[:] = [waiting for waiting in batch if waiting.group == HOT]

    @staticmethod
    def _is_interrupted(batch: list[Waiting]) -> bool:
        results = (waiting.result for waiting in batch)
        return any(isinstance(one, Failure) and one.check(Interrupted) for one in results)

    def _send_elsewhere(self, batch: list[Waiting], error: Exception) -> None:
        """``batch``, who waits, and who comes until we are connected, is answered at once."""
        self._say("PostgreSQL cannot be reached", error)
        self._away = f"PostgreSQL cannot be reached: {error}"
        behind = list(self._queue)
        self._queue.clear()
        for waiting in (*batch, *behind):
            waiting.result = Failure(StorageAway(self._away))
        self._reactor.callLater(0, fire, behind)

    def _say(self, what: str, error: Exception) -> None:
        """Log it, not the same all the time."""
        words, now = f"{what}: {error}", self._reactor.seconds()
        if words != self._said[0] or now - self._said[1] >= SAID_S:
            self._said = (words, now)
            _log.error("{words}", words=words)

    def commit(self, connection: PostgresConnection, *last: Statement) -> None:
        """Run ``last`` and end the transaction.

        Raises TryAgain where it is known that nothing of it was done, and what ``last`` raises.
        """
        name = self._new_id()
        # No batch may be without a name: with another number in the row it is refused, and what
        # comes behind it is not run.
        marked = f"UPDATE {self._schema}.{WRITER} SET batch = CASE WHEN fence = ? THEN ? END"
        try:
            connection.execute_all(*last, (marked, (self._fence, name)), ("COMMIT", ()))
        except Fenced:
            raise WriterReplaced(f"schema {self._schema}") from None
        except ConnectionLost as error:
            self._say("the answer to a commit is lost", error)
            try:
                self._reconnect()
            except ConnectionLost:
                # Closing: whether it was done is not known, and nobody is told anything.
                raise CommitUnknown(str(error)) from error
            (found,) = connection.execute(f"SELECT batch FROM {self._schema}.writer").fetchone()
            if found != name:
                raise TryAgain("the commit was not done") from error

    def committed(self, participant: Participant) -> None:
        """The participant does what follows; nobody is answered before."""
        if self._in_thread is None:
            participant.committed()
        else:
            wait(self._in_thread(participant.committed))

    def pause(self) -> None:
        """Let the reactor go on; whatever comes meanwhile is of the next batch."""
        self._sleep(0)

    def _reconnect(self) -> None:
        """Connect, however long it takes: nobody may be told anything before."""
        while True:
            try:
                self._link.connect()
                if self._away:
                    self._away, self._said = "", ("", 0.0)
                    _log.info("PostgreSQL is reached again")
                return
            except ConnectionLost as error:
                if self._closing is not None:
                    raise
                self._send_elsewhere([], error)
                self._sleep(RECONNECT_S)

    def _come_back(self) -> None:
        """Connect; whoever closes us meanwhile waits for nothing."""
        self._sleep(RECONNECT_S)
        with suppress(ConnectionLost):
            self._reconnect()

    def _sleep(self, seconds: float) -> None:
        done: Deferred[None] = Deferred()
        self._reactor.callLater(seconds, done.callback, None)
        wait(done)

    def _greet(self, connection: PostgresConnection) -> None:
        """A new connection: it takes the lock, and the number of who writes."""
        self._take_lock(connection)
        # First: what else that database says is of the past, too.
        self._history.check(connection)
        (fence,) = connection.execute(f"SELECT fence FROM {self._schema}.writer").fetchone()
        if self._fence and fence != self._fence:
            raise WriterReplaced(f"schema {self._schema}")
        (self._fence,) = connection.execute(
            f"UPDATE {self._schema}.writer SET fence = fence + 1 RETURNING fence"
        ).fetchone()
        if self._server:
            connection.execute(f"UPDATE {self._schema}.writer SET server = ?", (self._server,))
            connection.execute(f"NOTIFY {CHANNEL}")
        if self._participant is not None:
            # What it knew of the session before.
            self._participant.rolled_back()

    def _take_lock(self, connection: PostgresConnection) -> None:
        lock = LOCKS[self._schema]
        for _ in range(20):
            found = connection.execute(f"SELECT pg_try_advisory_lock({lock})").fetchone()
            if found[0]:
                return
            # A session of ours whose end the server has not seen.
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = ? AND pid <> pg_backend_pid()",
                (self._name,),
            )
            self._sleep(0.1)
        holders = connection.execute(
            "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)"
            " WHERE locktype = 'advisory' AND objid = ? AND granted"
            " AND datname = current_database()",
            (lock,),
        ).fetchall()
        if holders == [(self._name,)]:
            raise ConnectionLost("our former session has not ended yet")
        raise WriterReplaced(f"schema {self._schema}")
