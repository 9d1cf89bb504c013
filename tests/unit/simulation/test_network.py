"""Tests of the simulated network: what it promises, and what it takes away."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IListeningPort,
    IPushProducer,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.simulation.links import LinkProfile, Trouble
from tests.simulation.network import identify
from tests.simulation.node import Crash, Node
from tests.simulation.pipes import KERNEL_BUFFER
from tests.simulation.transport import TRANSPORT_BUFFER, SimTransport
from tests.simulation.world import World

PORT = 9195


class Recorder(Protocol):
    """Keeps what it receives, and how it ended."""

    transport: SimTransport

    def __init__(self) -> None:
        self.received = b""
        self.chunks: list[int] = []
        self.lost: type | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.chunks.append(len(data))

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:
        assert self.lost is None, "told twice"
        self.lost = reason.type


@implementer(IPushProducer)
class Producer:
    """Notes what its consumer tells it."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")

    def stopProducing(self) -> None:
        self.told.append("stop")


class Servers(Factory):
    """Keeps the protocols it makes."""

    noisy = False

    def __init__(self, made: list[Recorder]) -> None:
        self._made = made

    def buildProtocol(self, addr: IAddress | None) -> Recorder:
        self._made.append(Recorder())
        return self._made[-1]


class NetworkTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(1)
        self.network = self.world.network
        self.links = self.network.links
        self.client_node = self.world.add_node("client", "provider")
        self.server_node = self.world.add_node("server", "application")
        self.servers: list[Recorder] = []
        self.server_node.on_boot = self.listen
        self.client_node.boot()
        self.server_node.boot()
        self.run_for(1)
        self.results: list[Any] = []

    def listen(self, node: Node) -> None:
        self.network.listen(node, PORT, Servers(self.servers))

    def run_for(self, seconds: float) -> None:
        self.world.run(self.world.now + seconds)

    def connect(self) -> Deferred[Any]:
        endpoint = self.network.endpoint(self.client_node, "server", PORT)
        factory = Factory.forProtocol(Recorder)
        factory.noisy = False
        connecting: Deferred[Any] = endpoint.connect(factory)
        connecting.addBoth(self.results.append)
        return connecting

    def connected(self) -> tuple[Recorder, Recorder]:
        self.connect()
        self.run_for(0.1)
        client = self.results.pop()
        assert isinstance(client, Recorder)
        return client, self.servers[-1]


class ConnectTests(NetworkTestCase):
    def test_interfaces(self) -> None:
        client, _ = self.connected()
        for interface in (ITCPTransport, IConsumer, IPushProducer):
            self.assertTrue(verifyObject(interface, client.transport))
        endpoint = self.network.endpoint(self.client_node, "server", PORT)
        self.assertTrue(verifyObject(IStreamClientEndpoint, endpoint))
        port = self.network.port_of("server", PORT)
        self.assertTrue(verifyObject(IListeningPort, port))

    def test_both_know_each_other(self) -> None:
        client, server = self.connected()
        self.assertEqual(client.transport.peer_identity, ("application", "server"))
        peer = identify(server.transport)
        self.assertEqual((peer.role, peer.name), ("provider", "client"))
        self.assertEqual(client.transport.getPeer(), server.transport.getHost())
        self.assertEqual(server.transport.getPeer(), client.transport.getHost())

    def test_refused_when_nobody_listens(self) -> None:
        self.server_node.crash()
        self.connect()
        self.run_for(0.1)
        self.assertEqual(self.results[0].type, ConnectionRefusedError)

    def test_times_out_when_the_machine_is_dark(self) -> None:
        self.server_node.crash(Crash.POWER)
        self.connect()
        self.run_for(3.9)
        self.assertEqual(self.results, [])
        self.run_for(0.2)
        self.assertEqual(self.results[0].type, TimeoutError)

    def test_times_out_when_either_direction_is_cut(self) -> None:
        for ends in (("client", "server"), ("server", "client")):
            heal = self.links.cut(*ends)
            self.connect()
            self.run_for(4.1)
            self.assertEqual(self.results.pop().type, TimeoutError)
            heal()
        # Of the one whose answer was lost the server made a connection, for a while.
        self.run_for(15)
        self.assertEqual(self.network.connections(), [])

    def test_made_when_the_cut_heals_in_time(self) -> None:
        heal = self.links.cut_both("client", "server")
        self.connect()
        self.run_for(2)
        heal()
        self.run_for(1.5)
        self.assertIsInstance(self.results[0], Recorder)

    def test_cancelled(self) -> None:
        self.links.cut("server", "client")
        connecting = self.connect()
        self.run_for(1)
        connecting.cancel()
        self.assertEqual(self.results[0].type, ConnectingCancelledError)
        self.run_for(10)
        self.assertEqual(len(self.results), 1)

    def test_what_the_client_gave_up_the_server_loses(self) -> None:
        heal = self.links.cut("server", "client")
        self.connect()
        self.run_for(4.1)
        (server,) = self.servers
        heal()
        server.transport.write(b"hello?")
        self.run_for(3)
        self.assertEqual(server.lost, ConnectionLost)

    def test_refused_when_the_server_dies_before_its_answer_is_here(self) -> None:
        self.links.set_profile("client", "server", LinkProfile((0.5, 0.5)))
        self.connect()
        self.run_for(0.6)
        self.assertEqual(len(self.servers), 1)
        self.links.set_profile("client", "server", LinkProfile())
        self.server_node.crash(Crash.RESET)
        self.run_for(1)
        self.assertEqual(self.results[0].type, ConnectionRefusedError)

    def test_a_port_that_was_stopped_refuses(self) -> None:
        port = self.network.port_of("server", PORT)
        assert port is not None
        self.successResultOf(port.stopListening())
        self.connect()
        self.run_for(0.1)
        self.assertEqual(self.results[0].type, ConnectionRefusedError)


