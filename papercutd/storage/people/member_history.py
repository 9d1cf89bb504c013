"""Who was in which group when, by the numbers of changes: for the sums of charges by group.

A charge belongs to every group that its user was in when it was booked, directly or by groups
within groups. Who posts it does nothing for that: groups change seldom, and their history is
asked when charges are summed up. A span reaches from the change ``since`` up to the one before
``until``; null: it goes on.
"""

from __future__ import annotations

from collections.abc import Collection

from papercutd.domain.nested_groups import above
from papercutd.storage.engine import Connection
from papercutd.storage.people.nested_groups import read_nested
from papercutd.storage.replication.change_log import ChangeLog

#: Users of one question.
_AT_ONCE = 500
#: Of somebody in a group: (group, since, until).
Spans = list[tuple[int, int, int | None]]

#: For a column with the number of a change: the span holds there.
_HOLDS = "{0}.since <= {1} AND ({0}.until IS NULL OR {0}.until > {1})"


def joined(connection: Connection, group: int, user: int, number: int) -> None:
    """The change ``number`` makes ``user`` a member."""
    reopened = connection.execute(
        'UPDATE member_span SET until = NULL WHERE "user" = ? AND user_group = ? AND until = ?',
        (user, group, number),
    )
    if not reopened.rowcount:
        connection.execute("INSERT INTO member_span VALUES (?, ?, ?, NULL)", (user, group, number))


def join(connection: Connection, log: ChangeLog, group: int, user: int) -> int:
    """``user`` is a member from now on: 1, or was one already: 0."""
    key = f"{group}.{user}"
    done = connection.execute(
        "INSERT INTO group_member VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (key, group, user)
    )
    if done.rowcount:
        joined(connection, group, user, log.number)
    log.touch("group_member", key)
    return done.rowcount


def left(connection: Connection, group: int, user: int, number: int) -> None:
    """The change ``number`` makes them a member no more."""
    _end(connection, ("member_span", '"user"', "user_group"), (user, group), number)


def nested_anew(connection: Connection, number: int) -> None:
    """The change ``number`` put groups into others, or took them out."""
    nested = read_nested(connection)
    now = {
        (inner, outer)
        for inner in {child for children in nested.values() for child in children}
        for outer in above(nested, inner) - {inner}
    }
    was = set(
        connection.execute(
            "SELECT inner_group, outer_group FROM within_span WHERE until IS NULL"
        ).fetchall()
    )
    for pair in sorted(was - now):
        _end(connection, ("within_span", "inner_group", "outer_group"), pair, number)
    for inner, outer in sorted(now - was):
        reopened = connection.execute(
            "UPDATE within_span SET until = NULL"
            " WHERE inner_group = ? AND outer_group = ? AND until = ?",
            (inner, outer, number),
        )
        if not reopened.rowcount:
            connection.execute(
                "INSERT INTO within_span VALUES (?, ?, ?, NULL)", (inner, outer, number)
            )


def _end(
    connection: Connection, where: tuple[str, str, str], pair: tuple[int, int], number: int
) -> None:
    table, first, second = where
    which = f"{first} = ? AND {second} = ? AND until IS NULL"
    connection.execute(f"DELETE FROM {table} WHERE {which} AND since = ?", (*pair, number))
    connection.execute(f"UPDATE {table} SET until = ? WHERE {which}", (number, *pair))


def spans_of(connection: Connection, users: Collection[int]) -> dict[int, Spans]:
    """Of those who ever were in a group: which, directly or not, and when; some may overlap."""
    found: dict[int, Spans] = {}
    asked = sorted(users)
    for start in range(0, len(asked), _AT_ONCE):
        part = asked[start : start + _AT_ONCE]
        places = ", ".join("?" * len(part))
        for user, group, since, until in connection.execute(
            f'SELECT "user", user_group, since, until FROM member_span WHERE "user" IN ({places})',
            part,
        ).fetchall():
            found.setdefault(user, []).append((group, since, until))
    if not found:
        return found
    outer: dict[int, Spans] = {}
    for inner, *span in connection.execute(
        "SELECT inner_group, outer_group, since, until FROM within_span"
    ).fetchall():
        outer.setdefault(inner, []).append((span[0], span[1], span[2]))
    if outer:
        for spans in found.values():
            spans += [
                (group, max(since, own_since), _first(until, own_until))
                for inner, own_since, own_until in list(spans)
                for group, since, until in outer.get(inner, ())
            ]
    return found


def groups_at(spans: Spans, number: int) -> set[int]:
    """The groups of them at the change ``number``."""
    return {
        group
        for group, since, until in spans
        if since <= number and (until is None or until > number)
    }


def _first(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def grouped(source: str, columns: str) -> str:
    """SQL: each row of ``source`` (with ``number`` and ``user``) once for each of its groups,
    as ``columns`` and ``user_group``."""
    holds_m, holds_w = (_HOLDS.format(name, "s.number") for name in ("m", "w"))
    other_m, other_w = (_HOLDS.format(name, "s.number") for name in ("m2", "w2"))
    member = f'JOIN member_span AS m ON m."user" = s."user" AND {holds_m}'
    return (
        f"SELECT {columns}, m.user_group FROM {source} AS s {member}"
        f" UNION ALL SELECT {columns}, w.outer_group FROM {source} AS s {member}"
        f" JOIN within_span AS w ON w.inner_group = m.user_group AND {holds_w}"
        # By one of several ways, and not where they are in it themselves.
        ' WHERE NOT EXISTS (SELECT 1 FROM member_span AS m2 WHERE m2."user" = s."user"'
        f" AND m2.user_group = w.outer_group AND {other_m})"
        " AND NOT EXISTS (SELECT 1 FROM member_span AS m2"
        " JOIN within_span AS w2 ON w2.inner_group = m2.user_group"
        ' WHERE m2."user" = s."user" AND m2.user_group < m.user_group'
        f" AND w2.outer_group = w.outer_group AND {other_m} AND {other_w})"
    )


def verify_members(connection: Connection) -> list[str]:
    """Members that the history does not know as such, or the other way round."""
    now = 'SELECT "user", user_group FROM group_member'
    kept = 'SELECT "user", user_group FROM member_span WHERE until IS NULL'
    wrong = connection.execute(
        f"SELECT * FROM (SELECT * FROM ({now} EXCEPT {kept}) AS more"
        f" UNION ALL SELECT * FROM ({kept} EXCEPT {now}) AS less) AS wrong"
        " ORDER BY 1, 2 LIMIT 100"
    ).fetchall()
    return [
        f"groups: the history of user {user} in group {group} is not as it stands"
        for user, group in wrong
    ]
