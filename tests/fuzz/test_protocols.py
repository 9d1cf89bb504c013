"""The three protocols: whatever comes, an answer or the end, and bounded memory."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from protocols.codes import Code
from protocols.endpoint import NamedPeer, SessionServerFactory
from protocols.errors import LocalProtocolError, Refusal
from protocols.limits import LINE_LENGTH_MAX
from protocols.machine import Side, State
from protocols.spec import decoder_of, tables_of
from tests.fuzz.conversation import Conversation, run
from tests.fuzz.corpus import SPECS, spoken
from tests.fuzz.mutator import Mutator
from tests.fuzz.strategies import ANY_JSON, SEEDS
from tests.unit.protocols.builders import RecordingTransport

PAIRS = [(protocol, side) for protocol in SPECS for side in Side]


def opened(protocol: str, side: Side) -> Conversation:
    """A conversation in which the handshake went well."""
    for seed in range(100):
        made = Conversation(protocol, side, random.Random(seed))
        made.open()
        if made.connection.state is State.READY:
            return made
    raise AssertionError("never welcome")


class MachineTests(SynchronousTestCase):
    @settings(max_examples=400, deadline=None)
    @given(st.sampled_from(PAIRS), SEEDS)
    def test_damaged_transcripts(self, pair: tuple[str, Side], seed: int) -> None:
        run(*pair, seed, 40)

    @settings(max_examples=200, deadline=None)
    @given(st.sampled_from(PAIRS), st.booleans(), st.lists(st.binary(max_size=200), max_size=6))
    def test_any_bytes(self, pair: tuple[str, Side], is_open: bool, pieces: list[bytes]) -> None:
        made = opened(*pair) if is_open else Conversation(*pair, random.Random(1))
        for piece in pieces:
            made.hear(piece)

    @settings(max_examples=300, deadline=None)
    @given(st.data())
    def test_any_type_in_any_field(self, data: st.DataObject) -> None:
        """Every field of every message of every protocol, and any JSON in it."""
        protocol, side = data.draw(st.sampled_from(PAIRS))
        made = opened(protocol, side)
        tables = tables_of(made.spec, side)
        word = data.draw(st.sampled_from(sorted({*tables.requests_in, *tables.events_in})))
        tag = "9" if word in tables.requests_in else "*"
        incoming = (tables.requests_in if tag == "9" else tables.events_in)[word]
        cls = incoming.decoder.type
        names = [field.name for field in cls.__attrs_attrs__] + ["unknown"]
        fields = data.draw(st.dictionaries(st.sampled_from(names), ANY_JSON, max_size=6))
        # Python's own encoder: it writes NaN and lone surrogates, as a peer might.
        made.hear(f"{tag} {word} {json.dumps(fields)}\n".encode())

    def test_lines_of_every_length(self) -> None:
        """Around the limit, in two pieces cut anywhere: taken, or refused once and for all."""
        for protocol, side in PAIRS:
            for length in (*range(12), *range(LINE_LENGTH_MAX - 2, LINE_LENGTH_MAX + 4)):
                for cut in (0, length // 2, max(0, length - 1), length):
                    for end in (b"\n", b"\r\n"):
                        made = opened(protocol, side)
                        line = b"x" * length + end
                        made.hear(line[:cut])
                        made.hear(line[cut:])
                        self.assertEqual(made.is_over, length > LINE_LENGTH_MAX, (length, cut))

    def test_lines_without_end_keep_no_memory(self) -> None:
        made = opened("provider", Side.SERVER)
        for _ in range(100):
            made.hear(b"x" * 60_000)
        self.assertEqual(len(made.connection._buffer), 0)
        self.assertTrue(made.is_over)


class _Handler:
    """Answers some requests at once, some never, refuses and fails at others."""

    def __init__(self, rng: random.Random, welcome: Any) -> None:
        self.rng, self.made_welcome = rng, welcome
        self.taken: list[object] = []

    async def hello(self, session: object, hello: object) -> Any:
        return self.made_welcome

    async def request(self, session: object, message: Any) -> Any:
        self.taken.append(message)
        what = self.rng.random()
        if what < 0.1:
            await Deferred()
        if what < 0.2:
            raise ValueError("a defect")
        if what < 0.9:
            raise Refusal(Code.BUSY, {"retry_after_s": 1.0})
        return await succeed(message)

    def opened(self, session: object) -> None: ...
    def unspoken(self, peer: object, unspoken: object) -> None: ...
    def event(self, session: object, event: object) -> None:
        self.taken.append(event)

    def closed(self, session: object, reason: str) -> None: ...


class SessionTests(SynchronousTestCase):
    """The same through a session with its timers: answered one by one, or disconnected."""

    @settings(max_examples=150, deadline=None)
    @given(st.sampled_from(sorted(SPECS)), SEEDS)
    def test_damaged_transcripts(self, protocol: str, seed: int) -> None:
        rng, clock = random.Random(seed), Clock()
        spec = SPECS[protocol]
        hello = spoken(protocol, Side.CLIENT)[0]
        said = decoder_of(spec.hello).decode(hello[hello.index(b"{") :])
        first = next(x for x in spoken(protocol, Side.SERVER) if b" OK " in x)
        welcome = decoder_of(spec.welcome).decode(first[first.index(b"{") :])
        handler: Any = _Handler(rng, welcome)
        peer = NamedPeer(said.role, said.name)
        factory = SessionServerFactory(spec, clock, handler, lambda transport: peer)
        session = factory.buildProtocol(None)
        transport: Any = RecordingTransport()
        session.makeConnection(transport)
        session.dataReceived(hello + b"\n")
        mutator = Mutator(rng, spoken(protocol, Side.CLIENT))
        for _ in range(10):
            for piece in mutator.split(mutator.data(4)):
                session.dataReceived(piece)
            clock.advance(0.1)
        lines = transport.written.split(b"\n")
        self.assertEqual(lines.pop(), b"")
        is_over = session.is_over
        if is_over:
            self.assertTrue(transport.is_closing or transport.is_aborted)
        # Not one answer more than there were questions and bad lines.
        answers = sum(not line.startswith(b"*") for line in lines)
        counted = factory.counters
        owed = counted["requests"] + counted["bad_lines"] + counted["busy"] + 1
        self.assertLessEqual(answers, owed)
        session.connectionLost()
        clock.advance(60)
        self.assertEqual(clock.getDelayedCalls(), [])
        self.assertEqual(factory.sessions, set())
        # What the handler fails at is logged, by intent.
        self.flushLoggedErrors(ValueError, LocalProtocolError)
        self.assertEqual(self.flushLoggedErrors(), [])
