"""Whether the monthly sums are those of their charges.

All right is what they nearly always are, and the database itself finds that out, in few
statements. Only where they are not, the sums are made again, and the wrong ones named.
"""

from __future__ import annotations

from collections.abc import Iterator

from papercutd.storage.engine import Connection, is_sqlite
from papercutd.storage.history.monthly import Rolled, add_sums, read_rolled, sum_charges
from papercutd.storage.people.member_history import grouped, verify_members

_YEAR_10000_S = 253_402_300_800
#: A sum of nothing is as good as none.
_IS_SOMETHING = "(jobs <> 0 OR pages <> 0 OR amount_e4 <> 0)"
_SUMS = "COUNT(*) AS jobs, SUM(pages) AS pages, SUM(sheets) AS sheets, SUM(amount_e4) AS amount_e4"
#: The sums of one kind, of what ``summed`` begins with.
_KIND = (
    "SELECT month, what, SUM(jobs) AS jobs,"
    " SUM(pages) AS pages, SUM(sheets) AS sheets, SUM(amount_e4) AS amount_e4 FROM"
    " (SELECT month, {what} AS what, jobs, pages, sheets, amount_e4 FROM charges{more}) AS parts"
    " GROUP BY 1, 2"
)
#: How many sums of one kind there are, and how many of them are kept as they are.
_COUNT = (
    "SELECT '{of}', COUNT(*), COUNT(m.jobs) FROM ({kind}) AS sums"
    " LEFT JOIN monthly AS m ON m.of = '{of}' AND m.month = sums.month AND m.what = sums.what"
    " AND m.jobs = sums.jobs AND m.pages = sums.pages"
    " AND m.sheets = sums.sheets AND m.amount_e4 = sums.amount_e4"
    " WHERE sums.jobs <> 0 OR sums.pages <> 0 OR sums.amount_e4 <> 0"
)
KINDS = ("all", "user", "printer", "account", "named", "place", "group")
#: Charges of somebody, by the change that made them theirs.
_BOOKED = (
    'SELECT {0} AS month, number, "user", pages, sheets, amount_e4 FROM charge'
    ' WHERE number <= ? AND "user" IS NOT NULL'
    ' UNION ALL SELECT {1}, a.number, a."user", c.pages, c.sheets, c.amount_e4'
    " FROM assigned AS a JOIN charge AS c ON c.charge_id = a.charge_id WHERE a.number <= ?"
)
_ACCOUNT, _PRINTER, _PLACE = ("account || ''", ""), ("printer || ''", ""), ("provider", "")
#: Charges of nobody that are somebody's now.
_ASSIGNED = (
    " UNION ALL SELECT {month}, a.\"user\" || '', 1, c.pages, c.sheets, c.amount_e4"
    " FROM assigned AS a JOIN charge AS c ON c.charge_id = a.charge_id WHERE a.number <= ?"
    " UNION ALL SELECT {month}, '0', -1, -c.pages, -c.sheets, -c.amount_e4"
    " FROM assigned AS a JOIN charge AS c ON c.charge_id = a.charge_id WHERE a.number <= ?"
)


def verify_monthly(connection: Connection) -> list[str]:
    """Sums that are not those of the charges up to the mark."""
    rolled, problems = read_rolled(connection), verify_members(connection)
    if rolled.stale or are_right(connection, rolled.number):
        return problems
    return problems + _name_wrong(connection, rolled)


def are_right(connection: Connection, until: int) -> bool:
    """Whether there are as many sums as there have to be, and each is right: the database says."""
    kept = connection.execute(f"SELECT of, COUNT(*) FROM monthly WHERE {_IS_SOMETHING} GROUP BY of")
    expected = {**dict.fromkeys(KINDS, 0), **dict(kept)}
    for charges, kinds, places in summed(connection, "''"):
        counts = " UNION ALL ".join(_COUNT.format(of=of, kind=kind) for of, kind in kinds.items())
        for of, sums, right in connection.execute(
            f"{charges} {counts}", (until,) * places
        ).fetchall():
            if not sums == right == expected[of]:
                return False
    return True


