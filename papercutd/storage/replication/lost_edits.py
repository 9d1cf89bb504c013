"""At the application server: edits that a restore has lost, as sites tell them.

They are listed and nothing else: a site can make lines of this list, as many as are bounded
here and marked with its name. What a row is now is looked up when the list is read, so what an
administrator has made again leaves it by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from papercutd.domain.flags import with_flags
from papercutd.domain.lost_edit import (
    ADJUSTED,
    ADJUSTED_COLUMNS,
    NAME_LENGTH_MAX,
    TABLES_WATCHED,
    UNTOLD,
    VALUE_LENGTH_MAX,
    Edit,
    Key,
    Lost,
    Value,
    clipped,
    printable,
    watched_of,
)
from papercutd.errors import InvalidValue, NotFound, Rejected
from papercutd.storage.administration.listed import list_item
from papercutd.storage.engine import Connection
from papercutd.storage.replication.change_log import ChangeLog
from papercutd.storage.replication.replicated import TABLES, digest_of, read_row

#: Kept of what one site tells, and of all; more are counted.
OF_SITE_MAX = 1_000
KEPT_MAX = 5_000
#: Records of one site whose count of further edits is kept.
MORE_MAX = 100
#: What one site may say that there is more.
COUNT_MAX = 10**9
_KEY_LENGTH_MAX = 255
_COLUMNS_MAX = 32
Row = dict[str, Any]


class LostEdits:
    """Each method is one step of the writer's transaction."""

    def __init__(self, log: ChangeLog, wall_s: Callable[[], float]) -> None:
        self._log = log
        self._wall_s = wall_s

    def take(self, connection: Connection, record: str, lost: Lost, site: str) -> None:
        """List what the site called ``site`` told by ``record``, once whoever tells it.

        Raises Rejected ``bad-fields``.
        """
        if not 0 <= lost.omitted <= COUNT_MAX or len(record) > _KEY_LENGTH_MAX:
            raise Rejected("bad-fields", "no such count or key of lost edits")
        for edit in lost.edits:
            _check(edit)
        (site_id,) = connection.execute("SELECT id FROM site WHERE name = ?", (site,)).fetchone()
        beyond = sum(not self._take_one(connection, edit, site_id, site) for edit in lost.edits)
        if lost.omitted + beyond == 0:
            return
        added = connection.execute(
            "INSERT INTO lost_edit_more (record, site, count) SELECT ?1, ?2, ?3"
            f" WHERE (SELECT COUNT(*) FROM lost_edit_more WHERE site = ?2) < {MORE_MAX}"
            " ON CONFLICT DO NOTHING",
            (record, site_id, lost.omitted + beyond),
        )
        if added.rowcount:
            self._list(connection, "", site, f"{lost.omitted + beyond} more, not one by one")

    def _take_one(self, connection: Connection, edit: Edit, site_id: int, site: str) -> bool:
        """False when there is no room for it."""
        was = _kept(edit)
        hidden = " ".join(sorted(edit.hidden))
        id = digest_of((edit.table, edit.key, msgspec.json.encode(was).decode(), hidden))
        found = connection.execute("SELECT 1 FROM lost_edit WHERE id = ?", (id,)).fetchone()
        if found is None:
            if not self._make_room(connection, site_id):
                return False
            name = printable(edit.name, NAME_LENGTH_MAX)
            connection.execute(
                "INSERT INTO lost_edit (id, tbl, key, name, was, hidden, made_at, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(id, edit.table, edit.key, name, msgspec.json.encode(was).decode()),
                    *(hidden, edit.at, self._wall_s()),
                ),
            )
            self._list(connection, id, site, f"{edit.table} {name}".strip())
        elif self._count(connection, site_id) >= OF_SITE_MAX:
            return True
        connection.execute(
            "INSERT INTO lost_edit_site VALUES (?, ?) ON CONFLICT DO NOTHING", (id, site_id)
        )
        return True

    def _make_room(self, connection: Connection, site_id: int) -> bool:
        """What was forgotten makes room for what is new."""
        (total,) = connection.execute("SELECT COUNT(*) FROM lost_edit").fetchone()
        own = self._count(connection, site_id)
        if own < OF_SITE_MAX and total < KEPT_MAX:
            return True
        oldest = connection.execute(
            "SELECT id FROM lost_edit WHERE forgotten = 1 AND (?1 < ?2 OR id IN"
            " (SELECT edit FROM lost_edit_site WHERE site = ?3)) ORDER BY at, id LIMIT 1",
            (own, OF_SITE_MAX, site_id),
        ).fetchone()
        if oldest is None:
            return False
        connection.execute("DELETE FROM lost_edit WHERE id = ?", oldest)
        connection.execute("DELETE FROM lost_edit_site WHERE edit = ?", oldest)
        return True

    def _count(self, connection: Connection, site_id: int) -> int:
        (own,) = connection.execute(
            "SELECT COUNT(*) FROM lost_edit_site WHERE site = ?", (site_id,)
        ).fetchone()
        return int(own)

    def _list(self, connection: Connection, key: str, site: str, detail: str) -> None:
        list_item(
            *(connection, self._log.number, self._wall_s(), "lost-edit", key),
            *(f"site:{site}", detail),
        )


