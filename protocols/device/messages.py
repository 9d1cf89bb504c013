"""The messages of the device protocol, one class a verb.

A device (MFD, card terminal, release station) is the client; the server is its site
server, or the application server. docs/protocols/device.md tells the rest.
"""

from __future__ import annotations

from typing import ClassVar

import attrs
from attrs.validators import and_, ge, in_, le, matches_re, max_len, optional

from protocols.common import (
    TEXT_PATTERN,
    Position,
    is_amount_e4,
    is_id,
    is_name,
    is_number,
    is_step,
    is_title,
)
from protocols.provider.messages import Bye, Done, OpenAnswer, Ping, Receipt, ServerAddress

#: What a reader or a person typed: bounded, and never logged.
is_secret = and_(max_len(256), matches_re(TEXT_PATTERN))


@attrs.frozen
class PurseLine:
    """One of the purses that a balance is made of."""

    name: str = attrs.field(validator=is_name)
    balance_e4: int = attrs.field(validator=is_amount_e4)


@attrs.frozen
class Person:
    """The answer to ``LOGIN``: who it is, and what is there to spend."""

    #: Names this log-in in what follows; ends with LOGOUT, the idle time or the session.
    login: str = attrs.field(validator=is_id)
    user: int = attrs.field(validator=is_number)
    user_name: str = attrs.field(validator=is_name)
    full_name: str = attrs.field(validator=is_name)
    balance_e4: int = attrs.field(validator=is_amount_e4)
    #: What can be spent here now, at a cut site less than the balance; null: no limit.
    available_e4: int | None = attrs.field(default=None, validator=optional(is_amount_e4))
    #: Jobs held for this person, as far as this server knows.
    held: int = attrs.field(default=0, validator=is_number)
    #: ``online``, ``cut`` or ``cut-and-stale``: how the server stands.
    state: str = attrs.field(default="online", validator=in_(("online", "cut", "cut-and-stale")))
    #: What the person should hear: ``card-claimed-twice``, ``card-refused``.
    notices: list[str] = attrs.field(factory=list, validator=max_len(8))
    #: Of quotas that are due and not in the balance yet: a cut site knows them ahead.
    promised_e4: int = attrs.field(default=0, validator=is_amount_e4)
    #: What the balance is made of, in the order of spending; empty: it is all one.
    purses: list[PurseLine] = attrs.field(factory=list, validator=max_len(20))


@attrs.frozen
class Login:
    """``TAG LOGIN {method, card, pin, user_name, password}``: somebody stands at the device."""

    VERB: ClassVar[str] = "LOGIN"
    ANSWER: ClassVar[type] = Person
    method: str = attrs.field(validator=in_(("card", "card-pin", "password")))
    card: str = attrs.field(default="", repr=False, validator=is_secret)
    pin: str = attrs.field(default="", repr=False, validator=is_secret)
    user_name: str = attrs.field(default="", validator=is_name)
    password: str = attrs.field(default="", repr=False, validator=is_secret)


@attrs.frozen
class Linked:
    """The answer to ``LINK``."""

    #: ``claimed`` at a site: theirs there at once; the application server has the last word.
    state: str = attrs.field(validator=in_(("linked", "claimed", "already")))


@attrs.frozen
class LinkCard:
    """``TAG LINK {login, card}``: the card is theirs from now on; nobody else may have it."""

    VERB: ClassVar[str] = "LINK"
    SINCE: ClassVar[int] = 2
    ANSWER: ClassVar[type] = Linked
    login: str = attrs.field(validator=is_id)
    card: str = attrs.field(repr=False, validator=is_secret)


@attrs.frozen
class Redeemed:
    """The answer to ``REDEEM``."""

    #: ``provisional`` at a cut site: usable there, and the application server has the last word.
    state: str = attrs.field(validator=in_(("credited", "provisional", "taken-back", "refused")))
    #: With ``refused``: ``mistyped``, ``unknown``, ``redeemed``, ``cancelled`` or ``expired``.
    reason: str = attrs.field(default="", validator=max_len(64))
    amount_e4: int = attrs.field(default=0, validator=is_amount_e4)
    #: What the purse that it fills is called.
    purse: str = attrs.field(default="", validator=is_name)
    #: As LOGIN told them, and as they are now; zero and null with ``refused``.
    balance_e4: int = attrs.field(default=0, validator=is_amount_e4)
    available_e4: int | None = attrs.field(default=None, validator=optional(is_amount_e4))
    purses: list[PurseLine] = attrs.field(factory=list, validator=max_len(20))


@attrs.frozen
class RedeemVoucher:
    """``TAG REDEEM {login, voucher}``: a voucher's credit is theirs, once."""

    VERB: ClassVar[str] = "REDEEM"
    SINCE: ClassVar[int] = 2
    ANSWER: ClassVar[type] = Redeemed
    login: str = attrs.field(validator=is_id)
    #: Its serial, as it was typed.
    voucher: str = attrs.field(repr=False, validator=is_secret)


@attrs.frozen
class Logout:
    """``TAG LOGOUT {login}``: the person left; one that has ended already is answered too."""

    VERB: ClassVar[str] = "LOGOUT"
    ANSWER: ClassVar[type] = Done
    login: str = attrs.field(validator=is_id)


