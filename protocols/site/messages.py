"""The messages of the site link: a site server (client) to the application server.

Down flow changes and snapshots; up flow the journal and forwarded requests.
docs/protocols/site.md tells the rest.
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
from attrs.validators import and_, ge, le, max_len

from protocols.common import Mark, Position, is_id, is_number
from protocols.limits import PAGE_ENTRIES_MAX
from protocols.provider.messages import Authorize, Bye, Open, Ping, Relay

#: Rows that one DIGESTS lists, and one RESEND names.
DIGEST_ROWS_MAX = 120
RESEND_MAX = 100
#: People who were merged into one and are named with it by a RECALL.
RECALL_USERS_MAX = 500
#: Places that one SHARED names.
SHARED_PLACES_MAX = 200
_KEY_LENGTH_MAX = 1_024


def is_row_key(message: object, attribute: Any, value: int | str | None) -> None:
    """A number of SQLite, a text of bounded length, or null."""
    if isinstance(value, str) and len(value) > _KEY_LENGTH_MAX:
        raise ValueError("the key is too long")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("the key is out of bounds")


def _are_row_keys(message: object, attribute: Any, value: list[int | str]) -> None:
    for key in value:
        is_row_key(message, attribute, key)


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
    """The answer to ``SNAPSHOT``: ``chunks`` chunks, numbered from 0, at ``position``.

    Of one that is ``growing`` so many are there by now; the last chunk says that it is.
    """

    snapshot: str
    position: Position
    chunks: int = attrs.field(validator=is_number)
    growing: bool = False


@attrs.frozen
class Snapshot:
    """``TAG SNAPSHOT {resume, grouped, growing}``: begin one, or go on with ``resume`` if kept.

    ``grouped``: the rows of one table may come together. ``growing``: it may be offered before
    all its chunks are made.
    """

    VERB: ClassVar[str] = "SNAPSHOT"
    ANSWER: ClassVar[type] = SnapshotOffer
    resume: str = attrs.field(default="", validator=max_len(64))
    grouped: bool = False
    growing: bool = False


@attrs.frozen
class ChunkRows:
    """Rows of a chunk: each ``[table, key, {column: value}]``.

    Of a snapshot that is ``grouped`` they are ``[table, [column, ...], [[value, ...], ...]]``.
    ``last``: no chunk follows.
    """

    rows: list[Any]
    last: bool = False


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


@attrs.frozen
class DigestPage:
    """Rows of one range at ``position``: how many, a digest of all, and of each if asked for."""

    position: Position
    count: int = attrs.field(validator=is_number)
    digest: str = attrs.field(validator=max_len(64))
    #: ``[key, digest]`` of the first rows, where they were asked for.
    rows: list[Any] = attrs.field(factory=list, validator=max_len(DIGEST_ROWS_MAX))
    #: There are more rows in the range than were listed.
    more: bool = False


@attrs.frozen
class Digests:
    """``TAG DIGESTS {table, after, until, listed}``: what a replica should hold there.

    Keys beyond ``after`` and not beyond ``until``; null: from the first, to the last.
    """

    VERB: ClassVar[str] = "DIGESTS"
    ANSWER: ClassVar[type] = DigestPage
    table: str = attrs.field(validator=max_len(64))
    after: int | str | None = attrs.field(validator=is_row_key)
    until: int | str | None = attrs.field(validator=is_row_key)
    listed: bool = False


@attrs.frozen
class Resent:
    """The answer to ``RESEND``: the rows are among the changes up to ``position``."""

    position: Position


@attrs.frozen
class Resend:
    """``TAG RESEND {table, keys}``: send these rows again, as changes; what is gone, as removed."""

    VERB: ClassVar[str] = "RESEND"
    ANSWER: ClassVar[type] = Resent
    table: str = attrs.field(validator=max_len(64))
    keys: list[int | str] = attrs.field(validator=and_(max_len(RESEND_MAX), _are_row_keys))


@attrs.frozen
class Recall:
    """``* RECALL {recall, users, amount_e4}``: give back so much of what is held of a person.

    ``users`` are the person and those merged into it. The site journals what it gives back
    of what is neither spent nor reserved, and says so with ``RETURN``.
    """

    EVENT: ClassVar[str] = "RECALL"
    SINCE: ClassVar[int] = 2
    recall: str = attrs.field(validator=is_id)
    users: list[int] = attrs.field(validator=max_len(RECALL_USERS_MAX))
    amount_e4: int = attrs.field(validator=is_number)


@attrs.frozen
class Returned:
    """The answer to ``RETURN``."""


@attrs.frozen
class Return:
    """``TAG RETURN {recall, number}``: what was recalled is given back by record ``number``.

    0: nothing was left to give. The record itself travels by ``JOURNAL``, before or after.
    """

    VERB: ClassVar[str] = "RETURN"
    SINCE: ClassVar[int] = 2
    ANSWER: ClassVar[type] = Returned
    recall: str = attrs.field(validator=is_id)
    number: int = attrs.field(validator=is_number)


@attrs.frozen
class ParkedRecord:
    """One record of the stream that could not be applied, and waits."""

    number: int = attrs.field(validator=is_number)
    kind: str = attrs.field(validator=max_len(64))
    #: Why, as a code.
    code: str = attrs.field(validator=max_len(64))


@attrs.frozen
class ParkedPage:
    """The answer to ``PARKED``; there may be more after the last number."""

    records: list[ParkedRecord] = attrs.field(validator=max_len(PAGE_ENTRIES_MAX))


@attrs.frozen
class Parked:
    """``TAG PARKED {after}``: the records of this site's stream that wait to be applied."""

    VERB: ClassVar[str] = "PARKED"
    SINCE: ClassVar[int] = 2
    ANSWER: ClassVar[type] = ParkedPage
    after: int = attrs.field(default=0, validator=is_number)


@attrs.frozen
class SharedPlace:
    """The answer to ``SHARED``: the newest place of the list that is in the history; 0: none."""

    number: int = attrs.field(validator=is_number)


@attrs.frozen
class Shared:
    """``TAG SHARED {places}``: which of these places of the site's replica is the newest shared.

    Asked before a snapshot of another timeline takes the replica's place: what that had beyond
    the place is told by the journal, as edits that were lost.
    """

    VERB: ClassVar[str] = "SHARED"
    SINCE: ClassVar[int] = 2
    ANSWER: ClassVar[type] = SharedPlace
    places: list[Mark] = attrs.field(validator=max_len(SHARED_PLACES_MAX))


#: Verbs a site may send, and the events of each side.
REQUESTS: tuple[type, ...] = (
    *(Authorize, Open, Journal, Subscribe, Snapshot, Chunk),
    *(Digests, Resend, Relay, Ping, Return, Parked, Shared),
)
SERVER_EVENTS: tuple[type, ...] = (Changes, Recall, Bye)
CLIENT_EVENTS: tuple[type, ...] = (Credit, Bye)