def _check(edit: Edit) -> None:
    columns = (*(() if edit.was is None else edit.was), *edit.hidden)
    known = (
        *(TABLES[edit.table].columns if edit.table in TABLES_WATCHED else ()),
        *(ADJUSTED_COLUMNS if edit.table == ADJUSTED else ()),
    )
    if not known or len(columns) > _COLUMNS_MAX:
        raise Rejected("bad-fields", "no such row of an edit")
    # A column of a later release is named, and says nothing here.
    if any(len(column) > 64 or not column.isidentifier() for column in columns):
        raise Rejected("bad-fields", "no such column of an edit")
    if not _is_bounded(edit.key) or not all(map(_is_bounded, (edit.was or {}).values())):
        raise Rejected("bad-fields", "a value of an edit is out of bounds")
    if edit.table == ADJUSTED and not _is_adjustment(edit.was):
        raise Rejected("bad-fields", "no such adjustment")
    if not -1e12 < edit.at < 1e12:
        raise Rejected("bad-fields", "no such time of an edit")


def _is_adjustment(was: dict[str, Value] | None) -> bool:
    return was is not None and all(
        isinstance(was.get(column), kind)
        for column, kind in zip(ADJUSTED_COLUMNS, (int, int, str, int | float), strict=True)
    )


def _kept(edit: Edit) -> dict[str, Value] | None:
    """Of the columns told those that are shown: whatever else a site says stays with it."""
    watched = watched_of(edit.table, edit.was)
    shown = ADJUSTED_COLUMNS if watched is None else (*watched.shown, *UNTOLD)
    return (
        None
        if edit.was is None
        else {c: clipped(v) for c, v in sorted(edit.was.items()) if c in shown}
    )


def _is_bounded(value: Value) -> bool:
    if isinstance(value, str):
        return len(value) <= VALUE_LENGTH_MAX
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def read_lost_edits(
    connection: Connection, site: str | None = None, every: bool = False
) -> list[Row]:
    """Those that are still lost, by what they are about; ``every``: also what was forgotten or
    is so again. ``site``: what that one told.
    """
    found = []
    for id, table, key, name, was, hidden, made_at, at, forgotten, sites in connection.execute(
        "SELECT id, tbl, key, name, was, hidden, made_at, at, forgotten,"
        " (SELECT group_concat(name, ', ') FROM (SELECT name FROM lost_edit_site JOIN site"
        "  ON site.id = lost_edit_site.site WHERE edit = lost_edit.id ORDER BY name) AS told)"
        " FROM lost_edit WHERE (?1 IS NULL OR id IN (SELECT edit FROM lost_edit_site JOIN site"
        "  ON site.id = lost_edit_site.site WHERE site.name = ?1)) AND (?2 = 1 OR forgotten = 0)"
        " ORDER BY tbl, name, made_at, id",
        (site, every),
    ).fetchall():
        key = _key_of(table, key)
        row = _compared(connection, table, key, msgspec.json.decode(was), hidden.split())
        again = row.pop("again")
        if again and not every:
            continue
        for columns in (row["was"], row["now"]):
            with_flags(columns or {})
        found.append(
            {
                "id": id,
                "table": table,
                "key": _shown_key(table, key),
                "name": name,
                **row,
                "made_at": made_at,
                "told_at": at,
                "sites": sites or "",
                **({"forgotten": bool(forgotten), "again": again} if every else {}),
            }
        )
    return found


