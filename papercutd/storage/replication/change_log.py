"""The change log: what every transaction of the application server changed, in order.

It takes part in each transaction of the writer: operations name the rows they
touched, and at its end the rows are read once, as they then stand, and written
as one chained entry. The number comes from the head row, which this
transaction holds: order of numbers is order of visibility, without gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from papercutd.domain.chain import (
    CHAIN_START,
    MARK_START,
    Mark,
    Position,
    check_chain,
    next_chain,
)
from papercutd.domain.lost_edit import ADJUSTED
from papercutd.domain.site_scope import Key, Owner
from papercutd.storage.engine import Connection, execute_all
from papercutd.storage.paging import read_log
from papercutd.storage.proof.seals import Written, take_seals, watch, written_of
from papercutd.storage.replication.replicated import CHARGE, Row, read_rows


@attrs.frozen
class Change:
    """One entry of the log: one transaction."""

    position: Position
    rows: list[Row]
    committed_at: float
    #: Of (table, key) whose that row was until then, where its columns do not say so.
    owners: Mapping[tuple[str, Key], Sequence[Owner]] = attrs.field(factory=dict)


class ChangeLog:
    """The participant of the application server's writer."""

    def __init__(
        self, wall_s: Callable[[], float], on_commit: Callable[[Change], None] = lambda change: None
    ) -> None:
        self._wall_s = wall_s
        #: Called after each commit that changed something, on the writer's thread.
        self.on_commit = on_commit
        self._touched: dict[tuple[str, int | str], None] = {}
        self._charged: list[str] = []
        self._owners: dict[tuple[str, Key], list[Owner]] = {}
        self._adjusted: list[Row] = []
        self._has_mark = False
        self._written: Change | None = None
        #: The number that the transaction under way will have.
        self.number = 0
        self._timeline = 1
        self._chain = CHAIN_START
        self._watched: Connection | None = None
        self._ledger: Written | None = None
        #: The newest that is known to be committed; None: nothing yet.
        self.last: Position | None = None

    @property
    def position_text(self) -> str:
        """``timeline.number`` of the transaction under way."""
        return f"{self._timeline}.{self.number}"

    def touch(self, table: str, key: int | str, *was: Owner) -> None:
        """This transaction changed that row; ``was``: whose it was, of one removed or moved."""
        self._touched[(table, key)] = None
        if was:
            self._owners.setdefault((table, key), []).extend(was)

    def charged(self, key: str, asker: str) -> None:
        """This transaction settled ``key``: posted its charge, or ended it without paper.

        ``asker``: the print provider or device whose job it is.
        """
        self._charged.append(key)
        self._owners[CHARGE, key] = [("asker", asker)]

    def adjusted(self, transfer: int, account: int, amount_e4: int, reason: str, at: float) -> None:
        """In this transaction an administrator gave, or (negative) took, money."""
        columns = {"account": account, "amount_e4": amount_e4, "reason": reason, "at": at}
        self._adjusted.append((ADJUSTED, transfer, columns))

    def place(self) -> None:
        """This transaction has an entry, be it empty: its number marks a place in the history."""
        self._has_mark = True

    def begin_timeline(self, timeline: int) -> None:
        """This transaction is the first of ``timeline``."""
        self._timeline = timeline
        self._has_mark = True

    # As a Participant of the writer.

    def begin(self, connection: Connection) -> None:
        self._touched.clear()
        self._charged.clear()
        self._owners.clear()
        self._adjusted.clear()
        self._has_mark = False
        self._written = None
        if self._watched is not connection:
            watch(connection)
            self._watched = connection
        self._ledger = written_of(connection)
        if self._ledger is not None:
            self._ledger.clear()
        timeline, number, chain = connection.execute(
            "SELECT timeline, number, chain FROM head"
        ).fetchone()
        self._timeline, self.number, self._chain = timeline, number + 1, chain
        self.last = Position(timeline, number, chain)

    def mark(self) -> object:
        ledger = None if self._ledger is None else self._ledger.mark()
        return len(self._charged), len(self._adjusted), ledger

    def undo(self, mark: object) -> None:
        # Rows touched in vain are read again as they are: no harm.
        assert isinstance(mark, tuple)
        charged, adjusted, ledger = mark
        del self._charged[charged:]
        del self._adjusted[adjusted:]
        if self._ledger is not None:
            self._ledger.undo(ledger)

    def seal(self, connection: Connection) -> None:
        seals = take_seals(connection, self.number)
        if not self._touched and not self._charged and not self._has_mark and not seals:
            return
        rows = read_rows(connection, self._touched)
        rows.extend((CHARGE, key, {}) for key in self._charged)
        rows.extend(self._adjusted)
        body = msgspec.json.encode([self._written_row(row) for row in rows])
        committed_at = self._wall_s()
        seal = msgspec.json.encode((self._timeline, committed_at, seals))
        chain = next_chain(self._chain, body + seal)
        entry = (self.number, self._timeline, body, chain, committed_at, seal)
        execute_all(
            connection,
            [
                (
                    "INSERT INTO change_log (number, timeline, body, chain, committed_at, seal)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    entry,
                ),
                ("UPDATE head SET number = ?, chain = ?", (self.number, chain)),
            ],
        )
        position = Position(self._timeline, self.number, chain)
        self._written = Change(position, rows, committed_at, dict(self._owners))

    def _written_row(self, row: Row) -> tuple[Any, ...]:
        """As the log has it: with whose it was, where that is to be known."""
        owners = self._owners.get(row[:2])
        return row if owners is None else (*row, owners)

    def committed(self) -> None:
        if self._written is not None:
            written, self._written = self._written, None
            self.last = written.position
            self.on_commit(written)

    def rolled_back(self) -> None:
        self._written = None
        # The triggers may have been made in that transaction.
        self._watched = None


