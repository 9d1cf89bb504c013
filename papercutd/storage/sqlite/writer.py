"""The one writer of a database: operations that arrive together share one commit.

An operation is a function of the connection. It runs inside the transaction of
its batch: if it raises, only its own writes are undone and its Deferred fails. It may be run
again from the start, with its batch, and must come to the same. A Deferred fires after the
commit of its batch, so whatever it answers is on the disk.

Operations name a *group*; a batch holds operations of one group only. Group
``BARE`` runs outside any transaction (reads, ATTACH).
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure

from papercutd.errors import StorageClosed, StorageFull
from papercutd.storage.engine import Connection, Interrupted
from papercutd.storage.sqlite.migrate import open_database as open_database

T = TypeVar("T")
Operation = Callable[[Connection], T]

#: Operations of one commit at the most: bounds the time that one batch takes.
BATCH_MAX = 256
#: Operations that may wait; beyond it new ones fail as StorageFull would: ask elsewhere.
QUEUE_MAX = 20_000
#: Operations after which SQLite's log goes into the database as soon as nobody waits. At a commit
#: (storage/sqlite/migrate.py) that takes as long as many commits, for whoever happens to be in it.
CHECKPOINT_AFTER = 1_000
MAIN = "main"
#: Operations of ``MAIN`` that a writer may keep by themselves (storage/hot.py).
HOT = "hot"
BARE = "bare"

_log = Logger()


class Participant(Protocol):
    """Something that writes once per transaction, after its operations (the change log)."""

    def begin(self, connection: Connection) -> None: ...
    def mark(self) -> object: ...
    def undo(self, mark: object) -> None: ...
    def seal(self, connection: Connection) -> None: ...
    def committed(self) -> None: ...
    def rolled_back(self) -> None: ...


class SqliteWriter(Protocol):
    """What stores need of a writer."""

    def submit(self, operation: Operation[T], group: str = MAIN) -> Deferred[T]: ...
    def close(self) -> Deferred[None]: ...


@attrs.define
class Waiting:
    """An operation that waits for its batch, then its result."""

    operation: Callable[[Connection], Any]
    group: str
    answer: Deferred[Any]
    result: Any = None


class Batch:
    """Runs operations on one connection, a transaction for each batch."""

    def __init__(
        self,
        connection: Connection,
        participant: Participant | None = None,
        before_commit: Callable[[], None] | None = None,
        after_commit: Callable[[], None] | None = None,
    ) -> None:
        self._connection = connection
        self._participant = participant
        self._before_commit = before_commit
        self._after_commit = after_commit

    def run(self, batch: list[Waiting]) -> None:
        """Run ``batch`` and leave each result (or Failure) in its entry.

        A full disk fails them all with StorageFull; any other error of the
        commit itself is raised: what is on the disk is then unknown, and the
        process must end rather than try again.
        """
        if batch[0].group == BARE:
            for waiting in batch:
                self._run_one(waiting)
            return
        connection = self._connection
        participant = self._participant if batch[0].group in (MAIN, HOT) else None
        try:
            connection.execute("BEGIN IMMEDIATE")
            if participant is not None:
                participant.begin(connection)
            if not self._run_plainly(batch, participant):
                connection.execute("ROLLBACK")
                if participant is not None:
                    participant.rolled_back()
                if len(batch) == 1:
                    # Alone it needs no savepoint: all there is to be undone is its own.
                    return
                connection.execute("BEGIN IMMEDIATE")
                if participant is not None:
                    participant.begin(connection)
                for waiting in batch:
                    self._run_in_savepoint(waiting, participant)
            if participant is not None:
                participant.seal(connection)
            if self._before_commit is not None:
                self._before_commit()
            self._commit(connection)
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if participant is not None:
                participant.rolled_back()
            if not _is_full(error):
                raise
            full = error if isinstance(error, StorageFull) else StorageFull()
            for waiting in batch:
                waiting.result = Failure(full)
            return
        if self._after_commit is not None:
            self._after_commit()
        if participant is not None:
            self._committed(participant)

    def _commit(self, connection: Connection) -> None:
        connection.execute("COMMIT")

    def _committed(self, participant: Participant) -> None:
        participant.committed()

    def _run_one(self, waiting: Waiting) -> None:
        try:
            waiting.result = waiting.operation(self._connection)
        except Exception:
            waiting.result = Failure()

    def _attempt(self, waiting: Waiting) -> bool:
        """Whether it succeeded; what fails the whole transaction is raised."""
        try:
            waiting.result = waiting.operation(self._connection)
        except Exception as error:
            if _ends_all(error) or not self._connection.in_transaction:
                raise
            waiting.result = Failure()
            return False
        return True

    def _run_plainly(self, batch: list[Waiting], participant: Participant | None) -> bool:
        """Run ``batch`` without savepoints; False: somebody failed and left something to undo.

        A savepoint has SQLite copy every page that is written under it. Whoever fails has
        written nothing, as a rule.
        """
        connection = self._connection
        if len(batch) == 1:
            return self._attempt(batch[0])
        if not isinstance(connection, sqlite3.Connection):
            # Nobody knows what was written: one savepoint each.
            for waiting in batch:
                self._run_in_savepoint(waiting, participant)
            return True
        for waiting in batch:
            mark = participant.mark() if participant is not None else None
            changes = connection.total_changes
            if not self._attempt(waiting):
                if connection.total_changes != changes:
                    return False
                if participant is not None:
                    participant.undo(mark)
        return True

    def _run_in_savepoint(self, waiting: Waiting, participant: Participant | None) -> None:
        connection = self._connection
        mark = participant.mark() if participant is not None else None
        connection.execute("SAVEPOINT one")
        if not self._attempt(waiting):
            connection.execute("ROLLBACK TO one")
            if participant is not None:
                participant.undo(mark)
        connection.execute("RELEASE one")


def _ends_all(error: BaseException) -> bool:
    """Whether ``error`` is the end of the whole transaction, whatever raised it."""
    return _is_full(error) or isinstance(error, Interrupted)


def _is_full(error: BaseException) -> bool:
    if isinstance(error, StorageFull):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.Error) and code is not None and code & 0xFF == 13


def take(queue: deque[Waiting], batch_max: int) -> list[Waiting]:
    """The longest run of one group at the head of ``queue``, at most ``batch_max``."""
    batch = [queue.popleft()]
    while queue and len(batch) < batch_max and queue[0].group == batch[0].group:
        batch.append(queue.popleft())
    return batch


def fire(batch: list[Waiting]) -> None:
    for waiting in batch:
        # A Failure passed to callback() starts the errback chain.
        waiting.answer.callback(waiting.result)


class ThreadWriter:
    """The writer of a real process: one thread owns the connection.

    ``on_fatal`` is called on the reactor's thread when a commit fails for another
    cause than a full disk; the process must then end (its restart recovers).
    """

    def __init__(
        self,
        connection: Connection,
        call_from_thread: Callable[..., object],
        on_fatal: Callable[[Failure], None],
        participant: Participant | None = None,
        batch_max: int = BATCH_MAX,
        name: str = "writer",
        before_commit: Callable[[], None] | None = None,
        after_commit: Callable[[], None] | None = None,
    ) -> None:
        self._connection = connection
        self._batch = Batch(connection, participant, before_commit, after_commit)
        self._call = call_from_thread
        self._on_fatal = on_fatal
        self._batch_max = batch_max
        self._queue: deque[Waiting] = deque()
        self._wake = threading.Condition()
        self._closing: Deferred[None] | None = None
        #: Operations since the log went into the database.
        self._logged = 0
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, operation: Operation[T], group: str = MAIN) -> Deferred[T]:
        if self._closing is not None:
            return fail(StorageClosed())
        if len(self._queue) >= QUEUE_MAX:
            return fail(StorageFull())
        answer: Deferred[T] = Deferred()
        with self._wake:
            self._queue.append(Waiting(operation, group, answer))
            self._wake.notify()
        return answer

    def close(self) -> Deferred[None]:
        """Run what waits, then close the connection."""
        if self._closing is None:
            self._closing = Deferred()
            with self._wake:
                self._wake.notify()
        done: Deferred[None] = Deferred()
        self._closing.addCallback(lambda result: done.callback(None))
        return done

    def _work(self) -> None:
        try:
            while True:
                with self._wake:
                    while not self._queue and self._closing is None:
                        self._wake.wait()
                    if not self._queue:
                        break
                    batch = take(self._queue, self._batch_max)
                self._batch.run(batch)
                self._call(fire, batch)
                if batch[0].group != BARE:
                    self._logged += len(batch)
                if self._logged >= CHECKPOINT_AFTER and not self._queue:
                    self._checkpoint()
            self._connection.close()
        except BaseException:
            self._call(self._on_fatal, Failure())
        finally:
            self._call(self._closed)

    def tell(self, function: Callable[..., object], *arguments: object) -> None:
        """Call ``function`` in the reactor's thread; for an operation that is under way."""
        self._call(function, *arguments)

    def _checkpoint(self) -> None:
        # By this thread: SQLite before 3.51.3 may lose a commit that meets a checkpoint elsewhere.
        self._logged = 0
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error:
            # Nothing is lost, the log has it all: tried again later, as SQLite does by itself.
            return

    def _closed(self) -> None:
        if self._closing is None:
            self._closing = Deferred()
        if not self._closing.called:
            self._closing.callback(None)


