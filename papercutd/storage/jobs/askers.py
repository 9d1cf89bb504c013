"""Askers, their sessions, and the holds they have on reservations.

The same tables stand in the application server's database and in a site's
journal; these functions serve both. A reservation is held by every asker that
asked for its key and is voided when none holds it (design 4.3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
import msgspec

from papercutd.domain.chain import Mark
from papercutd.domain.decision import Decision
from papercutd.domain.job import SessionRef
from papercutd.errors import Rejected
from papercutd.storage.engine import Connection

#: Seconds of the server's running time after which an asker not seen loses its holds.
UNSEEN_MAX_S = 7 * 86_400.0
#: Lost journals of which a provider is told at the beginning of each session.
LOST_TOLD_MAX = 8
_DECODE_DECISION = msgspec.json.Decoder(Decision).decode

Void = Callable[[Connection, str], None]


@attrs.frozen
class Seen:
    """What a handshake found: the new session, and the journal as last seen."""

    session: int
    mark: Mark | None


@attrs.frozen
class OpenKey:
    """A key that a lost journal held, and what was answered."""

    key: str
    job_uuid: str
    decision: Decision


def begin_session(
    connection: Connection,
    identity: str,
    journal: str,
    mark: Mark,
    now_wall_s: float,
    software: str = "",
) -> Seen:
    """Give ``identity`` its next session; the newest replaces the older.

    Raises Rejected ``journal-behind`` when the journal stands before what was
    seen of it, or is one that was replaced: restored or cloned (design 4.12).
    """
    found = connection.execute(
        "SELECT journal, session, number, chain FROM asker WHERE identity = ?", (identity,)
    ).fetchone()
    retired = connection.execute(
        "SELECT 1 FROM old_journal WHERE identity = ? AND journal = ?", (identity, journal)
    ).fetchone()
    if retired is not None:
        raise Rejected("journal-behind")
    if found is None:
        connection.execute(
            "INSERT INTO asker (identity, journal, session, number, chain, connected, seen_at,"
            " software) VALUES (?, ?, 1, ?, ?, 1, ?, ?)",
            (identity, journal, mark.number, mark.chain, now_wall_s, software),
        )
        return Seen(1, None)
    old_journal, session, number, chain = found
    seen: Mark | None = Mark(number, chain)
    if old_journal != journal:
        connection.execute(
            "INSERT INTO old_journal (identity, journal, replaced_by, replaced_at)"
            " VALUES (?, ?, ?, ?)",
            (identity, old_journal, journal, now_wall_s),
        )
        seen = None
    elif mark.number < number or (mark.number == number and mark.chain != chain):
        raise Rejected("journal-behind")
    connection.execute(
        "UPDATE asker SET journal = ?, session = ?, number = ?, chain = ?, connected = 1,"
        " unseen_s = 0, seen_at = ?, software = ? WHERE identity = ?",
        (journal, session + 1, mark.number, mark.chain, now_wall_s, software, identity),
    )
    return Seen(session + 1, seen)


def check_session(connection: Connection, asker: SessionRef) -> None:
    """Raise Rejected ``stale-session`` unless ``asker`` is its identity's live session.

    A request of an ended session that is not yet committed is not committed.
    """
    found = connection.execute(
        "SELECT session, connected FROM asker WHERE identity = ?", (asker.identity,)
    ).fetchone()
    if found != (asker.session, 1):
        raise Rejected("stale-session")


def end_session(connection: Connection, asker: SessionRef, now_wall_s: float) -> bool:
    """The session ended; False when a newer one had replaced it already."""
    done = connection.execute(
        "UPDATE asker SET connected = 0, seen_at = ? WHERE identity = ? AND session = ?",
        (now_wall_s, asker.identity, asker.session),
    )
    return done.rowcount == 1


def is_connected(connection: Connection, identity: str) -> bool:
    """As far as we know: its session has not ended here."""
    found = connection.execute(
        "SELECT connected FROM asker WHERE identity = ?", (identity,)
    ).fetchone()
    return bool(found == (1,))


def disconnect_all(connection: Connection) -> None:
    """At start: no session of an earlier run is alive."""
    connection.execute("UPDATE asker SET connected = 0")


def acknowledge_position(connection: Connection, asker: SessionRef, position: str) -> None:
    """``asker`` knows the application server's state up to ``position``."""
    connection.execute(
        "UPDATE asker SET position = ? WHERE identity = ? AND session = ?",
        (position, asker.identity, asker.session),
    )


def owes_nothing(connection: Connection, identity: str) -> bool:
    """``identity`` is a device that has no reservation here, and no run that was seen here.

    It prints nothing without one: no statement has to wait for it. A device leaves a server
    for another it prefers, and may not come back.
    """
    return (
        identity.startswith("device:")
        and connection.execute(
            "SELECT 1 FROM hold WHERE asker = ?1 UNION ALL SELECT 1 FROM run WHERE device = ?1"
            " LIMIT 1",
            (identity,),
        ).fetchone()
        is None
    )


