"""The statement: what an outage was, what was printed in it, and that it all adds up."""

from __future__ import annotations

import sqlite3
from typing import Any

import attrs

from papercutd.storage.change_log import read_head

#: Links of sites that went down within so many seconds of each other are one outage.
ONE_OUTAGE_S = 60.0
#: Items of the statement shown one by one; all are counted.
ITEMS_MAX = 200


@attrs.frozen
class _Outage:
    """The span of an outage, in numbers of the change log."""

    since: float
    until: float | None
    first: int
    #: The closing event's; None while somebody is missing.
    last: int | None
    missing: list[str]


def make_statement(
    connection: sqlite3.Connection, since: float | None = None, until: float | None = None
) -> dict[str, Any]:
    """The statement from ``since`` to ``until``; without them of the latest outage.

    Open until everybody whose link went down has come back and told what it
    retained; its figures only grow until then, and stand from then on. An outage's span
    is told by the change log, one that is given by the clocks of those who claim.
    """
    head = read_head(connection)
    if since is None and until is None:
        outage = _latest_outage(connection)
        bounds = (outage.first, outage.last if outage.last is not None else head.number + 1)
        jobs = events = "number >= ? AND number <= ?"
    else:
        outage = _Outage(since or 0.0, until, 0, None, _missing_in(connection, since, until))
        bounds = (outage.since, until if until is not None else float("inf"))  # type: ignore[assignment]
        jobs, events = "claimed_at >= ? AND claimed_at <= ?", "at >= ? AND at <= ?"
    read = _Reader(connection, jobs, events, bounds)
    number = outage.last if outage.last is not None else head.number
    signed = connection.execute(
        "SELECT timeline, number, chain FROM change_log WHERE number = ?", (number,)
    ).fetchone()
    timeline, number, chain = signed or (head.timeline, head.number, head.chain)
    return {
        "state": "open" if outage.missing else "closed",
        "missing": outage.missing,
        "since": outage.since,
        "until": outage.until,
        **read.totals("1"),
        "prints": read.totals("provider NOT LIKE 'device:%'"),
        "copies": read.totals("provider LIKE 'device:%'"),
        "released": read.totals("key LIKE '%/release-%'"),
        "by_user": read.group("user_name"),
        "by_account": read.group(
            "account",
            "CASE kind WHEN 'personal' THEN account.name ELSE kind || ' ' || account.name END",
        ),
        "by_printer": read.group("printer", "printer.name"),
        "by_device": read.devices(),
        "by_decider": read.deciders(),
        "refused": read.rows(
            "SELECT verdict, reason, decider, COUNT(*) AS jobs FROM job_log"
            f" WHERE {jobs} GROUP BY verdict, reason, decider"
        ),
        "listed": read.rows(
            "SELECT kind, COUNT(*) AS count, SUM(amount_e4) AS amount_e4 FROM listed"
            f" WHERE {events} GROUP BY kind ORDER BY kind"
        ),
        "items": read.rows(
            "SELECT kind, key, who, detail, amount_e4, at FROM listed"
            f" WHERE {events} ORDER BY id LIMIT {ITEMS_MAX}"
        ),
        "parked": connection.execute("SELECT COUNT(*) FROM parked").fetchone()[0],
        "charged_twice": connection.execute(
            "SELECT COUNT(*) FROM (SELECT key FROM charge GROUP BY key HAVING COUNT(*) > 1)"
        ).fetchone()[0],
        "position": {"timeline": timeline, "number": number, "chain": chain},
    }


