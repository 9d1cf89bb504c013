"""The messages of the site link: a site server (client) to the application server.

Down flow changes and snapshots; up flow the journal and forwarded requests.
docs/protocols/site.md tells the rest.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
from attrs.validators import ge, le, max_len

from protocols.common import Position, is_id, is_number
from protocols.provider.messages import Authorize, Bye, Open, Ping, Relay


@attrs.frozen
class JournalAck:
    """The stream's mark after the batch: applied, with its postings, in one transaction."""

    number: int = attrs.field(validator=is_number)
    chain: str = attrs.field(validator=max_len(128))


@attrs.frozen
class Journal:
    """``TAG JOURNAL {stream, after, chain, records}``: records after ``after``, in order.

    ``records`` are the bytes as written, each one line of JSON; ``chain`` is the
    chain at ``after``. The chain at each record is
    BLAKE2b-256(chain before || record), and the answer states the last.
    """

    VERB: ClassVar[str] = "JOURNAL"
    ANSWER: ClassVar[type] = JournalAck
    stream: str = attrs.field(validator=is_id)
    after: int = attrs.field(validator=is_number)
    chain: str = attrs.field(validator=max_len(128))
    records: list[str] = attrs.field(validator=max_len(500))


@attrs.frozen
class Subscribed:
    """The answer to ``SUBSCRIBE``: changes follow from the position given."""

    head: Position


@attrs.frozen
class Subscribe:
    """``TAG SUBSCRIBE {position, credit_bytes}``: send the changes after ``position``.

    ``NO snapshot-gone`` when the position is not in the history kept.
    """

    VERB: ClassVar[str] = "SUBSCRIBE"
    ANSWER: ClassVar[type] = Subscribed
    position: Position
    credit_bytes: int = attrs.field(validator=[ge(0), le(16_777_216)])


@attrs.frozen
class SnapshotOffer:
    """The answer to ``SNAPSHOT``: ``chunks`` chunks, numbered from 0, at ``position``."""

    snapshot: str
    position: Position
    chunks: int = attrs.field(validator=is_number)


@attrs.frozen
class Snapshot:
    """``TAG SNAPSHOT {resume}``: begin a snapshot, or go on with ``resume`` if it is kept."""

    VERB: ClassVar[str] = "SNAPSHOT"
    ANSWER: ClassVar[type] = SnapshotOffer
    resume: str = attrs.field(default="", validator=max_len(64))


@attrs.frozen
class ChunkRows:
    """Rows of a chunk: each ``[table, key, {column: value}]``."""

    rows: list[Any]


@attrs.frozen
class Chunk:
    """``TAG CHUNK {snapshot, index}``: one chunk; ``NO snapshot-gone`` if it is kept no more."""

    VERB: ClassVar[str] = "CHUNK"
    ANSWER: ClassVar[type] = ChunkRows
    snapshot: str = attrs.field(validator=max_len(64))
    index: int = attrs.field(validator=is_number)


@attrs.frozen
class Changes:
    """``* CHANGES {from_number, to, part, last, rows, committed_at}``: one batch, in parts.

    The rows of all parts are applied in one transaction with ``to``. Each row is
    ``[table, key, {column: value} | null]``; null removes it. ``from_number`` is
    the number the batch follows: a batch that does not follow the replica's
    position ends the session.
    """

    EVENT: ClassVar[str] = "CHANGES"
    from_number: int = attrs.field(validator=is_number)
    to: Position
    part: int = attrs.field(validator=is_number)
    last: bool
    rows: list[Any]
    #: Wall clock of the commit at the application server: for showing the lag.
    committed_at: float = 0.0


@attrs.frozen
class Credit:
    """``* CREDIT {bytes}``: so many bytes of changes were applied; as many more may come."""

    EVENT: ClassVar[str] = "CREDIT"
    bytes: int = attrs.field(validator=[ge(0), le(16_777_216)])


#: Verbs a site may send, and the events of each side.
REQUESTS: tuple[type, ...] = (Authorize, Open, Journal, Subscribe, Snapshot, Chunk, Relay, Ping)
SERVER_EVENTS: tuple[type, ...] = (Changes, Bye)
CLIENT_EVENTS: tuple[type, ...] = (Credit, Bye)
