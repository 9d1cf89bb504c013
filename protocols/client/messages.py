"""The messages of the client protocol, one class a verb.

The client is a program at a person's desk; the server is the application server, or a site.
A session is one person's from LOGIN on, and nothing in it names another.
docs/protocols/client.md tells the rest.
"""

from __future__ import annotations

from typing import ClassVar

import attrs
from attrs.validators import and_, ge, in_, le, matches_re, max_len, optional

from protocols.common import TEXT_PATTERN, is_amount_e4, is_id, is_name, is_number, is_title
from protocols.device.messages import AccountList, PurseLine
from protocols.provider.messages import Bye, Done, Ping, ServerAddress

#: What a person typed, or a server sealed: bounded, and never logged.
is_secret = and_(max_len(256), matches_re(TEXT_PATTERN))
TOKEN_LENGTH_MAX = 4096
is_token = and_(max_len(TOKEN_LENGTH_MAX), matches_re(r"[A-Za-z0-9_.=-]*"))
is_pages = and_(ge(0), le(10**11))
is_clock = and_(ge(-1e12), le(1e12))
is_seconds = and_(ge(0.0), le(1e9))
STATES = ("online", "cut", "cut-and-stale")


@attrs.frozen
class Person:
    """The answer to ``LOGIN``: who it is, and what is there to spend."""

    user: int = attrs.field(validator=is_number)
    user_name: str = attrs.field(validator=is_name)
    full_name: str = attrs.field(validator=is_name)
    balance_e4: int = attrs.field(validator=is_amount_e4)
    #: What can be spent here now, at a cut site less than the balance; null: no limit.
    available_e4: int | None = attrs.field(default=None, validator=optional(is_amount_e4))
    #: Of quotas that are due and not in the balance yet: a cut site knows them ahead.
    promised_e4: int = attrs.field(default=0, validator=is_amount_e4)
    #: Jobs held for this person, as far as this server knows.
    held: int = attrs.field(default=0, validator=is_number)
    #: How the server stands.
    state: str = attrs.field(default="online", validator=in_(STATES))
    #: What the balance is made of, in the order of spending; empty: it is all one.
    purses: list[PurseLine] = attrs.field(factory=list, validator=max_len(20))
    #: With a password: what logs in again without one; kept where nobody else reads it.
    token: str = attrs.field(default="", repr=False, validator=is_token)
    #: With ``token``: when it ends.
    token_ends_at: float = attrs.field(default=0.0, validator=is_clock)


@attrs.frozen
class Login:
    """``TAG LOGIN {user, password, token}``: whose client this is, by password or by token."""

    VERB: ClassVar[str] = "LOGIN"
    ANSWER: ClassVar[type] = Person
    user: str = attrs.field(default="", validator=is_name)
    password: str = attrs.field(default="", repr=False, validator=is_secret)
    token: str = attrs.field(default="", repr=False, validator=is_token)


@attrs.frozen
class Purse:
    """The answer to ``BALANCE``."""

    balance_e4: int = attrs.field(validator=is_amount_e4)
    available_e4: int | None = attrs.field(default=None, validator=optional(is_amount_e4))
    promised_e4: int = attrs.field(default=0, validator=is_amount_e4)
    state: str = attrs.field(default="online", validator=in_(STATES))
    purses: list[PurseLine] = attrs.field(factory=list, validator=max_len(20))


@attrs.frozen
class Balance:
    """``TAG BALANCE {}``: what is there now."""

    VERB: ClassVar[str] = "BALANCE"
    ANSWER: ClassVar[type] = Purse


@attrs.frozen
class Accounts:
    """``TAG ACCOUNTS {find, after, pin}``: shared accounts this person may charge."""

    VERB: ClassVar[str] = "ACCOUNTS"
    ANSWER: ClassVar[type] = AccountList
    #: Part of the name; empty: all.
    find: str = attrs.field(default="", validator=is_name)
    #: The name of the last account of the page before; empty: from the first.
    after: str = attrs.field(default="", validator=is_name)
    #: The PIN of one account, exactly, in place of ``find``; empty: none.
    pin: str = attrs.field(default="", repr=False, validator=is_secret)


@attrs.frozen
class OwnJob:
    """One held job of this person."""

    job: str = attrs.field(validator=is_id)
    title: str = attrs.field(validator=is_title)
    pages: int = attrs.field(validator=is_pages)
    copies: int = attrs.field(validator=[ge(1), le(100_000)])
    colour: bool
    duplex: bool
    #: What it would cost, where that was said; null: told at the release.
    amount_e4: int | None = attrs.field(validator=optional(is_amount_e4))
    #: Why it is held: ``release``, ``funds``, ``account``, ...
    reason: str = attrs.field(validator=max_len(64))
    #: The print provider that holds the document.
    print_server: str = attrs.field(validator=is_name)
    held_at: float = attrs.field(validator=is_clock)


@attrs.frozen
class JobList:
    """The answer to ``JOBS``: a page, oldest first."""

    jobs: list[OwnJob] = attrs.field(validator=max_len(100))
    last: bool


@attrs.frozen
class Jobs:
    """``TAG JOBS {after}``: this person's held jobs."""

    VERB: ClassVar[str] = "JOBS"
    ANSWER: ClassVar[type] = JobList
    #: The last job of the page before; empty: from the first.
    after: str = attrs.field(default="", validator=max_len(64))