@attrs.frozen
class DeviceJob:
    """One held job, as a device lists it."""

    job: str = attrs.field(validator=is_id)
    title: str = attrs.field(validator=is_title)
    pages: int = attrs.field(validator=[ge(0), le(10**11)])
    copies: int = attrs.field(validator=[ge(1), le(100_000)])
    colour: bool
    duplex: bool
    #: What it would cost, where that was said; null: told at the release.
    amount_e4: int | None = attrs.field(validator=optional(is_amount_e4))
    #: Why it is held: ``release``, ``funds``, ...
    reason: str = attrs.field(validator=max_len(64))
    #: The print provider that holds the document.
    print_server: str = attrs.field(validator=is_name)
    #: Its owner has a session here: it can be released now.
    reachable: bool
    held_at: float = attrs.field(validator=[ge(-1e12), le(1e12)])


@attrs.frozen
class JobList:
    """The answer to ``JOBS``: a page, oldest first."""

    jobs: list[DeviceJob] = attrs.field(validator=max_len(100))
    last: bool


@attrs.frozen
class Jobs:
    """``TAG JOBS {login, after}``: this person's held jobs that can be printed here."""

    VERB: ClassVar[str] = "JOBS"
    ANSWER: ClassVar[type] = JobList
    login: str = attrs.field(validator=is_id)
    #: The last job of the page before; empty: from the first.
    after: str = attrs.field(default="", validator=max_len(64))


@attrs.frozen
class ReleaseAnswer:
    """The answer to ``RELEASE`` and ``DISCARD``."""

    #: As RELEASED of the provider protocol.
    answer: str = attrs.field(
        validator=in_(
            (
                *("released", "discarded", "refused", "unanswered", "already-released"),
                *("unknown-job", "not-yours", "wrong-printer", "no-document"),
            )
        )
    )
    #: With ``refused``: why, as a Decision's reason.
    reason: str = attrs.field(default="", validator=max_len(64))
    #: With ``already-released``: where; else here.
    printer: int = attrs.field(default=0, validator=is_number)
    #: With ``released``: what is reserved for it.
    amount_e4: int | None = attrs.field(default=None, validator=optional(is_amount_e4))


@attrs.frozen
class ReleaseJob:
    """``TAG RELEASE {login, release, job, copies, duplex}``: print it at this device's printer."""

    VERB: ClassVar[str] = "RELEASE"
    ANSWER: ClassVar[type] = ReleaseAnswer
    login: str = attrs.field(validator=is_id)
    #: Minted by the device: asked again it gets the same answer.
    release: str = attrs.field(validator=is_id)
    job: str = attrs.field(validator=is_id)
    copies: int | None = attrs.field(default=None, validator=optional([ge(1), le(9_999)]))
    duplex: bool | None = None
    #: A shared account; null: the person's own.
    account: int | None = attrs.field(default=None, validator=optional(is_number))
    #: With ``account``: whether it is to be invoiced; null: as is usual for it. Since version 2.
    invoice: bool | None = None


@attrs.frozen
class DiscardJob:
    """``TAG DISCARD {login, release, job}``: delete a held job of this person."""

    VERB: ClassVar[str] = "DISCARD"
    ANSWER: ClassVar[type] = ReleaseAnswer
    login: str = attrs.field(validator=is_id)
    release: str = attrs.field(validator=is_id)
    job: str = attrs.field(validator=is_id)


@attrs.frozen
class ChargeableAccount:
    """A shared account that a run or a release may be charged to."""

    id: int = attrs.field(validator=is_number)
    name: str = attrs.field(validator=is_name)
    #: What can be spent of it here now; null: no limit.
    available_e4: int | None = attrs.field(default=None, validator=optional(is_amount_e4))
    #: It is chosen by its PIN: at a device ACCOUNTS with it, first. Since version 2.
    pin: bool = False
    #: Whether what it is charged is invoiced: ``always``, ``never``, or as the person says, where
    #: nothing is said yes (``user-chooses``) or no (``user-chooses-no``); another word is a newer
    #: server's. Since version 2.
    invoice: str = attrs.field(default="user-chooses", validator=max_len(64))


@attrs.frozen
class AccountList:
    """The answer to ``ACCOUNTS``: a page, by name."""

    accounts: list[ChargeableAccount] = attrs.field(validator=max_len(100))
    last: bool


@attrs.frozen
class Accounts:
    """``TAG ACCOUNTS {login, find, pin, after}``: shared accounts this person may charge."""

    VERB: ClassVar[str] = "ACCOUNTS"
    ANSWER: ClassVar[type] = AccountList
    login: str = attrs.field(validator=is_id)
    #: Part of the name; empty: all.
    find: str = attrs.field(default="", validator=is_name)
    #: The name of the last account of the page before; empty: from the first.
    after: str = attrs.field(default="", validator=is_name)
    #: The PIN of one account, exactly, in place of ``find``; empty: none.
    pin: str = attrs.field(default="", repr=False, validator=is_secret)


