"""The statement: what an outage was, what was printed in it, and that it all adds up."""

from __future__ import annotations

import sqlite3
from typing import Any

from papercutd.storage.change_log import read_head


def make_statement(
    connection: sqlite3.Connection, since: float | None = None, until: float | None = None
) -> dict[str, Any]:
    """The statement from ``since`` to ``until``; without them of the latest outage.

    Open until everybody whose link went down has come back and told what it
    retained; its figures only grow until then.
    """
    outage = _latest_outage(connection)
    since = outage[0] if since is None else since
    missing = _missing(connection, since, until)
    span = (since, until if until is not None else float("inf"))
    condition = "claimed_at >= ? AND claimed_at <= ?"
    listed = _rows(
        connection,
        "SELECT kind, COUNT(*) AS count, SUM(amount_e4) AS amount_e4 FROM listed"
        " WHERE at >= ? AND at <= ? GROUP BY kind ORDER BY kind",
        *span,
    )
    totals = _rows(
        connection,
        "SELECT COUNT(*) AS jobs, COALESCE(SUM(pages), 0) AS pages,"
        f" COALESCE(SUM(amount_e4), 0) AS amount_e4 FROM charge WHERE {condition}",
        *span,
    )[0]
    twice = connection.execute(
        "SELECT COUNT(*) FROM (SELECT key FROM charge GROUP BY key HAVING COUNT(*) > 1)"
    ).fetchone()[0]
    head = read_head(connection)
    return {
        "state": "open" if missing else "closed",
        "missing": missing,
        "since": since,
        "until": until,
        **totals,
        "by_user": _group(connection, "user_name", condition, span),
        "by_account": _group(connection, "account", condition, span),
        "by_printer": _group(connection, "printer", condition, span),
        "by_decider": _group(connection, "decider", condition, span),
        "refused": _rows(
            connection,
            "SELECT verdict, reason, decider, COUNT(*) AS jobs FROM job_log"
            f" WHERE {condition} GROUP BY verdict, reason, decider",
            *span,
        ),
        "listed": listed,
        "parked": connection.execute("SELECT COUNT(*) FROM parked").fetchone()[0],
        "charged_twice": twice,
        "position": {"timeline": head.timeline, "number": head.number, "chain": head.chain},
    }


def _rows(connection: sqlite3.Connection, query: str, *values: object) -> list[dict[str, Any]]:
    cursor = connection.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _group(
    connection: sqlite3.Connection, column: str, condition: str, span: tuple[float, float]
) -> list[dict[str, Any]]:
    return _rows(
        connection,
        f"SELECT {column}, COUNT(*) AS jobs, SUM(pages) AS pages, SUM(amount_e4) AS amount_e4"
        f" FROM charge WHERE {condition} GROUP BY {column} ORDER BY {column}",
        *span,
    )


def _latest_outage(connection: sqlite3.Connection) -> tuple[float, str]:
    """When the link of a site last went down, and whose; 0 where none ever did.

    Links that went down within a minute before it are the same outage.
    """
    rows = connection.execute(
        "SELECT at, identity FROM link_event WHERE event = 'down' AND identity LIKE 'site:%'"
        " ORDER BY id DESC LIMIT 100"
    ).fetchall()
    if not rows:
        return (0.0, "")
    began, identity = rows[0]
    for at, who in rows[1:]:
        if began - at > 60:
            break
        began, identity = at, who
    return (began, identity)


def _missing(connection: sqlite3.Connection, since: float, until: float | None) -> list[str]:
    """Identities whose link went down in the span and that have not reported since they came."""
    return [
        row[0]
        for row in connection.execute(
            "SELECT identity FROM link_event WHERE event = 'down' AND at >= ? AND at <= ?"
            " GROUP BY identity HAVING MAX(id) > COALESCE((SELECT MAX(id) FROM link_event AS told"
            " WHERE told.identity = link_event.identity AND event = 'reported'), 0)"
            " ORDER BY identity",
            (since, until if until is not None else float("inf")),
        )
    ]
