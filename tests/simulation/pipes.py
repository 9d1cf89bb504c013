"""One direction of a simulated connection: what TCP does, and what can be done to it.

What is kept of TCP: bytes arrive in order, once, whole; how many arrive together means
nothing; unacknowledged for 10 s they end the connection for whoever sent them, and the
other end hears nothing of it unless a packet can reach it; a reset loses what is under
way; a machine that does not know a connection answers its bytes with a reset.
"""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.links import Link
    from tests.simulation.network import SimNetwork
    from tests.simulation.scheduler import Call
    from tests.simulation.transport import SimTransport

#: Bytes of one direction that the kernels hold: sent and not acknowledged.
KERNEL_BUFFER = 65_536
#: TCP_USER_TIMEOUT (design 4.5): so long may sent bytes go unacknowledged.
USER_TIMEOUT_S = 10.0
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
