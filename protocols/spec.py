"""What one line protocol consists of, and a decoder for each of its messages."""

from __future__ import annotations

import enum
import functools
from typing import Any

import attrs
import msgspec

from protocols.handshake import VERSIONS, Hello, Welcome, since_of

Decoder = msgspec.json.Decoder[Any]


class Side(enum.Enum):
    """Who connected (client) and who listened (server)."""

    CLIENT = "client"
    SERVER = "server"


@attrs.frozen
class ProtocolSpec:
    """The messages of one protocol, by direction.

    Requests have ``VERB`` and ``ANSWER`` (the class of the answer), events ``EVENT``.
    Both sides' events hold ``bye``, which has the fields ``code`` and ``retry_after_s``.
    ``SINCE`` is the version a message came with, 1 where nothing is said.
    """

    name: str
    client_requests: tuple[type, ...]
    server_events: tuple[type, ...]
    client_events: tuple[type, ...]
    bye: type
    server_requests: tuple[type, ...] = ()
    hello: type = Hello
    welcome: type = Welcome
    versions: tuple[int, ...] = VERSIONS


@attrs.frozen
class Outgoing:
    """How a request or event is written, and for a request how its answer is read."""

    word: str
    decoder: Decoder
    answer: Decoder | None = None
    since: int = 1


@attrs.frozen
class Incoming:
    """How a request or event is read, and for a request how its answer is written."""

    decoder: Decoder
    answer_class: type | None = None
    answer: Decoder | None = None
    since: int = 1


@attrs.frozen
class Tables:
    """One side's view of a protocol: what it may send and what it may receive."""

    requests_out: dict[type, Outgoing]
    events_out: dict[type, Outgoing]
    requests_in: dict[str, Incoming]
    events_in: dict[str, Incoming]
    hello: Decoder
    welcome: Decoder


@functools.cache
def decoder_of(message_class: type) -> Decoder:
    """The one decoder of ``message_class``."""
    return msgspec.json.Decoder(message_class)


@functools.cache
def tables_of(spec: ProtocolSpec, side: Side) -> Tables:
    """The tables of ``side``; made once for each protocol."""
    if side is Side.CLIENT:
        requests_out, requests_in = spec.client_requests, spec.server_requests
        events_out, events_in = spec.client_events, spec.server_events
    else:
        requests_out, requests_in = spec.server_requests, spec.client_requests
        events_out, events_in = spec.server_events, spec.client_events
    return Tables(
        requests_out={
            cls: Outgoing(
                *(_word(cls, "VERB"), decoder_of(cls), decoder_of(_answer(cls)), since_of(cls))
            )
            for cls in requests_out
        },
        events_out={
            cls: Outgoing(_word(cls, "EVENT"), decoder_of(cls), since=since_of(cls))
            for cls in events_out
        },
        requests_in={
            _word(cls, "VERB"): Incoming(
                *(decoder_of(cls), _answer(cls), decoder_of(_answer(cls)), since_of(cls))
            )
            for cls in requests_in
        },
        events_in={
            _word(cls, "EVENT"): Incoming(decoder_of(cls), since=since_of(cls)) for cls in events_in
        },
        hello=decoder_of(spec.hello),
        welcome=decoder_of(spec.welcome),
    )


def _word(message_class: type, attribute: str) -> str:
    word = getattr(message_class, attribute)
    assert isinstance(word, str)
    return word


def _answer(message_class: type) -> type:
    answer = message_class.ANSWER  # type: ignore[attr-defined]
    assert isinstance(answer, type)
    return answer
