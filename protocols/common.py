"""Values that occur in more than one protocol.

Bounds are checked as a message is read, and again before it is sent. What comes with every job
has them in its types (``Number``), where msgspec checks them itself, three times as fast; other
messages have validators (``is_number``), which look at what is made here, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

import attrs
from msgspec import Meta

Validator = Callable[[Any, Any, Any], None]


def between(low: float, high: float) -> Validator:
    """A number within these bounds. One function, where ``ge`` and ``le`` are six calls."""

    def check(message: object, attribute: Any, value: float) -> None:
        if not low <= value <= high:
            raise ValueError(f"{attribute.name!r} is not from {low} to {high}")

    return check


def matches(pattern: str, length_max: int | None = None) -> Validator:
    """A text that ``pattern`` matches whole, and no longer than that."""
    fullmatch = re.compile(pattern).fullmatch

    def check(message: object, attribute: Any, value: str) -> None:
        if length_max is not None and len(value) > length_max:
            raise ValueError(f"{attribute.name!r} is longer than {length_max}")
        if fullmatch(value) is None:
            raise ValueError(f"{attribute.name!r} does not match {pattern!r}")

    return check


ID_PATTERN = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
STEP_PATTERN = r"(submit|release|run)-[1-9][0-9]{0,5}"
#: No control characters; names, titles and hosts are shown to people.
TEXT_PATTERN = r"[^\x00-\x1f\x7f]*"

is_id = matches(ID_PATTERN)
is_step = matches(STEP_PATTERN)
is_name = matches(TEXT_PATTERN, 255)
is_title = matches(TEXT_PATTERN, 1024)
#: Ids of users, accounts, printers; versions; counts.
is_number = between(0, 2**53 - 1)
AMOUNT_MAX_E4 = 10**15 - 1
is_amount_e4 = between(-AMOUNT_MAX_E4, AMOUNT_MAX_E4)


def whole(pattern: str) -> str:
    """``pattern`` for ``Meta``, whose patterns match anywhere in a text."""
    # Not ``$``, which matches before a line's end too.
    return rf"\A(?:{pattern})\Z"


Id = Annotated[str, Meta(pattern=whole(ID_PATTERN))]
Step = Annotated[str, Meta(pattern=whole(STEP_PATTERN))]
Name = Annotated[str, Meta(pattern=whole(TEXT_PATTERN), max_length=255)]
Title = Annotated[str, Meta(pattern=whole(TEXT_PATTERN), max_length=1024)]
Paper = Annotated[str, Meta(pattern=whole(TEXT_PATTERN), max_length=64)]
Verdict = Annotated[str, Meta(pattern=whole(r"[a-z][a-z-]{0,31}"))]
#: A word or an id that is not looked into.
Word = Annotated[str, Meta(max_length=64)]
Chain = Annotated[str, Meta(max_length=128)]
Number = Annotated[int, Meta(ge=0, le=2**53 - 1)]
#: Sides of all copies.
Sides = Annotated[int, Meta(ge=0, le=10**11)]
#: Pages of one copy.
Pages = Annotated[int, Meta(ge=0, le=1_000_000)]
Copies = Annotated[int, Meta(ge=1, le=100_000)]
AmountE4 = Annotated[int, Meta(ge=-AMOUNT_MAX_E4, le=AMOUNT_MAX_E4)]
UnitE4 = Annotated[int, Meta(ge=0, le=AMOUNT_MAX_E4)]
#: Wall clock, seconds since 1970, as claimed.
Clock = Annotated[float, Meta(ge=-1e12, le=1e12)]


@attrs.frozen
class Position:
    """A place in the application server's change log: (timeline, number, chain)."""

    timeline: Number
    number: Number
    #: Hexadecimal; opaque to whoever is not the application server.
    chain: Chain


@attrs.frozen
class Mark:
    """A place in a journal: number and chain (hexadecimal)."""

    number: Number
    chain: Chain


@attrs.frozen
class Key:
    """What a decision belongs to."""

    job: Id
    step: Step


@attrs.frozen
class PageGroup:
    """Pages of one paper size in one copy of a document."""

    paper: Paper
    pages: Pages
    colour: Pages = 0

    def __attrs_post_init__(self) -> None:
        if self.colour > self.pages:
            raise ValueError("more colour pages than pages")


@attrs.frozen
class Document:
    """The facts of a document, as its provider analysed it."""

    groups: Annotated[list[PageGroup], Meta(max_length=64)]
    copies: Copies = 1
    duplex: bool = False
    format: Name = "application/pdf"
    analysed: bool = True


@attrs.frozen
class PriceLine:
    """One line of a decision: ``quantity`` sides at ``unit_e4``."""

    what: Name
    quantity: Sides
    unit_e4: UnitE4


@attrs.frozen
class Decision:
    """One answer to one key, whole."""

    #: ``allow``, ``hold`` or ``deny``; another word is a newer release's, and holds.
    verdict: Verdict
    reason: Word
    #: ``application`` or a site's stream id.
    decider: Word
    user: Number | None
    account: Number | None
    printer: Number
    price_version: Number
    lines: Annotated[list[PriceLine], Meta(max_length=128)]
    #: ``timeline.number`` of the application server's state the decider knew.
    position: Word = ""
    #: A site's: it is paid from what its stream was granted for this user.
    allowance: bool = False
    #: The last promise of a quota that was due; empty: not known.
    promise: Word = ""
    #: Of a hold: its person is asked (true), or should be and cannot be reached (false); null:
    #: nobody is asked. Since version 2.
    ask: bool | None = None
    #: A shared account that is only named: ``account`` is the person's own, and pays. Since
    #: version 2.
    named: Number | None = None
    #: Whether it is to be invoiced to the shared account that pays or is named; null: there is
    #: none. Since version 2.
    invoice: bool | None = None