@attrs.frozen
class Started:
    """The answer to ``RUN``: so many pages may come, or why not."""

    granted: bool
    #: The run's key: job and step.
    job: str = attrs.field(validator=is_id)
    step: str = attrs.field(validator=is_step)
    #: With granted: opaque and signed; kept with the count until FINISH is answered.
    grant: str = attrs.field(default="", repr=False, validator=max_len(8192))
    #: With granted: pages reserved, at most those asked for. STOP comes at the last.
    pages: int = attrs.field(default=0, validator=is_number)
    #: What one page costs.
    unit_e4: int = attrs.field(default=0, validator=is_amount_e4)
    #: Not granted: why, as ``funds`` or ``closed``.
    reason: str = attrs.field(default="", validator=max_len(64))


@attrs.frozen
class Run:
    """``TAG RUN {login, function, ...}``: somebody pressed start; reserve its pages."""

    VERB: ClassVar[str] = "RUN"
    ANSWER: ClassVar[type] = Started
    login: str = attrs.field(validator=is_id)
    function: str = attrs.field(validator=in_(("copy", "scan", "fax")))
    paper: str = attrs.field(default="A4", validator=[max_len(64), is_name])
    colour: bool = False
    duplex: bool = False
    #: Pages (sides) it will take, where the device knows; null: a usual number.
    pages: int | None = attrs.field(default=None, validator=optional([ge(1), le(100_000)]))
    #: A shared account; null: the person's own.
    account: int | None = attrs.field(default=None, validator=optional(is_number))
    #: With ``account``: whether it is to be invoiced; null: as is usual for it. Since version 2.
    invoice: bool | None = None


@attrs.frozen
class Progress:
    """The answer to ``PAGES``."""

    #: Pages of the reservation that are left; 0: stop.
    left: int = attrs.field(validator=is_number)


@attrs.frozen
class Pages:
    """``TAG PAGES {job, step, pages}``: so many pages of the run have come out by now."""

    VERB: ClassVar[str] = "PAGES"
    ANSWER: ClassVar[type] = Progress
    job: str = attrs.field(validator=is_id)
    step: str = attrs.field(validator=is_step)
    #: All of the run so far; never fewer than before.
    pages: int = attrs.field(validator=[ge(0), le(1_000_000)])


@attrs.frozen
class Finish:
    """``TAG FINISH {grant, pages, outcome}``: the run is over; its count is charged, once."""

    VERB: ClassVar[str] = "FINISH"
    ANSWER: ClassVar[type] = Receipt
    grant: str = attrs.field(repr=False, validator=max_len(8192))
    pages: int = attrs.field(validator=[ge(0), le(1_000_000)])
    outcome: str = attrs.field(
        default="completed", validator=in_(("completed", "canceled", "aborted"))
    )
    #: Wall clock of its end, as claimed.
    finished_at: float = attrs.field(default=0.0, validator=[ge(-1e12), le(1e12)])


@attrs.frozen
class OpenRun:
    """One run that the device keeps: running, or finished and not acknowledged."""

    grant: str = attrs.field(repr=False, validator=max_len(8192))
    pages: int = attrs.field(validator=[ge(0), le(1_000_000)])


@attrs.frozen
class OpenRuns:
    """``TAG OPEN {page, last, runs}``: every run the device keeps, paged, on every connection.

    Counts only whole: pages from 0, contiguous, all in one session.
    """

    VERB: ClassVar[str] = "OPEN"
    ANSWER: ClassVar[type] = OpenAnswer
    page: int = attrs.field(validator=is_number)
    last: bool
    runs: list[OpenRun] = attrs.field(validator=max_len(4))


@attrs.frozen
class Stop:
    """``* STOP {job, step, pages}``: the last page of the reservation has come out."""

    EVENT: ClassVar[str] = "STOP"
    job: str = attrs.field(validator=is_id)
    step: str = attrs.field(validator=is_step)
    #: Pages reserved.
    pages: int = attrs.field(validator=is_number)


@attrs.frozen
class DeviceConfig:
    """``* CONFIG {...}``: the server's settings for this device, after the handshake."""

    EVENT: ClassVar[str] = "CONFIG"
    #: Where it releases.
    printer: int = attrs.field(validator=is_number)
    printer_name: str
    #: Words of: copy, scan, fax, release.
    functions: list[str]
    #: Words of: card, card-pin, password.
    logins: list[str]
    idle_s: int = attrs.field(validator=is_number)
    #: In the order in which the device connects: its site, then the application server.
    servers: list[ServerAddress]
    position: Position | None = None


@attrs.frozen
class Ended:
    """``* ENDED {login, reason}``: that log-in is over: ``idle`` or ``elsewhere``."""

    EVENT: ClassVar[str] = "ENDED"
    login: str
    reason: str


REQUESTS: tuple[type, ...] = (
    *(Login, LinkCard, RedeemVoucher, Logout, Accounts, Jobs, ReleaseJob, DiscardJob),
    *(Run, Pages, Finish, OpenRuns, Ping),
)
SERVER_EVENTS: tuple[type, ...] = (DeviceConfig, Stop, Ended, Bye)
CLIENT_EVENTS: tuple[type, ...] = (Bye,)
