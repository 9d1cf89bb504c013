"""Open keys that only journals hold which were lost: listed until somebody says what came of them.

The same tables stand in the application server's database and in a site's journal.
"""

from __future__ import annotations

import attrs
import msgspec

from papercutd.domain.decision import Decision
from papercutd.domain.document import AS_DECIDED
from papercutd.domain.job import Completion
from papercutd.errors import InvalidValue, NotFound
from papercutd.storage.administration.listings import Row, rows
from papercutd.storage.engine import Connection
from papercutd.storage.jobs import askers
from papercutd.storage.jobs.askers import Void

#: Keys of one list.
LISTED_MAX = 2_000
_DECODE_DECISION = msgspec.json.Decoder(Decision).decode


@attrs.frozen
class LostReservation:
    """What was answered to a key of a lost journal."""

    key: str
    provider: str
    job_uuid: str
    decision: Decision


def read_lost(connection: Connection, database: str) -> list[Row]:
    """All of them, the oldest first; users stand in ``database``, such as ``replica.``."""
    return rows(
        connection,
        "SELECT hold.key, hold.asker, hold.journal, replaced_at AS lost_at, named.name AS user,"
        " reserved_e4, job_uuid FROM hold JOIN decision USING (key) JOIN old_journal"
        " ON identity = hold.asker AND old_journal.journal = hold.journal"
        f" LEFT JOIN {database}user AS named ON named.id = decision.user"
        f" WHERE decision.state = 'open' ORDER BY replaced_at, hold.key LIMIT {LISTED_MAX}",
    )


def find_lost(connection: Connection, key: str) -> LostReservation:
    """Raises NotFound, or InvalidValue for one that somebody still holds."""
    found = connection.execute(
        "SELECT provider, job_uuid, body FROM decision WHERE key = ? AND state = 'open'", (key,)
    ).fetchone()
    if found is None:
        raise NotFound("reservation", key)
    holder = connection.execute(
        "SELECT asker FROM hold WHERE key = ? AND NOT EXISTS (SELECT 1 FROM old_journal"
        " WHERE identity = hold.asker AND old_journal.journal = hold.journal) ORDER BY asker",
        (key,),
    ).fetchone()
    if holder is not None:
        raise InvalidValue("key", f"is held by {holder[0]}, which tells itself what comes of it")
    provider, job_uuid, body = found
    return LostReservation(key, provider, job_uuid, _DECODE_DECISION(body))


def completion_of(
    connection: Connection, database: str, lost: LostReservation, now_wall_s: float
) -> Completion:
    """It came out as it was decided; nobody saw it, so that it is marked as assumed."""
    job, step = lost.key.split("/")
    user = connection.execute(
        f"SELECT name FROM {database}user WHERE id = ?", (lost.decision.user,)
    ).fetchone()
    return Completion(
        job=job,
        step=step,
        provider=lost.provider,
        printer=lost.decision.printer,
        user_name="unknown" if user is None else user[0],
        document=AS_DECIDED,
        decision=lost.decision,
        pages=None,
        assumed=True,
        job_uuid=lost.job_uuid,
        completed_at=now_wall_s,
    )


def void_lost(connection: Connection, lost: LostReservation, void: Void) -> None:
    """Nothing came out: what it reserved is free."""
    askers.release_all(connection, lost.key)
    void(connection, lost.key)