@attrs.frozen
class Answered:
    """The answer to ``ANSWER``."""

    #: ``taken``; ``already``: answered before, and that stands; ``ended``: nothing waits.
    state: str = attrs.field(validator=in_(("taken", "already", "ended")))


@attrs.frozen
class Answer:
    """``TAG ANSWER {job, choice, account, id, ...}``: what this person chose for a job."""

    VERB: ClassVar[str] = "ANSWER"
    ANSWER: ClassVar[type] = Answered
    job: str = attrs.field(validator=is_id)
    choice: str = attrs.field(validator=in_(("personal", "shared", "cancel")))
    #: Minted by the client, a UUIDv7: asked again it is the same answer.
    id: str = attrs.field(validator=is_id)
    #: With ``shared``: the account.
    account: int | None = attrs.field(default=None, validator=optional(is_number))
    comment: str = attrs.field(default="", validator=is_name)
    #: With ``account``: whether it is to be invoiced; null: as is usual for it.
    invoice: bool | None = None
    #: Of ``account``, where it has one.
    pin: str = attrs.field(default="", repr=False, validator=is_secret)


@attrs.frozen
class Message:
    """``* MESSAGE {...}``: what became of one of this person's jobs."""

    EVENT: ClassVar[str] = "MESSAGE"
    id: str = attrs.field(validator=is_id)
    #: ``denied``, ``held`` or ``charged``; another word is a newer server's.
    code: str = attrs.field(validator=max_len(64))
    #: Words for the person.
    text: str = attrs.field(validator=is_title)
    #: Why, as a Decision's reason.
    reason: str = attrs.field(default="", validator=max_len(64))
    job: str = attrs.field(default="", validator=max_len(64))
    title: str = attrs.field(default="", validator=is_title)
    pages: int = attrs.field(default=0, validator=is_pages)
    amount_e4: int | None = attrs.field(default=None, validator=optional(is_amount_e4))
    at: float = attrs.field(default=0.0, validator=is_clock)


@attrs.frozen
class MessageList:
    """The answer to ``MESSAGES``: all that are kept, oldest first."""

    messages: list[Message] = attrs.field(validator=max_len(100))


@attrs.frozen
class Messages:
    """``TAG MESSAGES {}``: what this person was to hear and has not acknowledged."""

    VERB: ClassVar[str] = "MESSAGES"
    ANSWER: ClassVar[type] = MessageList


@attrs.frozen
class Acknowledge:
    """``TAG ACKNOWLEDGE {message}``: read; it is not shown again."""

    VERB: ClassVar[str] = "ACKNOWLEDGE"
    ANSWER: ClassVar[type] = Done
    message: str = attrs.field(validator=is_id)


@attrs.frozen
class Servers:
    """``* SERVERS {servers, ca}``: where this installation can be reached; after the handshake."""

    EVENT: ClassVar[str] = "SERVERS"
    #: In the order in which the client connects: the application server, then sites.
    servers: list[ServerAddress] = attrs.field(validator=max_len(32))
    #: The certificate of the installation's authority, PEM: for who has the pin alone so far.
    ca: str = attrs.field(validator=max_len(16_384))


@attrs.frozen
class BalanceChanged:
    """``* BALANCE {...}``: there is more or less than before."""

    EVENT: ClassVar[str] = "BALANCE"
    balance_e4: int = attrs.field(validator=is_amount_e4)
    available_e4: int | None = attrs.field(default=None, validator=optional(is_amount_e4))
    promised_e4: int = attrs.field(default=0, validator=is_amount_e4)


@attrs.frozen
class Question:
    """``* QUESTION {...}``: a job waits for this person's answer."""

    EVENT: ClassVar[str] = "QUESTION"
    job: str = attrs.field(validator=is_id)
    printer: int = attrs.field(validator=is_number)
    printer_name: str = attrs.field(validator=is_name)
    title: str = attrs.field(validator=is_title)
    pages: int = attrs.field(validator=is_pages)
    #: What it costs where the person pays.
    amount_e4: int = attrs.field(validator=is_amount_e4)
    #: ``account``: who pays; ``confirm``: whether to print at that price.
    kind: str = attrs.field(validator=max_len(64))
    #: With ``account``: the person may pay.
    may_choose_personal: bool = True
    #: Seconds until it goes on without an answer.
    deadline_s: float = attrs.field(default=0.0, validator=is_seconds)


@attrs.frozen
class Withdrawn:
    """``* WITHDRAWN {job, reason}``: nobody has to answer that any more."""

    EVENT: ClassVar[str] = "WITHDRAWN"
    job: str = attrs.field(validator=is_id)
    #: ``answered``, ``timed-out`` or ``ended``; another word is a newer server's.
    reason: str = attrs.field(validator=max_len(64))


@attrs.frozen
class StateChanged:
    """``* STATE {state}``: how the server stands from now on."""

    EVENT: ClassVar[str] = "STATE"
    state: str = attrs.field(validator=in_(STATES))


REQUESTS: tuple[type, ...] = (
    *(Login, Balance, Accounts, Jobs, Answer, Messages, Acknowledge, Ping),
)
SERVER_EVENTS: tuple[type, ...] = (
    *(Servers, BalanceChanged, Question, Withdrawn, Message, StateChanged, Bye),
)
CLIENT_EVENTS: tuple[type, ...] = (Bye,)
