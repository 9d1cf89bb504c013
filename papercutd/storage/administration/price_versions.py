"""Versions of the prices as administrators look at them: read-only queries."""

from __future__ import annotations

from papercutd.domain.price_versions import WAITS, show_from, standings
from papercutd.storage.administration.directory import decode_prices
from papercutd.storage.administration.listings import PAGE_ROWS, Row
from papercutd.storage.engine import Connection


def read_versions(connection: Connection, before: int, now: float) -> list[Row]:
    """A page of versions, the newest first, of those older than ``before`` (0: of all)."""
    standing = standings(_dates(connection), now)
    found = connection.execute(
        "SELECT version, effective_from, body FROM price WHERE version < ?1 OR ?1 = 0"
        " ORDER BY version DESC LIMIT ?2",
        (before, PAGE_ROWS),
    )
    return [
        _row(version, since, body, standing[version]) for version, since, body in found.fetchall()
    ]


def read_waiting(connection: Connection, since: float, now: float) -> list[tuple[int, float]]:
    """Versions that wait, and would not come into force any more if there were a newer one that
    holds from ``since`` on."""
    dates = _dates(connection)
    standing = standings(dates, now)
    return [one for one in dates if standing[one[0]] == WAITS and since <= one[1]]


def _dates(connection: Connection) -> list[tuple[int, float]]:
    query = "SELECT version, effective_from FROM price ORDER BY version"
    return [(int(version), float(since)) for version, since in connection.execute(query)]


def _row(version: int, since: float, body: str, standing: str) -> Row:
    prices = decode_prices(body)
    tables = [prices.table, *(own.table for own in prices.lists)]
    return {
        "version": version,
        "standing": standing,
        "effective_from": since,
        "from": show_from(since),
        "currency": prices.currency,
        "lines": sum(len(list(table.stated)) for table in tables),
        "lists": len(tables),
        "multipliers": len(prices.multipliers),
    }
