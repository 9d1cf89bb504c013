"""Values that occur in more than one protocol."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs
from attrs.validators import max_len, optional

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


@attrs.frozen
class Position:
    """A place in the application server's change log: (timeline, number, chain)."""

    timeline: int = attrs.field(validator=is_number)
    number: int = attrs.field(validator=is_number)
    #: Hexadecimal; opaque to whoever is not the application server.
    chain: str = attrs.field(validator=max_len(128))


@attrs.frozen
class Mark:
    """A place in a journal: number and chain (hexadecimal)."""

    number: int = attrs.field(validator=is_number)
    chain: str = attrs.field(validator=max_len(128))


@attrs.frozen
class Key:
    """What a decision belongs to."""

    job: str = attrs.field(validator=is_id)
    step: str = attrs.field(validator=is_step)


@attrs.frozen
class PageGroup:
    """Pages of one paper size in one copy of a document."""

    paper: str = attrs.field(validator=matches(TEXT_PATTERN, 64))
    pages: int = attrs.field(validator=between(0, 1_000_000))
    colour: int = attrs.field(default=0, validator=between(0, 1_000_000))

    def __attrs_post_init__(self) -> None:
        if self.colour > self.pages:
            raise ValueError("more colour pages than pages")


@attrs.frozen
class Document:
    """The facts of a document, as its provider analysed it."""

    groups: list[PageGroup] = attrs.field(validator=max_len(64))
    copies: int = attrs.field(default=1, validator=between(1, 100_000))
    duplex: bool = False
    format: str = attrs.field(default="application/pdf", validator=is_name)
    analysed: bool = True


@attrs.frozen
class PriceLine:
    """One line of a decision: ``quantity`` sides at ``unit_e4``."""

    what: str = attrs.field(validator=is_name)
    quantity: int = attrs.field(validator=between(0, 10**11))
    unit_e4: int = attrs.field(validator=between(0, AMOUNT_MAX_E4))


@attrs.frozen
class Decision:
    """One answer to one key, whole."""

    #: ``allow``, ``hold`` or ``deny``; another word is a newer release's, and holds.
    verdict: str = attrs.field(validator=matches(r"[a-z][a-z-]{0,31}"))
    reason: str = attrs.field(validator=max_len(64))
    #: ``application`` or a site's stream id.
    decider: str = attrs.field(validator=max_len(64))
    user: int | None = attrs.field(validator=optional(is_number))
    account: int | None = attrs.field(validator=optional(is_number))
    printer: int = attrs.field(validator=is_number)
    price_version: int = attrs.field(validator=is_number)
    lines: list[PriceLine] = attrs.field(validator=max_len(128))
    #: ``timeline.number`` of the application server's state the decider knew.
    position: str = attrs.field(default="", validator=max_len(64))
    #: A site's: it is paid from what its stream was granted for this user.
    allowance: bool = False
    #: The last promise of a quota that was due; empty: not known.
    promise: str = attrs.field(default="", validator=max_len(64))
