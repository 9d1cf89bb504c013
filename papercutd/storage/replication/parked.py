"""Records of sites that could not be applied: kept as they came, shown, and tried again.

A record of a newer release is parked by an older one for its kind, or for what it needs;
after the upgrade it is applied as it would have been. Nothing is written again: the bytes
are those of the journal, and the record stands in its chain.
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from papercutd.domain.job import SessionRef
from papercutd.storage.engine import Connection
from papercutd.storage.replication.intake import Arrived, Intake

PAGE_MAX = 500
#: Records of one transaction.
RETRIED_MAX = 100


@attrs.frozen
class Retried:
    """What became of some of them."""

    applied: int
    #: They stay parked.
    refused: int
    #: The last one that was looked at; None: there is none left.
    last: tuple[str, int] | None


@attrs.frozen
class _Head:
    kind: Any = ""
    key: Any = ""


_HEAD = msgspec.json.Decoder(_Head)


def read_parked(
    connection: Connection, after: tuple[str, int], stream: str | None = None
) -> list[dict[str, Any]]:
    """At most 500 after that (stream, number), of all streams or of one."""
    rows = connection.execute(
        "SELECT parked.stream, parked.number, body, reason, at, site.name FROM parked"
        " JOIN stream ON stream.id = parked.stream JOIN site ON site.id = stream.site"
        " WHERE (parked.stream, parked.number) > (?, ?) AND (?3 IS NULL OR parked.stream = ?3)"
        f" ORDER BY parked.stream, parked.number LIMIT {PAGE_MAX}",
        (*after, stream),
    )
    return [_shown(*row) for row in rows]


def _shown(
    stream: str, number: int, body: str, reason: str, at: float, site: str
) -> dict[str, Any]:
    try:
        head = _HEAD.decode(body)
    except (ValueError, RecursionError):
        head = _Head()
    code = reason.split(": ")[1] if reason.startswith("Rejected: ") else "bad-fields"
    return {
        "site": site,
        "stream": stream,
        "number": number,
        "kind": str(head.kind)[:64],
        "key": str(head.key)[:80],
        "code": code[:64],
        "reason": reason,
        "at": at,
    }


def retry_parked(connection: Connection, intake: Intake, after: tuple[str, int]) -> Retried:
    """Apply what can be applied by now of those after ``after``, in the order they were written.

    In one transaction with what it takes them from: none is applied twice.
    """
    found = connection.execute(
        "SELECT parked.stream, parked.number, body, site.name FROM parked"
        " JOIN stream ON stream.id = parked.stream JOIN site ON site.id = stream.site"
        " WHERE (parked.stream, parked.number) > (?, ?)"
        f" ORDER BY parked.stream, parked.number LIMIT {RETRIED_MAX}",
        after,
    ).fetchall()
    applied = 0
    for stream, number, body, site in found:
        asker = SessionRef("site", site, stream, 0)
        applied += intake.apply_again(connection, Arrived(asker, stream, number, body))
    last = found[-1] if found else None
    return Retried(applied, len(found) - applied, None if last is None else (last[0], last[1]))
