"""A site's journal: contiguous within its stream, chained, never replaced."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from papercutd.domain.chain import MARK_START, Mark, check_chain, next_chain
from papercutd.storage.engine import Connection
from papercutd.storage.paging import rows_in_order
from papercutd.storage.proof.seals import legible, verify_seals
from papercutd.storage.replication.replicated import digest_of
from papercutd.storage.site import replica
from papercutd.storage.values import JournalBatch, SiteIdentity


def append_body(connection: Connection, body: str, wall_s: float) -> int:
    """Write one chained record; its number."""
    stream, number, chain = connection.execute(
        "SELECT stream, number, chain FROM identity"
    ).fetchone()
    number += 1
    chain = next_chain(chain, body.encode())
    connection.execute(
        "INSERT INTO journal (number, stream, body, chain, written_at, seal)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (number, stream, body, chain, wall_s, digest_of((stream, wall_s))),
    )
    connection.execute("UPDATE identity SET number = ?, chain = ?", (number, chain))
    return int(number)


def current_stream(connection: Connection) -> str:
    """The stream under way: what this site's decisions name as decider."""
    return str(connection.execute("SELECT stream FROM identity").fetchone()[0])


def read_identity(connection: Connection) -> SiteIdentity:
    """Who this site is and how far it has come."""
    site, stream, number, chain, acked, acked_chain, replaces = connection.execute(
        "SELECT site, stream, number, chain, acked, acked_chain, replaces FROM identity"
    ).fetchone()
    return SiteIdentity(
        site,
        stream,
        Mark(number, chain),
        Mark(acked, acked_chain),
        replaces,
        replica.read_position(connection),
        replica.read_version(connection),
    )


def read_mark(connection: Connection) -> Mark:
    """The newest record."""
    return Mark(*connection.execute("SELECT number, chain FROM identity").fetchone())


def read_chain(connection: Connection, number: int) -> str | None:
    """The chain at record ``number`` of the current stream; None: there is none such."""
    if number == 0:
        return MARK_START.chain
    found = connection.execute("SELECT chain FROM journal WHERE number = ?", (number,)).fetchone()
    return None if found is None else str(found[0])


def read_journal(
    connection: Connection, mark: Mark, records_max: int, bytes_max: int
) -> JournalBatch:
    """Records after ``mark``."""
    records: list[str] = []
    size = 0
    for (body,) in connection.execute(
        "SELECT body FROM journal WHERE number > ? ORDER BY number LIMIT ?",
        (mark.number, records_max),
    ):
        # Quotes and backslashes of a record double on the wire.
        size += len(body.encode()) + body.count('"') + body.count("\\") + 3
        if records and size > bytes_max:
            break
        records.append(body)
    head = connection.execute("SELECT number, chain FROM identity").fetchone()
    return JournalBatch(mark, records, Mark(*head))


def verify_journal(connection: Connection) -> list[str]:
    """Problems of the journal: gaps, records whose bytes were changed, another head."""
    with legible(connection):
        return _verify_journal(connection)


def _verify_journal(connection: Connection) -> list[str]:
    rows: Iterator[Any] = rows_in_order(
        connection, "journal", "number", "number, CAST(body AS BLOB), chain"
    )
    problems, end = check_chain(rows, MARK_START, "journal", "record", "records")
    problems += verify_seals(connection, "journal", ("stream", "written_at"))
    head = connection.execute("SELECT number, chain FROM identity").fetchone()
    if head != (end.number, end.chain):
        problems.append(f"journal: the head says {head[0]}, the records {end.number}")
    return problems
