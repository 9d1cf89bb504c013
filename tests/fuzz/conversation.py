"""One end of a session that is told anything, and what has to hold whatever that is.

- no exception but a finding;
- each line that asks is answered, or the session ends;
- the buffer, the tags and the count of bad lines stay within their limits;
- the state moves as the table of protocols/machine.py says.
"""

from __future__ import annotations

import random
from collections import Counter

from protocols import envelope
from protocols.codes import Code
from protocols.errors import LocalProtocolError, Refusal
from protocols.limits import BAD_LINES_MAX, LINE_LENGTH_MAX, TAGS_IN_FLIGHT_MAX
from protocols.machine import (
    TRANSITIONS,
    Bad,
    Connection,
    Fatal,
    HelloChallenged,
    HelloReceived,
    HelloRefused,
    ProtocolSpec,
    Received,
    Requested,
    Side,
    State,
    WelcomeReceived,
)
from protocols.spec import decoder_of, tables_of
from tests.fuzz.corpus import SPECS, spoken
from tests.fuzz.mutator import Mutator

_STEPS = {(before, after) for (before, _), after in TRANSITIONS.items()}
#: What one line may do to the state: nothing, one step, or a step and the answer to it.
MOVES = (
    {(state, state) for state in State}
    | _STEPS
    | {(a, d) for a, b in _STEPS for c, d in _STEPS if b is c}
)
_LF = b"\n"
_NONCE = "5e" * 32


class Finding(Exception):
    """Something that must not be."""


