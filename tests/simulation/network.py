"""The simulated network: who listens, who connects, what is under way."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionLost,
    ConnectionRefusedError,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from protocols.handlers import NamedPeer
from tests.simulation.clock import NodeClock
from tests.simulation.links import Links
from tests.simulation.node import Crash, Node
from tests.simulation.pipes import Pipe
from tests.simulation.transport import SimTransport

if TYPE_CHECKING:
    from tests.simulation.world import World

#: A connection that is not made by then never is (design 4.5).
CONNECT_TIMEOUT_S = 4.0
#: When the kernel asks again for a connection that is not answered, after the first time.
SYN_RETRY_S = 1.0


def identify(transport: ITransport) -> NamedPeer:
    """Whose certificate the other end of ``transport`` shows: the ``identify`` of servers."""
    assert isinstance(transport, SimTransport)
    return NamedPeer(*transport.peer_identity)


class SimNetwork:
    """Connections between the nodes of ``world``; ``links`` says how the ways are.

    ``counters``: connections, refused, connect timeouts, resets, user timeouts, bytes
    lost, cut in a line, ...
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng: random.Random = world.random("network")
        self.links = Links(world.random, self._retry_all)
        self.counters: collections.Counter[str] = collections.Counter()
        #: Every pipe that may still move something, in the order in which they were made.
        self.pipes: dict[Pipe, None] = {}
        self._ports: dict[tuple[str, int], SimPort] = {}
        #: Both ends by either end, while one of them knows the connection.
        self._others: dict[SimTransport, SimTransport] = {}
        self._client_port = 30_000
        #: Names that lead to another machine for now (a copy of the one that bears the name).
        self.aliases: dict[str, str] = {}

    # For nodes.

    def listen(self, node: Node, port: int, factory: IProtocolFactory) -> SimPort:
        """Accept connections to ``port`` until this incarnation of ``node`` ends."""
        assert node.clock is not None
        key = (node.name, port)
        known = self._ports.get(key)
        assert known is None or not known.is_listening, f"{key} is taken"
        listening = self._ports[key] = SimPort(self, node, node.clock, port, factory)
        factory.doStart()
        return listening

    def endpoint(self, node: Node, target: str, port: int) -> SimEndpoint:
        """Connections of this incarnation of ``node`` to ``port`` of the node ``target``."""
        assert node.clock is not None
        return SimEndpoint(self, node.clock, target, port)

    # For faults and scenarios.

    def connections(self, a: str = "", b: str = "") -> list[tuple[SimTransport, SimTransport]]:
        """The established connections, of ``a``, or between ``a`` and ``b``, each once."""
        found = []
        for end, other in self._others.items():
            if end.is_client and end.is_established and other.is_established:
                names = {end.node, other.node}
                if (not a or a in names) and (not b or b in names):
                    found.append((end, other))
        return found

    def is_half_open(self) -> bool:
        """Whether a client has not noticed yet that its server is gone."""
        return any(
            end.is_client and end.is_established and not end.is_dead and other.is_forgotten
            for end, other in self._others.items()
        )

    def reset(self, end: SimTransport, other: SimTransport) -> bool:
        """A box between them resets both, now. True: it tore what was under way.

        Of each direction a part of what was under way may have got there just before.
        """
        torn = 0
        for transport in (end, other):
            if transport.pipe is not None:
                torn += transport.pipe.tear(self.rng)
        for transport in (end, other):
            transport.lost("reset")
        self.counters["resets"] += 1
        if torn:
            self.counters["cut in a line"] += 1
            self.counters["bytes lost"] += torn
        return torn > 0

    # For nodes' lives.

    def process_ended(self, name: str, clock: NodeClock, how: Crash) -> None:
        """The kernel of ``name`` cleans up behind a process, or dies with it."""
        for port in [one for one in self._ports.values() if one.clock is clock]:
            del self._ports[(name, port.number)]
            port.is_listening = False
        for end, other in [pair for pair in self._others.items() if pair[0].clock is clock]:
            end.process_ended()
            end.is_forgotten = True
            pipe = end.pipe
            if pipe is None:
                continue
            if how is Crash.POWER:
                pipe.orphan()
            elif how is Crash.RESET:
                self.counters["bytes lost"] += pipe.kill()
                self.send_reset(name, other)
            else:
                # What the kernel has taken is sent, and the end after it.
                pipe.queue.clear()
                pipe.close()
            self.forget(end)

    def machine_is_up(self, name: str) -> None:
        """``name`` answers packets (again)."""
        self._retry_all()

    def is_reachable(self, name: str) -> bool:
        return self.world.nodes[name].is_reachable

    # For transports.

    def other(self, end: SimTransport) -> SimTransport:
        assert end.incoming is not None
        return end.incoming.sender

    def send_reset(self, source: str, target: SimTransport) -> None:
        """A reset is sent once: a cut swallows it."""
        link = self.links[(source, target.node)]
        if link.is_cut:
            link.hold()
        else:
            self.world.later(link.latency_s(), self._reset_arrives, target)

    def _reset_arrives(self, target: SimTransport) -> None:
        if self.is_reachable(target.node) and not target.is_forgotten:
            self.counters["resets"] += 1
            target.lost("reset")

    def probe(self, end: SimTransport) -> bool:
        """Whether the other machine answers that it knows this connection."""
        other = self.other(end)
        there, back = self.links[(end.node, other.node)], self.links[(other.node, end.node)]
        is_answered = not there.is_cut and not back.is_cut and self.is_reachable(other.node)
        return is_answered and not other.is_forgotten

    def forget(self, end: SimTransport) -> None:
        """This end is gone; with the other one gone too, nothing is left to remember."""
        other = self._others.get(end)
        if other is not None and other.is_forgotten:
            self._others.pop(end, None)
            self._others.pop(other, None)

    def _retry_all(self) -> None:
        for pipe in list(self.pipes):
            pipe.retry()

    # Connecting.

    def port_of(self, node: str, number: int) -> SimPort | None:
        return self._ports.get((node, number))

    def join(self, client: SimTransport, server: SimTransport) -> None:
        """The two are ends of one connection from now on."""
        for end, other in ((client, server), (server, client)):
            end.pipe = Pipe(self, end, other)
            other.incoming = end.pipe
            self.pipes[end.pipe] = None
            self._others[end] = other
        self.counters["connections"] += 1

    def client_port(self) -> int:
        self._client_port = 30_000 + (self._client_port - 29_999) % 30_000
        return self._client_port


