"""One end of one session, without transport, clock or logger.

Bytes go in by ``receive_data``, which tells what they mean; ``send_*`` return the
bytes to write. The order of things is one table, ``TRANSITIONS``: what is absent
there is refused with ``wrong-state`` when a peer does it and a LocalProtocolError
when this side does. docs/state-machines/session.dot is generated from it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import Any, TypeGuard

import attrs
import msgspec

from protocols import envelope
from protocols.codes import Code
from protocols.envelope import Kind, Line
from protocols.errors import LocalProtocolError, NotSpoken, Refusal, RemoteProtocolError
from protocols.framing import LineBuffer
from protocols.handshake import choose_version, shown_versions
from protocols.limits import BAD_LINES_MAX, TAGS_IN_FLIGHT_MAX
from protocols.proof import NONCE
from protocols.received import (
    Answered,
    Bad,
    ByeReceived,
    Fatal,
    HelloChallenged,
    HelloReceived,
    HelloRefused,
    Noticed,
    Occurred,
    Received,
    Refused,
    Requested,
    Unspoken,
    WelcomeReceived,
)
from protocols.spec import Decoder, Outgoing, ProtocolSpec, Side, tables_of

__all__ = [
    "TRANSITIONS",
    "Answered",
    "Bad",
    "ByeReceived",
    "Connection",
    "Fatal",
    "HelloChallenged",
    "HelloReceived",
    "HelloRefused",
    "Input",
    "Noticed",
    "Occurred",
    "Prepared",
    "ProtocolSpec",
    "Received",
    "Refused",
    "Requested",
    "Side",
    "State",
    "Unspoken",
    "WelcomeReceived",
]


class State(enum.Enum):
    """Where a session is."""

    #: Server: connected, nothing valid received.
    AWAITING_HELLO = "awaiting-hello"
    #: Server: HELLO received, not answered yet.
    ANSWERING_HELLO = "answering-hello"
    #: Client: connected, nothing sent.
    GREETING = "greeting"
    #: Client: HELLO sent.
    AWAITING_WELCOME = "awaiting-welcome"
    READY = "ready"
    CLOSED = "closed"


class Input(enum.Enum):
    """What moves a session on; ``NO`` to a HELLO is told from other answers.

    ``NO prove`` is no refusal: HELLO is to be sent again.
    """

    RECEIVE_HELLO = "receive HELLO"
    SEND_WELCOME = "send WELCOME"
    SEND_CHALLENGE = "send NO prove"
    SEND_HELLO_REFUSAL = "send NO to HELLO"
    SEND_HELLO = "send HELLO"
    RECEIVE_WELCOME = "receive WELCOME"
    RECEIVE_CHALLENGE = "receive NO prove"
    RECEIVE_HELLO_REFUSAL = "receive NO to HELLO"
    SEND_REQUEST = "send request"
    RECEIVE_REQUEST = "receive request"
    SEND_ANSWER = "send answer"
    RECEIVE_ANSWER = "receive answer"
    SEND_EVENT = "send event"
    RECEIVE_EVENT = "receive event"
    SEND_BYE = "send BYE"
    RECEIVE_BYE = "receive BYE"
    LOST = "connection lost"


_IN_SESSION = (
    Input.SEND_REQUEST,
    Input.RECEIVE_REQUEST,
    Input.SEND_ANSWER,
    Input.RECEIVE_ANSWER,
    Input.SEND_EVENT,
    Input.RECEIVE_EVENT,
)
_ENDINGS = (Input.SEND_BYE, Input.RECEIVE_BYE, Input.LOST)

TRANSITIONS: dict[tuple[State, Input], State] = {
    (State.AWAITING_HELLO, Input.RECEIVE_HELLO): State.ANSWERING_HELLO,
    (State.ANSWERING_HELLO, Input.SEND_WELCOME): State.READY,
    (State.ANSWERING_HELLO, Input.SEND_CHALLENGE): State.AWAITING_HELLO,
    (State.ANSWERING_HELLO, Input.SEND_HELLO_REFUSAL): State.CLOSED,
    (State.GREETING, Input.SEND_HELLO): State.AWAITING_WELCOME,
    (State.AWAITING_WELCOME, Input.RECEIVE_WELCOME): State.READY,
    (State.AWAITING_WELCOME, Input.RECEIVE_CHALLENGE): State.GREETING,
    (State.AWAITING_WELCOME, Input.RECEIVE_HELLO_REFUSAL): State.CLOSED,
    **{(State.READY, what): State.READY for what in _IN_SESSION},
    **{(state, what): State.CLOSED for state in State for what in _ENDINGS},
}
# After the end only the loss of the connection is still to come.
del TRANSITIONS[State.CLOSED, Input.SEND_BYE]
del TRANSITIONS[State.CLOSED, Input.RECEIVE_BYE]


@attrs.frozen
class _Versions:
    """What is read of a HELLO whatever the others are: its versions, and for people its release."""

    versions: list[int]
    software: Any = ""


_VERSIONS = msgspec.json.Decoder(_Versions)


def _is_nonce(found: object) -> TypeGuard[str]:
    return isinstance(found, str) and NONCE.fullmatch(found) is not None


@attrs.frozen
class Prepared:
    """An event whose line was made once, for many sessions of one protocol and side."""

    message: object
    line: bytes


def prepare(spec: ProtocolSpec, side: Side, message: object) -> Prepared:
    """Encode an event for every session of ``spec`` that sends it; raises LocalProtocolError."""
    known = tables_of(spec, side).events_out.get(type(message))
    if known is None or known.word == "BYE":
        raise LocalProtocolError(f"{type(message).__name__} is no event to send")
    body = envelope.encode_body(message, known.decoder)
    return Prepared(message, envelope.event(known.word, body))


class Connection:
    """One end of a session of ``spec``."""

    # There are as many as a server has sessions.
    __slots__ = (
        *("_asked", "_buffer", "_hello_tag", "_owed", "_tables", "_tags_sent"),
        *("bad_lines", "side", "spec", "state", "version"),
    )

    def __init__(self, spec: ProtocolSpec, side: Side) -> None:
        self.spec = spec
        self.side = side
        self.state = State.AWAITING_HELLO if side is Side.SERVER else State.GREETING
        #: The version of this session; 0 before the handshake.
        self.version = 0
        #: Lines of the peer that were refused for their form or order.
        self.bad_lines = 0
        self._tables = tables_of(spec, side)
        self._buffer = LineBuffer()
        self._tags_sent = 0
        #: Tag of each request sent and not answered, with the decoder of its answer.
        self._asked: dict[str, Decoder] = {}
        #: Tag of each request received and not answered, with class and check of its answer.
        self._owed: dict[str, tuple[type, Decoder]] = {}
        self._hello_tag = ""

    @property
    def asked(self) -> int:
        """How many requests of this side are in flight."""
        return len(self._asked)

    @property
    def owed(self) -> int:
        """How many requests of the peer are in flight."""
        return len(self._owed)

    # What came.

    def receive_data(self, data: bytes) -> Iterator[Received]:
        """What the lines completed by ``data`` mean, in order. Nothing once closed.

        Each line is read when the iterator reaches it, in the state that the answer to
        the line before may have brought about. Bytes given to an iterator that is not
        run to its end are lost.
        """
        if self.state is State.CLOSED:
            return
        for line in self._buffer.receive(data):
            yield self._receive_line(line)
            if self._is_closed():
                return
        if self._buffer.overflowed:
            yield self._fatal(Code.TOO_LONG)

    def _is_closed(self) -> bool:
        # A method, or mypy takes the state tested at the top for granted.
        return self.state is State.CLOSED

    def _receive_line(self, line: bytes) -> Received:
        try:
            parsed = envelope.parse(line)
            if parsed.kind is Kind.REQUEST:
                return self._receive_request(parsed)
            if parsed.kind is Kind.OK or parsed.kind is Kind.NO:
                return self._receive_answer(parsed)
            if parsed.kind is Kind.EVENT:
                return self._receive_event(parsed)
            return Noticed(envelope.decode_refusal(parsed))
        except envelope.BadLine as bad:
            return self._bad(bad.code, bad.tag)
        except RemoteProtocolError as error:
            tag = parsed.tag if parsed.kind is Kind.REQUEST else envelope.NO_TAG
            return self._bad(error.code, tag)

    def _receive_request(self, line: Line) -> Received:
        if line.word == "HELLO" and self.side is Side.SERVER:
            return self._receive_hello(line)
        known = self._tables.requests_in.get(line.word)
        if known is None:
            raise RemoteProtocolError(Code.UNKNOWN_VERB)
        after = self._after(Input.RECEIVE_REQUEST)
        if known.since > self.version:
            raise RemoteProtocolError(Code.UNKNOWN_VERB)
        if line.tag in self._owed:
            # Under the tag itself this would be taken for the answer of the first.
            return self._bad(Code.DUPLICATE_TAG, envelope.NO_TAG, {"tag": line.tag})
        if len(self._owed) >= TAGS_IN_FLIGHT_MAX:
            # Not counted as bad: the peer may be a line ahead of our answer.
            return Bad(Code.BUSY, envelope.no(line.tag, Refusal(Code.BUSY)))
        message = envelope.decode(known.decoder, line.body)
        assert known.answer_class is not None and known.answer is not None
        self._owed[line.tag] = (known.answer_class, known.answer)
        self.state = after
        return Requested(line.tag, message)

    def _receive_hello(self, line: Line) -> Received:
        after = self._after(Input.RECEIVE_HELLO)
        # The versions first: a HELLO of another age may have other fields.
        read = envelope.decode(_VERSIONS, line.body)
        version = choose_version(read.versions, self.spec.versions)
        if version is None:
            self._hello_tag = line.tag
            self.state = after
            spoken, offered = list(self.spec.versions), shown_versions(read.versions)
            refusal = Refusal(Code.VERSION, {"spoken": spoken, "offered": offered})
            # Shown to people: no control characters of a peer.
            software = read.software[:64] if isinstance(read.software, str) else ""
            unspoken = Unspoken(offered, spoken, "".join(filter(str.isprintable, software)))
            return Fatal(Code.VERSION, self.refuse_hello(refusal), unspoken)
        hello = envelope.decode(self._tables.hello, line.body)
        self._hello_tag = line.tag
        self.state = after
        self.version = version
        return HelloReceived(hello, version)

    def _receive_answer(self, line: Line) -> Received:
        if self.state is State.AWAITING_WELCOME and line.tag == self._hello_tag:
            return self._receive_welcome(line)
        after = self._after(Input.RECEIVE_ANSWER)
        decoder = self._asked.pop(line.tag, None)
        if decoder is None:
            raise RemoteProtocolError(Code.BAD_LINE)
        self.state = after
        try:
            if line.kind is Kind.NO:
                return Refused(line.tag, envelope.decode_refusal(line))
            return Answered(line.tag, envelope.decode(decoder, line.body))
        except RemoteProtocolError as error:
            # Whoever asked must not wait for ever; what it asked may have been done.
            self.bad_lines += 1
            if self.bad_lines >= BAD_LINES_MAX:
                return self._fatal(error.code)
            return Refused(line.tag, Refusal(Code.INTERNAL, {"unreadable": error.code.value}))

    def _receive_welcome(self, line: Line) -> Received:
        try:
            if line.kind is Kind.NO:
                refusal = envelope.decode_refusal(line)
                nonce = refusal.fields.get("nonce")
                if refusal.code is Code.PROVE and _is_nonce(nonce):
                    self.state = self._after(Input.RECEIVE_CHALLENGE)
                    return HelloChallenged(nonce)
            else:
                welcome = envelope.decode(self._tables.welcome, line.body)
                version = getattr(welcome, "version", 0)
                if version in self.spec.versions:
                    self.state = self._after(Input.RECEIVE_WELCOME)
                    self.version = version
                    return WelcomeReceived(welcome)
                fields = {"spoken": [version], "offered": list(self.spec.versions)}
                refusal = Refusal(Code.VERSION, fields)
        except RemoteProtocolError as error:
            refusal = Refusal(error.code)
        self.state = self._after(Input.RECEIVE_HELLO_REFUSAL)
        return HelloRefused(refusal)

    def _receive_event(self, line: Line) -> Received:
        known = self._tables.events_in.get(line.word)
        if known is None:
            raise RemoteProtocolError(Code.UNKNOWN_VERB)
        is_bye = line.word == "BYE"
        after = self._after(Input.RECEIVE_BYE if is_bye else Input.RECEIVE_EVENT)
        if known.since > self.version and not is_bye:
            raise RemoteProtocolError(Code.UNKNOWN_VERB)
        message = envelope.decode(known.decoder, line.body)
        self.state = after
        if is_bye:
            return ByeReceived(
                code=str(getattr(message, "code", "")),
                retry_after_s=float(getattr(message, "retry_after_s", 0.0)),
            )
        return Occurred(message)

    def _after(self, what: Input) -> State:
        after = TRANSITIONS.get((self.state, what))
        if after is None:
            raise RemoteProtocolError(Code.WRONG_STATE)
        return after

    def _bad(self, code: Code, tag: str, fields: dict[str, object] | None = None) -> Received:
        self.bad_lines += 1
        if self.bad_lines >= BAD_LINES_MAX:
            return self._fatal(code)
        return Bad(code, envelope.no(tag, Refusal(code, fields)))

    def _fatal(self, code: Code) -> Fatal:
        return Fatal(code, self.send_bye(code))

    # What goes. Each returns the bytes of one line and raises LocalProtocolError.

    def send_hello(self, hello: object) -> bytes:
        """``TAG HELLO {...}``: the client's first line."""
        after = self._before(Input.SEND_HELLO)
        line = envelope.request(
            self._next_tag(), "HELLO", self._body(hello, self.spec.hello, self._tables.hello)
        )
        self._hello_tag = str(self._tags_sent)
        self.state = after
        return line

    def send_welcome(self, welcome: object) -> bytes:
        """The answer to HELLO, after which the session is open."""
        after = self._before(Input.SEND_WELCOME)
        body = self._body(welcome, self.spec.welcome, self._tables.welcome)
        line = envelope.ok(self._hello_tag, body)
        self.state = after
        return line

    def challenge_hello(self, nonce: str) -> bytes:
        """``TAG NO prove {"nonce": ...}``: HELLO is to be sent again, with a proof."""
        after = self._before(Input.SEND_CHALLENGE)
        if not _is_nonce(nonce):
            raise LocalProtocolError("a nonce is 64 hexadecimal digits")
        line = envelope.no(self._hello_tag, Refusal(Code.PROVE, {"nonce": nonce}))
        self.state = after
        return line

    def refuse_hello(self, refusal: Refusal) -> bytes:
        """``TAG NO code``: the answer to HELLO after which the connection is closed."""
        after = self._before(Input.SEND_HELLO_REFUSAL)
        line = envelope.no(self._hello_tag, refusal)
        self.state = after
        return line

    def send_request(self, message: object) -> tuple[str, bytes]:
        """The tag and the line of a request."""
        after = self._before(Input.SEND_REQUEST)
        if len(self._asked) >= TAGS_IN_FLIGHT_MAX:
            raise LocalProtocolError(f"{TAGS_IN_FLIGHT_MAX} requests are in flight")
        known = self._known(self._tables.requests_out, message)
        body = envelope.encode_body(message, known.decoder)
        tag = self._next_tag()
        line = envelope.request(tag, known.word, body)
        assert known.answer is not None
        self._asked[tag] = known.answer
        self.state = after
        return tag, line

    def send_answer(self, tag: str, message: object) -> bytes:
        """The answer to the request that came under ``tag``."""
        after = self._before(Input.SEND_ANSWER)
        owed = self._owed.get(tag)
        if owed is None:
            raise LocalProtocolError(f"no request has the tag {tag!r}")
        line = envelope.ok(tag, self._body(message, *owed))
        self._answered(tag)
        self.state = after
        return line

    def send_refusal(self, tag: str, refusal: Refusal) -> bytes:
        """``TAG NO code`` to the request that came under ``tag``."""
        after = self._before(Input.SEND_ANSWER)
        if tag not in self._owed:
            raise LocalProtocolError(f"no request has the tag {tag!r}")
        line = envelope.no(tag, refusal)
        self._answered(tag)
        self.state = after
        return line

    def _answered(self, tag: str) -> None:
        del self._owed[tag]
        if not self._owed:
            # One that has held something keeps its room, three times what a new one takes.
            self._owed = {}

    def send_event(self, message: object) -> bytes:
        """``* EVENT {...}``; use ``send_bye`` for BYE."""
        after = self._before(Input.SEND_EVENT)
        known = self._known(self._tables.events_out, message)
        if known.word == "BYE":
            raise LocalProtocolError("BYE ends the session: use send_bye")
        line = envelope.event(known.word, envelope.encode_body(message, known.decoder))
        self.state = after
        return line

    def send_prepared(self, prepared: Prepared) -> bytes:
        """As ``send_event``, of a line that was made before."""
        after = self._before(Input.SEND_EVENT)
        self._known(self._tables.events_out, prepared.message)
        self.state = after
        return prepared.line

    def send_bye(self, code: Code, retry_after_s: float = 0.0) -> bytes:
        """``* BYE {code, retry_after_s}``: the last line."""
        after = self._before(Input.SEND_BYE)
        try:
            bye = self.spec.bye(code=code.value, retry_after_s=retry_after_s)
        except ValueError as error:
            raise LocalProtocolError(f"BYE is not valid: {error}") from error
        known = self._known(self._tables.events_out, bye)
        line = envelope.event(known.word, envelope.encode_body(bye, known.decoder))
        self.state = after
        return line

    def lost(self) -> None:
        """The connection is gone."""
        self.state = self._before(Input.LOST)
        self._asked.clear()
        self._owed.clear()

    def _before(self, what: Input) -> State:
        after = TRANSITIONS.get((self.state, what))
        if after is None:
            raise LocalProtocolError(f"{what.value} while {self.state.value}")
        return after

    def _next_tag(self) -> str:
        self._tags_sent += 1
        return str(self._tags_sent)

    def _known(self, table: dict[type, Outgoing], message: object) -> Outgoing:
        known = table.get(type(message))
        if known is None:
            raise LocalProtocolError(
                f"{type(message).__name__} is not for a {self.side.value} of {self.spec.name}"
            )
        if known.since > self.version and known.word != "BYE":
            raise NotSpoken(f"{known.word} came with version {known.since}")
        return known

    def _body(self, message: object, message_class: type, decoder: Decoder) -> bytes:
        if type(message) is not message_class:
            raise LocalProtocolError(
                f"{type(message).__name__} sent where {message_class.__name__} belongs"
            )
        return envelope.encode_body(message, decoder)