class InlineWriter:
    """A writer without a thread, on an injected clock: the simulator's, and unit tests'.

    The batch runs ``delay_s`` after its first operation, its answers one turn
    later. A hook that raises StorageFull is a full disk; one that raises anything
    else leaves everyone unanswered, as a crash at that point would.
    """

    def __init__(
        self,
        connection: Connection,
        clock: IReactorTime,
        participant: Participant | None = None,
        delay_s: Callable[[], float] = lambda: 0.0,
        before_commit: Callable[[], None] | None = None,
        after_commit: Callable[[], None] | None = None,
        batch_max: int = BATCH_MAX,
    ) -> None:
        self.connection = connection
        self._clock = clock
        self._delay_s = delay_s
        self._batch = Batch(connection, participant, before_commit, after_commit)
        self._batch_max = batch_max
        self._queue: deque[Waiting] = deque()
        self._scheduled = False
        self._closed = False

    def submit(self, operation: Operation[T], group: str = MAIN) -> Deferred[T]:
        if self._closed:
            return fail(StorageClosed())
        if len(self._queue) >= QUEUE_MAX:
            return fail(StorageFull())
        answer: Deferred[T] = Deferred()
        self._queue.append(Waiting(operation, group, answer))
        self._schedule()
        return answer

    def close(self) -> Deferred[None]:
        self._closed = True
        done: Deferred[None] = Deferred()
        self._clock.callLater(0, self._finish, done)
        return done

    def tell(self, function: Callable[..., object], *arguments: object) -> None:
        """Call ``function`` in a turn of its own, as a writer with a thread has it called."""
        self._clock.callLater(0, function, *arguments)

    def _finish(self, done: Deferred[None]) -> None:
        while self._queue:
            self._run()
        done.callback(None)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._clock.callLater(self._delay_s(), self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._queue:
            self._run()
        if self._queue:
            self._schedule()

    def _run(self) -> None:
        batch = take(self._queue, self._batch_max)
        self._batch.run(batch)
        self._clock.callLater(0, fire, batch)


class ThreadReader:
    """Reads on a connection of its own, in a thread of its own: short ones, or long ones.

    A long reader keeps SQLite's write-ahead log from being reset.
    """

    def __init__(
        self,
        connection: Connection,
        call_from_thread: Callable[..., object],
        name: str = "reader",
    ) -> None:
        self._writer = ThreadWriter(connection, call_from_thread, self._failed, name=name)

    def read(self, operation: Operation[T]) -> Deferred[T]:
        return self._writer.submit(operation, BARE)

    def tell(self, function: Callable[..., object], *arguments: object) -> None:
        self._writer.tell(function, *arguments)

    def close(self) -> Deferred[None]:
        return self._writer.close()

    @staticmethod
    def _failed(failure: Failure) -> None:
        _log.failure("the reader thread ended", failure=failure)


class InlineReader:
    """Reads through the writer's own connection, between its batches."""

    def __init__(self, writer: InlineWriter | ThreadWriter) -> None:
        self._writer = writer

    def read(self, operation: Operation[T]) -> Deferred[T]:
        return self._writer.submit(operation, BARE)

    def tell(self, function: Callable[..., object], *arguments: object) -> None:
        self._writer.tell(function, *arguments)

    def close(self) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done


class Reader(Protocol):
    """What stores need of a reader."""

    def read(self, operation: Operation[T]) -> Deferred[T]: ...

    def tell(self, function: Callable[..., object], *arguments: object) -> None:
        """Call ``function`` in the reactor's thread; for an operation that is under way."""

    def close(self) -> Deferred[None]: ...


def result_of(clock: Clock, work: Deferred[Any]) -> Any:
    """What ``work`` comes to, on inline writers that run by ``clock``; its error is raised."""
    results: list[Any] = []
    work.addBoth(results.append)
    while not results:
        clock.advance(0)
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]