@implementer(IListeningPort)
class SimPort:
    """A listening port of one incarnation of a node."""

    def __init__(
        self,
        network: SimNetwork,
        node: Node,
        clock: NodeClock,
        number: int,
        factory: IProtocolFactory,
    ) -> None:
        self._network = network
        self.node = node
        self.clock = clock
        self.number = number
        self.factory = factory
        self.is_listening = True

    def startListening(self) -> None:
        self.is_listening = True

    def stopListening(self) -> Deferred[None]:
        if self.is_listening:
            self.is_listening = False
            self.factory.doStop()
        return succeed(None)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", self.node.address, self.number)

    def accept(self, transport: SimTransport) -> None:
        """The process takes a connection that its kernel has made."""
        if not self.is_listening:
            transport.abortConnection()
            return
        protocol = self.factory.buildProtocol(transport.getPeer())
        if protocol is None:
            transport.abortConnection()
            return
        assert isinstance(protocol, Protocol)
        transport.establish(protocol)


@implementer(IStreamClientEndpoint)
class SimEndpoint:
    """Connects one incarnation of a node to one port of another."""

    def __init__(self, network: SimNetwork, clock: NodeClock, target: str, port: int) -> None:
        self._network = network
        self._clock = clock
        self._target = target
        self._port = port

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        attempt = _Attempt(self._network, self._clock, self._target, self._port, protocolFactory)
        return attempt.result


