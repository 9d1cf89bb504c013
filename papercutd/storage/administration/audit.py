"""The audit: an entry for each administrative act, in the transaction of the act itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred

from papercutd.storage.administration.acts import Act
from papercutd.storage.administration.directory import Directory
from papercutd.storage.administration.listings import PAGE_ROWS, Row, rows
from papercutd.storage.administration.rule_store import Transactions
from papercutd.storage.administration.subjects import differences, read_subjects
from papercutd.storage.engine import Connection
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.sqlite.writer import SqliteWriter

T = TypeVar("T")
DONE = "done"
#: Entries of one act that takes several transactions.
ENTRIES_MAX = 20
_SHOWN = "id, act, at, who, place, operation, arguments, was, became, outcome"


def add_entry(
    connection: Connection, log: ChangeLog, act: Act, was: str, became: str, outcome: str
) -> None:
    """Nobody changes it afterwards: the triggers see to that, and the seals tell."""
    connection.execute(
        "INSERT INTO audit (act, at, who, place, operation, arguments, was, became, outcome,"
        " number) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(act.id, act.at, act.who, act.place, act.operation, act.arguments),
            *(was, became, outcome, log.number),
        ),
    )


def read_entries(
    connection: Connection,
    since: float,
    who: str,
    operation: str,
    before: tuple[float, int] | None,
    count_max: int = PAGE_ROWS,
) -> list[Row]:
    """Entries from ``since`` on, the newest first, those older than ``before`` (at, id)."""
    conditions, values = ["at >= ?"], [since]
    given: list[object] = [*values]
    for column, value in (("who", who), ("operation", operation)):
        if value:
            conditions.append(f"{column} = ?")
            given.append(value)
    if before is not None:
        conditions.append("(at, id) < (?, ?)")
        given += before
    return rows(
        connection,
        f"SELECT {_SHOWN} FROM audit WHERE {' AND '.join(conditions)}"
        " ORDER BY at DESC, id DESC LIMIT ?",
        *given,
        count_max,
    )


class AuditStore:
    """Each method is one transaction, or one read beside the writer."""

    def __init__(
        self, store: Transactions, writer: SqliteWriter, log: ChangeLog, directory: Directory
    ) -> None:
        self._store = store
        self._writer = writer
        self._log = log
        self._directory = directory

    def write(self, act: Act, operation: Callable[[Connection], T]) -> Deferred[T]:
        """Run ``operation`` and add the entry of ``act`` in one transaction.

        The first transaction of an act has one, a later one where a row it is about changed.
        """

        def audited(connection: Connection) -> tuple[T, bool]:
            before = read_subjects(connection, self._directory, act, {})
            result = operation(connection)
            after = read_subjects(connection, self._directory, act, before)
            was, became = differences(before, after)
            is_told = not act.entries or (bool(became) and act.entries < ENTRIES_MAX)
            if is_told:
                add_entry(connection, self._log, act, was, became, DONE)
            return result, is_told

        def written(done: tuple[T, bool]) -> T:
            # Not before: the transaction may be run again from its start.
            act.entries += done[1]
            return done[0]

        return self._writer.submit(audited).addCallback(written)

    def add(self, act: Act, outcome: str) -> Deferred[None]:
        """An entry by itself: of an act without a transaction, or of one that was refused."""
        return self._store.write(
            lambda connection: add_entry(connection, self._log, act, "", "", outcome)
        )

    def entries(
        self, since: float, who: str, operation: str, before: tuple[float, int] | None
    ) -> Deferred[list[Row]]:
        """See ``read_entries``."""
        return self._store.read(lambda c: read_entries(c, since, who, operation, before))
