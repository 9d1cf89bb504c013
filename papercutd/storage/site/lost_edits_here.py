"""At a site: edits that its former replica has and a restored application server has not.

Both replicas are attached when this is looked up, the former one in force still. Rows are
compared that came by a change which the application server's history shares no more; of a
former replica whose own snapshot was taken in that part of the history, all of its rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

from twisted.logger import Logger

from papercutd.domain.chain import Mark, Position
from papercutd.domain.lost_edit import (
    ADJUSTED,
    ADJUSTED_COLUMNS,
    EDITS_MAX,
    NAME_LENGTH_MAX,
    WATCHED,
    Edit,
    Key,
    Lost,
    Watched,
    clipped,
    printable,
)
from papercutd.storage.engine import Connection, is_sqlite
from papercutd.storage.proof.seals import legible
from papercutd.storage.replication.records import LOST_EDITS, Record, encode_record
from papercutd.storage.replication.replicated import TABLES
from papercutd.storage.site.replica import IN_FORCE, INCOMING, read_position, read_version
from papercutd.storage.site.site_journal import append_body, current_stream

_log = Logger()
#: Characters of the edits of one record: with the quotes doubled its line stays in bounds.
_RECORD_LENGTH = 8_000
#: Whose a row is, in words: of the row ``id`` and ``user`` are looked up in the same replica.
_NAMED = {
    "card": "SELECT name FROM {0}.user WHERE id = ?",
    "price": "SELECT 'version ' || ?",
    "group_member": "SELECT (SELECT name FROM {0}.user_group WHERE id = ?1)"
    " || ': ' || (SELECT name FROM {0}.user WHERE id = ?2)",
    "group_nested": "SELECT (SELECT name FROM {0}.user_group WHERE id = ?1)"
    " || ' > ' || (SELECT name FROM {0}.user_group WHERE id = ?2)",
    "shared_account": "SELECT name FROM {0}.account WHERE id = ?",
    "account_access": "SELECT (SELECT name FROM {0}.account WHERE id = ?1) || ': ' ||"
    " COALESCE((SELECT name FROM {0}.user WHERE id = ?2),"
    " (SELECT name FROM {0}.user_group WHERE id = ?3))",
    "site_policy": "SELECT ?3 || COALESCE(' at ' || (SELECT name FROM {0}.site WHERE id = ?1), '')"
    " || COALESCE(' for ' || (SELECT name FROM {0}.user_group WHERE id = ?2), '')",
    "new_user_rule": "SELECT CASE WHEN ? = 0 THEN 'new users' END",
    "revocation": "SELECT ?1 || ' ' || ?2",
    ADJUSTED: "SELECT name FROM {0}.account WHERE id = ?",
}
_NAMED_BY = {
    "card": ("user",),
    "price": ("version",),
    "group_member": ("user_group", "user"),
    "group_nested": ("parent", "child"),
    "shared_account": ("id",),
    "account_access": ("account", "user", "user_group"),
    "site_policy": ("site", "user_group", "knob"),
    "new_user_rule": ("user_group",),
    "revocation": ("role", "name"),
    ADJUSTED: ("account",),
}


def read_places(
    connection: Connection, above: int, below: int | None, count_max: int
) -> list[Mark]:
    """Places of the replica's history between two numbers, evenly spaced, in order.

    All that are known there, where they are no more than ``count_max``.
    """
    known = dict(
        connection.execute(
            f"SELECT number, chain FROM {IN_FORCE}.applied WHERE chain <> '' UNION"
            f" SELECT first, first_chain FROM {IN_FORCE}.position WHERE first_chain <> ''"
        )
    )
    numbers = sorted(n for n in known if n > above and (below is None or n < below))
    step = -(-len(numbers) // count_max) or 1
    return [Mark(number, known[number]) for number in numbers[step - 1 :: step]]


def journal_lost_edits(connection: Connection, new: Position, common: int, wall_s: float) -> int:
    """Journal what the replica in force has beyond change ``common`` and the incoming one,
    which is at ``new``, has not; the number of records.
    """
    old = read_position(connection)
    if old is None or old.timeline >= new.timeline or old.number <= common:
        return 0
    try:
        with legible(connection):
            lost = find_lost(connection, common)
    except sqlite3.DatabaseError as error:
        # A replica that is damaged so much tells nothing, and is replaced all the same.
        _log.error("the former replica cannot be compared: {error}", error=str(error))
        return 0
    name = f"{current_stream(connection)}:{new.timeline}.{new.number}"
    count = 0
    for count, part in enumerate(_parts(lost), 1):
        record = Record(LOST_EDITS, f"{name}:{count}", old.text, wall_s, lost=part)
        append_body(connection, encode_record(record), wall_s)
    return count


def _parts(lost: Lost) -> Iterator[Lost]:
    """``lost`` in records of bounded size; the last one says what was omitted."""
    part: list[Edit] = []
    size = 0
    for edit in lost.edits:
        length = len(repr(edit))
        if part and size + length > _RECORD_LENGTH:
            yield Lost(tuple(part))
            part, size = [], 0
        part.append(edit)
        size += length
    if part or lost.omitted:
        yield Lost(tuple(part), lost.omitted)


def find_lost(connection: Connection, common: int) -> Lost:
    """What is lost, the most important first; what does not fit is counted."""
    (first,) = connection.execute(f"SELECT first FROM {IN_FORCE}.position").fetchone()
    of_snapshot = first is None or first > common
    kept: list[Edit] = []
    count = 0
    for edit in _all(connection, common, of_snapshot):
        count += 1
        if len(kept) < EDITS_MAX:
            kept.append(edit)
    return Lost(tuple(kept), count - len(kept))


def _all(connection: Connection, common: int, of_snapshot: bool) -> Iterator[Edit]:
    version = read_version(connection)
    for watched in WATCHED:
        spec = TABLES[watched.table]
        if spec.since > version:
            continue
        columns = spec.columns_at(version)
        hidden = watched.hidden(spec.key, columns)
        shown = tuple(column for column in watched.shown if column in columns)
        if shown or hidden:
            yield from _changed(connection, watched, shown, hidden, common, of_snapshot)
            yield from _removed(connection, watched, common)
        if watched.table == "account":
            if "name" in watched.shown:
                yield from _adjusted(connection, common)
            elif of_snapshot:
                yield from _credited(connection, common)


def _changed(
    connection: Connection,
    watched: Watched,
    shown: Sequence[str],
    hidden: Sequence[str],
    common: int,
    of_snapshot: bool,
) -> Iterator[Edit]:
    """Rows that are there no more, or otherwise."""
    key = TABLES[watched.table].key
    old, new = (
        ", ".join(f"{row}.{column}" for column in (*shown, *hidden)) for row in ("old", "new")
    )
    told = "".join(f", old.{column} IS NOT new.{column}" for column in hidden)
    told += "".join(f", old.{column}" for column in shown)
    sealed = _sealed(connection, watched.table, "old")
    query = (
        f"SELECT old.{key}, COALESCE(applied.committed_at, 0), new.{key} IS NULL{told}"
        f" FROM {IN_FORCE}.{watched.table} AS old LEFT JOIN {IN_FORCE}.seal AS seal"
        f" ON seal.tbl = '{watched.table}' AND seal.key = {sealed}"
        f" LEFT JOIN {IN_FORCE}.applied AS applied ON applied.number = seal.number"
        f" LEFT JOIN {INCOMING}.{watched.table} AS new ON new.{key} = old.{key}"
        # One that is not sealed yet came by the snapshot.
        f" WHERE (seal.number > ?1 OR (?2 = 1 AND COALESCE(seal.number, 0) = 0)) AND old.{key} IN"
        f" (SELECT {key} FROM {IN_FORCE}.{watched.table} WHERE {watched.condition})"
        f" AND (new.{key} IS NULL OR ({old}) IS NOT ({new}))"
        f" ORDER BY COALESCE(seal.number, 0) DESC, old.{key}"
    )
    for found, at, is_missing, *values in connection.execute(query, (common, of_snapshot)):
        differing, own = values[: len(hidden)], values[len(hidden) :]
        was = dict(zip(shown, own, strict=True))
        secrets = [column for column, differs in zip(hidden, differing, strict=True) if differs]
        if is_missing:
            # Of a row that is not there at all nobody need know which secrets it had.
            secrets = [] if shown else list(hidden)
        name = _name(connection, IN_FORCE, watched.table, {key: found, **was})
        yield _edit(watched.table, found, name, at, was, secrets)


def _sealed(connection: Connection, table: str, row: str) -> str:
    """The key of ``row`` as seals have it: SQLite as what it is, PostgreSQL as a text."""
    key = f"{row}.{TABLES[table].key}"
    return key if is_sqlite(connection) else f"{key}::text"


def _removed(connection: Connection, watched: Watched, common: int) -> Iterator[Edit]:
    """Rows that are there again."""
    key = TABLES[watched.table].key
    columns = ", ".join(f"new.{column}" for column in (key, *watched.shown))
    for at, found, *values in connection.execute(
        f"SELECT COALESCE(applied.committed_at, 0), {columns} FROM {IN_FORCE}.gone AS gone"
        f" JOIN {INCOMING}.{watched.table} AS new"
        f" ON {_sealed(connection, watched.table, 'new')} = gone.key"
        f" LEFT JOIN {IN_FORCE}.applied AS applied ON applied.number = gone.number"
        f" WHERE gone.tbl = ? AND gone.number > ? AND new.{key} IN"
        f" (SELECT {key} FROM {INCOMING}.{watched.table} WHERE {watched.condition})"
        f" AND new.{key} NOT IN (SELECT {key} FROM {IN_FORCE}.{watched.table})"
        f" ORDER BY gone.number DESC, gone.key",
        (watched.table, common),
    ):
        row = {key: found, **dict(zip(watched.shown, values, strict=True))}
        yield _edit(watched.table, found, _name(connection, INCOMING, watched.table, row), at, None)


def _adjusted(connection: Connection, common: int) -> Iterator[Edit]:
    """Money given and taken: no snapshot has it, so all of it is lost."""
    for number, transfer, at, *values in connection.execute(
        "SELECT adjusted.number, transfer, COALESCE(applied.committed_at, adjusted.at),"
        " account, amount_e4, reason, adjusted.at"
        f" FROM {IN_FORCE}.adjusted AS adjusted"
        f" LEFT JOIN {IN_FORCE}.applied AS applied ON applied.number = adjusted.number"
        " WHERE adjusted.number > ? ORDER BY adjusted.number DESC, transfer",
        (common,),
    ):
        was = dict(zip(ADJUSTED_COLUMNS, values, strict=True))
        name = _name(connection, IN_FORCE, ADJUSTED, was)
        yield _edit(ADJUSTED, f"{number}.{transfer}", name, at, was)


def _credited(connection: Connection, common: int) -> Iterator[Edit]:
    """Credits that were in the former replica's own snapshot, so nobody told of them one by one."""
    for account, name, credits_e4 in connection.execute(
        f"SELECT old.id, old.name, old.credits_e4 FROM {IN_FORCE}.account AS old"
        f" JOIN {INCOMING}.account AS new ON new.id = old.id WHERE old.credits_e4 > new.credits_e4"
        f" + COALESCE((SELECT SUM(amount_e4) FROM {IN_FORCE}.adjusted AS adjusted"
        "  WHERE adjusted.account = old.id AND adjusted.number > ? AND amount_e4 > 0), 0)"
        " ORDER BY old.id",
        (common,),
    ):
        yield _edit("account", account, name, 0.0, {"credits_e4": credits_e4})


def _name(connection: Connection, database: str, table: str, row: dict[str, Any]) -> str:
    query = _NAMED.get(table)
    if query is not None:
        values = tuple(row.get(column) for column in _NAMED_BY[table])
        found = connection.execute(query.format(database), values).fetchone()
        return str(found[0]) if found is not None and found[0] is not None else ""
    if table == "account":
        query = f"SELECT name FROM {database}.account WHERE id = ?"
        found = connection.execute(query, (row["id"],)).fetchone()
        return "" if found is None else str(found[0])
    # Of a secret its name is the key.
    return str(row.get("name", ""))


def _edit(
    table: str,
    key: Key,
    name: str,
    at: float,
    was: dict[str, Any] | None,
    hidden: Sequence[str] = (),
) -> Edit:
    told = None if was is None else {column: clipped(value) for column, value in was.items()}
    return Edit(table, key, printable(name, NAME_LENGTH_MAX), at, told, tuple(hidden))