def summed(connection: Connection, no_month: str) -> Iterator[tuple[str, dict[str, str], int]]:
    """How the database sums charges up: what a statement begins with, then a question for the sums
    of each kind, and how many times both ask up to which change. ``no_month``: of strange times.
    """
    month = _month_in(connection, "received_at", no_month)
    again_month = _month_in(connection, "c.received_at", no_month)
    again = _ASSIGNED.format(month=again_month)
    for columns, kinds in (
        (
            '"user", account',
            {"account": _ACCOUNT, "user": ("COALESCE(\"user\" || '', '0')", again)},
        ),
        ("printer, provider", {"all": ("''", ""), "place": _PLACE, "printer": _PRINTER}),
    ):
        charges = f"SELECT {month} AS month, {columns}, {_SUMS} FROM charge WHERE number <= ?"
        questions = {of: _KIND.format(what=what, more=more) for of, (what, more) in kinds.items()}
        places = 1 + sum(question.count("?") for question in questions.values())
        yield f"WITH charges AS MATERIALIZED ({charges} GROUP BY 1, 2, 3)", questions, places
    # Few charges name an account that does not pay: the index of those that say so finds them.
    charges = f"SELECT {month} AS month, named, {_SUMS} FROM charge WHERE number <= ?"
    charges += " AND invoice IS NOT NULL AND named IS NOT NULL GROUP BY 1, 2"
    named = {"named": _KIND.format(what="named || ''", more="")}
    yield f"WITH charges AS MATERIALIZED ({charges})", named, 1
    posted, charges = _BOOKED.format(month, again_month), grouped("booked", "s.*")
    charges = f"SELECT month, user_group, {_SUMS} FROM ({charges}) AS each GROUP BY 1, 2"
    charges = f"WITH booked AS ({posted}), charges AS MATERIALIZED ({charges})"
    yield charges, {"group": _KIND.format(what="user_group || ''", more="")}, 2


def _month_in(connection: Connection, at: str, no_month: str) -> str:
    """An expression: the month of a time, as ``month_of`` has it."""
    month = (
        f"strftime('%Y-%m', CAST({at} AS INTEGER), 'unixepoch')"
        if is_sqlite(connection)
        else f"to_char(to_timestamp(floor({at})) AT TIME ZONE 'UTC', 'YYYY-MM')"
    )
    return f"CASE WHEN {at} >= 0 AND {at} < {_YEAR_10000_S} THEN {month} ELSE {no_month} END"


def _name_wrong(connection: Connection, rolled: Rolled) -> list[str]:
    connection.execute(
        "CREATE TEMPORARY TABLE monthly_again (of TEXT, month TEXT, what TEXT, jobs BIGINT,"
        " pages BIGINT, sheets BIGINT, amount_e4 BIGINT, PRIMARY KEY (of, month, what))"
    )
    try:
        for sums in sum_charges(connection, 0, rolled.number):
            add_sums(connection, "monthly_again", sums)
        figures = "of, month, what, jobs, pages, sheets, amount_e4"
        kept = f"SELECT {figures} FROM monthly WHERE {_IS_SOMETHING}"
        again = kept.replace("monthly", "monthly_again")
        wrong = connection.execute(
            f"SELECT DISTINCT of, month, what FROM (SELECT * FROM ({kept} EXCEPT {again}) AS more"
            f" UNION ALL SELECT * FROM ({again} EXCEPT {kept}) AS less) AS wrong"
            " ORDER BY of, month, what LIMIT 100"
        ).fetchall()
    finally:
        connection.execute("DROP TABLE monthly_again")
    return [
        f"monthly sums: {of} {what} of {month} is not the sum of its charges".replace("  ", " ")
        for of, month, what in wrong
    ]