class StreamTests(NetworkTestCase):
    def test_bytes_arrive_in_order_and_whole_however_they_travel(self) -> None:
        client, server = self.connected()
        for trouble in (Trouble(), Trouble(tiny=True), Trouble(delay_s=1.0), Trouble(loss=0.5)):
            end = self.links.trouble("client", "server", trouble)
            before = len(server.received)
            sent = b""
            for number in range(300):
                sent += b"%d," % number
                client.transport.write(b"%d," % number)
                self.run_for(0.001)
            self.run_for(300)
            self.assertEqual(server.received[before:], sent)
            end()

    def test_tiny_pieces(self) -> None:
        self.links.trouble("client", "server", Trouble(tiny=True))
        client, server = self.connected()
        client.transport.write(b"x" * 2000)
        self.run_for(1)
        self.assertGreater(len(server.chunks), 20)

    def test_latency_and_bandwidth(self) -> None:
        self.links.set_profile("client", "server", LinkProfile((0.5, 0.5), 1000.0))
        self.connect()
        self.run_for(1.1)
        (server,) = self.servers
        client = self.results[0]
        client.transport.write(b"x" * 3000)
        self.run_for(3.4)
        self.assertLess(len(server.received), 3000)
        self.run_for(0.2)
        self.assertEqual(len(server.received), 3000)

    def test_back_pressure(self) -> None:
        self.links.set_profile("client", "server", LinkProfile(bytes_per_s=100_000.0))
        client, server = self.connected()
        producer = Producer()
        client.transport.registerProducer(producer, True)
        client.transport.write(b"x" * 10)
        self.run_for(1)
        self.assertEqual(producer.told, [])
        client.transport.write(b"x" * (TRANSPORT_BUFFER + KERNEL_BUFFER + 10))
        self.assertEqual(producer.told, ["pause"])
        self.run_for(0.1)
        self.assertEqual(producer.told, ["pause"])
        self.run_for(3)
        self.assertEqual(producer.told, ["pause", "resume"])
        self.assertEqual(len(server.received), TRANSPORT_BUFFER + KERNEL_BUFFER + 20)
        client.transport.abortConnection()
        self.run_for(1)
        self.assertEqual(producer.told, ["pause", "resume", "stop"])

    def test_a_reader_that_does_not_read_stops_the_writer(self) -> None:
        client, server = self.connected()
        server.transport.pauseProducing()
        client.transport.write(b"x" * 400_000)
        self.run_for(5)
        self.assertEqual(server.received, b"")
        self.assertIsNone(client.lost)
        pipe = client.transport.pipe
        assert pipe is not None
        self.assertGreater(len(pipe.queue), 200_000)
        server.transport.resumeProducing()
        self.run_for(5)
        self.assertEqual(len(server.received), 400_000)

    def test_a_paused_process_gets_everything_at_its_wake(self) -> None:
        client, server = self.connected()
        paused = self.server_node.pause()
        client.transport.write(b"one")
        self.run_for(1)
        client.transport.write(b"two")
        self.run_for(20)
        self.assertEqual(server.received, b"")
        self.server_node.resume(paused)
        client.transport.write(b"three")
        self.run_for(1)
        self.assertEqual(server.received, b"onetwothree")
        self.assertIsNone(client.lost)


