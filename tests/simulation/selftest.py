"""The harness tests itself: real sessions and links, a toy on top, every fault below.

Askers number what they write, keep it on their disks and send it to their servers until
it is acknowledged; servers store it before they acknowledge, and send a numbered stream
of events of all sizes the other way. Judged are the promises of the harness: within a
connection nothing is lost, doubled, changed or put out of order; what was acknowledged
survives; the dead are silent; after the heal everybody gets everything.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable
from typing import Any

from papercutd.errors import StorageFull
from papercutd.services.link import Link, LinkSettings
from papercutd.storage.sqlite.writer import InlineWriter
from protocols.codes import Code
from protocols.endpoint import Session, SessionServerFactory
from protocols.errors import Refusal, SessionLost
from protocols.handshake import Hello, Mark, Welcome
from protocols.provider.messages import Cancel, Config, Done, Ping, Pong, PrinterSetting
from protocols.provider.spec import PROVIDER
from tests.simulation.clock import NodeClock
from tests.simulation.findings import Findings
from tests.simulation.links import WAN
from tests.simulation.network import identify
from tests.simulation.node import Node
from tests.simulation.oracle import Moment, Oracle, When
from tests.simulation.plan import FaultPlan
from tests.simulation.profiles import Profile
from tests.simulation.stage import Stage, Topology
from tests.simulation.world import World

PORT = 9195
TOPOLOGY = Topology("application", ("north",), {"p1": "north", "p2": ""})
#: Requests of one asker under way.
WINDOW = 16
#: Seconds between two things that an asker writes, on the average.
WRITE_EVERY_S = 0.5
PUSH_EVERY_S = 2.0
_ID = "{:08x}-0000-7000-8000-000000000000"


class Toy:
    """What servers and askers have in common: they know when they are dead."""

    def __init__(self, node: Node) -> None:
        assert node.clock is not None
        self.node = node
        self.world = node.world
        self.clock: NodeClock = node.clock
        self.env = node.environment

    def alive(self) -> None:
        """To be called at every entry: by nobody but our own process, while it lives."""
        if not self.clock.is_alive or self.world.current is not self.clock:
            self.world.find("defect", "a dead or sleeping process was called", self.node.name)


class ToyServer(Toy):
    """Stores numbers by asker, each after the one before it, then acknowledges."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        connection = node.disk.open_database("server.db")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS stored (asker TEXT PRIMARY KEY, number INTEGER)"
        )
        self._writer: InlineWriter = node.disk.writer("server.db", self.clock)
        self._expected: dict[Session, int] = {}
        self._pushed: dict[Session, int] = {}
        factory = SessionServerFactory(PROVIDER, self.clock, self, identify)
        self.world.network.listen(node, PORT, factory)

    async def hello(self, session: Session, hello: Hello) -> Welcome:
        self.alive()
        role = "application" if self.node.role == "application" else "site"
        return Welcome(session.version, role, self.node.name, self.node.name, self.clock.number)

    def opened(self, session: Session) -> None:
        self.alive()
        self._expected[session] = self._pushed[session] = 0
        self._push_later(session)

    async def request(self, session: Session, message: Any) -> Any:
        self.alive()
        if isinstance(message, Ping):
            return Pong(message.clock)
        assert isinstance(message, Cancel) and session.peer is not None
        if message.printer != self._expected[session]:
            text = f"request {message.printer} came instead of {self._expected[session]}"
            self.world.find("defect", text, self.node.name)
        self._expected[session] = message.printer + 1
        asker, number = session.peer.name, int(message.job[:8], 16)
        try:
            is_new = await self._writer.submit(lambda c: _store(c, asker, number))
        except StorageFull:
            raise Refusal(Code.STORAGE_FULL) from None
        self.alive()
        self.world.sometimes("stored" if is_new else "asked again after a loss")
        return Done()

    def event(self, session: Session, event: Any) -> None:
        self.alive()

    def closed(self, session: Session, reason: str) -> None:
        self.alive()
        del self._expected[session], self._pushed[session]

    def _push_later(self, session: Session) -> None:
        wait_s = self.env.rng.expovariate(1 / PUSH_EVERY_S)
        self.clock.callLater(wait_s, self._push, session)

    def _push(self, session: Session) -> None:
        self.alive()
        if session not in self._pushed:
            return
        # Now and then more than a transport takes at once.
        burst = self.env.rng.choice((1, 1, 1, 3, 25))
        for _ in range(burst if session.waiting_bytes == 0 else 0):
            number = self._pushed[session]
            self._pushed[session] = number + 1
            session.notify(Config([_printer(number)], [], number))
        if session.waiting_bytes:
            self.world.sometimes("back-pressure")
        self._push_later(session)


