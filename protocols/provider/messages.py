"""The messages of the print provider protocol, one class a verb.

Each request names its answer in ``ANSWER``. The class docstring is the grammar
of its line; docs/protocols/provider.md tells the rest.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import attrs
from attrs.validators import in_, max_len, optional
from msgspec import Meta

from protocols.common import (
    AmountE4,
    Clock,
    Decision,
    Document,
    Id,
    Key,
    Mark,
    Name,
    Number,
    Position,
    Sides,
    Step,
    Title,
    Word,
    between,
    is_amount_e4,
    is_id,
    is_name,
    is_number,
    is_step,
    is_title,
    whole,
)

Posted = Annotated[str, Meta(pattern=whole("posted|already|journalled"))]
Outcome = Annotated[str, Meta(pattern=whole("completed|canceled|aborted"))]


@attrs.frozen
class Done:
    """``TAG OK {}``: an answer with nothing to say."""


@attrs.frozen
class Authorize:
    """``TAG AUTHORIZE {job, step, printer, user_name, document, ...}``: may this be printed?

    Answered at once, always, by a Decision; never answered twice differently.
    """

    VERB: ClassVar[str] = "AUTHORIZE"
    ANSWER: ClassVar[type] = Decision
    job: Id
    step: Step
    printer: Number
    #: As the spooler gave it: a claim, resolved by the server.
    user_name: Name
    document: Document
    #: Asked at a second server because the first has not answered: never forwarded.
    hedged: bool = False
    #: CUPS's identity of the job, empty for other spoolers.
    job_uuid: Word = ""
    title: Title = ""
    host: Name = ""
    #: A shared account chosen; None: the personal one.
    account: Number | None = None
    #: Wall clock of the submission, as claimed.
    submitted_at: Clock = 0.0
    #: On a site's link only: whose job it is.
    provider: Name = ""
    #: The person has said who pays: ``account``, null for their own. Since version 2.
    chosen: bool = False
    #: They were asked and have not answered in time: the policy decides. Since version 2.
    unanswered: bool = False
    #: With ``account``: whether it is to be invoiced, as the person said; null: as is usual for
    #: the account. Since version 2.
    invoice: bool | None = None


@attrs.frozen
class Receipt:
    """The answer to ``COMPLETE``: what stands in the books for this key."""

    #: ``posted`` now, ``already`` (the first stands), or ``journalled`` at a site.
    state: Posted
    amount_e4: AmountE4
    pages: Sides
    #: ``posted``, ``already``: a place in the application server's history that has it.
    position: Position | None = None
    #: ``journalled``: a place in the site's stream that has it.
    mark: Mark | None = None


@attrs.frozen
class Complete:
    """``TAG COMPLETE {job, step, decision, pages, ...}``: paper came out; it always posts."""

    VERB: ClassVar[str] = "COMPLETE"
    ANSWER: ClassVar[type] = Receipt
    job: Id
    step: Step
    printer: Number
    user_name: Name
    document: Document
    #: The whole decision; None where nobody could be asked (tracker).
    decision: Decision | None
    #: Sides that came out, as the spooler or printer says; None: as analysed.
    pages: Sides | None
    outcome: Outcome = "completed"
    #: The outcome is a guess: the spooler no longer knew the job.
    assumed: bool = False
    #: The price version the provider had last acknowledged: what a tracker's job costs.
    price_version: Number = 0
    #: ``timeline.number`` as of which ``user_name`` is to be resolved.
    position: Word = ""
    job_uuid: Word = ""
    title: Title = ""
    host: Name = ""
    completed_at: Clock = 0.0
    #: What its person said of it when asked who pays. Since version 2.
    comment: Name = ""


@attrs.frozen
class Cancel:
    """``TAG CANCEL {job, step, reason}``: this asker will not use that answer."""

    VERB: ClassVar[str] = "CANCEL"
    ANSWER: ClassVar[type] = Done
    job: str = attrs.field(validator=is_id)
    step: str = attrs.field(validator=is_step)
    #: ``superseded``: another server's answer stands; ``canceled``: nothing was printed.
    reason: str = attrs.field(
        default="canceled", validator=in_(("superseded", "canceled", "aborted"))
    )
    printer: int = attrs.field(default=0, validator=is_number)
    user_name: str = attrs.field(default="", validator=is_name)


@attrs.frozen
class OpenAnswer:
    """The answer to ``OPEN``; ``dropped`` counts holds ended, on the last page only."""

    dropped: int = attrs.field(default=0, validator=is_number)


@attrs.frozen
class Open:
    """``TAG OPEN {page, last, keys}``: the asker's open keys at this server, paged.

    Counts only whole: pages from 0, contiguous, all in one session.
    """

    VERB: ClassVar[str] = "OPEN"
    ANSWER: ClassVar[type] = OpenAnswer
    page: int = attrs.field(validator=is_number)
    last: bool
    keys: list[Key] = attrs.field(validator=max_len(500))


@attrs.frozen
class Pong:
    """The answer to ``PING``."""

    clock: Clock = 0.0
    position: Position | None = None


@attrs.frozen
class Ping:
    """``TAG PING {clock, position}``: alive; ``position`` acknowledges the server's."""

    VERB: ClassVar[str] = "PING"
    ANSWER: ClassVar[type] = Pong
    clock: Clock = 0.0
    position: Position | None = None