class EndTests(NetworkTestCase):
    def test_lose_connection_sends_what_was_written(self) -> None:
        client, server = self.connected()
        client.transport.write(b"x" * 300_000)
        client.transport.loseConnection()
        client.transport.write(b"too late")
        self.assertIsNone(client.lost)
        self.run_for(2)
        self.assertEqual(len(server.received), 300_000)
        self.assertEqual((client.lost, server.lost), (ConnectionDone, ConnectionDone))
        self.assertEqual(self.network.connections(), [])
        self.assertEqual(dict(self.network.pipes), {})

    def test_lose_connection_waits_for_the_producer(self) -> None:
        client, server = self.connected()
        client.transport.registerProducer(Producer(), True)
        client.transport.loseConnection()
        self.run_for(1)
        self.assertIsNone(server.lost)
        client.transport.unregisterProducer()
        self.run_for(1)
        self.assertEqual(server.lost, ConnectionDone)

    def test_the_other_end_is_heard_until_it_says_goodbye_too(self) -> None:
        self.links.set_profile("client", "server", LinkProfile((0.5, 0.5)))
        self.connect()
        self.run_for(1.1)
        (server,), client = self.servers, self.results[0]
        server.transport.write(b"under way")
        client.transport.loseConnection()
        self.run_for(3)
        self.assertEqual(client.received, b"under way")

    def test_lose_connection_over_a_cut_waits_for_the_abort(self) -> None:
        client, _ = self.connected()
        self.links.cut_both("client", "server")
        client.transport.loseConnection()
        self.run_for(5)
        self.assertIsNone(client.lost)
        client.transport.abortConnection()
        self.run_for(0)
        self.assertEqual(client.lost, ConnectionAborted)

    def test_abort_loses_what_is_under_way_and_is_told_in_the_next_turn(self) -> None:
        self.links.set_profile("client", "server", LinkProfile((0.05, 0.05)))
        self.connect()
        self.run_for(0.2)
        (server,), client = self.servers, self.results[0]
        client.transport.write(b"x" * 100)
        self.run_for(0.001)
        client.transport.abortConnection()
        client.transport.abortConnection()
        self.assertIsNone(client.lost)
        self.run_for(1)
        self.assertEqual((client.lost, server.lost), (ConnectionAborted, ConnectionLost))
        self.assertEqual(server.received, b"")

    def test_reset_in_the_midst_of_a_line(self) -> None:
        got = set()
        for _ in range(20):
            self.results.clear()
            client, server = self.connected()
            client.transport.write(b"0123456789")
            self.run_for(0.0001)
            ((end, other),) = self.network.connections("client", "server")
            self.network.reset(end, other)
            self.run_for(1)
            self.assertEqual((client.lost, server.lost), (ConnectionLost, ConnectionLost))
            self.assertTrue(b"0123456789".startswith(server.received))
            got.add(len(server.received))
        self.assertGreater(len(got), 3)