def count_lost_edits(connection: Connection) -> int:
    """How many an administrator should look at, those not told one by one as well."""
    (more,) = connection.execute(
        "SELECT COALESCE(SUM(count), 0) FROM lost_edit_more WHERE forgotten = 0"
    ).fetchone()
    return len(read_lost_edits(connection)) + int(more)


def read_more(connection: Connection, site: str | None = None) -> int:
    """How many more there are than the list has."""
    (more,) = connection.execute(
        "SELECT COALESCE(SUM(count), 0) FROM lost_edit_more JOIN site"
        " ON site.id = lost_edit_more.site"
        " WHERE forgotten = 0 AND (?1 IS NULL OR site.name = ?1)",
        (site,),
    ).fetchone()
    return int(more)


def forget_lost_edits(connection: Connection, ids: Sequence[str] | None) -> int:
    """An administrator has seen to them, by the beginnings of their ids; None: to all. How many.

    Raises NotFound, InvalidValue; then none is forgotten.
    """
    if ids is None:
        connection.execute("UPDATE lost_edit_more SET forgotten = 1")
        return connection.execute("UPDATE lost_edit SET forgotten = 1 WHERE forgotten = 0").rowcount
    whole: set[str] = set()
    for id in ids:
        found = connection.execute(
            "SELECT id FROM lost_edit WHERE substr(id, 1, ?1) = ?2 AND forgotten = 0 LIMIT 2",
            (len(id), id),
        ).fetchall()
        if not id or not found:
            raise NotFound("lost edit", id[:64])
        if len(found) > 1:
            raise InvalidValue("id", f"{id[:64]} is the beginning of several")
        whole.add(found[0][0])
    for one in whole:
        connection.execute("UPDATE lost_edit SET forgotten = 1 WHERE id = ?", (one,))
    return len(whole)


def _compared(
    connection: Connection,
    table: str,
    key: Key,
    was: dict[str, Value] | None,
    hidden: list[str],
) -> Row:
    """What it was and what it is, as far as that is not the same; ``again``: it is all the same."""
    watched = watched_of(table, was)
    if watched is None:
        # Money: whether it was given again nobody can tell.
        return {"was": was, "now": None, "hidden": hidden, "again": False}
    # A key of another kind than the table's is nobody's.
    is_key = isinstance(key, type(TABLES[table].first_key))
    row = read_row(connection, table, key)[2] if is_key else None
    if was is None:
        now = None if row is None else {c: clipped(row[c]) for c in watched.shown}
        return {"was": None, "now": now, "hidden": [], "again": row is None}
    if row is None:
        return {"was": was, "now": None, "hidden": hidden, "again": False}
    differ = [c for c in was if c in row and not _is_same(c, was[c], clipped(row[c]))]
    return {
        "was": {c: was[c] for c in differ},
        "now": {c: clipped(row[c]) for c in differ},
        "hidden": hidden,
        "again": not differ and not hidden,
    }


def _key_of(table: str, key: Key) -> Key:
    """A key as the table has it: PostgreSQL keeps those of this list as texts."""
    spec = TABLES.get(table)
    if spec is None or not isinstance(spec.first_key, int) or not isinstance(key, str):
        return key
    return int(key) if key.removeprefix("-").isdecimal() and len(key) < 20 else key


def _is_same(column: str, was: Value, now: Value) -> bool:
    if column in UNTOLD and isinstance(was, int) and isinstance(now, int):
        # Credits only grow: whoever has as much again lacks nothing.
        return now >= was
    return was == now


def _shown_key(table: str, key: Key) -> Key:
    watched = watched_of(table, None)
    return "" if watched is not None and watched.is_key_secret else key
