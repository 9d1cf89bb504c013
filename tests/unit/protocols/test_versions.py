"""Sessions at an older version: what came later is neither sent nor taken."""

from __future__ import annotations

import json
from typing import Any

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from papercutd.services.peer_versions import told_versions
from protocols import envelope
from protocols.client.spec import CLIENT
from protocols.codes import Code
from protocols.device.spec import DEVICE
from protocols.endpoint import NamedPeer, SessionClientFactory, SessionServerFactory
from protocols.errors import NotSpoken, Refusal
from protocols.handshake import VERSIONS, advise, choose_version, say_versions, since_of
from protocols.machine import Bad, Connection, ProtocolSpec, Side
from protocols.provider.messages import Bye, Done, Ping
from protocols.provider.spec import PROVIDER
from protocols.site.spec import SITE
from protocols.spec import tables_of
from tests.unit.protocols.builders import Recorder, Wire, hello, welcome


@attrs.frozen
class Shout:
    """A request of version 2."""

    VERB = "SHOUT"
    SINCE = 2
    ANSWER = Done


@attrs.frozen
class Echo:
    """An event of version 2."""

    EVENT = "ECHO"
    SINCE = 2
    loud: bool = True


TOY = ProtocolSpec("toy", (Ping, Shout), (Echo, Bye), (Echo, Bye), Bye, server_requests=(Shout,))
SPECS = (PROVIDER, SITE, DEVICE, CLIENT, TOY)


def pair(spec: ProtocolSpec, version: int) -> dict[Side, Connection]:
    """Both machines of a session whose client offers that version alone."""
    older = attrs.evolve(spec, versions=(version,))
    ends = {
        Side.CLIENT: Connection(older, Side.CLIENT),
        Side.SERVER: Connection(spec, Side.SERVER),
    }
    line = ends[Side.CLIENT].send_hello(hello(versions=[version]))
    list(ends[Side.SERVER].receive_data(line))
    line = ends[Side.SERVER].send_welcome(welcome(version=version))
    list(ends[Side.CLIENT].receive_data(line))
    return ends


class MachineTests(SynchronousTestCase):
    def test_every_message_of_every_protocol(self) -> None:
        """At each version, in both directions: sent and taken exactly from its own on."""
        newer = 0
        for spec in SPECS:
            for version in VERSIONS:
                for side in Side:
                    ends = pair(spec, version)
                    self.assertEqual([end.version for end in ends.values()], [version] * 2)
                    tables = tables_of(spec, side)
                    for tag, known in (("77", tables.requests_in), ("*", tables.events_in)):
                        for word, incoming in known.items():
                            self.check_taken(ends[side], tag, word, incoming.since <= version)
                    for cls in (*tables.requests_out, *tables.events_out):
                        newer += since_of(cls) > 1
                        self.check_sent(ends[side], cls, since_of(cls) <= version)
        self.assertGreater(newer, 0)

    def check_taken(self, end: Connection, tag: str, word: str, is_known: bool) -> None:
        if word == "BYE":
            return
        end.bad_lines = 0
        (found,) = end.receive_data(f'{tag} {word} {{"x":}}\n'.encode())
        # What is known is read, and this is not JSON; the rest is not even read.
        assert isinstance(found, Bad)
        self.assertIs(found.code, Code.BAD_JSON if is_known else Code.UNKNOWN_VERB, word)

    def check_sent(self, end: Connection, cls: type, is_known: bool) -> None:
        if getattr(cls, "EVENT", "") == "BYE":
            return
        message = cls.__new__(cls)
        table = end._tables.requests_out if hasattr(cls, "VERB") else end._tables.events_out
        if is_known:
            self.assertIs(end._known(table, message), table[cls])
        else:
            self.assertRaises(NotSpoken, end._known, table, message)

    def test_a_newer_peer_and_a_still_newer_one(self) -> None:
        self.assertEqual(choose_version([2, 3], (1, 2)), 2)
        self.assertIsNone(choose_version([3, 4], (1, 2)))

    def test_a_hello_of_another_age(self) -> None:
        """Whatever else is in it, it learns what we speak, and we what it does."""
        server = Connection(PROVIDER, Side.SERVER)
        (fatal,) = server.receive_data(b'1 HELLO {"versions":[4],"software":["x"],"mark":7}\n')
        found: Any = fatal
        self.assertEqual(tuple(found.unspoken[:2]), ([4], [1, 2]))
        self.assertIn(b'"spoken":[1,2],"offered":[4]', found.line)

    def test_what_is_no_version(self) -> None:
        """Nothing of a peer reaches people but numbers and printable words."""
        server = Connection(PROVIDER, Side.SERVER)
        fields = {"versions": [-1, 4, 2**63 - 1, *([5] * 100)], "software": "x\x1b[2J"}
        line = f"1 HELLO {json.dumps(fields)}\n"
        (found,) = server.receive_data(line.encode())
        unspoken: Any = found.unspoken  # type: ignore[union-attr]
        self.assertEqual(unspoken.offered, [4, *([5] * 15)])
        self.assertEqual(unspoken.software, "x[2J")
        for spoken, told in (
            ("x", []),
            ([True, "4", None, 10**30, {}], [True]),
            ([3, 4], [3, 4]),
        ):
            refusal = Refusal(Code.VERSION, {"spoken": spoken})
            self.assertEqual(told_versions(refusal), told)
        self.assertIsNone(told_versions(Refusal(Code.BUSY, {"spoken": [3]})))


class SessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.at_client, self.at_server = Recorder(), Recorder()

    def join(self, version: int) -> tuple[Any, Any]:
        older = attrs.evolve(TOY, versions=(version,))
        self.patch(self.at_client, "make_hello", lambda: hello(versions=[version]))
        client = SessionClientFactory(older, self.clock, self.at_client).buildProtocol(None)
        server = SessionServerFactory(
            TOY, self.clock, self.at_server, lambda _: NamedPeer("provider", "p1")
        ).buildProtocol(None)
        Wire(self.clock).join(server, client)
        self.clock.pump([1 / 128] * 4)
        self.assertTrue(client.is_open and server.is_open)
        return client, server

    def test_a_newer_request_is_refused_here(self) -> None:
        """As the peer would, and it hears nothing of it."""
        client, server = self.join(1)
        before = server._owner.counters["bad_lines"]
        for session in (client, server):
            failure = self.failureResultOf(session.call(Shout()), Refusal)
            self.assertIs(failure.value.code, Code.UNKNOWN_VERB)
        self.clock.pump([1 / 128] * 4)
        self.assertEqual(server._owner.counters["bad_lines"], before)
        self.assertTrue(client.is_open and server.is_open)

    def test_a_newer_event_is_not_sent(self) -> None:
        client, server = self.join(1)
        client.notify(Echo())
        server.notify(Echo())
        self.clock.pump([1 / 128] * 4)
        self.assertEqual((self.at_client.events, self.at_server.events), ([], []))
        self.assertTrue(client.is_open and server.is_open)

    def test_between_two_of_the_newer(self) -> None:
        client, server = self.join(2)
        self.at_server.respond = self.at_client.respond = lambda message: Done()
        calls = [client.call(Shout()), server.call(Shout())]
        client.notify(Echo(False))
        self.clock.pump([1 / 128] * 4)
        self.assertEqual([self.successResultOf(call) for call in calls], [Done(), Done()])
        self.assertEqual(self.at_server.events, [Echo(False)])


class WordsTests(SynchronousTestCase):
    def test_versions_in_words(self) -> None:
        for versions, words in (
            ([], "none"),
            ([4], "4"),
            ([2, 1], "1 and 2"),
            ([1, 2, 3], "1, 2 and 3"),
        ):
            self.assertEqual(say_versions(versions), words)

    def test_who_is_to_be_upgraded(self) -> None:
        self.assertEqual(advise("p1", [4]), "p1 speaks 4, we speak 1 and 2: upgrade this side")
        self.assertEqual(advise("p1", [1], (3, 4)), "p1 speaks 1, we speak 3 and 4: upgrade p1")

    def test_a_code_of_a_newer_release(self) -> None:
        refusal = envelope.decode_refusal(envelope.parse(b'1 NO moonlight {"text":"x"}'))
        self.assertIs(refusal.code, Code.INTERNAL)
