"""The records of a site's journal: their kinds, and their one line of JSON.

A record is written once as bytes and travels as those bytes; nothing encodes it
again. ``kind`` tells what happened at the site.
"""

from __future__ import annotations

import attrs
import msgspec

from papercutd.domain.decision import Decision
from papercutd.domain.job import Completion, Request
from papercutd.domain.lost_edit import Lost

COMPLETED = "completed"
CANCELED = "canceled"
SUPERSEDED = "superseded"
REFUSED = "refused"
#: Of an asker's session at the site: it ended, and it told what it retained. ``key`` is the
#: asker's identity.
LINK_DOWN = "link-down"
LINK_REPORTED = "link-reported"
#: A drill: ``key`` is the site's identity; a step that was asked after all, with the answer as
#: ``decision``; why it ended.
DRILL_BEGUN = "drill-begun"
DRILL_ASKED = "drill-asked"
DRILL_ENDED = "drill-ended"
#: What a stream was granted of people's money, and has given back. ``key`` is the stream.
ALLOWANCE = "allowance"


#: Somebody linked a card there. ``key`` is the claim's id.
CARD_CLAIM = "card-claim"
#: Somebody failed to log in too often there, or was let in again. ``key`` is the event's id.
LOCKOUT = "lockout"
#: Somebody redeemed a voucher there. ``key`` is the redemption's id.
VOUCHER = "voucher"
#: Edits of a history that the application server has lost. ``key`` is the record's own.
LOST_EDITS = "lost-edits"
#: Somebody unknown was made a user there. ``key`` is the name, after ``met:``.
USER_MET = "user-met"


@attrs.frozen
class Met:
    """Somebody whom the replica did not know."""

    name: str


@attrs.frozen
class Linked:
    """A card, by the keyed hash of its number, and whose it is."""

    hash: str
    user: int


@attrs.frozen
class Locked:
    """A known user who is locked out after so many failures, or (``ended``) is no more."""

    user: int
    failures: int
    #: By the application server's clock, as far as the site could tell.
    began_at: float
    #: For how long, by what the site itself had counted.
    lasts_s: float = 0.0
    ended: bool = False


@attrs.frozen
class VoucherShown:
    """A voucher by the hash of its serial, which nobody has who was not shown the serial."""

    hash: str
    user: int
    #: What the site took it for.
    amount_e4: int
    #: By the application server's clock, as far as the site could tell.
    redeemed_at: float


@attrs.frozen
class Total:
    """Of one user, since the stream began."""

    user: int
    granted_e4: int
    returned_e4: int


@attrs.frozen
class Record:
    """One fact of a site. ``completion`` or ``request`` with ``decision``, by kind."""

    kind: str
    key: str
    #: The replica's position when it happened, ``timeline.number``.
    position: str
    at: float
    completion: Completion | None = None
    request: Request | None = None
    decision: Decision | None = None
    totals: tuple[Total, ...] = ()
    card: Linked | None = None
    lockout: Locked | None = None
    lost: Lost | None = None
    voucher: VoucherShown | None = None
    met: Met | None = None
    #: With this record the totals of all users are told, for that timeline; 0: they are not.
    timeline: int = 0
    #: What a release must be able to evaluate to apply it: who lacks it parks the record.
    needs: tuple[str, ...] = ()


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Record)


def encode_record(record: Record) -> str:
    """One line, the bytes that are chained and sent."""
    return _ENCODER.encode(record).decode()


def decode_record(body: str) -> Record:
    """The record; raises msgspec.ValidationError or msgspec.DecodeError for anything else."""
    return _DECODER.decode(body)