def _printer(number: int) -> PrinterSetting:
    """Between 10 and 10,000 bytes that follow from ``number``."""
    return PrinterSetting(number, f"{number}-" * (1 + number * 7919 % 997), "socket://")


def _store(connection: sqlite3.Connection, asker: str, number: int) -> bool:
    found = connection.execute("SELECT number FROM stored WHERE asker = ?", (asker,)).fetchone()
    stored = 0 if found is None else int(found[0])
    if number > stored + 1:
        # What was before it was refused for want of room.
        raise StorageFull()
    if number == stored + 1:
        connection.execute("INSERT OR REPLACE INTO stored VALUES (?, ?)", (asker, number))
    return number == stored + 1


class ToyAsker(Toy):
    """Writes numbers to its disk and sends them to one server until they are acknowledged.

    It is the handler of a real Link.
    """

    def __init__(self, node: Node, server: str, stop_s: float) -> None:
        super().__init__(node)
        self._server = server
        self._stop_s = stop_s
        self._name = _asker_database(server)
        connection = node.disk.open_database(self._name)
        connection.execute(
            "CREATE TABLE IF NOT EXISTS head (one INTEGER PRIMARY KEY, written INT, acked INT)"
        )
        connection.execute("INSERT OR IGNORE INTO head VALUES (1, 0, 0)")
        self._written, self._acked = _head(connection)
        self._writer = node.disk.writer(self._name, self.clock)
        self._next = self._acked + 1
        self._in_session = self._in_flight = self._heard = 0
        self._is_waiting = False
        endpoint = self.world.network.endpoint(node, server, PORT)
        self._link = Link(self.env, endpoint, PROVIDER, self, LinkSettings(reconnect_max_s=20.0))
        self._link.start()
        self._write_later()

    # As a LinkHandler.

    def make_hello(self) -> Hello:
        self.alive()
        journal = _ID.format(self.clock.number)
        role = "site" if self.node.role == "site" else "provider"
        return Hello([1], role, self.node.name, journal, Mark(self._written, ""))

    def link_up(self, session: Session) -> None:
        self.alive()
        self._in_session = self._heard = 0
        self._start_again()
        self.world.count("sessions")

    def link_down(self, reason: str) -> None:
        self.alive()

    def trust_changed(self, suspect: bool) -> None:
        self.alive()
        if suspect:
            self.world.sometimes("suspect")

    async def request(self, session: Session, message: Any) -> Any:
        raise Refusal(Code.UNKNOWN_VERB)

    def event(self, session: Session, event: Any) -> None:
        self.alive()
        assert isinstance(event, Config)
        if event.price_version != self._heard:
            text = f"event {event.price_version} came instead of {self._heard}"
            self.world.find("defect", text, self.node.name)
        self._heard = event.price_version + 1
        if event.printers != [_printer(event.price_version)]:
            self.world.find("defect", "an event was changed on its way", self.node.name)
        self.world.count("events")

    def make_ping(self) -> Ping:
        self.alive()
        return Ping(round(self.env.wall_s(), 3))

    def pong(self, pong: Pong) -> None:
        self.alive()

    def refused(self, code: Code) -> None:
        self.alive()

    # The toy.

    def _write_later(self) -> None:
        self.clock.callLater(self.env.rng.expovariate(1 / WRITE_EVERY_S), self._write)

    def _write(self) -> None:
        self.alive()
        if self.world.now < self._stop_s:
            self._writer.submit(_write).addCallbacks(self._wrote, self._not_written)
            self._write_later()

    def _wrote(self, number: int) -> None:
        self.alive()
        self._written = number
        self.world.count("written")
        self._pump()

    def _not_written(self, failure: Any) -> None:
        failure.trap(StorageFull)

    def _start_again(self) -> None:
        self._is_waiting = False
        self._in_flight = 0
        self._next = self._acked + 1
        self._pump()

    def _pump(self) -> None:
        session = self._link.session
        while session is not None and not self._is_waiting and self._in_flight < WINDOW:
            if self._next > self._written:
                return
            number, self._next = self._next, self._next + 1
            request = Cancel(_ID.format(number), "submit-1", printer=self._in_session)
            self._in_session += 1
            self._in_flight += 1
            answer = session.call(request)
            answer.addCallbacks(self._answered, self._failed, (session, number), {}, (session,))

    def _answered(self, done: Done, session: Session, number: int) -> None:
        self.alive()
        acknowledged = self._writer.submit(lambda c: _acknowledge(c, number))
        acknowledged.addCallbacks(self._acknowledged, self._failed, (session,), {}, (session,))

    def _acknowledged(self, number: int, session: Session) -> None:
        self.alive()
        self._acked = max(self._acked, number)
        if session is self._link.session:
            self._in_flight -= 1
            self._pump()

    def _failed(self, failure: Any, session: Session) -> None:
        self.alive()
        failure.trap(Refusal, SessionLost, StorageFull)
        if not failure.check(SessionLost) and session is self._link.session:
            self._in_flight -= 1
            if not self._is_waiting:
                self._is_waiting = True
                self.clock.callLater(1.0, self._again, session)

    def _again(self, session: Session) -> None:
        if session is not self._link.session:
            return
        if self._in_flight:
            self.clock.callLater(1.0, self._again, session)
        else:
            self._start_again()


