"""The statement: what an outage was, what was printed in it, and that it all adds up."""

from __future__ import annotations

from typing import Any

import attrs

from papercutd.domain.policy import resolve
from papercutd.domain.statement_words import words_of
from papercutd.storage.administration.policies import read_rules
from papercutd.storage.engine import Connection
from papercutd.storage.replication.change_log import read_head

#: Items of the statement shown one by one; all are counted.
ITEMS_MAX = 200
#: Users, accounts, printers named one by one; all are counted in the totals.
GROUP_MAX = 1_000


@attrs.frozen
class Span:
    """What a statement is about: conditions of charges, of what is listed, and both bounds."""

    jobs: str
    events: str
    bounds: tuple[float, float]


def span_of_numbers(first: int, last: int) -> Span:
    """Told by the change log: what came in from one change to another."""
    condition = "number >= ? AND number <= ?"
    return Span(condition, condition, (first, last))


def make_statement(
    connection: Connection, since: float | None = None, until: float | None = None
) -> dict[str, Any]:
    """The statement from ``since`` to ``until``, by the clocks of those who claim."""
    bounds = (since or 0.0, until if until is not None else float("inf"))
    missing = _missing_in(connection, *bounds)
    head = read_head(connection)
    return {
        "state": "open" if missing else "closed",
        "missing": missing,
        "since": bounds[0],
        "until": until,
        **read_figures(
            connection,
            Span("claimed_at >= ? AND claimed_at <= ?", "at >= ? AND at <= ?", bounds),
        ),
        "position": {"timeline": head.timeline, "number": head.number, "chain": head.chain},
    }


def read_figures(connection: Connection, span: Span) -> dict[str, Any]:
    """Everything that is counted in one span."""
    read = _Reader(connection, span.jobs, span.events, span.bounds)
    listed = read.rows(
        "SELECT kind, COUNT(*) AS count, SUM(amount_e4) AS amount_e4 FROM listed"
        f" WHERE {span.events} GROUP BY kind ORDER BY kind"
    )
    parked = sum(one["count"] for one in listed if one["kind"] == "parked")
    return {
        **read.totals("1 = 1"),
        "prints": read.totals("provider NOT LIKE 'device:%'"),
        "copies": read.totals("provider LIKE 'device:%'"),
        "released": read.totals("key LIKE '%/release-%'"),
        "by_user": read.group("user_name"),
        "by_account": read.group(
            "account",
            "CASE kind WHEN 'personal' THEN account.name ELSE kind || ' ' || account.name END",
        ),
        "by_printer": read.group("printer", "printer.name"),
        "by_site": read.sites(),
        "by_device": read.devices(),
        "by_decider": read.deciders(),
        "refused": read.rows(
            "SELECT verdict, reason, decider, COUNT(*) AS jobs FROM job_log"
            f" WHERE {span.jobs} GROUP BY verdict, reason, decider"
        ),
        "listed": listed,
        "items": read.rows(
            "SELECT kind, key, who, detail, amount_e4, at FROM listed"
            f" WHERE {span.events} ORDER BY id LIMIT {ITEMS_MAX}"
        ),
        "conflicts": [*read.conflicts(listed)],
        "parked": parked,
        "charged_twice": read.charged_twice(),
    }


@attrs.frozen
class _Reader:
    """Queries over one span."""

    connection: Connection
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
            f" ORDER BY spent.{column} LIMIT {GROUP_MAX}"
        )

    def sites(self) -> list[dict[str, Any]]:
        """By the site at which it was printed; empty: beside none."""
        return self.rows(
            "SELECT COALESCE(site.name, '') AS site, COUNT(*) AS jobs, SUM(pages) AS pages,"
            " SUM(amount_e4) AS amount_e4, SUM(CASE WHEN decider NOT IN"
            " ('application', 'tracker') THEN 1 ELSE 0 END)"
            " AS decided_here FROM charge LEFT JOIN provider ON provider.name = charge.provider"
            " LEFT JOIN device ON 'device:' || device.name = charge.provider"
            " LEFT JOIN site ON site.id = COALESCE(provider.site, device.site)"
            f" WHERE {self.jobs} GROUP BY site.name ORDER BY site.name"
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
        found = self.rows(
            "SELECT spent.decider, COALESCE(site.name, '') AS site,"
            " site.id AS policy, jobs, pages, amount_e4 FROM"
            " (SELECT decider, COUNT(*) AS jobs, SUM(pages) AS pages, SUM(amount_e4) AS amount_e4"
            f" FROM charge WHERE {self.jobs} GROUP BY decider) AS spent"
            " LEFT JOIN stream ON stream.id = spent.decider"
            " LEFT JOIN site ON site.id = stream.site ORDER BY spent.decider"
        )
        rules = read_rules(self.connection)
        for one in found:
            site = one["policy"]
            one["policy"] = "" if site is None else resolve(rules, site, (), 0).policy.value
        return found

    def charged_twice(self) -> int:
        """Keys of the span that have more than one charge, in it or before."""
        found = self.rows(
            f"SELECT COUNT(*) AS count FROM (SELECT DISTINCT key FROM charge WHERE {self.jobs})"
            " AS charged WHERE (SELECT COUNT(*) FROM charge WHERE charge.key = charged.key) > 1"
        )
        return int(found[0]["count"])

    def conflicts(self, listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Where two sides said different things: how often, and how each was settled."""
        counts = {one["kind"]: one["count"] for one in listed if words_of(one["kind"]).is_conflict}
        counts["superseded"] = self.rows(
            f"SELECT COUNT(*) AS count FROM job_log WHERE {self.jobs} AND verdict = 'superseded'"
        )[0]["count"]
        counts["decided-twice"] = self.rows(
            "SELECT COUNT(*) AS count FROM (SELECT key FROM charge"
            f" WHERE {self.jobs}) AS charged WHERE EXISTS (SELECT 1 FROM transfer"
            " WHERE transfer.key = charged.key AND kind = 'void')"
        )[0]["count"]
        return [
            {"kind": kind, "count": count, "settled": words_of(kind).settled}
            for kind, count in sorted(counts.items())
            if count
        ]


def gone(connection: Connection) -> set[str]:
    """Identities that were taken away: nobody waits for them."""
    return {
        row[0]
        for row in connection.execute(
            "SELECT 'site:' || name FROM site WHERE removed = 1"
            " UNION ALL SELECT 'provider:' || name FROM provider WHERE removed = 1"
            " UNION ALL SELECT 'device:' || name FROM device WHERE removed = 1"
        )
    }


def _missing_in(connection: Connection, since: float, until: float) -> list[str]:
    """Identities whose link went down in the span and that have not reported since they came."""
    away = gone(connection)
    return [
        row[0]
        for row in connection.execute(
            "SELECT identity FROM link_event WHERE event = 'down' AND at >= ? AND at <= ?"
            " GROUP BY identity HAVING MAX(id) > COALESCE((SELECT MAX(id) FROM link_event AS told"
            " WHERE told.identity = link_event.identity AND event = 'reported'), 0)"
            " ORDER BY identity",
            (since, until),
        )
        if row[0] not in away
    ]