@attrs.frozen
class Relay:
    """``TAG RELAY {complete}``: for the application server, by way of a site.

    The site passes it on and passes the answer back; it neither counts nor answers
    it. ``NO unreachable`` when the site is cut.
    """

    VERB: ClassVar[str] = "RELAY"
    ANSWER: ClassVar[type] = Receipt
    complete: Complete
    #: On a site's link only: whose message it is.
    provider: str = attrs.field(default="", validator=is_name)


@attrs.frozen
class HeldJob:
    """One job that its owner holds, as servers list it: a hint, never the truth."""

    job: str = attrs.field(validator=is_id)
    #: The queue it was submitted to.
    printer: int = attrs.field(validator=is_number)
    user_name: str = attrs.field(validator=is_name)
    #: Why it is held, as in a Decision: ``release`` waits for its person.
    reason: str = attrs.field(validator=max_len(64))
    #: The user, where a decision named one.
    user: int | None = attrs.field(default=None, validator=optional(is_number))
    title: str = attrs.field(default="", validator=is_title)
    #: Sides, all copies.
    pages: int = attrs.field(default=0, validator=between(0, 10**11))
    copies: int = attrs.field(default=1, validator=between(1, 100_000))
    colour: bool = False
    duplex: bool = False
    #: What it would cost, where a decision said so.
    amount_e4: int | None = attrs.field(default=None, validator=optional(is_amount_e4))
    held_at: float = attrs.field(default=0.0, validator=between(-1e12, 1e12))
    #: That queue's name. Since version 2.
    printer_name: str = attrs.field(default="", validator=is_name)
    #: With ``account`` and ``confirm``: until when its person may answer. Since version 2.
    choice_due_at: float = attrs.field(default=0.0, validator=between(-1e12, 1e12))
    #: Its person has said who pays, and it is held all the same. Since version 2.
    chosen: bool = False


@attrs.frozen
class Held:
    """``TAG HELD {page, last, jobs}``: every job held here, paged, on every connection.

    Counts only whole: pages from 0, contiguous, all in one session.
    """

    VERB: ClassVar[str] = "HELD"
    ANSWER: ClassVar[type] = Done
    page: int = attrs.field(validator=is_number)
    last: bool
    jobs: list[HeldJob] = attrs.field(validator=max_len(100))


@attrs.frozen
class HeldChanged:
    """``* HELD-CHANGED {jobs, gone}``: jobs held from now on, and jobs held no more."""

    EVENT: ClassVar[str] = "HELD-CHANGED"
    jobs: list[HeldJob] = attrs.field(factory=list, validator=max_len(100))
    gone: list[str] = attrs.field(factory=list, validator=max_len(500))


@attrs.frozen
class Release:
    """``* RELEASE {release, job, printer, user_name, ...}``: print it there.

    Answered by a RELEASED request that names ``release``.
    """

    EVENT: ClassVar[str] = "RELEASE"
    #: Minted by whoever asks: asked again it gets the same answer.
    release: str = attrs.field(validator=is_id)
    job: str = attrs.field(validator=is_id)
    printer: int = attrs.field(validator=is_number)
    #: Whose job it must be.
    user_name: str = attrs.field(validator=is_name)
    #: What the person changed; null: as it was submitted.
    copies: int | None = attrs.field(default=None, validator=optional(between(1, 9_999)))
    duplex: bool | None = None
    #: A shared account chosen; null: the person's own.
    account: int | None = attrs.field(default=None, validator=optional(is_number))
    #: The person was asked who pays, and ``account`` is the answer: it stands for every later
    #: step of the job. False: whoever released it at a printer took it. Since version 2.
    chosen: bool = False
    #: With ``chosen``: what the person said of it; told with COMPLETE. Since version 2.
    comment: str = attrs.field(default="", validator=is_name)
    #: With ``account``: whether it is to be invoiced; null: as is usual for the account; told
    #: with AUTHORIZE. Since version 2.
    invoice: bool | None = None