@attrs.frozen
class _Reader:
    """Queries over one span."""

    connection: sqlite3.Connection
    #: Conditions of charges and jobs, and of what is listed, with two places each.
    jobs: str
    events: str
    bounds: tuple[float, float]

    def rows(self, query: str) -> list[dict[str, Any]]:
        cursor = self.connection.execute(query, self.bounds)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def totals(self, which: str) -> dict[str, Any]:
        return self.rows(
            "SELECT COUNT(*) AS jobs, COALESCE(SUM(pages), 0) AS pages,"
            " COALESCE(SUM(amount_e4), 0) AS amount_e4"
            f" FROM charge WHERE {self.jobs} AND {which}"
        )[0]

    def group(self, column: str, name: str | None = None) -> list[dict[str, Any]]:
        """By ``column``; with ``name`` an expression over the table called so."""
        named = "" if name is None else f" {name} AS name,"
        joined = "" if name is None else f" LEFT JOIN {column} ON {column}.id = spent.{column}"
        return self.rows(
            f"SELECT spent.{column},{named} jobs, pages, amount_e4 FROM"
            f" (SELECT {column}, COUNT(*) AS jobs, SUM(pages) AS pages, SUM(amount_e4) AS amount_e4"
            f" FROM charge WHERE {self.jobs} GROUP BY {column}) AS spent{joined}"
            f" ORDER BY spent.{column}"
        )

    def devices(self) -> list[dict[str, Any]]:
        """Runs by device and function."""
        return self.rows(
            "SELECT substr(provider, 8) AS device, lower(title) AS function, COUNT(*) AS runs,"
            " SUM(pages) AS pages, SUM(amount_e4) AS amount_e4 FROM charge"
            f" WHERE {self.jobs} AND provider LIKE 'device:%' GROUP BY provider, title"
            " ORDER BY provider, title"
        )

    def deciders(self) -> list[dict[str, Any]]:
        """By who decided: a site's stream with its site and policy; ``tracker``: nobody did."""
        return self.rows(
            "SELECT spent.decider, COALESCE(site.name, '') AS site,"
            " COALESCE(site.policy, '') AS policy, jobs, pages, amount_e4 FROM"
            " (SELECT decider, COUNT(*) AS jobs, SUM(pages) AS pages, SUM(amount_e4) AS amount_e4"
            f" FROM charge WHERE {self.jobs} GROUP BY decider) AS spent"
            " LEFT JOIN stream ON stream.id = spent.decider"
            " LEFT JOIN site ON site.id = stream.site ORDER BY spent.decider"
        )


def _latest_outage(connection: sqlite3.Connection) -> _Outage:
    """From when the link of a site last went down to when everybody had reported."""
    rows = connection.execute(
        "SELECT id, at FROM link_event WHERE event = 'down' AND identity LIKE 'site:%'"
        " ORDER BY id DESC LIMIT 1000"
    ).fetchall()
    if not rows:
        return _Outage(0.0, None, 0, None, [])
    newest = first = rows[0]
    for row in rows[1:]:
        if first[1] - row[1] > ONE_OUTAGE_S:
            break
        first = row
    # Links are seen to be down one after the other: those of providers before, perhaps.
    missing: dict[tuple[str, str], None] = {}
    began = first
    closing: tuple[float, int] | None = None
    numbers = []
    for id, identity, via, event, at, number in connection.execute(
        "SELECT id, identity, via, event, at, number FROM link_event"
        " WHERE at >= ? - ? AND id >= ? - 10000 ORDER BY id",
        (first[1], ONE_OUTAGE_S, first[0]),
    ):
        who = (identity, "" if identity.startswith("device:") else via)
        if event == "down":
            missing[who] = None
            if id >= began[0]:
                numbers.append(number)
        elif event == "reported":
            missing.pop(who, None)
        if id >= newest[0] and not missing:
            closing = (at, number)
            break
    gone = _gone(connection)
    names = [
        f"{identity} at {via}" if via else identity
        for identity, via in missing
        if identity not in gone and f"site:{via}" not in gone
    ]
    if names:
        closing = None
    elif closing is None:
        # Whoever has not reported is no more: there is nobody to wait for.
        closing = (newest[1], read_head(connection).number)
    until, last = closing if closing is not None else (None, None)
    return _Outage(first[1], until, min(numbers), last, sorted(names))


def _gone(connection: sqlite3.Connection) -> set[str]:
    """Identities that were taken away: nobody waits for them."""
    return {
        row[0]
        for row in connection.execute(
            "SELECT 'site:' || name FROM site WHERE removed = 1"
            " UNION ALL SELECT 'provider:' || name FROM provider WHERE removed = 1"
            " UNION ALL SELECT 'device:' || name FROM device WHERE removed = 1"
        )
    }


def _missing_in(
    connection: sqlite3.Connection, since: float | None, until: float | None
) -> list[str]:
    """Identities whose link went down in the span and that have not reported since they came."""
    gone = _gone(connection)
    return [
        row[0]
        for row in connection.execute(
            "SELECT identity FROM link_event WHERE event = 'down' AND at >= ? AND at <= ?"
            " GROUP BY identity HAVING MAX(id) > COALESCE((SELECT MAX(id) FROM link_event AS told"
            " WHERE told.identity = link_event.identity AND event = 'reported'), 0)"
            " ORDER BY identity",
            (since or 0.0, until if until is not None else float("inf")),
        )
        if row[0] not in gone
    ]
