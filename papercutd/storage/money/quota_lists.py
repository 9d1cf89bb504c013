"""Quotas as administrators look at them, and whether their runs are what they say."""

from __future__ import annotations

from papercutd.domain.purses import MAIN_NAME
from papercutd.errors import NotFound
from papercutd.storage.administration.listings import Row, rows
from papercutd.storage.engine import Connection
from papercutd.storage.money.schedules import LATE_MAX_S, SHARED

_SHOWN = (
    "SELECT name, amount_e4, cap_e4, period, day, minute, whom, next_at, ran_at, last_account > 0"
    " AS is_running, (SELECT a.name FROM {0}account AS a WHERE a.kind = 'shared'"
    f" AND '{SHARED}' || a.id = whom) AS account,"
    " COALESCE((SELECT k.name FROM {0}purse_kind AS k WHERE k.id = schedule.purse),"
    f" '{MAIN_NAME}') AS purse"
    " FROM {0}schedule AS schedule"
)
_LIVING = f"{_SHOWN.format('')} WHERE removed = 0"


def read_schedules(connection: Connection) -> list[Row]:
    """All schedules, by name: there are at most 100."""
    return rows(connection, f"{_LIVING} ORDER BY name")


def read_schedules_here(connection: Connection) -> list[Row]:
    """The same by a site's replica, which has no other."""
    return rows(connection, f"{_SHOWN.format('replica.')} ORDER BY name")


def read_schedule(connection: Connection, name: str) -> Row:
    """One schedule with its last runs; raises NotFound."""
    found = rows(connection, f"{_LIVING} AND name = ?", name)
    if not found:
        raise NotFound("quota", name)
    found[0]["runs"] = rows(
        connection,
        "SELECT quota_run.period, due_at, finished_at, users, credited_e4, withheld_e4,"
        " given_back_e4 FROM quota_run JOIN schedule ON schedule.id = quota_run.schedule"
        " WHERE name = ? AND removed = 0 ORDER BY due_at DESC LIMIT 20",
        name,
    )
    return found[0]


def read_waiting(connection: Connection, now_s: float) -> list[str]:
    """Schedules so long overdue that an administrator has to say what becomes of it."""
    return [
        name
        for (name,) in connection.execute(
            "SELECT name FROM schedule WHERE removed = 0 AND last_account = 0 AND next_at < ?"
            " ORDER BY name",
            (now_s - LATE_MAX_S,),
        )
    ]


def verify_quotas(connection: Connection) -> list[str]:
    """Runs whose transfers are not what they say, and accounts that had one twice."""
    problems = []
    for schedule, period, credited_e4, given_e4 in connection.execute(
        "SELECT schedule, period, credited_e4, given_back_e4 FROM quota_run"
    ).fetchall():
        run = f"{schedule}/{period}"
        for word, said_e4 in (("quota", credited_e4), ("withheld", given_e4)):
            moved_e4, count, keys = connection.execute(
                "SELECT COALESCE(SUM(amount_e4), 0), COUNT(*), COUNT(DISTINCT key) FROM transfer"
                " WHERE key > ? AND key < ?",
                (f"{word}/{run}/", f"{word}/{run}0"),
            ).fetchone()
            if moved_e4 != said_e4:
                problems.append(
                    f"quotas: run {run} says {word} {said_e4}, its transfers {moved_e4}"
                )
            if count != keys:
                problems.append(f"quotas: run {run} has credited somebody twice")
    return problems
