"""Streams that are their site's no more: who may still bring something of them, and their end.

A stream is frozen when its site shows another one, or is taken away. Providers and devices
that stood at the site turn to the application server with what they retained of it; until all
of them have, its escrow has to stay where it is (design 4.12).
"""

from __future__ import annotations

import attrs

from papercutd.errors import InvalidValue, NotFound
from papercutd.storage.administration.listings import Row, rows
from papercutd.storage.engine import Connection
from papercutd.storage.money.accounts import Entry
from papercutd.storage.money.allowances import Allowances
from papercutd.storage.replication.change_log import ChangeLog


@attrs.frozen
class EndedStream:
    """A frozen stream, and whose word is missing since."""

    id: str
    escrow_e4: int
    #: Identities of providers and devices that have not told all they retained since it ended.
    missing: list[str]


def read_streams(connection: Connection) -> list[Row]:
    return rows(
        connection,
        "SELECT site.name AS site, stream.id AS stream, state, granted_e4, returned_e4, settled_e4,"
        " granted_e4 - returned_e4 - settled_e4 AS escrow_e4 FROM stream"
        " JOIN site ON site.id = stream.site WHERE granted_e4 > 0 OR state = 'live'"
        " ORDER BY site.name, began_at",
    )


def read_ended(connection: Connection, site: str) -> list[EndedStream]:
    """Frozen streams of ``site``, which may have been taken away itself; raises NotFound."""
    found = connection.execute("SELECT id FROM site WHERE name = ?", (site,)).fetchone()
    if found is None:
        raise NotFound("site", site)
    ended = connection.execute(
        "SELECT id, ended, granted_e4 - returned_e4 - settled_e4 FROM stream"
        " WHERE site = ? AND state = 'frozen' ORDER BY began_at",
        found,
    ).fetchall()
    return [
        EndedStream(id, escrow_e4, _missing(connection, found[0], number))
        for id, number, escrow_e4 in ended
    ]


def _missing(connection: Connection, site: int, ended: int) -> list[str]:
    """Who stands or stood at ``site`` and has not told what it retained since ``ended``.

    Whoever never joined has nothing. The site itself, while it is there, goes on with the
    records of its old journal in its new one.
    """
    return [
        row[0]
        for row in connection.execute(
            "WITH living (owner, identity, site) AS ("
            " SELECT name, 'provider:' || name, site FROM provider WHERE removed = 0"
            " UNION ALL"
            " SELECT 'device:' || name, 'device:' || name, site FROM device WHERE removed = 0)"
            " SELECT living.identity FROM living LEFT JOIN asker USING (identity)"
            " WHERE (living.site = ?1 OR EXISTS (SELECT 1 FROM stood"
            " WHERE stood.owner = living.identity AND stood.site = ?1))"
            " AND COALESCE(asker.reported, 0) <= ?2"
            " AND (asker.identity IS NOT NULL OR EXISTS (SELECT 1 FROM certificate"
            " WHERE certificate.role || ':' || certificate.name = living.identity))"
            " UNION ALL SELECT 'site:' || site.name FROM site"
            " LEFT JOIN asker ON asker.identity = 'site:' || site.name"
            " LEFT JOIN stream ON stream.id = asker.journal AND stream.state = 'live'"
            " WHERE site.id = ?1 AND site.removed = 0"
            " AND COALESCE(stream.number, -1) < COALESCE(asker.number, 0) ORDER BY 1",
            (site, ended),
        )
    ]


def retire(
    connection: Connection,
    log: ChangeLog,
    allowances: Allowances,
    stream: str,
    entry: Entry,
) -> int:
    """Give back what ``stream`` holds; what comes in of it later is charged as forced.

    Raises InvalidValue for one that is still its site's, or was retired before.
    """
    found = connection.execute("SELECT state FROM stream WHERE id = ?", (stream,)).fetchone()
    if found is None:
        raise NotFound("stream", stream)
    if found[0] != "frozen":
        raise InvalidValue("stream", f"is {found[0]}")
    given_e4 = allowances.retire(connection, stream, entry)
    connection.execute("UPDATE stream SET state = 'retired' WHERE id = ?", (stream,))
    log.touch("stream", stream)
    return given_e4
