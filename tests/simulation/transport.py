"""One end of a simulated TCP connection under TLS, as its protocol sees it.

What TCP does is in pipes.py. What is kept of TLS: ``loseConnection`` waits for the other
end to say goodbye too, so over a cut link it lasts until somebody aborts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.simulation.pipes import KERNEL_BUFFER, Pipe

if TYPE_CHECKING:
    from tests.simulation.clock import NodeClock
    from tests.simulation.network import SimNetwork
    from tests.simulation.scheduler import Call

#: Bytes that a transport takes before it pauses its producer, as Twisted's do.
TRANSPORT_BUFFER = 65_536
#: The first probe of an idle connection, Linux's default.
KEEPALIVE_S = 7_200.0


@implementer(ITCPTransport, IConsumer, IPushProducer)
class SimTransport:
    """One end of a connection, as its protocol and its kernel have it."""

    def __init__(
        self, network: SimNetwork, clock: NodeClock, host: IPv4Address, peer: IPv4Address
    ) -> None:
        self._network = network
        self.clock = clock
        self.node = clock.node.name
        self._host = host
        self._peer = peer
        self.protocol: Protocol | None = None
        #: This end has connected, the other has listened.
        self.is_client = False
        #: (role, name) of the other end's certificate.
        self.peer_identity: tuple[str, str] = ("", "")
        self.pipe: Pipe | None = None
        #: The pipe towards us.
        self.incoming: Pipe | None = None
        #: The three-way handshake is done here.
        self.is_established = False
        #: The kernel does not know this connection any more: its bytes are answered by a reset.
        self.is_forgotten = False
        #: The protocol was told that it is over, or will never be told anything more.
        self.is_over = False
        self.disconnecting = False
        self._is_aborting = False
        self._is_reading = True
        self._inbox = bytearray()
        self._producer: Any = None
        self._is_streaming = False
        self._is_producer_paused = False
        self._pump_call: Call | None = None
        self._probe_call: Call | None = None
        self._is_no_delay = False
        self._is_kept_alive = False
        self._heard_s = network.world.scheduler.now

    @property
    def connected(self) -> bool:
        return self.is_established and not self.is_over

    @property
    def is_dead(self) -> bool:
        return self.is_over or not self.clock.is_alive

    # As ITransport.

    def write(self, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise TypeError(f"bytes are written, not {type(data)}")
        if self.is_dead or self._is_aborting or self.pipe is None or not data:
            return
        if self.disconnecting and self._producer is None:
            # The goodbye has been said.
            return
        self.pipe.write(data)
        self._pump_soon()
        if len(self.pipe.queue) > TRANSPORT_BUFFER:
            self._pause_producer()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if not self.disconnecting and not self.is_dead:
            self.disconnecting = True
            if self._producer is None:
                self._pump_soon()

    def abortConnection(self) -> None:
        if self._is_aborting or self.is_dead:
            return
        self._is_aborting = True
        self.disconnecting = True
        assert self.pipe is not None
        self._network.send_reset(self.node, self._network.other(self))
        self.discard()
        # As a reactor does it: in its next turn.
        self.clock.callLater(0, self._tell_lost, Failure(ConnectionAborted()))

    def getPeer(self) -> IPv4Address:
        return self._peer

    def getHost(self) -> IPv4Address:
        return self._host

    # As ITCPTransport.

    def loseWriteConnection(self) -> None:
        """TLS cannot be closed by halves."""
        self.loseConnection()

    def getTcpNoDelay(self) -> bool:
        return self._is_no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        self._is_no_delay = bool(enabled)

    def getTcpKeepAlive(self) -> bool:
        return self._is_kept_alive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        was_kept_alive, self._is_kept_alive = self._is_kept_alive, bool(enabled)
        if enabled and not was_kept_alive:
            self._probe_after(KEEPALIVE_S)

    def _probe_after(self, delay_s: float) -> None:
        self._probe_call = self._network.world.later(delay_s, self._keep_alive)

    def _keep_alive(self) -> None:
        """Probe an idle connection; data that waits is TCP_USER_TIMEOUT's business."""
        if self.is_dead or self.is_forgotten or not self._is_kept_alive:
            return
        idle_s = self._network.world.scheduler.now - self._heard_s
        if idle_s < KEEPALIVE_S - 1e-6:
            self._probe_after(KEEPALIVE_S - idle_s)
        elif self._network.probe(self):
            self._probe_after(KEEPALIVE_S)
        else:
            self.lost("no answer to a probe")

    # As IConsumer.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} is registered already")
        if self.is_dead or self._is_aborting:
            producer.stopProducing()
            return
        self._producer = producer
        self._is_streaming = streaming
        self._is_producer_paused = False
        if not streaming:
            self._resume_producer()

    def unregisterProducer(self) -> None:
        self._producer = None
        if self.disconnecting and not self.is_dead:
            self._pump_soon()

    def _pause_producer(self) -> None:
        if self._producer is not None and self._is_streaming and not self._is_producer_paused:
            self._is_producer_paused = True
            self._network.counters["producers paused"] += 1
            self._producer.pauseProducing()

    def _resume_producer(self) -> None:
        producer = self._producer
        if producer is not None and (self._is_producer_paused or not self._is_streaming):
            self._is_producer_paused = False
            producer.resumeProducing()

    @property
    def waits_for_room(self) -> bool:
        return self._is_producer_paused

    # As IPushProducer.

    def pauseProducing(self) -> None:
        self._is_reading = False

    def resumeProducing(self) -> None:
        if not self._is_reading and not self.is_dead:
            self._is_reading = True
            self.clock.callLater(0, self._read_on)

    def stopProducing(self) -> None:
        self.loseConnection()

    def _read_on(self) -> None:
        if self._is_reading and self._inbox and not self.is_dead:
            data = bytes(self._inbox)
            self._inbox.clear()
            self._give(data)
        if self._is_reading and self.incoming is not None:
            self.incoming.acknowledge_all()

    # The process's side of writing.

    def _pump_soon(self) -> None:
        """Write in the reactor's next turn, so that what is written together goes together."""
        if self._pump_call is None:
            self._pump_call = self.clock.callLater(0, self._pump)

    def _pump(self) -> None:
        self._pump_call = None
        self.fill()

    def fill(self) -> None:
        """Give the kernel what it takes; with nothing left, let the producer go on."""
        pipe = self.pipe
        if pipe is None or not self.clock.is_alive:
            return
        pipe.pump()
        if not pipe.queue and not self.is_over:
            self._resume_producer()
            if not pipe.queue and self.disconnecting and self._producer is None:
                pipe.close()

    # From the kernel.

    @property
    def takes(self) -> bool:
        """The reader keeps up: what arrives is acknowledged."""
        return len(self._inbox) < KERNEL_BUFFER

    def establish(self, protocol: Protocol) -> None:
        """The connection is made, for this end."""
        self.protocol = protocol
        self.is_established = True
        protocol.makeConnection(self)
        if self.incoming is not None:
            self.incoming.retry()

    def receive(self, data: bytes) -> None:
        """Bytes have arrived at the machine."""
        self._heard_s = self._network.world.scheduler.now
        self.clock.deliver("data", self._give, data)

    def _give(self, data: bytes) -> None:
        if self.is_over or self._is_aborting or self.protocol is None:
            return
        if self._is_reading and not self._inbox:
            self.protocol.dataReceived(data)
        else:
            self._inbox += data

    def end_received(self) -> None:
        """The other end has said goodbye, and sends nothing more."""
        if not self.is_forgotten:
            self.is_forgotten = True
            self._network.forget(self)
            self.clock.deliver("end", self._ended)

    def _ended(self) -> None:
        if self.is_over or self._is_aborting:
            return
        # The goodbye in return, after what was written before.
        self.disconnecting = True
        assert self.pipe is not None
        self._tell_lost(Failure(ConnectionDone()))
        self.pipe.close()

    def lost(self, why: str) -> None:
        """The kernel gives the connection up: reset, or timed out."""
        if not self.is_forgotten:
            self.discard()
            self.clock.deliver(f"lost: {why}", self._tell_lost, Failure(ConnectionLost(why)))

    def discard(self) -> None:
        """The kernel forgets this end, and what it had to send."""
        self.is_forgotten = True
        if self.pipe is not None:
            self.pipe.kill()
        self._network.forget(self)

    def process_ended(self) -> None:
        """Its process is gone; the machine may live."""
        self.is_over = True
        self._producer = None
        self.protocol = None
        self._probe_no_more()

    def _probe_no_more(self) -> None:
        if self._probe_call is not None and self._probe_call.active():
            self._probe_call.cancel()

    def _tell_lost(self, reason: Failure) -> None:
        if self.is_over:
            return
        self.is_over = True
        self._probe_no_more()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connectionLost(reason)
