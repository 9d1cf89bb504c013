r"""One line: who asks what, and its JSON object.

Grammar (a line ends with LF; CR LF is accepted)::

    request  = tag SP verb SP object            7 PING {"clock":0.0}
    answer   = tag SP "OK" SP object            7 OK {"clock":0.0}
             / tag SP "NO" SP code SP object    7 NO busy {"text":"..."}
    event    = "*" SP verb SP object            * BYE {"code":"busy"}
    notice   = "?" SP "NO" SP code SP object    about a line without a usable tag
    tag      = 1*32( ALPHA / DIGIT / "." / "_" / ":" / "-" )
    verb     = UPPER *31( UPPER / DIGIT / "-" )      but not OK or NO
    code     = LOWER *31( LOWER / DIGIT / "-" )

This module knows the envelope only; protocols/spec.py knows the objects.
"""

from __future__ import annotations

import enum
import re
from typing import Any, NamedTuple, TypeVar

import msgspec

from protocols.codes import Code
from protocols.errors import LocalProtocolError, Refusal, RemoteProtocolError
from protocols.limits import LINE_LENGTH_MAX, TAG_LENGTH_MAX

_T = TypeVar("_T")
_HEAD = re.compile(
    rb"(\*|\?|[A-Za-z0-9._:-]{1,%d}) ([A-Z][A-Z0-9-]{0,31}) " % TAG_LENGTH_MAX,
)
#: The tag of a line that is no request in form; a broken answer must not be answered
#: under its tag, which may be that of a request of its sender.
_TAG = re.compile(
    rb"([A-Za-z0-9._:-]{1,%d})(?! (?:OK|NO)(?: |\Z))(?: |\Z)" % TAG_LENGTH_MAX,
)
_REFUSED = re.compile(rb"([a-z][a-z0-9-]{0,31}) ")
_CODES: dict[bytes, Code] = {code.value.encode(): code for code in Code}
_ENCODER = msgspec.json.Encoder()
_OBJECT: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
#: The tag of a notice: an answer to nothing in particular.
NO_TAG = "?"


class Kind(enum.Enum):
    """What a line is, told from its first two words."""

    REQUEST = "request"
    OK = "ok"
    NO = "no"
    EVENT = "event"
    NOTICE = "notice"


class Line(NamedTuple):
    """A line taken apart; ``body`` is the JSON object, not decoded yet."""

    kind: Kind
    #: Empty for events and notices.
    tag: str
    #: The verb of a request or event; the code of a NO or notice; ``OK``.
    word: str
    body: bytes


class BadLine(RemoteProtocolError):
    """A line that cannot be taken apart; ``tag`` is ``?`` where none could be read."""

    def __init__(self, code: Code, tag: str = NO_TAG) -> None:
        super().__init__(code)
        self.tag = tag


def parse(line: bytes) -> Line:
    """Take one line (without its end) apart.

    Raises BadLine, with the tag of a request if one could be read.
    """
    head = _HEAD.match(line)
    if head is None:
        found = _TAG.match(line)
        raise BadLine(Code.BAD_LINE, found[1].decode() if found is not None else NO_TAG)
    tag = head[1].decode()
    word = head[2].decode()
    body = line[head.end() :]
    if word == "NO":
        if tag == "*":
            raise BadLine(Code.BAD_LINE)
        refused = _REFUSED.match(body)
        if refused is None:
            raise BadLine(Code.BAD_LINE)
        body = body[refused.end() :]
        kind = Kind.NO if tag != NO_TAG else Kind.NOTICE
        word = refused[1].decode()
    elif word == "OK":
        kind = Kind.OK
    elif tag == "*":
        kind = Kind.EVENT
    else:
        kind = Kind.REQUEST
    if tag == "*" or tag == NO_TAG:
        if kind is Kind.OK or kind is Kind.REQUEST:
            raise BadLine(Code.BAD_LINE)
        tag = ""
    if not body.startswith(b"{"):
        raise BadLine(Code.BAD_JSON, tag if kind is Kind.REQUEST else NO_TAG)
    return Line(kind, tag, word, body)


def decode(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    """The message of ``body``; RemoteProtocolError(BAD_JSON | BAD_FIELDS) if it is not one."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise RemoteProtocolError(Code.BAD_FIELDS) from None
    except (ValueError, RecursionError):
        # Not JSON, not UTF-8, or nested deeper than the decoder follows.
        raise RemoteProtocolError(Code.BAD_JSON) from None


def decode_refusal(line: Line) -> Refusal:
    """The Refusal that a NO or a notice is.

    A code this release does not know (the peer may be one release ahead) is
    ``internal``: nothing may be concluded from it.
    """
    fields = decode(_OBJECT, line.body)
    fields.pop("text", None)
    return Refusal(_CODES.get(line.word.encode(), Code.INTERNAL), fields)


def encode_body(message: object, decoder: msgspec.json.Decoder[Any]) -> bytes:
    """The JSON object of ``message``, decoded again to prove that the peer can.

    Raises LocalProtocolError: a message with a value its class does not admit never
    leaves, and so is found where it was made.
    """
    try:
        body = _ENCODER.encode(message)
        decoder.decode(body)
    except (ValueError, TypeError, RecursionError) as error:
        raise LocalProtocolError(f"{type(message).__name__} is not valid: {error}") from error
    return body


def encode_fields(fields: dict[str, object]) -> bytes:
    """The JSON object of a refusal; raises LocalProtocolError."""
    try:
        return _ENCODER.encode(fields)
    except (ValueError, TypeError, RecursionError) as error:
        raise LocalProtocolError(f"a refusal's fields are not JSON: {error}") from error


def request(tag: str, verb: str, body: bytes) -> bytes:
    """``TAG VERB {json}``, ended."""
    return _ended(b"%b %b %b\n" % (tag.encode(), verb.encode(), body))


def ok(tag: str, body: bytes) -> bytes:
    """``TAG OK {json}``, ended."""
    return _ended(b"%b OK %b\n" % (tag.encode(), body))


def no(tag: str, refusal: Refusal) -> bytes:
    """``TAG NO code {json}``, ended."""
    body = encode_fields(refusal.body())
    return _ended(b"%b NO %b %b\n" % (tag.encode(), refusal.code.value.encode(), body))


def event(verb: str, body: bytes) -> bytes:
    """``* EVENT {json}``, ended."""
    return _ended(b"* %b %b\n" % (verb.encode(), body))


def _ended(line: bytes) -> bytes:
    if len(line) - 1 > LINE_LENGTH_MAX:
        raise LocalProtocolError(f"a line of {len(line) - 1} bytes is over the limit")
    return line
