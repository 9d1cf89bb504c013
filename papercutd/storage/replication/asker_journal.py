"""What the journals of all askers are made of: chained records, and who writes them.

A print provider and a device each have one. A transaction is a record of what happened and
the tables that follow from it. A server compares number and chain at every connection:
what was restored or cloned is found out (design 4.12).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import attrs
import msgspec
from twisted.internet.defer import Deferred

from papercutd.domain.chain import CHAIN_START, Mark, check_chain, next_chain
from papercutd.points import passing
from papercutd.storage.engine import Connection
from papercutd.storage.proof.seals import legible, verify_seals
from papercutd.storage.replication.replicated import digest_of
from papercutd.storage.sqlite.writer import BARE, SqliteWriter

T = TypeVar("T")
_ENCODE = msgspec.json.Encoder().encode


@attrs.frozen
class Identity:
    """Name, journal id and head."""

    name: str
    journal: str
    replaces: str
    mark: Mark


def create_journal(connection: Connection, name: str, journal: str) -> None:
    """Fill an empty journal with its identity."""
    connection.execute(
        "INSERT OR IGNORE INTO identity (one, name, journal, replaces, number, chain,"
        " pruned_chain) VALUES (1, ?, ?, '', 0, ?, ?)",
        (name, journal, CHAIN_START, CHAIN_START),
    )


class AskerJournal:
    """A journal over one writer; what is in its tables is its heir's business."""

    def __init__(self, writer: SqliteWriter, wall_s: Callable[[], float]) -> None:
        self._writer = writer
        self._wall_s = wall_s
        #: The newest record known to be on the disk; None before the first of this process.
        self.head: Mark | None = None

    async def close(self) -> None:
        await self._writer.close()

    def read(self, operation: Callable[[Connection], T]) -> Deferred[T]:
        return self._writer.submit(operation, BARE)

    def _write(
        self, what: str, fields: dict[str, Any], change: Callable[[Connection, int], T]
    ) -> Deferred[T]:
        """One transaction: the record of ``what``, then ``change(connection, number)``."""
        written: list[Mark] = []

        def write(connection: Connection) -> T:
            written.append(append(connection, what, fields, self._wall_s()))
            result = change(connection, written[-1].number)
            passing(f"write.{what}")
            return result

        def committed(result: T) -> T:
            # Deferreds fire in the order of the commits.
            self.head = written[-1]
            passing(f"written.{what}")
            return result

        return self._writer.submit(write).addCallback(committed)

    def identity(self) -> Deferred[Identity]:
        return self.read(read_identity)

    def chain_at(self, number: int) -> Deferred[str | None]:
        """The chain at record ``number``; None: there is none."""
        return self.read(lambda c: read_chain(c, number))

    def is_ours(self, mark: Mark) -> Deferred[bool]:
        """Whether nothing speaks against ``mark`` being a place in this journal."""
        return self.read(lambda c: read_is_ours(c, mark))

    def take_new_journal(self, journal: str) -> Deferred[None]:
        """This journal was restored or cloned: a new id; nothing is voided by it."""

        def take(connection: Connection, number: int) -> None:
            connection.execute("UPDATE identity SET replaces = journal, journal = ?", (journal,))

        return self._write("new-journal", {"journal": journal}, take)

    def keep_setting(self, name: str, value: Any) -> Deferred[None]:
        """What servers said, to be had after a restart."""
        body = _ENCODE(value)

        def keep(connection: Connection, number: int) -> None:
            connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, body))

        return self._write("setting", {"name": name}, keep)

    def setting(self, name: str) -> Deferred[bytes | None]:
        def read(connection: Connection) -> bytes | None:
            found = connection.execute(
                "SELECT body FROM setting WHERE name = ?", (name,)
            ).fetchone()
            return None if found is None else bytes(found[0])

        return self.read(read)


def append(connection: Connection, what: str, fields: dict[str, Any], wall_s: float) -> Mark:
    """Write one chained record; its number and the chain there."""
    number, chain = connection.execute("SELECT number, chain FROM identity").fetchone()
    body = _ENCODE({"what": what, **fields}).decode()
    number += 1
    chain = next_chain(chain, body.encode())
    connection.execute(
        "INSERT INTO record (number, body, chain, written_at, seal) VALUES (?, ?, ?, ?, ?)",
        (number, body, chain, wall_s, digest_of((wall_s,))),
    )
    connection.execute("UPDATE identity SET number = ?, chain = ?", (number, chain))
    return Mark(int(number), chain)


def read_identity(connection: Connection) -> Identity:
    name, journal, replaces, number, chain = connection.execute(
        "SELECT name, journal, replaces, number, chain FROM identity"
    ).fetchone()
    return Identity(name, journal, replaces, Mark(number, chain))


def read_chain(connection: Connection, number: int) -> str | None:
    if number == 0:
        return CHAIN_START
    found = connection.execute("SELECT chain FROM record WHERE number = ?", (number,)).fetchone()
    return None if found is None else str(found[0])


def read_is_ours(connection: Connection, mark: Mark) -> bool:
    """False when the journal is shorter than ``mark`` or has another chain there.

    Of what was pruned nothing is known any more, and nothing is held against it.
    """
    pruned, pruned_chain = connection.execute(
        "SELECT pruned, pruned_chain FROM identity"
    ).fetchone()
    if mark.number <= pruned:
        return mark.number < pruned or mark.chain == (pruned_chain or CHAIN_START)
    return read_chain(connection, mark.number) == mark.chain


def forget_up_to(connection: Connection, number: int) -> None:
    """Forget the records before ``number``; the chain where they end is kept."""
    last = connection.execute(
        "SELECT number, chain FROM record WHERE number < ? ORDER BY number DESC LIMIT 1", (number,)
    ).fetchone()
    if last is not None:
        connection.execute("UPDATE identity SET pruned = ?, pruned_chain = ?", last)
        connection.execute("DELETE FROM record WHERE number <= ?", (last[0],))


def verify_journal(connection: Connection) -> list[str]:
    """Problems of the records: gaps, bytes that were changed, another head."""
    with legible(connection):
        return _verify_journal(connection)


def _verify_journal(connection: Connection) -> list[str]:
    pruned, chain = connection.execute("SELECT pruned, pruned_chain FROM identity").fetchone()
    rows = connection.execute(
        "SELECT number, CAST(body AS BLOB), chain FROM record ORDER BY number"
    )
    before = Mark(pruned, chain or CHAIN_START)
    problems, end = check_chain(rows, before, "journal", "record", "records")
    problems += verify_seals(connection, "record", ("written_at",))
    head = connection.execute("SELECT number, chain FROM identity").fetchone()
    if head != (end.number, end.chain):
        problems.append(f"journal: the head says {head[0]}, the records {end.number}")
    return problems
