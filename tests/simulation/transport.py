"""One end of a simulated TCP connection under TLS: kernel, transport and all.

What is kept of TCP: bytes arrive in order, once, whole; how many arrive together means
nothing; unacknowledged for 10 s they end the connection for whoever sent them, and the
other end hears nothing of it unless a packet can reach it; a reset loses what is under
way; a machine that does not know a connection answers its bytes with a reset.
What is kept of TLS: ``loseConnection`` waits for the other end to say goodbye too, so
over a cut link it lasts until somebody aborts.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from tests.simulation.clock import NodeClock
    from tests.simulation.links import Link
    from tests.simulation.network import SimNetwork
    from tests.simulation.scheduler import Call

#: Bytes that a transport takes before it pauses its producer, as Twisted's do.
TRANSPORT_BUFFER = 65_536
#: Bytes of one direction that the kernels hold: sent and not acknowledged.
KERNEL_BUFFER = 65_536
#: TCP_USER_TIMEOUT (design 4.5): so long may sent bytes go unacknowledged.
USER_TIMEOUT_S = 10.0
#: The first probe of an idle connection, Linux's default.
KEEPALIVE_S = 7_200.0
#: How soon a held segment is tried again once the way is open.
RETRY_S = (0.01, 1.5)


class Segment:
    """Bytes that travel together; ``is_end``: and nothing after them."""

    __slots__ = ("data", "due_s", "is_end", "sent_s")

    def __init__(self, data: bytes, is_end: bool, sent_s: float, due_s: float) -> None:
        self.data = data
        self.is_end = is_end
        self.sent_s = sent_s
        self.due_s = due_s


class Pipe:
    """One direction of one connection, from the sender's transport to the receiver's kernel."""

    def __init__(self, network: SimNetwork, sender: SimTransport, receiver: SimTransport) -> None:
        self._network = network
        self._world = network.world
        self.sender = sender
        self._receiver = receiver
        self.link: Link = network.links[(sender.node, receiver.node)]
        self._back: Link = network.links[(receiver.node, sender.node)]
        #: Written, and not taken by the kernel yet.
        self.queue = bytearray()
        self._flight: deque[Segment] = deque()
        self._unacked = 0
        #: When the oldest byte that has arrived, and whose acknowledgement has not, was sent.
        self._unacked_since_s: float | None = None
        self._is_closing = False
        self._end_is_sent = False
        #: Nothing moves in it any more.
        self.is_dead = False
        self.is_blocked = False
        self._next: Call | None = None
        self._timer: Call | None = None
        self._last_due_s = 0.0
        #: The sender's machine lost power: what the network has is all there will be.
        self._is_orphan = False

    # The sender's side.

    def write(self, data: bytes) -> None:
        if not self.is_dead and not self._is_closing:
            self.queue += data

    @property
    def is_moving(self) -> bool:
        """Bytes of it are under way."""
        return any(segment.data for segment in self._flight) and not self.is_blocked

    def close(self) -> None:
        """The end, after all that is queued."""
        if not self._is_closing:
            self._is_closing = True
            self.pump()

    @property
    def has_room(self) -> bool:
        return self._unacked < KERNEL_BUFFER

    def pump(self) -> None:
        """Give the kernel what it has room for."""
        if self.is_dead or self._end_is_sent:
            return
        now = self._world.scheduler.now
        queue = self.queue
        while queue and self._unacked < KERNEL_BUFFER:
            size = self.link.cut_segment(min(len(queue), KERNEL_BUFFER - self._unacked))
            data = bytes(queue[:size])
            del queue[:size]
            self._send(Segment(data, False, now, self.link.arrival_s(now, size)))
            self._unacked += size
        if self._is_closing and not queue:
            self._end_is_sent = True
            self._send(Segment(b"", True, now, self.link.arrival_s(now, 0)))

    def _send(self, segment: Segment) -> None:
        # Order within a connection is kept, whatever the latencies were.
        segment.due_s = self._last_due_s = max(segment.due_s, self._last_due_s)
        self._flight.append(segment)
        if self._next is None and not self.is_blocked:
            self._schedule(segment.due_s - self._world.scheduler.now)

    def _schedule(self, delay_s: float) -> None:
        self._next = self._world.later(max(delay_s, 0.0), self._arrive)

    def kill(self) -> int:
        """What is in it is lost: so many bytes."""
        lost = len(self.queue) + sum(len(segment.data) for segment in self._flight)
        self.is_dead = True
        self.queue.clear()
        self._flight.clear()
        for call in (self._next, self._timer):
            if call is not None and call.active():
                call.cancel()
        self._network.pipes.pop(self, None)
        return lost

    def tear(self, rng: random.Random) -> int:
        """Part of what is under way gets there; the rest is lost: so many bytes."""
        if self._flight and not self.is_blocked and self._receiver.is_established:
            head = self._flight[0].data
            got = head[: rng.randint(0, len(head))]
            if got and not self._receiver.is_forgotten:
                self._receiver.receive(got)
            return self.kill() - len(got)
        return self.kill()

    def orphan(self) -> None:
        """The sender's machine is dark: what is under way may arrive, nothing is sent again."""
        self.queue.clear()
        self._is_orphan = True
        if self.is_blocked or not self._flight:
            self.kill()

    # The network.

    def _arrive(self) -> None:
        """What is due at the other end gets there, if it can."""
        self._next = None
        receiver = self._receiver
        if self.link.is_cut or not self._network.is_reachable(receiver.node):
            self.link.hold()
            self._block()
            return
        if receiver.is_forgotten:
            if self._back.is_cut:
                self._back.hold()
                self._block()
            else:
                self._network.send_reset(receiver.node, self.sender)
                self.kill()
            return
        if not receiver.is_established:
            self._block()
            return
        now = self._world.scheduler.now
        flight = self._flight
        sent_s = flight[0].sent_s
        pieces = []
        is_end = False
        while flight and flight[0].due_s <= now:
            segment = flight.popleft()
            pieces.append(segment.data)
            is_end = segment.is_end
            if self.link.is_tiny:
                break
        data = b"".join(pieces)
        if data:
            self._arrived(len(data), sent_s)
            receiver.receive(data)
        if is_end and not self.is_dead:
            self.kill()
            receiver.end_received()
        if flight and not self.is_dead:
            # An acknowledgement may have let more in, which has seen to that already.
            if self._next is None:
                self._schedule(flight[0].due_s - now)
        elif self._is_orphan and not self.is_dead:
            self.kill()

    def _arrived(self, size: int, sent_s: float) -> None:
        if self._is_orphan:
            return
        if self._back.is_cut or not self._network.is_reachable(self.sender.node):
            # It is there, and its sender will never know, or only later.
            self._back.hold()
            if self._unacked_since_s is None:
                self._unacked_since_s = sent_s
                self._set_timer(sent_s)
            return
        if self._receiver.takes:
            self._acknowledge(size)

    def _acknowledge(self, size: int) -> None:
        self._unacked -= size
        if self.queue or self.sender.waits_for_room:
            self.sender.clock.deliver("room", self.sender.fill)

    def acknowledge_all(self) -> None:
        """Acknowledgements that were held, or withheld by a full reader, get through."""
        self._unacked_since_s = None
        waiting = sum(len(segment.data) for segment in self._flight)
        if not self.is_dead and self._unacked > waiting:
            self._acknowledge(self._unacked - waiting)

    def _block(self) -> None:
        if self._is_orphan:
            self.kill()
            return
        self.is_blocked = True
        self._set_timer(self._flight[0].sent_s)

    def retry(self) -> None:
        """Something has healed: go on, if that was all that was in the way."""
        if self.is_dead or self.link.is_cut:
            return
        if not self._network.is_reachable(self._receiver.node):
            return
        if self.is_blocked:
            self.is_blocked = False
            if self._flight and self._next is None:
                self._schedule(self._network.rng.uniform(*RETRY_S))
        if self._unacked_since_s is not None and not self._back.is_cut and self._receiver.takes:
            if not self._receiver.is_forgotten:
                self.acknowledge_all()

    def _set_timer(self, since_s: float) -> None:
        if self._timer is None or not self._timer.active():
            wait_s = since_s + USER_TIMEOUT_S - self._world.scheduler.now
            self._timer = self._world.later(max(wait_s, 0.0), self._look_at_time)

    def _look_at_time(self) -> None:
        """TCP_USER_TIMEOUT: how long has something gone unacknowledged?"""
        oldest = self._unacked_since_s
        if self.is_blocked and self._flight:
            oldest = (
                self._flight[0].sent_s if oldest is None else min(oldest, self._flight[0].sent_s)
            )
        if self.is_dead or oldest is None:
            return
        if not self._network.is_reachable(self.sender.node):
            # A frozen machine's timers stand still as well.
            self._timer = self._world.later(1.0, self._look_at_time)
        elif self._world.scheduler.now - oldest >= USER_TIMEOUT_S - 1e-6:
            self._network.counters["user timeouts"] += 1
            self.sender.lost("timed out")
            self.kill()
        else:
            self._set_timer(oldest)


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