class Conversation:
    """A Connection of ``spec`` that answers as it likes; ``said`` counts what it answered."""

    def __init__(
        self, protocol: str, side: Side, rng: random.Random, said: Counter[str] | None = None
    ) -> None:
        self.spec: ProtocolSpec = SPECS[protocol]
        self.side = side
        self.rng = rng
        self.said: Counter[str] = Counter() if said is None else said
        self.connection = Connection(self.spec, side)
        #: Lines of the peer that were read.
        self.heard = 0
        other = Side.SERVER if side is Side.CLIENT else Side.CLIENT
        self.mutator = Mutator(rng, spoken(protocol, other))
        own = spoken(protocol, side)
        if side is Side.CLIENT:
            self._hello = _body(own[0], decoder_of(self.spec.hello))
            asked = {
                out.word: out.decoder for out in tables_of(self.spec, side).requests_out.values()
            }
            self._requests = [
                _body(line, asked[word])
                for line in own
                if (word := [*line.split(b" ", 2), b""][1].decode()) in asked
                and _is_whole(line, asked[word])
            ]
            self.connection.send_hello(self._hello)
        else:
            first = next(line for line in spoken(protocol, side) if b" OK " in line)
            self._welcome = _body(first, decoder_of(self.spec.welcome))

    @property
    def is_over(self) -> bool:
        return self.connection.state is State.CLOSED

    def open(self) -> None:
        """The handshake as it should be."""
        if self.side is Side.SERVER:
            hello = spoken(self.spec.name, Side.CLIENT)[0]
            self.hear(hello + b"\n")
        else:
            line = next(x for x in spoken(self.spec.name, Side.SERVER) if b" OK " in x)
            self.hear(b"1 OK " + line.split(b" ", 2)[2] + b"\n")

    def hear(self, data: bytes) -> None:
        """Bytes of the peer; raises Finding."""
        connection = self.connection
        before = connection.state
        heard = 0
        try:
            for received in connection.receive_data(data):
                heard += 1
                self._check_move(before)
                self._take(received)
                before = connection.state
        except Finding:
            raise
        except Exception as error:
            raise Finding(f"{type(error).__name__}: {error}") from error
        self.heard += heard
        if not self.is_over and heard != data.count(_LF):
            raise Finding(f"{data.count(_LF)} lines, {heard} understood or refused")
        self._check_bounds()

    def _take(self, received: Received) -> None:
        connection, rng = self.connection, self.rng
        self.said[type(received).__name__] += 1
        if isinstance(received, Bad | Fatal):
            self._check_line(received.line, received.code)
            if isinstance(received, Fatal) and connection.state is not State.CLOSED:
                raise Finding("a fatal line, and the session goes on")
        elif isinstance(received, HelloReceived):
            what = rng.random()
            if what < 0.9:
                connection.send_welcome(self._welcome)
            elif what < 0.95:
                connection.challenge_hello(_NONCE)
            else:
                connection.refuse_hello(Refusal(Code.REVOKED))
        elif isinstance(received, HelloChallenged):
            connection.send_hello(self._hello)
        elif isinstance(received, HelloRefused):
            if connection.state is not State.CLOSED:
                raise Finding("HELLO is refused, and the session goes on")
        elif isinstance(received, WelcomeReceived):
            self._ask()
        elif isinstance(received, Requested):
            # Some are answered later, or never: the tags fill up.
            if rng.random() < 0.8:
                connection.send_refusal(received.tag, Refusal(Code.INTERNAL))
        elif self.side is Side.CLIENT and connection.state is State.READY:
            self._ask()

    def _ask(self) -> None:
        """The peer may answer to what is asked: tags of the transcript are small numbers."""
        while self.connection.asked < min(8, TAGS_IN_FLIGHT_MAX):
            try:
                self.connection.send_request(self.rng.choice(self._requests))
            except LocalProtocolError as error:
                raise Finding(f"a real request may not be sent: {error.why}") from error

    def _check_move(self, before: State) -> None:
        if (before, self.connection.state) not in MOVES:
            raise Finding(f"from {before} to {self.connection.state}")

    def _check_bounds(self) -> None:
        connection = self.connection
        if len(connection._buffer) > LINE_LENGTH_MAX + 1:
            raise Finding(f"{len(connection._buffer)} bytes of a line are kept")
        if connection.owed > TAGS_IN_FLIGHT_MAX or connection.asked > TAGS_IN_FLIGHT_MAX:
            raise Finding("more tags are in flight than may be")
        if connection.bad_lines > BAD_LINES_MAX:
            raise Finding("more bad lines than may be")
        if connection.bad_lines == BAD_LINES_MAX and connection.state is not State.CLOSED:
            raise Finding("a bad line too many, and the session goes on")

    def _check_line(self, line: bytes, code: Code) -> None:
        """An answer is one line of the grammar that says ``code``."""
        self.said[f"NO {code.value}"] += 1
        if not line.endswith(b"\n") or line.count(b"\n") != 1 or len(line) > LINE_LENGTH_MAX + 1:
            raise Finding(f"no line: {line[:80]!r}")
        parsed = envelope.parse(line[:-1])
        if code.value not in (parsed.word, _field(parsed.body, "code")):
            raise Finding(f"another code: {line[:80]!r}")


def _field(body: bytes, name: str) -> object:
    return envelope.decode(envelope._OBJECT, body).get(name)


def _body(line: bytes, decoder: object) -> object:
    return decoder.decode(line[line.index(b"{") :])  # type: ignore[attr-defined]


def _is_whole(line: bytes, decoder: object) -> bool:
    """Transcripts show mistakes too."""
    try:
        _body(line, decoder)
    except ValueError:
        return False
    return True


def run(
    protocol: str, side: Side, seed: int, lines: int, said: Counter[str] | None = None
) -> Conversation:
    """One conversation of at most ``lines`` lines; raises Finding."""
    rng = random.Random(seed)
    conversation = Conversation(protocol, side, rng, said)
    if rng.random() < 0.9:
        conversation.open()
    while lines > 0 and not conversation.is_over:
        count = min(lines, rng.choice((1, 2, 5)))
        lines -= count
        for piece in conversation.mutator.split(conversation.mutator.data(count)):
            conversation.hear(piece)
    return conversation