def hold(connection: Connection, key: str, asker: SessionRef) -> None:
    """``asker`` holds the reservation of ``key``, asked in this session."""
    connection.execute(
        "INSERT INTO hold VALUES (?, ?, ?, ?) ON CONFLICT (key, asker, journal)"
        " DO UPDATE SET session = excluded.session",
        (key, asker.identity, asker.journal, asker.session),
    )


def release(connection: Connection, key: str, identity: str, void: Void) -> None:
    """``identity`` holds ``key`` no more; the last one to let go voids it."""
    connection.execute("DELETE FROM hold WHERE key = ? AND asker = ?", (key, identity))
    _void_unheld(connection, key, void)


def release_unlisted(
    connection: Connection, asker: SessionRef, listed: Iterable[str], void: Void
) -> int:
    """Drop ``asker``'s holds of earlier sessions that its whole OPEN list does not name."""
    keep = set(listed)
    dropped = 0
    for (key,) in connection.execute(
        "SELECT key FROM hold WHERE asker = ? AND journal = ? AND session < ?",
        (asker.identity, asker.journal, asker.session),
    ).fetchall():
        if key not in keep:
            release(connection, key, asker.identity, void)
            dropped += 1
    return dropped


def release_all(connection: Connection, key: str) -> None:
    """The key is resolved: nobody holds it."""
    connection.execute("DELETE FROM hold WHERE key = ?", (key,))


def add_absence(connection: Connection, elapsed_s: float) -> None:
    """Add running time to askers that are away."""
    connection.execute("UPDATE asker SET unseen_s = unseen_s + ? WHERE connected = 0", (elapsed_s,))
    # A journal that was replaced is never seen again.
    connection.execute(
        "UPDATE old_journal SET unseen_s = unseen_s + ? WHERE unseen_s <= ?",
        (elapsed_s, UNSEEN_MAX_S),
    )


def end_unseen(connection: Connection, void: Void) -> list[str]:
    """Void what askers, or journals they lost, hold that were away for too long; whose."""
    lost = []
    for (identity,) in connection.execute(
        "SELECT identity FROM asker WHERE connected = 0 AND unseen_s > ?"
        " AND EXISTS (SELECT 1 FROM hold WHERE hold.asker = asker.identity)",
        (UNSEEN_MAX_S,),
    ).fetchall():
        keys = connection.execute("SELECT key FROM hold WHERE asker = ?", (identity,)).fetchall()
        for (key,) in keys:
            release(connection, key, identity, void)
        lost.append(identity)
    for key, identity, journal in connection.execute(
        "SELECT key, asker, hold.journal FROM hold JOIN old_journal ON identity = asker"
        " AND old_journal.journal = hold.journal WHERE unseen_s > ?",
        (UNSEEN_MAX_S,),
    ).fetchall():
        connection.execute(
            "DELETE FROM hold WHERE key = ? AND asker = ? AND journal = ?", (key, identity, journal)
        )
        _void_unheld(connection, key, void)
        if identity not in lost:
            lost.append(identity)
    return lost


def adopt(connection: Connection, asker: SessionRef, listed: Iterable[str], void: Void) -> int:
    """Holds of journals that ``asker`` had before: its own where it lists the key, else ended.

    How many ended.
    """
    keep, dropped = set(listed), 0
    for (key,) in connection.execute(
        "SELECT key FROM hold WHERE asker = ? AND journal <> ?", (asker.identity, asker.journal)
    ).fetchall():
        if key in keep:
            connection.execute(
                "DELETE FROM hold WHERE key = ? AND asker = ?", (key, asker.identity)
            )
            hold(connection, key, asker)
        else:
            release(connection, key, asker.identity, void)
            dropped += 1
    return dropped


def open_keys_of_lost(connection: Connection, identity: str) -> list[tuple[str, list[OpenKey]]]:
    """The newest journals that ``identity`` lost, and the open keys each held: its successor may
    know what became of them."""
    lost = connection.execute(
        "SELECT journal FROM old_journal WHERE identity = ? ORDER BY replaced_at DESC LIMIT ?",
        (identity, LOST_TOLD_MAX),
    ).fetchall()
    return [(journal, _open_keys(connection, identity, journal)) for (journal,) in lost]


def _open_keys(connection: Connection, identity: str, journal: str) -> list[OpenKey]:
    found = connection.execute(
        "SELECT hold.key, decision.job_uuid, decision.body FROM hold JOIN decision USING (key)"
        " WHERE hold.asker = ? AND hold.journal = ? AND decision.state = 'open' ORDER BY hold.key",
        (identity, journal),
    ).fetchall()
    return [OpenKey(key, job_uuid, _DECODE_DECISION(body)) for key, job_uuid, body in found]


def _void_unheld(connection: Connection, key: str, void: Void) -> None:
    held = connection.execute("SELECT 1 FROM hold WHERE key = ? LIMIT 1", (key,)).fetchone()
    if held is None:
        void(connection, key)
