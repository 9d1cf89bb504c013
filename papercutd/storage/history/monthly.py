"""Monthly sums of charges, by which reports are read: rolled forward from a mark.

A charge is never changed, so the sums need nothing of the transaction that posts it: the charges
of whole changes behind the mark are added later, in one transaction with the mark, and what lies
beyond the mark is added when a report is read. By group it counts for each that its user was in at
its change (storage/people/member_history.py). A charge counts in the month in which it was
booked (UTC), so a month that is over stays as it was; one of nobody that is assigned goes over
to the person, in the month of the charge.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import attrs

from papercutd.storage.engine import Connection
from papercutd.storage.people.member_history import groups_at, spans_of

#: Charges that one transaction rolls forward; a change is never divided.
PIECE_CHARGES = 5_000
#: Sums held in memory while many are added up.
SUMS_MAX = 200_000
#: Charges of nobody.
NOBODY = "0"
_DAY_S = 86_400
_FIRST_DAY = date(1970, 1, 1)
_ADD = (
    "INSERT INTO {} (of, month, what, jobs, pages, sheets, amount_e4) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (of, month, what) DO UPDATE SET jobs = {}.jobs + excluded.jobs,"
    " pages = {}.pages + excluded.pages, sheets = {}.sheets + excluded.sheets,"
    " amount_e4 = {}.amount_e4 + excluded.amount_e4"
)
_CHARGES = (
    'SELECT number, received_at, "user", printer, account, named, provider, pages,'
    " sheets, amount_e4 FROM charge WHERE number > ? AND number <= ?"
)
_ASSIGNED = (
    'SELECT a.number, c.received_at, a."user", c.pages, c.sheets, c.amount_e4 FROM assigned AS a'
    " JOIN charge AS c ON c.charge_id = a.charge_id WHERE a.number > ? AND a.number <= ?"
)
Key = tuple[str, str, str]
Sums = dict[Key, list[int]]


@attrs.frozen
class Rolled:
    """How far the sums are: up to change ``number`` of ``of``."""

    number: int
    of: int
    stale: bool

    @property
    def is_whole(self) -> bool:
        return not self.stale and self.number >= self.of


@lru_cache(maxsize=4_096)
def _month_of_day(day: int) -> str:
    return (_FIRST_DAY + timedelta(days=day)).isoformat()[:7]


def month_of(at: Any) -> str:
    """``2027-01`` of a time, UTC; of what is no time it is 1970."""
    try:
        return _month_of_day(int(at) // _DAY_S)
    except (OverflowError, ValueError, TypeError):
        return "1970-01"


def read_rolled(connection: Connection) -> Rolled:
    (head,) = connection.execute("SELECT number FROM head").fetchone()
    number, stale = connection.execute("SELECT number, stale FROM monthly_mark").fetchone()
    return Rolled(number, head, bool(stale))


def roll_forward(connection: Connection) -> Rolled:
    """One piece: at most PIECE_CHARGES charges and those of the same change; how far it is now.

    What the transaction under way has written is left for a later one.
    """
    rolled = read_rolled(connection)
    if rolled.stale:
        return _throw_away(connection, rolled)
    if rolled.is_whole:
        return rolled
    until = _end_of_piece(connection, rolled)
    for sums in sum_charges(connection, rolled.number, until):
        add_sums(connection, "monthly", sums)
    connection.execute("UPDATE monthly_mark SET number = ?", (until,))
    return attrs.evolve(rolled, number=until)


def begin_again(connection: Connection) -> None:
    """Throw the sums away, so that they are made anew of all charges."""
    connection.execute("UPDATE monthly_mark SET number = 0, stale = 1")


def _throw_away(connection: Connection, rolled: Rolled) -> Rolled:
    keys = connection.execute(
        "SELECT of, month, what FROM monthly LIMIT ?", (PIECE_CHARGES,)
    ).fetchall()
    connection.executemany("DELETE FROM monthly WHERE of = ? AND month = ? AND what = ?", keys)
    if len(keys) < PIECE_CHARGES:
        connection.execute("UPDATE monthly_mark SET stale = 0")
        return attrs.evolve(rolled, stale=False)
    return rolled


def _end_of_piece(connection: Connection, rolled: Rolled) -> int:
    ends = [rolled.of]
    for table in ("charge", "assigned"):
        found = connection.execute(
            f"SELECT number FROM {table} WHERE number > ? ORDER BY number LIMIT 1 OFFSET ?",
            (rolled.number, PIECE_CHARGES - 1),
        ).fetchone()
        if found is not None:
            ends.append(int(found[0]))
    return min(ends)


def _pieces(connection: Connection, after: int, until: int) -> Iterator[tuple[int, int]]:
    """Spans of changes with about PIECE_CHARGES charges: an engine may answer a question whole."""
    while after < until:
        found = connection.execute(
            "SELECT number FROM charge WHERE number > ? AND number <= ? ORDER BY number"
            f" LIMIT 1 OFFSET {PIECE_CHARGES - 1}",
            (after, until),
        ).fetchone()
        end = until if found is None else int(found[0])
        yield after, end
        after = end


def sum_charges(connection: Connection, after: int, until: int) -> Iterator[Sums]:
    """The sums of the changes beyond ``after`` up to ``until``, in parts of bounded size."""
    sums: Sums = {}

    def add(of: str, month: str, what: str, *figures: int) -> None:
        sum_ = sums.setdefault((of, month, what), [0, 0, 0, 0])
        for place, figure in enumerate(figures):
            sum_[place] += figure

    for piece in _pieces(connection, after, until):
        charges = connection.execute(_CHARGES, piece).fetchall()
        spans = spans_of(connection, {user for _, _, user, *_ in charges if user is not None})
        for number, at, user, printer, account, named, place, *paper in charges:
            month, figures = month_of(at), (1, *paper)
            add("all", month, "", *figures)
            add("user", month, NOBODY if user is None else str(user), *figures)
            add("printer", month, str(printer), *figures)
            add("account", month, str(account), *figures)
            if named is not None:
                add("named", month, str(named), *figures)
            add("place", month, place, *figures)
            if user in spans:
                for group in groups_at(spans[user], number):
                    add("group", month, str(group), *figures)
        if len(sums) > SUMS_MAX:
            yield sums
            sums = {}
    assigned = connection.execute(_ASSIGNED, (after, until)).fetchall()
    spans = spans_of(connection, {user for _, _, user, *_ in assigned})
    for number, at, user, *paper in assigned:
        month, figures = month_of(at), (1, *paper)
        add("user", month, str(user), *figures)
        add("user", month, NOBODY, *(-figure for figure in figures))
        for group in groups_at(spans.get(user, []), number):
            add("group", month, str(group), *figures)
    yield sums


def add_sums(connection: Connection, table: str, sums: Sums) -> None:
    # In the order of the key: pages of the table are written once each.
    connection.executemany(
        _ADD.format(*[table] * 5), [(*key, *figures) for key, figures in sorted(sums.items())]
    )
