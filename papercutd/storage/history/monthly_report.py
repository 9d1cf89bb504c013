"""Reports by month, read from the sums and from what is not in them yet; and how they are kept."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from papercutd.storage.administration.listings import Row
from papercutd.storage.administration.rule_store import Transactions
from papercutd.storage.engine import Connection
from papercutd.storage.history.monthly import (
    Key,
    Rolled,
    Sums,
    begin_again,
    read_rolled,
    roll_forward,
    sum_charges,
)
from papercutd.storage.proof.seals import one_moment

#: Places of one report: they are added up by sites.
GROUPS_MAX = 10_000
_NAMES_AT_ONCE = 500
#: The last row of a report by group.
ALL_ONCE = "(all jobs, each once)"
_FIGURES = ("jobs", "pages", "sheets", "amount_e4")

#: (id as the sums have it, name).
_NAMES: dict[str, str] = {
    "user": "SELECT id || '', name FROM \"user\" WHERE id IN ({})",
    "group": "SELECT id || '', name FROM user_group WHERE id IN ({})",
    "printer": "SELECT id || '', name FROM printer WHERE id IN ({})",
    "account": (
        "SELECT id || '', CASE kind WHEN 'personal' THEN name WHEN 'shared' THEN name"
        " ELSE '(' || kind || ')' END FROM account WHERE id IN ({})"
    ),
    "named": "SELECT id || '', name FROM account WHERE id IN ({})",
}
#: Where a provider or device stands now; of those beside no site it is ''.
_SITES = (
    "SELECT p.name, s.name FROM provider AS p JOIN site AS s ON s.id = p.site"
    " UNION ALL SELECT 'device:' || d.name, s.name FROM device AS d JOIN site AS s ON s.id = d.site"
)


def read_report(
    connection: Connection, by: str, since: str, until: str, order: str, count: int
) -> list[Row]:
    """Sums of the months from ``since`` to ``until``, the most ``order`` first; ``count`` at most.

    By group a charge counts for each that its user was in: the last row says what all of them
    are together, each once.

    ``by``: group, user, printer, account (that paid), named (a shared account that did not), site
    or month (those in their order). ``order``: pages or amount_e4. Read at one moment, together
    with what is not rolled forward yet.
    """
    of = {"site": "place", "month": "all"}.get(by, by)
    rolled = read_rolled(connection)
    tail: Sums = {}
    if not rolled.is_whole:
        after = 0 if rolled.stale else rolled.number
        for part in sum_charges(connection, after, rolled.of):
            for (kind, month, what), figures in part.items():
                if kind == of and since <= month <= until:
                    _put(tail, (of, month if by == "month" else "", what), figures)
    found: Sums = {}
    if not rolled.stale:
        for month, what, *figures in _read_sums(connection, of, since, until, order, count, tail):
            _put(found, (of, month if by == "month" else "", what), figures)
    for key, figures in tail.items():
        _put(found, key, figures)
    if by == "site":
        found = _by_site(connection, found)
    place = 1 if order == "pages" else 3
    ordered = sorted(found.items(), key=lambda one: (-one[1][place], one[0]))
    if by == "month":
        ordered = sorted(found.items())
    ordered = [one for one in ordered[:count] if any(one[1])]
    names = _names_of(connection, by, [what for (_, _, what), _ in ordered])
    rows = [
        {by: month or names.get(what, what), **dict(zip(_FIGURES, figures, strict=True))}
        for (_, month, what), figures in ordered
    ]
    if by == "group":
        months = read_report(connection, "month", since, until, order, GROUPS_MAX)
        rows.append({by: ALL_ONCE, **{n: sum(one[n] for one in months) for n in _FIGURES}})
    return rows


def _read_sums(
    connection: Connection,
    of: str,
    since: str,
    until: str,
    order: str,
    count: int,
    tail: Sums,
) -> list[tuple[Any, ...]]:
    """(month, what, sums). Of the people in one month the index gives the first ones."""
    figures = "jobs, pages, sheets, amount_e4"
    if of == "all":
        return connection.execute(
            f"SELECT month, '', {figures} FROM monthly WHERE of = 'all' AND month >= ?"
            " AND month <= ? ORDER BY month LIMIT ?",
            (since, until, count),
        ).fetchall()
    values: tuple[str, ...]
    if of == "user" and since == until:
        where, values, grouped = "of = 'user' AND month = ?", (since,), ""
    else:
        where, values = "of = ? AND month >= ? AND month <= ?", (of, since, until)
        grouped = " GROUP BY what"
        figures = "SUM(jobs), SUM(pages), SUM(sheets), SUM(amount_e4)"
        order = f"SUM({order})"
    select = f"SELECT '', what, {figures} FROM monthly WHERE {where}"
    limit = GROUPS_MAX if of == "place" else count
    found = connection.execute(
        f"{select}{grouped} ORDER BY {order} DESC LIMIT ?", (*values, limit + len(tail))
    ).fetchall()
    # Those who printed since the mark, wherever they stood before.
    known = {row[1] for row in found}
    for _, _, what in tail:
        if what not in known:
            found += connection.execute(
                f"{select} AND what = ?{grouped}", (*values, what)
            ).fetchall()
    return found


def _put(sums: Sums, key: Key, figures: list[int]) -> None:
    own = sums.setdefault(key, [0, 0, 0, 0])
    for place, figure in enumerate(figures):
        own[place] += figure


def _by_site(connection: Connection, found: Sums) -> Sums:
    sites = dict(connection.execute(_SITES).fetchall())
    summed: Sums = {}
    for (of, month, place), figures in found.items():
        _put(summed, (of, month, sites.get(place, "")), figures)
    return summed


def _names_of(connection: Connection, by: str, whats: list[str]) -> dict[str, str]:
    """The names of those in the report, with few questions: each may be a journey."""
    if by not in _NAMES:
        return {}
    names = dict.fromkeys(whats, "(nobody)" if by == "user" else "")
    for start in range(0, len(whats), _NAMES_AT_ONCE):
        part = [int(what) for what in whats[start : start + _NAMES_AT_ONCE]]
        places = ", ".join("?" * len(part))
        names |= dict(connection.execute(_NAMES[by].format(places), part).fetchall())
    return names


class MonthlyStore:
    """Each method is one transaction, or one read beside the writer."""

    def __init__(self, store: Transactions) -> None:
        self._store = store

    def rolled(self) -> Deferred[Rolled]:
        """How far the sums are."""
        return self._store.read(read_rolled)

    def roll(self) -> Deferred[Rolled]:
        """Add the next piece; how far the sums are then."""
        return self._store.write(roll_forward)

    def begin_again(self) -> Deferred[None]:
        """Make the sums anew, by the next calls of ``roll``."""
        return self._store.write(begin_again)

    def report(
        self, by: str, since: str, until: str, order: str, count: int
    ) -> Deferred[list[Row]]:
        """See ``read_report``."""

        def read(connection: Connection) -> list[Row]:
            with one_moment(connection):
                return read_report(connection, by, since, until, order, count)

        if since == until or by == "month":
            return self._store.read(read)
        return self._store.read_long(read)