def _asker_database(server: str) -> str:
    return f"asker-{server}.db"


def _head(connection: sqlite3.Connection) -> tuple[int, int]:
    written, acked = connection.execute("SELECT written, acked FROM head").fetchone()
    return int(written), int(acked)


def _write(connection: sqlite3.Connection) -> int:
    connection.execute("UPDATE head SET written = written + 1")
    return _head(connection)[0]


def _acknowledge(connection: sqlite3.Connection, number: int) -> int:
    connection.execute("UPDATE head SET acked = max(acked, ?)", (number,))
    return number


class SelfTest:
    """The scenario ``selftest``."""

    def __init__(self, world: World, rng: random.Random, profile: Profile) -> None:
        self.world = world
        self._profile = profile
        self._links = TOPOLOGY.links()
        self._oracle = Oracle(world)
        for name in TOPOLOGY.nodes():
            role = "site" if name in TOPOLOGY.sites else "provider"
            node = world.add_node(name, "application" if name == TOPOLOGY.application else role)
            node.on_boot = self._boot
        for server, asker in TOPOLOGY.site_links():
            world.network.links.set_profile(server, asker, WAN)
        self._oracle.register("I15", self._acknowledged_is_stored, When.CRASH, When.END)
        self._oracle.register("I14", self._all_is_drained, When.END)

    def run(self) -> Findings:
        world, profile = self.world, self._profile
        plan = FaultPlan.generate(world.random("faults"), profile, TOPOLOGY, frozenset())
        world.findings.plan = plan.lines()
        plan.start(Stage(world, TOPOLOGY))
        for node in world.nodes.values():
            node.boot()
        world.run(profile.total_s)
        self._oracle.at(When.END)
        for name, times in world.network.counters.items():
            world.count(name, times)
        return world.finish()

    def _boot(self, node: Node) -> None:
        if node.name in TOPOLOGY.servers():
            ToyServer(node)
        for server, asker in self._links:
            if asker == node.name:
                ToyAsker(node, server, self._profile.chaos_s)

    def _state(self, moment: Moment, server: str, asker: str) -> tuple[int, int, int]:
        """(written, acknowledged, stored)."""
        asking = moment.database(asker, _asker_database(server))
        serving = moment.database(server, "server.db")
        written, acked = (0, 0) if asking is None else _head(asking)
        found = None
        if serving is not None:
            query = "SELECT number FROM stored WHERE asker = ?"
            found = serving.execute(query, (asker,)).fetchone()
        return written, acked, 0 if found is None else int(found[0])

    def _acknowledged_is_stored(self, moment: Moment) -> Iterable[str]:
        for server, asker in self._links:
            _, acked, stored = self._state(moment, server, asker)
            if acked > stored:
                yield f"{server} acknowledged {acked} of {asker}, and has {stored}"

    def _all_is_drained(self, moment: Moment) -> Iterable[str]:
        for server, asker in self._links:
            written, acked, stored = self._state(moment, server, asker)
            if not written == acked == stored or not written:
                yield f"{asker} wrote {written}, {server} has {stored}, acknowledged {acked}"
