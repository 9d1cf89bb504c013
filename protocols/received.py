"""What one received line means, as protocols/machine.py tells it."""

from __future__ import annotations

from typing import NamedTuple

from protocols.codes import Code
from protocols.errors import Refusal


class HelloReceived(NamedTuple):
    """A HELLO with a version in common; answer with ``send_welcome`` or ``refuse_hello``."""

    hello: object
    version: int


class WelcomeReceived(NamedTuple):
    """The session is open."""

    welcome: object


class HelloChallenged(NamedTuple):
    """The server wants HELLO again, with a proof over ``nonce`` (protocols/proof.py)."""

    nonce: str


class HelloRefused(NamedTuple):
    """The server does not want this session (or its answer is not valid)."""

    refusal: Refusal


class Requested(NamedTuple):
    """A request to answer under ``tag``."""

    tag: str
    message: object


class Answered(NamedTuple):
    """The answer to the request sent under ``tag``."""

    tag: str
    message: object


class Refused(NamedTuple):
    """The request sent under ``tag`` was refused, or answered by what cannot be read."""

    tag: str
    refusal: Refusal


class Occurred(NamedTuple):
    """An event."""

    message: object


class ByeReceived(NamedTuple):
    """The peer ended the session."""

    code: str
    retry_after_s: float


class Noticed(NamedTuple):
    """The peer could not read a line of ours. Never answered, or two peers could go on for ever."""

    refusal: Refusal


class Bad(NamedTuple):
    """Input that was refused; ``line`` tells the peer."""

    code: Code
    line: bytes


class Unspoken(NamedTuple):
    """A HELLO without a version in common, as far as it can be read."""

    offered: list[int]
    spoken: list[int]
    #: The peer's release, as it says.
    software: str


class Fatal(NamedTuple):
    """Input after which the session is over; ``line`` tells the peer, then disconnect."""

    code: Code
    line: bytes
    unspoken: Unspoken | None = None


Received = (
    HelloReceived
    | WelcomeReceived
    | HelloChallenged
    | HelloRefused
    | Requested
    | Answered
    | Refused
    | Occurred
    | ByeReceived
    | Noticed
    | Bad
    | Fatal
)
