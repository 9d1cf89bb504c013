"""Tests of protocols.machine."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from protocols.codes import Code
from protocols.errors import LocalProtocolError, Refusal
from protocols.limits import BAD_LINES_MAX, LINE_LENGTH_MAX, TAGS_IN_FLIGHT_MAX
from protocols.machine import (
    TRANSITIONS,
    Answered,
    Bad,
    ByeReceived,
    Connection,
    Fatal,
    HelloChallenged,
    HelloReceived,
    HelloRefused,
    Input,
    Noticed,
    Occurred,
    ProtocolSpec,
    Received,
    Refused,
    Requested,
    Side,
    State,
    WelcomeReceived,
)
from protocols.provider.messages import Adopt, Bye, Ping, Pong
from protocols.provider.spec import PROVIDER
from tests.unit.protocols.builders import authorize, decision, hello, ready_pair, welcome

#: Either side may ask and tell here, so that every input exists on both sides.
BOTH_WAYS = ProtocolSpec(
    name="both",
    client_requests=(Ping,),
    server_requests=(Ping,),
    client_events=(Adopt, Bye),
    server_events=(Adopt, Bye),
    bye=Bye,
)
ADOPT = Adopt(journal="x", keys=[], last=True)
NONCE = "5e" * 32
CHALLENGE_LINE = f'1 NO prove {{"nonce":"{NONCE}"}}\n'.encode()


def connection(state: State) -> tuple[Connection, Side]:
    """A connection in ``state``, in READY with one request of each side under way."""
    side = Side.CLIENT if state in (State.GREETING, State.AWAITING_WELCOME) else Side.SERVER
    made = Connection(BOTH_WAYS, side)
    if state is State.AWAITING_WELCOME:
        made.send_hello(hello())
    elif state is State.ANSWERING_HELLO or state is State.READY:
        feed(made, Connection(BOTH_WAYS, Side.CLIENT).send_hello(hello()))
        if state is State.READY:
            made.send_welcome(welcome())
            made.send_request(Ping())
            feed(made, b"5 PING {}\n")
    elif state is State.CLOSED:
        made.lost()
    assert made.state is state
    return made, side


def feed(made: Connection, data: bytes) -> list[Received]:
    return list(made.receive_data(data))


def sends() -> dict[Input, list[str]]:
    """The name of the method that does it."""
    return {
        Input.SEND_HELLO: ["send_hello"],
        Input.SEND_WELCOME: ["send_welcome"],
        Input.SEND_CHALLENGE: ["challenge_hello"],
        Input.SEND_HELLO_REFUSAL: ["refuse_hello"],
        Input.SEND_REQUEST: ["send_request"],
        Input.SEND_ANSWER: ["send_answer", "send_refusal"],
        Input.SEND_EVENT: ["send_event"],
        Input.SEND_BYE: ["send_bye"],
        Input.LOST: ["lost"],
    }


ARGUMENTS: dict[str, tuple[object, ...]] = {
    "send_hello": (hello(),),
    "send_welcome": (welcome(),),
    "challenge_hello": (NONCE,),
    "refuse_hello": (Refusal(Code.REVOKED),),
    "send_request": (Ping(),),
    "send_answer": ("5", Pong()),
    "send_refusal": ("5", Refusal(Code.BUSY)),
    "send_event": (ADOPT,),
    "send_bye": (Code.BUSY,),
    "lost": (),
}

WELCOME_LINE = b'1 OK {"version":1,"role":"site","name":"s","decider":"s","session":1}\n'
HELLO_LINE = Connection(PROVIDER, Side.CLIENT).send_hello(hello())


def receives(side: Side) -> dict[Input, list[bytes]]:
    """Lines that are that input for ``side``, if it is one in its state."""
    lines = {
        Input.RECEIVE_REQUEST: [b"9 PING {}\n"],
        Input.RECEIVE_EVENT: [b'* ADOPT {"journal":"x","keys":[],"last":true}\n'],
        Input.RECEIVE_BYE: [b'* BYE {"code":"busy"}\n'],
        Input.RECEIVE_ANSWER: [b"1 OK {}\n", b"1 NO busy {}\n"],
    }
    if side is Side.SERVER:
        lines[Input.RECEIVE_HELLO] = [HELLO_LINE]
    return lines


class TableTests(SynchronousTestCase):
    """Every state against every input: what the table has happens, all else is refused."""

    def test_what_this_side_does(self) -> None:
        for state, (what, methods) in itertools.product(State, sends().items()):
            for method in methods:
                made, _ = connection(state)
                expected = TRANSITIONS.get((state, what))
                call = getattr(made, method)
                if expected is None:
                    self.assertRaises(LocalProtocolError, call, *ARGUMENTS[method])
                    self.assertIs(made.state, state, (state, what))
                else:
                    call(*ARGUMENTS[method])
                    self.assertIs(made.state, expected, (state, what))

    def test_what_the_peer_does(self) -> None:
        for state in State:
            _, side = connection(state)
            for what, line in self.every_line(side):
                made, _ = connection(state)
                expected = TRANSITIONS.get((state, what))
                received = feed(made, line)
                if state is State.CLOSED:
                    self.assertEqual(received, [])
                elif state is State.AWAITING_WELCOME and what is Input.RECEIVE_ANSWER:
                    # There an answer to tag 1 is the answer to HELLO: the next test.
                    continue
                elif expected is None:
                    self.assertIsInstance(received[0], Bad)
                    self.assertIs(received[0].code, Code.WRONG_STATE, (state, what))  # type: ignore[union-attr]
                    self.assertIs(made.state, state)
                else:
                    self.assertFalse(isinstance(received[0], Bad | Fatal), (state, what))
                    self.assertIs(made.state, expected, (state, what))

    @staticmethod
    def every_line(side: Side) -> Iterator[tuple[Input, bytes]]:
        for what, lines in receives(side).items():
            for line in lines:
                yield what, line

    def test_the_answer_to_hello(self) -> None:
        for line, what in (
            (WELCOME_LINE, Input.RECEIVE_WELCOME),
            (b"1 NO revoked {}\n", Input.RECEIVE_HELLO_REFUSAL),
            (CHALLENGE_LINE, Input.RECEIVE_CHALLENGE),
        ):
            for state in (State.AWAITING_WELCOME, State.GREETING):
                made, _ = connection(state)
                received = feed(made, line)
                expected = TRANSITIONS.get((state, what))
                if expected is None:
                    self.assertIsInstance(received[0], Bad)
                    self.assertIs(made.state, state)
                else:
                    self.assertIs(made.state, expected)

    def test_every_input_is_tried_above(self) -> None:
        tried = set(sends()) | set(receives(Side.SERVER))
        tried |= {Input.RECEIVE_WELCOME, Input.RECEIVE_HELLO_REFUSAL, Input.RECEIVE_CHALLENGE}
        self.assertEqual(tried, set(Input))

    def test_every_state_can_be_reached_and_left(self) -> None:
        first = {State.AWAITING_HELLO, State.GREETING}
        self.assertEqual(first | set(TRANSITIONS.values()), set(State))
        for state in State:
            self.assertIn((state, Input.LOST), TRANSITIONS)


class HandshakeTests(SynchronousTestCase):
    def test_hello_and_welcome(self) -> None:
        client, server = Connection(PROVIDER, Side.CLIENT), Connection(PROVIDER, Side.SERVER)
        received = feed(server, client.send_hello(hello()))
        self.assertEqual(received, [HelloReceived(hello(), 1)])
        self.assertEqual(feed(client, server.send_welcome(welcome())), [WelcomeReceived(welcome())])
        self.assertIs(client.state, State.READY)
        self.assertIs(server.state, State.READY)

    def test_no_version_in_common_names_both(self) -> None:
        for offered in ([3, 4], [], [0]):
            server = Connection(PROVIDER, Side.SERVER)
            client = Connection(PROVIDER, Side.CLIENT)
            (fatal,) = feed(server, client.send_hello(hello(versions=offered)))
            assert isinstance(fatal, Fatal)
            self.assertIs(fatal.code, Code.VERSION)
            self.assertIs(server.state, State.CLOSED)
            (refused,) = feed(client, fatal.line)
            assert isinstance(refused, HelloRefused)
            self.assertIs(refused.refusal.code, Code.VERSION)
            self.assertEqual(refused.refusal.fields, {"spoken": [1, 2], "offered": offered})
            self.assertIs(client.state, State.CLOSED)

    def test_the_versions_are_read_whatever_else_is_there(self) -> None:
        server = Connection(PROVIDER, Side.SERVER)
        (fatal,) = feed(server, b'1 HELLO {"versions":[9],"who":"me"}\n')
        self.assertIsInstance(fatal, Fatal)
        self.assertIs(fatal.code, Code.VERSION)  # type: ignore[union-attr]

    def test_a_bad_hello_may_be_mended(self) -> None:
        server = Connection(PROVIDER, Side.SERVER)
        for line, code in (
            (b"1 HELLO {}\n", Code.BAD_FIELDS),
            (b'1 HELLO {"versions":[1],"role":"king"}\n', Code.BAD_FIELDS),
            (b"1 HELLO {\n", Code.BAD_JSON),
        ):
            (bad,) = feed(server, line)
            assert isinstance(bad, Bad)
            self.assertIs(bad.code, code)
            self.assertTrue(bad.line.startswith(b"1 NO "))
        self.assertEqual(feed(server, HELLO_LINE), [HelloReceived(hello(), 1)])

    def test_a_hello_to_be_proved_is_sent_again(self) -> None:
        client, server = Connection(PROVIDER, Side.CLIENT), Connection(PROVIDER, Side.SERVER)
        feed(server, client.send_hello(hello()))
        line = server.challenge_hello(NONCE)
        self.assertTrue(line.startswith(b"1 NO prove "))
        self.assertEqual(feed(client, line), [HelloChallenged(NONCE)])
        proved = hello(proof="ab" * 32)
        line = client.send_hello(proved)
        self.assertTrue(line.startswith(b"2 HELLO "))
        self.assertEqual(feed(server, line), [HelloReceived(proved, 1)])
        (opened,) = feed(client, server.send_welcome(welcome()))
        self.assertEqual(opened, WelcomeReceived(welcome()))
        # The answer to the first HELLO is none any more.
        (bad,) = feed(client, CHALLENGE_LINE)
        self.assertIsInstance(bad, Bad)
        self.assertIs(client.state, State.READY)

    def test_a_challenge_that_is_none(self) -> None:
        for fields in ("{}", '{"nonce":5}', '{"nonce":""}', '{"nonce":"%s"}' % ("AB" * 32)):
            client = Connection(PROVIDER, Side.CLIENT)
            client.send_hello(hello())
            (refused,) = feed(client, f"1 NO prove {fields}\n".encode())
            assert isinstance(refused, HelloRefused)
            self.assertIs(refused.refusal.code, Code.PROVE)
            self.assertIs(client.state, State.CLOSED)
        server = Connection(PROVIDER, Side.SERVER)
        feed(server, HELLO_LINE)
        self.assertRaises(LocalProtocolError, server.challenge_hello, "x")
        self.assertIs(server.state, State.ANSWERING_HELLO)

    def test_a_second_hello(self) -> None:
        _, server = ready_pair()
        (bad,) = feed(server, HELLO_LINE)
        assert isinstance(bad, Bad)
        self.assertIs(bad.code, Code.WRONG_STATE)
        self.assertIs(server.state, State.READY)

    def test_a_welcome_that_cannot_be_used(self) -> None:
        for line, code in (
            (b"1 OK {}\n", Code.BAD_FIELDS),
            (WELCOME_LINE.replace(b'"version":1', b'"version":3'), Code.VERSION),
            (b'1 NO busy {"retry_after_s":4}\n', Code.BUSY),
            (b"1 NO busy {]\n", Code.BAD_JSON),
        ):
            client = Connection(PROVIDER, Side.CLIENT)
            client.send_hello(hello())
            (refused,) = feed(client, line)
            assert isinstance(refused, HelloRefused)
            self.assertIs(refused.refusal.code, code)
            self.assertIs(client.state, State.CLOSED)

    def test_another_answer_before_the_welcome(self) -> None:
        client = Connection(PROVIDER, Side.CLIENT)
        client.send_hello(hello())
        (bad,) = feed(client, b"9 OK {}\n")
        assert isinstance(bad, Bad)
        self.assertIs(bad.code, Code.WRONG_STATE)
        self.assertIs(client.state, State.AWAITING_WELCOME)

    def test_only_valid_handshakes_are_sent(self) -> None:
        client = Connection(PROVIDER, Side.CLIENT)
        self.assertRaises(LocalProtocolError, client.send_hello, Ping())
        self.assertRaises(LocalProtocolError, client.send_hello, hello(versions=["1"]))
        self.assertIs(client.state, State.GREETING)
        server = Connection(PROVIDER, Side.SERVER)
        feed(server, HELLO_LINE)
        self.assertRaises(LocalProtocolError, server.send_welcome, Pong())
        server.send_welcome(welcome())


class RequestTests(SynchronousTestCase):
    def test_answers_in_any_order(self) -> None:
        client, server = ready_pair()
        tags = []
        for number in range(3):
            tag, line = client.send_request(Ping(clock=float(number)))
            tags.append(tag)
            self.assertEqual(feed(server, line), [Requested(tag, Ping(clock=float(number)))])
        for tag in reversed(tags):
            answer = server.send_answer(tag, Pong(clock=9.0))
            self.assertEqual(feed(client, answer), [Answered(tag, Pong(clock=9.0))])
        self.assertEqual((client.asked, server.owed), (0, 0))

    def test_an_answer_is_read_as_its_request_says(self) -> None:
        client, server = ready_pair()
        tag, line = client.send_request(authorize())
        feed(server, line)
        self.assertRaises(LocalProtocolError, server.send_answer, tag, Pong())
        answer = server.send_answer(tag, decision())
        self.assertEqual(feed(client, answer), [Answered(tag, decision())])

    def test_refusals(self) -> None:
        client, server = ready_pair()
        tag, line = client.send_request(authorize())
        feed(server, line)
        refusal = Refusal(Code.NOT_WRITER, {"servers": ["a:9195"]})
        (refused,) = feed(client, server.send_refusal(tag, refusal))
        assert isinstance(refused, Refused)
        self.assertEqual((refused.tag, refused.refusal.code), (tag, Code.NOT_WRITER))
        self.assertEqual(refused.refusal.fields, {"servers": ["a:9195"]})

    def test_an_answer_that_cannot_be_read_ends_the_wait(self) -> None:
        client, _ = ready_pair()
        tag, _line = client.send_request(authorize())
        (refused,) = feed(client, f'{tag} OK {{"verdict":"perhaps"}}\n'.encode())
        assert isinstance(refused, Refused)
        self.assertIs(refused.refusal.code, Code.INTERNAL)
        self.assertEqual((client.asked, client.bad_lines), (0, 1))
        for _ in range(BAD_LINES_MAX - 2):
            tag, _line = client.send_request(Ping())
            self.assertIsInstance(feed(client, f"{tag} OK {{]\n".encode())[0], Refused)
        tag, _line = client.send_request(Ping())
        self.assertIsInstance(feed(client, f"{tag} OK {{]\n".encode())[0], Fatal)

    def test_an_answer_to_nothing_is_a_bad_line(self) -> None:
        client, server = ready_pair()
        tag, line = client.send_request(Ping())
        feed(server, line)
        answer = server.send_answer(tag, Pong())
        feed(client, answer)
        for again in (answer, b"77 NO busy {}\n"):
            (bad,) = feed(client, again)
            assert isinstance(bad, Bad)
            self.assertTrue(bad.line.startswith(b"? NO bad-line "))
        self.assertEqual(client.bad_lines, 2)
        self.assertRaises(LocalProtocolError, server.send_answer, tag, Pong())
        self.assertRaises(LocalProtocolError, server.send_refusal, tag, Refusal(Code.BUSY))

    def test_unknown_verbs_and_events(self) -> None:
        client, server = ready_pair()
        (bad,) = feed(server, b"3 DANCE {}\n")
        assert isinstance(bad, Bad)
        self.assertTrue(bad.line.startswith(b"3 NO unknown-verb "))
        (bad,) = feed(client, b"* DANCE {}\n")
        assert isinstance(bad, Bad)
        self.assertTrue(bad.line.startswith(b"? NO unknown-verb "))
        # A client of this protocol is asked nothing, not even to greet.
        for line in (b"3 PING {}\n", b"3 HELLO {}\n"):
            (bad,) = feed(client, line)
            assert isinstance(bad, Bad)
            self.assertIs(bad.code, Code.UNKNOWN_VERB)

    def test_a_tag_in_flight_is_not_used_again(self) -> None:
        _, server = ready_pair()
        feed(server, b"3 PING {}\n")
        (bad,) = feed(server, b"3 PING {}\n")
        assert isinstance(bad, Bad)
        # Not under tag 3: that would answer the first.
        self.assertTrue(bad.line.startswith(b"? NO duplicate-tag "))
        self.assertIn(b'"tag":"3"', bad.line)
        server.send_answer("3", Pong())
        self.assertIsInstance(feed(server, b"3 PING {}\n")[0], Requested)

    def test_a_thousand_tags_in_flight(self) -> None:
        _, server = ready_pair()
        lines = b"".join(b"%d PING {}\n" % number for number in range(1000))
        received = feed(server, lines)
        asked = [what for what in received if isinstance(what, Requested)]
        busy = [what for what in received if isinstance(what, Bad) and what.code is Code.BUSY]
        self.assertEqual((len(asked), len(busy)), (TAGS_IN_FLIGHT_MAX, 968))
        self.assertTrue(busy[0].line.startswith(b"32 NO busy "))
        self.assertEqual((server.bad_lines, server.owed), (0, TAGS_IN_FLIGHT_MAX))
        server.send_answer("0", Pong())
        self.assertIsInstance(feed(server, b"32 PING {}\n")[0], Requested)

    def test_this_side_keeps_to_the_limit_too(self) -> None:
        client, _ = ready_pair()
        for _ in range(TAGS_IN_FLIGHT_MAX):
            client.send_request(Ping())
        self.assertRaises(LocalProtocolError, client.send_request, Ping())

    def test_only_what_is_this_sides_to_send(self) -> None:
        client, server = ready_pair()
        self.assertRaises(LocalProtocolError, server.send_request, Ping())
        self.assertRaises(LocalProtocolError, client.send_request, Pong())
        self.assertRaises(LocalProtocolError, client.send_event, ADOPT)
        self.assertRaises(LocalProtocolError, client.send_event, Bye(code="busy"))
        self.assertRaises(LocalProtocolError, client.send_request, authorize(hedged="yes"))
        self.assertEqual(client.asked, 0)
        (occurred,) = feed(client, server.send_event(ADOPT))
        self.assertEqual(occurred, Occurred(ADOPT))

    def test_an_answer_over_the_limit_can_still_be_refused(self) -> None:
        client, server = ready_pair()
        tag, line = client.send_request(authorize())
        feed(server, line)
        long = decision(reason="", lines=[])
        object.__setattr__(long, "decider", "x" * LINE_LENGTH_MAX)
        self.assertRaises(LocalProtocolError, server.send_answer, tag, long)
        server.send_refusal(tag, Refusal(Code.INTERNAL))

    def test_unknown_fields_are_ignored(self) -> None:
        _, server = ready_pair()
        (asked,) = feed(server, b'3 PING {"clock":4,"mood":{"x":[1]}}\n')
        self.assertEqual(asked, Requested("3", Ping(clock=4.0)))


class EndTests(SynchronousTestCase):
    def test_bye_either_way(self) -> None:
        for index in (0, 1):
            pair = ready_pair()
            sender, receiver = pair[index], pair[1 - index]
            received = feed(receiver, sender.send_bye(Code.BUSY, 7.5))
            self.assertEqual(received, [ByeReceived("busy", 7.5)])
            self.assertIs(sender.state, State.CLOSED)
            self.assertIs(receiver.state, State.CLOSED)
            self.assertEqual(feed(receiver, b"1 PING {}\n"), [])
            self.assertRaises(LocalProtocolError, receiver.send_bye, Code.BUSY)

    def test_bye_out_of_bounds(self) -> None:
        client, _ = ready_pair()
        self.assertRaises(LocalProtocolError, client.send_bye, Code.BUSY, 3601.0)

    def test_what_follows_bye_in_one_chunk_is_not_read(self) -> None:
        _, server = ready_pair()
        received = feed(server, b'1 PING {}\n* BYE {"code":"busy"}\n2 PING {}\n')
        self.assertEqual([type(what) for what in received], [Requested, ByeReceived])

    def test_bad_lines_are_counted_and_the_last_is_one_too_many(self) -> None:
        _, server = ready_pair()
        for number in range(BAD_LINES_MAX - 1):
            (bad,) = feed(server, b"nonsense\n")
            assert isinstance(bad, Bad)
            self.assertTrue(bad.line.startswith(b"nonsense NO bad-line "))
            self.assertEqual(server.bad_lines, number + 1)
        (fatal,) = feed(server, b"%%%\n1 PING {}\n")
        assert isinstance(fatal, Fatal)
        self.assertTrue(fatal.line.startswith(b'* BYE {"code":"bad-line"'))
        self.assertIs(server.state, State.CLOSED)

    def test_an_oversize_line(self) -> None:
        for data in (b"x" * (LINE_LENGTH_MAX + 2), b"x" * (LINE_LENGTH_MAX + 1) + b"\n"):
            for made in (*ready_pair(), Connection(PROVIDER, Side.SERVER)):
                (fatal,) = feed(made, data)
                assert isinstance(fatal, Fatal)
                self.assertTrue(fatal.line.startswith(b'* BYE {"code":"too-long"'))
                self.assertIs(made.state, State.CLOSED)
                self.assertEqual(feed(made, b"1 PING {}\n"), [])

    def test_lines_before_an_oversize_one_are_still_read(self) -> None:
        _, server = ready_pair()
        received = feed(server, b"1 PING {}\n" + b"x" * (LINE_LENGTH_MAX + 2))
        self.assertEqual([type(what) for what in received], [Requested, Fatal])

    def test_a_notice_is_never_answered(self) -> None:
        client, server = ready_pair()
        for made in (client, server):
            for _ in range(3 * BAD_LINES_MAX):
                (noticed,) = feed(made, b"? NO bad-line {}\n")
                self.assertIsInstance(noticed, Noticed)
        self.assertEqual(server.bad_lines, 0)

    def test_two_machines_never_quarrel_for_ever(self) -> None:
        client, server = ready_pair()
        line = b"9 OK {}\n"
        for _ in range(3):
            (first,) = feed(server, line)
            assert isinstance(first, Bad)
            (second,) = feed(client, first.line)
            self.assertIsInstance(second, Noticed)


class HostileTests(SynchronousTestCase):
    """Whatever comes: no exception but our own, no more state than the limits allow."""

    def test_a_byte_at_a_time(self) -> None:
        client, server = Connection(PROVIDER, Side.CLIENT), Connection(PROVIDER, Side.SERVER)
        received = [
            what
            for byte in client.send_hello(hello(name="Büro Süd"))
            for what in feed(server, bytes([byte]))
        ]
        self.assertEqual(received, [HelloReceived(hello(name="Büro Süd"), 1)])

    def test_every_truncation_of_a_line(self) -> None:
        client, _ = ready_pair()
        _tag, line = client.send_request(authorize())
        for length in range(1, len(line)):
            _, server = ready_pair()
            self.assertEqual(feed(server, line[: length - 1]), [])
            (received,) = feed(server, b"\n")
            self.assertIsInstance(received, Bad if length < len(line) else Requested)

    @settings(max_examples=150, deadline=None)
    @given(st.binary(max_size=400), st.sampled_from(State))
    def test_random_bytes(self, data: bytes, state: State) -> None:
        made, _ = connection(state)
        self.survives(made, data)

    @settings(max_examples=150, deadline=None)
    @given(st.integers(0, 2**32), st.sampled_from((State.READY, State.AWAITING_HELLO)))
    def test_damaged_lines(self, seed: int, state: State) -> None:
        rng = random.Random(seed)
        client, _ = ready_pair()
        data = bytearray(HELLO_LINE + client.send_request(authorize())[1] + b"1 OK {}\n")
        for _ in range(rng.randint(1, 8)):
            where = rng.randrange(len(data))
            data[where : where + rng.randint(0, 3)] = rng.randbytes(rng.randint(0, 3))
        made, _ = connection(state)
        self.survives(made, bytes(data))

    @settings(max_examples=60, deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=4)
                | st.dictionaries(
                    st.sampled_from(["job", "step", "document", "keys", "clock", "position"]),
                    inner,
                    max_size=5,
                )
            ),
            max_leaves=12,
        ),
        st.sampled_from(["AUTHORIZE", "COMPLETE", "CANCEL", "OPEN", "PING", "RELAY"]),
    )
    def test_any_json(self, value: object, verb: str) -> None:
        _, server = ready_pair()
        # Python's own encoder: it writes NaN and lone surrogates, as a peer might.
        self.survives(server, f"3 {verb} {json.dumps(value)}\n".encode())

    def survives(self, made: Connection, data: bytes) -> None:
        for what in made.receive_data(data):
            if isinstance(what, Bad | Fatal):
                self.assertTrue(what.line.endswith(b"\n"))
                self.assertEqual(what.line.count(b"\n"), 1)
        self.assertLessEqual(made.owed, TAGS_IN_FLIGHT_MAX)
        self.assertLessEqual(made.bad_lines, BAD_LINES_MAX)
