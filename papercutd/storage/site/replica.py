"""The replica of a site: numbered files, one in force, another being filled.

A row of the journal says which is in force; a file that is not is scrap from an
interrupted snapshot, gone on with or thrown away.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from papercutd.domain.chain import CHAIN_START, Position
from papercutd.storage.engine import Connection, is_sqlite
from papercutd.storage.postgres import schemas
from papercutd.storage.replication.replicated import Replicated
from papercutd.storage.site.applying import apply_rows
from papercutd.storage.site.loading import load_rows
from papercutd.storage.sqlite.migrate import migrate, set_durable

IN_FORCE = "replica"
INCOMING = "incoming"
LOADING_KIB = 32_000
#: Rows of the lag history kept.
APPLIED_MAX = 20_000
#: Adjustments kept: as many as came by so many changes, and no more than this.
ADJUSTED_MAX = 20_000
#: Changes for which a charge is remembered whose key was not decided here: no answer of
#: ours is so much later than another server's.
CHARGED_EARLY_MAX = 2_000


class ReplicaFiles(Protocol):
    """Where replica ``number`` lies, as ATTACH wants it."""

    def path(self, number: int) -> str: ...
    def remove(self, number: int) -> None: ...


class Directory:
    """Replica files beside the journal."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def path(self, number: int) -> str:
        return os.path.join(self._directory, f"replica-{number}.db")

    def remove(self, number: int) -> None:
        for ending in ("", "-wal", "-shm"):
            try:
                os.unlink(self.path(number) + ending)
            except FileNotFoundError:
                pass


class Memory:
    """Replicas in shared memory databases, for tests and the simulator."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._keepers: dict[int, sqlite3.Connection] = {}

    def path(self, number: int) -> str:
        path = f"file:{self._name}-replica-{number}?mode=memory&cache=shared"
        if number not in self._keepers:
            self._keepers[number] = sqlite3.connect(path, uri=True, check_same_thread=False)
        return path

    def remove(self, number: int) -> None:
        keeper = self._keepers.pop(number, None)
        if keeper is not None:
            keeper.close()


def _attach(connection: Connection, files: ReplicaFiles, number: int, database: str) -> bool:
    if not is_sqlite(connection):
        return schemas.attach(connection, database)
    connection.execute(f"ATTACH DATABASE ? AS {database}", (files.path(number),))
    set_durable(connection, database)
    if database == INCOMING:
        # Its keys come in no order: what they are put into had better be in memory.
        connection.execute(f"PRAGMA {database}.cache_size = -{LOADING_KIB}")
        # Nobody is told of a part: after a crash it is whole up to some chunk, and goes on.
        connection.execute(f"PRAGMA {database}.synchronous = NORMAL")
    return migrate(connection, files.path(number), "replica", database)


def is_attached(connection: Connection, database: str) -> bool:
    """Whether there is a replica as ``database`` on this connection."""
    if not is_sqlite(connection):
        return schemas.is_attached(connection, database)
    return database in {row[1] for row in connection.execute("PRAGMA database_list")}


def drop(connection: Connection, files: ReplicaFiles, number: int, database: str) -> None:
    """Replica ``number``, attached as ``database``, is no more."""
    if not is_sqlite(connection):
        schemas.drop(connection, database)
        return
    connection.execute(f"DETACH DATABASE {database}")
    files.remove(number)


def attach(connection: Connection, files: ReplicaFiles, number: int, database: str) -> None:
    """Attach replica ``number`` as ``database``, made if need be.

    One of an older release lacks what newer columns hold at the centre: it goes on
    serving with its position unchained, which gives a new snapshot; one that was
    being filled begins anew.
    """
    if _attach(connection, files, number, database):
        if database == INCOMING:
            drop(connection, files, number, database)
            _attach(connection, files, number, database)
        else:
            connection.execute(f"UPDATE {database}.position SET chain = ''")
    connection.execute(
        f"INSERT INTO {database}.position (one, timeline, number, chain)"
        " VALUES (1, 0, 0, ?) ON CONFLICT DO NOTHING",
        (CHAIN_START,),
    )


def name_incoming(connection: Connection) -> None:
    """From this transaction on the incoming replica is the one in force."""
    connection.execute("UPDATE identity SET replica = replica + 1")
    if not is_sqlite(connection):
        schemas.put_in_force(connection)


def swap(connection: Connection, files: ReplicaFiles) -> None:
    """Attach the replica that was named in place of the one before it."""
    if not is_sqlite(connection):
        return
    (number,) = connection.execute("SELECT replica FROM identity").fetchone()
    connection.execute(f"DETACH DATABASE {INCOMING}")
    connection.execute(f"DETACH DATABASE {IN_FORCE}")
    files.remove(number - 1)
    attach(connection, files, number, IN_FORCE)


def read_position(connection: Connection, database: str = IN_FORCE) -> Position | None:
    """The replica's position; None before its first snapshot."""
    timeline, number, chain, complete = connection.execute(
        f"SELECT timeline, number, chain, complete FROM {database}.position"
    ).fetchone()
    return Position(timeline, number, chain) if complete else None