class _Attempt:
    """One attempt to connect: request, answer, each of which may not get through."""

    def __init__(
        self,
        network: SimNetwork,
        clock: NodeClock,
        target: str,
        port: int,
        factory: IProtocolFactory,
    ) -> None:
        self._network = network
        self._world = network.world
        self._clock = clock
        self._source = clock.node
        self._target = target = network.aliases.get(target, target)
        self._port = port
        self._factory = factory
        self.result: Deferred[Any] = Deferred(self._cancel)
        self._is_over = False
        address = network.world.nodes[target].address
        self._address = IPv4Address("TCP", address, port)
        mine = IPv4Address("TCP", self._source.address, network.client_port())
        self._transport = SimTransport(network, clock, mine, self._address)
        self._transport.is_client = True
        self._there = network.links[(self._source.name, target)]
        self._back = network.links[(target, self._source.name)]
        self._timeout = clock.callLater(CONNECT_TIMEOUT_S, self._timed_out)
        if clock.is_alive:
            self._world.later(self._there.latency_s(), self._requested)

    @property
    def _is_given_up(self) -> bool:
        return self._is_over or not self._clock.is_alive

    def _again(self, what: Callable[[], None]) -> None:
        self._world.later(SYN_RETRY_S, what)

    def _requested(self) -> None:
        """The request is at the other machine, or lost on the way."""
        if self._is_given_up:
            return
        if self._there.is_cut or not self._network.is_reachable(self._target):
            self._there.hold()
            self._again(self._requested)
            return
        port = self._network.port_of(self._target, self._port)
        if port is None or not port.is_listening:
            self._refuse()
            return
        server = SimTransport(self._network, port.clock, self._address, self._transport.getHost())
        server.peer_identity = (self._source.role, self._source.identity)
        self._transport.peer_identity = (port.node.role, port.node.identity)
        self._network.join(self._transport, server)
        port.clock.deliver("accept", port.accept, server)
        self._world.later(self._back.latency_s(), self._answered)

    def _refuse(self) -> None:
        if self._back.is_cut:
            self._back.hold()
            self._again(self._requested)
        else:
            self._network.counters["refused"] += 1
            self._world.later(self._back.latency_s(), self._refused)

    def _refused(self) -> None:
        self._clock.deliver("refused", self._fail, Failure(ConnectionRefusedError()))

    def _answered(self) -> None:
        """The answer is here, or lost on the way."""
        if self._is_given_up:
            return
        if self._back.is_cut or not self._network.is_reachable(self._source.name):
            self._back.hold()
            self._again(self._answered)
        else:
            self._clock.deliver("connected", self._connected)

    def _connected(self) -> None:
        if self._is_over:
            return
        transport = self._transport
        if transport.is_forgotten:
            # The server's end was reset, and the reset overtook the answer.
            self._fail(Failure(ConnectionRefusedError()))
            return
        self._finish()
        protocol = self._factory.buildProtocol(self._address)
        if protocol is None:
            self._abandon()
            self.result.errback(Failure(ConnectionLost("no protocol")))
            return
        assert isinstance(protocol, Protocol)
        transport.establish(protocol)
        self.result.callback(protocol)

    def _finish(self) -> None:
        self._is_over = True
        if self._timeout.active():
            self._timeout.cancel()

    def _fail(self, failure: Failure) -> None:
        if not self._is_over:
            self._finish()
            self._abandon()
            self.result.errback(failure)

    def _timed_out(self) -> None:
        self._network.counters["connect timeouts"] += 1
        self._fail(Failure(TimeoutError()))

    def _cancel(self, result: Deferred[Any]) -> None:
        self._fail(Failure(ConnectingCancelledError(self._address)))

    def _abandon(self) -> None:
        """What the server may have accepted is not wanted any more."""
        transport = self._transport
        transport.is_over = True
        if transport.incoming is not None and not transport.is_forgotten:
            self._network.send_reset(self._source.name, self._network.other(transport))
            transport.discard()