@attrs.frozen
class Discard:
    """``* DISCARD {release, job, user_name}``: delete a held job; answered by RELEASED."""

    EVENT: ClassVar[str] = "DISCARD"
    release: str = attrs.field(validator=is_id)
    job: str = attrs.field(validator=is_id)
    user_name: str = attrs.field(validator=is_name)


@attrs.frozen
class Released:
    """``TAG RELEASED {release, job, answer, ...}``: what became of a RELEASE or DISCARD."""

    VERB: ClassVar[str] = "RELEASED"
    ANSWER: ClassVar[type] = Done
    release: str = attrs.field(validator=is_id)
    job: str = attrs.field(validator=is_id)
    #: ``released`` and ``discarded`` are done; ``refused`` and ``unanswered`` leave it
    #: held; ``already-released`` names the printer; ``unknown-job``, ``not-yours``,
    #: ``wrong-printer`` changed nothing; with ``no-document`` it is over, and not printed.
    answer: str = attrs.field(
        validator=in_(
            (
                *("released", "discarded", "refused", "unanswered", "already-released"),
                *("unknown-job", "not-yours", "wrong-printer", "no-document"),
            )
        )
    )
    #: With ``already-released``: where; else where it was asked for.
    printer: int = attrs.field(default=0, validator=is_number)
    #: With ``released`` and ``refused``: the decision taken.
    decision: Decision | None = None


@attrs.frozen
class PrinterSetting:
    """One printer of this provider."""

    id: int = attrs.field(validator=is_number)
    name: str
    uri: str
    #: What the tracker does: ``print-and-log-later``, ``hold`` or ``print-unlogged``.
    when_alone: str = "print-and-log-later"
    #: ``immediate``; ``secure``: held until released at this printer; ``find-me``: held
    #: until released at any printer of the same ``group``.
    release: str = "immediate"
    group: str = ""
    #: Seconds after which a held job is deleted.
    held_max_s: int = attrs.field(default=86_400, validator=is_number)


@attrs.frozen
class ServerAddress:
    """Where a server is: ``role`` is ``application`` or ``site``."""

    role: str
    name: str
    host: str
    port: int = attrs.field(validator=between(0, 65_535))


@attrs.frozen
class Config:
    """``* CONFIG {...}``: the server's settings for this provider; kept in its journal.

    Sent after the handshake and at every change, in pages: they count only whole, from
    page 0 to ``last``, contiguous, in one session. Each page has some of the printers;
    the rest stands on every page alike. The application server's stands before a site's.
    """

    EVENT: ClassVar[str] = "CONFIG"
    printers: list[PrinterSetting]
    servers: list[ServerAddress]
    #: The newest version of the prices; acknowledged by the next PING's position.
    price_version: int = attrs.field(validator=is_number)
    #: ``application`` or ``site``: who is asked first.
    preferred: str = "application"
    #: Streams that decide no more: their retained COMPLETEs go to the application server.
    retired: list[str] = attrs.field(factory=list)
    position: Position | None = None
    #: Serials of certificates of sites that count no more.
    revoked: list[str] = attrs.field(factory=list, validator=max_len(500))
    page: int = attrs.field(default=0, validator=is_number)
    last: bool = True
    #: Seconds for which a person is waited for who is asked about a job. Since version 2.
    account_choice_timeout_s: int = attrs.field(default=300, validator=between(1, 86_400))


@attrs.frozen
class AdoptKey:
    """One open key of a lost journal."""

    job: str
    step: str
    job_uuid: str = ""
    #: What was answered, of eight lines at most: it is settled by that. Since version 2.
    decision: Decision | None = None


@attrs.frozen
class Adopt:
    """``* ADOPT {journal, keys, last}``: open keys of a journal before the present one, paged."""

    EVENT: ClassVar[str] = "ADOPT"
    journal: str
    keys: list[AdoptKey]
    last: bool


@attrs.frozen
class Bye:
    """``* BYE {code, retry_after_s}``: the session ends now; either side may say it."""

    EVENT: ClassVar[str] = "BYE"
    code: str
    retry_after_s: float = attrs.field(default=0.0, validator=between(0, 3600))


#: Verbs a provider may send, and events a server may.
REQUESTS: tuple[type, ...] = (Authorize, Complete, Cancel, Open, Ping, Relay, Held, Released)
SERVER_EVENTS: tuple[type, ...] = (Config, Adopt, Release, Discard, Bye)
CLIENT_EVENTS: tuple[type, ...] = (HeldChanged, Bye)