class CutTests(NetworkTestCase):
    def test_a_short_cut_holds_the_bytes(self) -> None:
        client, server = self.connected()
        heal = self.links.cut("client", "server")
        client.transport.write(b"held")
        self.run_for(5)
        self.assertEqual(server.received, b"")
        heal()
        self.run_for(3)
        self.assertEqual(server.received, b"held")
        self.run_for(30)
        self.assertEqual((client.lost, server.lost), (None, None))

    def test_a_long_cut_ends_the_connection_for_the_sender_only(self) -> None:
        client, server = self.connected()
        self.links.cut("client", "server")
        client.transport.write(b"held")
        self.run_for(9.9)
        self.assertIsNone(client.lost)
        self.run_for(0.2)
        self.assertEqual(client.lost, ConnectionLost)
        self.run_for(100)
        self.assertIsNone(server.lost)
        self.assertEqual(server.received, b"")

    def test_an_idle_connection_outlives_any_cut(self) -> None:
        client, server = self.connected()
        heal = self.links.cut_both("client", "server")
        self.run_for(1000)
        heal()
        client.transport.write(b"still there")
        self.run_for(1)
        self.assertEqual(server.received, b"still there")

    def test_keepalive_finds_a_dead_idle_connection(self) -> None:
        client, server = self.connected()
        client.transport.setTcpKeepAlive(True)
        self.assertTrue(client.transport.getTcpKeepAlive())
        self.run_for(7000)
        client.transport.write(b"x")
        self.run_for(7000)
        self.assertIsNone(client.lost)
        self.links.cut_both("client", "server")
        self.run_for(7300)
        self.assertEqual(client.lost, ConnectionLost)
        self.assertIsNone(server.lost)

    def test_one_way_what_arrived_is_not_acknowledged(self) -> None:
        client, server = self.connected()
        heal = self.links.cut("server", "client")
        client.transport.write(b"arrives")
        self.run_for(1)
        self.assertEqual(server.received, b"arrives")
        self.run_for(10)
        self.assertEqual(client.lost, ConnectionLost)
        heal()
        server.transport.write(b"who is there?")
        self.run_for(3)
        self.assertEqual(server.lost, ConnectionLost)
        self.assertEqual(client.received, b"")

    def test_one_way_healed_in_time(self) -> None:
        client, server = self.connected()
        heal = self.links.cut("server", "client")
        client.transport.write(b"arrives")
        self.run_for(5)
        heal()
        self.run_for(30)
        self.assertEqual((client.lost, server.lost), (None, None))
        client.transport.write(b" and more")
        self.run_for(30)
        self.assertEqual(server.received, b"arrives and more")

    def test_overlapping_cuts(self) -> None:
        client, server = self.connected()
        first = self.links.cut_both("client", "server")
        second = self.links.cut("client", "server")
        client.transport.write(b"held")
        first()
        first()
        self.run_for(2)
        self.assertEqual(server.received, b"")
        second()
        self.run_for(2)
        self.assertEqual(server.received, b"held")


class CrashTests(NetworkTestCase):
    def test_a_killed_process_closes_its_connections(self) -> None:
        client, server = self.connected()
        server.transport.write(b"last words")
        self.run_for(0.00001)
        self.server_node.crash()
        self.run_for(1)
        self.assertEqual(client.received, b"last words")
        self.assertEqual(client.lost, ConnectionDone)
        self.assertIsNone(server.lost)

    def test_what_the_kernel_has_not_taken_dies_with_the_process(self) -> None:
        client, server = self.connected()
        server.transport.write(b"never sent")
        self.server_node.crash()
        self.run_for(1)
        self.assertEqual(client.received, b"")
        server.transport.write(b"from the grave")
        server.transport.loseConnection()
        server.transport.abortConnection()
        self.run_for(1)
        self.assertEqual(client.received, b"")

    def test_a_reset_at_death(self) -> None:
        client, _ = self.connected()
        self.server_node.crash(Crash.RESET)
        self.run_for(1)
        self.assertEqual(client.lost, ConnectionLost)

    def test_half_open_until_something_is_sent(self) -> None:
        client, server = self.connected()
        heal = self.links.cut_both("client", "server")
        self.server_node.crash(Crash.POWER)
        self.run_for(1)
        self.server_node.boot()
        self.run_for(1)
        heal()
        self.run_for(500)
        self.assertIsNone(client.lost)
        client.transport.write(b"x")
        self.run_for(1)
        self.assertEqual(client.lost, ConnectionLost)
        self.assertEqual(server.received, b"")

    def test_to_a_dark_machine_bytes_time_out(self) -> None:
        client, _ = self.connected()
        self.server_node.crash(Crash.POWER)
        client.transport.write(b"x")
        self.run_for(9.9)
        self.assertIsNone(client.lost)
        self.run_for(0.2)
        self.assertEqual(client.lost, ConnectionLost)

    def test_a_frozen_machine_answers_nothing(self) -> None:
        client, server = self.connected()
        paused = self.server_node.pause(frozen=True)
        client.transport.write(b"x")
        self.run_for(5)
        self.server_node.resume(paused)
        self.run_for(2)
        self.assertEqual(server.received, b"x")
        self.server_node.pause(frozen=True)
        client.transport.write(b"y")
        self.run_for(11)
        self.assertEqual(client.lost, ConnectionLost)

    def test_the_next_start_listens_anew(self) -> None:
        self.connected()
        self.server_node.crash()
        self.run_for(1)
        self.server_node.boot()
        self.run_for(1)
        client, server = self.connected()
        client.transport.write(b"hello")
        self.run_for(1)
        self.assertEqual(server.received, b"hello")
        self.assertEqual(len(self.servers), 2)