def read_version(connection: Connection) -> int:
    """The version of the wire by which the replica in force came."""
    return int(connection.execute(f"SELECT version FROM {IN_FORCE}.position").fetchone()[0])


def apply_batch(
    connection: Connection,
    rows: Iterable[Sequence[Any]],
    position: Position,
    committed_at: float,
    applied_at: float,
) -> None:
    """Apply one batch of changes, of one transaction or of several: rows and position together."""
    (before,) = connection.execute("SELECT number FROM replica.position").fetchone()
    apply_rows(connection, IN_FORCE, rows, position.number)
    connection.execute(
        "UPDATE replica.position SET timeline = ?, number = ?, chain = ?",
        (position.timeline, position.number, position.chain),
    )
    connection.execute(
        "INSERT INTO replica.applied VALUES (?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET"
        " committed_at = excluded.committed_at, applied_at = excluded.applied_at,"
        " chain = excluded.chain",
        (position.number, committed_at, applied_at, position.chain),
    )
    if position.number // 100 > before // 100:
        for table in ("applied", "gone", "adjusted"):
            connection.execute(
                f"DELETE FROM replica.{table} WHERE number < ?", (position.number - APPLIED_MAX,)
            )
        connection.execute(
            "DELETE FROM replica.adjusted WHERE number <= (SELECT number FROM replica.adjusted"
            f" ORDER BY number DESC LIMIT 1 OFFSET {ADJUSTED_MAX})"
        )
        _forget_charges(connection, position.number - CHARGED_EARLY_MAX)


def _forget_charges(connection: Connection, before: int) -> None:
    """Keep of the charges before that change those of keys decided here."""
    connection.execute(
        "DELETE FROM replica.charged WHERE number > 0 AND number < ?"
        " AND key NOT IN (SELECT key FROM decision)",
        (before,),
    )
    connection.execute(
        "UPDATE replica.charged SET number = 0 WHERE number > 0 AND number < ?", (before,)
    )


def drop_illegible(connection: Connection, spec: Replicated) -> list[str]:
    """Delete the rows of the replica in force whose key is not UTF-8; their keys as far as read."""
    if not isinstance(spec.first_key, str):
        return []
    if not is_sqlite(connection):
        # PostgreSQL itself holds no others.
        return []
    keys = connection.execute(f"SELECT CAST({spec.key} AS BLOB) FROM {IN_FORCE}.{spec.table}")
    bad = [key for (key,) in keys if key.decode("utf-8", "replace").encode() != key]
    for key in bad:
        connection.execute(
            f"DELETE FROM {IN_FORCE}.{spec.table} WHERE {spec.key} = CAST(? AS TEXT)", (key,)
        )
    return [key.decode("utf-8", "replace") for key in bad]


def load_chunk(
    connection: Connection, snapshot: str, index: int, rows: Iterable[Sequence[Any]]
) -> None:
    """Chunks of a snapshot up to ``index`` into the incoming replica; with them, how far it is."""
    load_rows(connection, INCOMING, rows)
    connection.execute(
        "UPDATE incoming.position SET snapshot = ?, next_chunk = ?", (snapshot, index + 1)
    )


def snapshot_progress(connection: Connection) -> tuple[str, int]:
    """(snapshot, next chunk) of the incoming replica."""
    snapshot, following = connection.execute(
        "SELECT snapshot, next_chunk FROM incoming.position"
    ).fetchone()
    # Less than 0: whole, as ``finish_snapshot`` left it.
    return (str(snapshot), int(following if following >= 0 else -1 - following))


def make_durable(connection: Connection) -> None:
    """From the next commit on, with which all before it is on the disk; not in a transaction."""
    if is_sqlite(connection):
        connection.execute(f"PRAGMA {INCOMING}.synchronous = FULL")


def finish_snapshot(connection: Connection, position: Position, version: int) -> None:
    """All chunks are in: the incoming replica is whole at ``position``, and came by ``version``.

    Its rows are still to be sealed (sealing.py).
    """
    connection.execute(
        "UPDATE incoming.position SET timeline = ?1, number = ?2, chain = ?3, complete = 1,"
        " version = ?4, first = ?2, first_chain = ?3,"
        " next_chunk = CASE WHEN next_chunk < 0 THEN next_chunk ELSE -1 - next_chunk END",
        (position.timeline, position.number, position.chain, version),
    )
