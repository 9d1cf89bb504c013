"""Runs at devices: the last page event of each, kept until the device has finished it.

The same table stands in the application server's database and in a site's journal. The
device's own count is what is charged; this one is for a device that never comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set

import attrs

from papercutd.domain.grant import Grant, decode_grant, encode_grant
from papercutd.domain.job import Completion, SessionRef, is_run
from papercutd.storage.engine import Connection
from papercutd.storage.jobs import askers
from papercutd.storage.jobs.askers import UNSEEN_MAX_S


def note_pages(connection: Connection, grant: Grant, pages: int) -> None:
    """So many pages of a run have come out; nothing where it is settled or void already."""
    found = connection.execute("SELECT state FROM decision WHERE key = ?", (grant.key,)).fetchone()
    # A run that another server granted is not in our decisions: noted all the same.
    if found is None or found[0] == "open":
        connection.execute(
            "INSERT INTO run (key, device, pages, body) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (key) DO UPDATE SET pages = MAX(run.pages, excluded.pages)",
            (grant.key, grant.request.provider, pages, encode_grant(grant)),
        )


def take_count(connection: Connection, completion: Completion) -> Completion:
    """``completion`` of a run with no fewer pages than were seen coming out; forgets the run."""
    if not is_run(completion.step):
        return completion
    found = connection.execute(
        "DELETE FROM run WHERE key = ? RETURNING pages", (completion.key,)
    ).fetchone()
    seen = 0 if found is None else found[0]
    if completion.pages is not None and seen <= completion.pages:
        return completion
    return attrs.evolve(completion, pages=seen)


def forget(connection: Connection, key: str) -> None:
    """The run came to nothing."""
    connection.execute("DELETE FROM run WHERE key = ?", (key,))


def abandoned(connection: Connection, wall_s: float) -> list[Completion]:
    """Runs of devices that were away for too long, each as its last page event has it."""
    rows = connection.execute(
        "SELECT run.body, run.pages FROM run JOIN asker ON asker.identity = run.device"
        " WHERE asker.connected = 0 AND asker.unseen_s > ? AND run.pages > 0 ORDER BY run.key",
        (UNSEEN_MAX_S,),
    ).fetchall()
    return [_assumed(body, pages, wall_s) for body, pages in rows]


def compare(
    connection: Connection,
    asker: SessionRef,
    listed: Iterable[str],
    wall_s: float,
    settle: Callable[[Connection, Completion], object],
    void: askers.Void,
) -> int:
    """The whole list of an asker's open keys, with a device's runs; how many holds ended."""
    keep = set(listed)
    dropped = 0
    if asker.role == "device":
        for completion in _lost(connection, asker, keep, wall_s):
            settle(connection, completion)
        dropped = askers.adopt(connection, asker, keep, void)
        _forget_unlisted(connection, asker, keep)
    return dropped + askers.release_unlisted(connection, asker, keep, void)


def _lost(
    connection: Connection, asker: SessionRef, keep: Set[str], wall_s: float
) -> list[Completion]:
    """Runs known to a journal that the device has no more, as their last page events have it."""
    rows = connection.execute(
        "SELECT run.key, run.body, run.pages FROM run JOIN hold USING (key)"
        " WHERE hold.asker = ? AND hold.journal <> ? AND run.pages > 0 ORDER BY run.key",
        (asker.identity, asker.journal),
    ).fetchall()
    return [_assumed(body, pages, wall_s) for key, body, pages in rows if key not in keep]


def _forget_unlisted(connection: Connection, asker: SessionRef, keep: Set[str]) -> None:
    """Runs that the device does not keep and nobody holds here: finished at another server."""
    for (key,) in connection.execute(
        "SELECT key FROM run WHERE device = ?"
        " AND key NOT IN (SELECT key FROM decision WHERE state = 'open')",
        (asker.identity,),
    ).fetchall():
        if key not in keep:
            forget(connection, key)


def _assumed(body: bytes, pages: int, wall_s: float) -> Completion:
    return decode_grant(body).complete(pages, "aborted", wall_s, assumed=True)