def read_head(connection: Connection) -> Position:
    """Where the history stands."""
    return Position(*connection.execute("SELECT timeline, number, chain FROM head").fetchone())


def in_history(connection: Connection, position: Position) -> bool:
    """Whether ``position`` is one of ours: same number, timeline and chain."""
    if position.number == 0:
        return position.chain == CHAIN_START
    found = connection.execute(
        "SELECT timeline, chain FROM change_log WHERE number = ?", (position.number,)
    ).fetchone()
    return found is not None and found == (position.timeline, position.chain)


def newest_shared(connection: Connection, places: Sequence[Mark]) -> int:
    """The number of the newest of ``places`` that is in our history too; 0: none is.

    What was forgotten of the log says nothing against a place.
    """
    (oldest,) = connection.execute("SELECT MIN(number) FROM change_log").fetchone()
    for place in sorted(places, key=lambda one: one.number, reverse=True):
        found = connection.execute(
            "SELECT chain FROM change_log WHERE number = ?", (place.number,)
        ).fetchone()
        if found == (place.chain,) or (oldest is not None and place.number < oldest):
            return place.number
    return 0


def read_changes(
    connection: Connection, after: int, entries_max: int, bytes_max: int
) -> list[Change]:
    """The entries after number ``after``, at least one where there is one."""
    changes: list[Change] = []
    size = 0
    for number, timeline, body, chain, committed_at in connection.execute(
        "SELECT number, timeline, body, chain, committed_at FROM change_log"
        " WHERE number > ? ORDER BY number LIMIT ?",
        (after, entries_max),
    ):
        size += len(body)
        if changes and size > bytes_max:
            break
        written = msgspec.json.decode(body)
        rows = [(row[0], row[1], row[2]) for row in written]
        owners = {
            (row[0], row[1]): [(kind, id) for kind, id in row[3]] for row in written if len(row) > 3
        }
        position = Position(timeline, number, chain)
        changes.append(Change(position, rows, committed_at, owners))
    return changes


def verify_chain(
    connection: Connection, told: Callable[[int, int], None] = lambda done, of: None
) -> list[str]:
    """Problems of the whole log: gaps, entries whose bytes were changed, another head.

    ``told``: entries done, of all.
    """
    problems = []

    def rows() -> Iterator[tuple[int, bytes, str]]:
        (of,) = connection.execute("SELECT COALESCE(MAX(number), 0) FROM change_log").fetchone()
        for number, timeline, body, chain, committed_at, seal in read_log(
            connection, "timeline, body, chain, committed_at, seal"
        ):
            told(number, of)
            if seal and not _says(seal, timeline, committed_at):
                problems.append(f"change log: entry {number} has another time than was written")
            yield number, body + seal, chain

    found, end = check_chain(rows(), MARK_START, "change log", "entry", "entries")
    problems += found
    head = read_head(connection)
    if (head.number, head.chain) != (end.number, end.chain):
        problems.append(f"change log: the head says {head.number}, the log {end.number}")
    return problems


def _says(seal: bytes, timeline: int, committed_at: float) -> bool:
    try:
        said, at, _ = msgspec.json.decode(seal)
    except (ValueError, TypeError):
        return False
    return bool((said, at) == (timeline, committed_at))
