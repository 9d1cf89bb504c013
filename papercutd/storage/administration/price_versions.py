"""Versions of the prices as administrators look at them: read-only queries."""

from __future__ import annotations

from papercutd.domain.capabilities import lacking
from papercutd.domain.price_versions import WAITS, show_from, standings
from papercutd.storage.administration.directory import decode_prices
from papercutd.storage.administration.listings import PAGE_ROWS, Row
from papercutd.storage.engine import Connection

_NOT_UNDERSTOOD = dict.fromkeys(("currency", "lines", "lists", "multipliers"))


def read_versions(connection: Connection, before: int, now: float, schema: str = "") -> list[Row]:
    """A page of versions, the newest first, of those older than ``before`` (0: of all).

    ``schema``: ``replica.`` at a site, to which a newer release may have sent what only that
    understands.
    """
    standing = standings(_dates(connection, schema), now)
    found = connection.execute(
        f"SELECT version, effective_from, body, needs FROM {schema}price"
        " WHERE version < ?1 OR ?1 = 0 ORDER BY version DESC LIMIT ?2",
        (before, PAGE_ROWS),
    )
    return [
        {
            "version": version,
            "standing": standing[version],
            "effective_from": since,
            "from": show_from(since),
            **(_NOT_UNDERSTOOD if lacking(needs.split()) else _figures(body)),
        }
        for version, since, body, needs in found.fetchall()
    ]


def read_waiting(connection: Connection, since: float, now: float) -> list[tuple[int, float]]:
    """Versions that wait, and would not come into force any more if there were a newer one that
    holds from ``since`` on."""
    dates = _dates(connection)
    standing = standings(dates, now)
    return [one for one in dates if standing[one[0]] == WAITS and since <= one[1]]


def _dates(connection: Connection, schema: str = "") -> list[tuple[int, float]]:
    query = f"SELECT version, effective_from FROM {schema}price ORDER BY version"
    return [(int(version), float(since)) for version, since in connection.execute(query)]


def _figures(body: str) -> Row:
    prices = decode_prices(body)
    tables = [prices.table, *(own.table for own in prices.lists)]
    return {
        "currency": prices.currency,
        "lines": sum(len(list(table.stated)) for table in tables),
        "lists": len(tables),
        "multipliers": len(prices.multipliers),
    }
