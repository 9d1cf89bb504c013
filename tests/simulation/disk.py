"""The disk of a simulated node: databases that outlive its crashes, and fail on demand.

Databases are SQLite's own, in memory. What a crash leaves is what was committed: each
start gets a copy of that on a connection of its own, so that nothing of a dead process
can write to what its successor reads.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from papercutd.errors import StorageFull
from papercutd.storage.sqlite.migrate import connect, migrate
from papercutd.storage.sqlite.writer import InlineWriter, Participant
from tests.simulation.node import Crash
from tests.simulation.spool import SimSpool, SpooledDocument
from tests.support.databases import template

if TYPE_CHECKING:
    from tests.simulation.clock import NodeClock
    from tests.simulation.world import World

#: Seconds from the first operation of a batch to its commit, on a healthy disk.
COMMIT_S = (0.0002, 0.004)


@attrs.frozen
class DiskImage:
    """Everything on a disk at one moment between two commits."""

    databases: dict[str, bytes]
    replicas: dict[int, bytes]
    files: dict[str, bytes]
    documents: dict[str, SpooledDocument]


@attrs.frozen
class Commit:
    """One commit, as ``SimDisk.on_commit`` hears of it, before anybody is answered."""

    node: str
    database: str
    #: Of this database, over all starts of the node, from 1.
    number: int
    connection: sqlite3.Connection


@attrs.define(eq=False)
class _Armed:
    """Something that happens at a commit to come."""

    database: str
    #: Commits until it happens: 1 is the next.
    left: int
    is_before: bool
    act: Callable[[], None]


class SimDisk:
    """Databases, replica files, small files and the spool of one node."""

    def __init__(self, world: World, node: str) -> None:
        self._world = world
        self._node = node
        self.rng: random.Random = world.random(f"disk {node}")
        self.spool = SimSpool()
        self.replicas = SimReplicas(f"world{world.number}-{node}")
        #: Small files, as they were last synced (an anchor).
        self.files: dict[str, bytes] = {}
        self.commits = 0
        #: Called after each commit; may read, must not write.
        self.on_commit: list[Callable[[Commit], None]] = []
        self._connections: dict[str, sqlite3.Connection] = {}
        self._numbers: dict[str, int] = {}
        self._in_use: set[str] = set()
        self._armed: list[_Armed] = []
        self._full = 0
        self._full_for_files = 0
        self._delays_s: list[float] = []
        #: What its databases are written by, from the next start on.
        self.writer_class = InlineWriter
        #: How often a full or slow disk was felt.
        self.refused = 0
        self.delayed = 0

    # For nodes.

    def open_database(self, name: str, schema: str = "") -> sqlite3.Connection:
        """The database ``name`` as the last start left it, at this release's ``schema``.

        Without a schema it is as it was left, empty at first.
        """
        assert name not in self._in_use, f"{name} is open already"
        connection = self._connections.get(name)
        if connection is None:
            connection = self._connections[name] = connect(":memory:")
            if schema:
                template(schema).backup(connection)
        if schema:
            migrate(connection, name, schema)
        self._in_use.add(name)
        return connection

    def writer(
        self, name: str, clock: NodeClock, participant: Participant | None = None
    ) -> InlineWriter:
        """The writer of the open database ``name``; its commits obey this disk."""
        return self.writer_class(
            self._connections[name],
            clock,
            participant,
            delay_s=lambda: self._delay_s(clock),
            before_commit=lambda: self._before_commit(name, clock),
            after_commit=lambda: self._after_commit(name, clock),
        )

    def connection(self, name: str) -> sqlite3.Connection | None:
        """For oracles: read only, between events."""
        return self._connections.get(name)

    def write_file(self, name: str, data: bytes) -> None:
        """Write and sync a small file; a full disk raises StorageFull."""
        self._fail_if_full()
        if self._full_for_files:
            self.refused += 1
            raise StorageFull()
        self._run_armed(f"file {name}", is_before=True)
        self.files[name] = data
        self._run_armed(f"file {name}", is_before=False)

    # For faults.

    def at_commit(
        self, act: Callable[[], None], after: int = 1, before: bool = False, database: str = ""
    ) -> Callable[[], bool]:
        """``act`` at the ``after``-th commit from now; call what is returned to disarm it.

        ``before``: with everything written and nothing committed. ``database``: of that
        one only (``file NAME``: the writing of a small file). Disarming tells whether it
        had still to happen.
        """
        armed = _Armed(database, after, before, act)
        self._armed.append(armed)

        def disarm() -> bool:
            if armed in self._armed:
                self._armed.remove(armed)
                return True
            return False

        return disarm

    def crash_at_commit(
        self, after: int = 1, before: bool = False, database: str = "", how: Crash = Crash.KILLED
    ) -> Callable[[], bool]:
        """The node crashes exactly before, or exactly after, that commit."""
        node = self._world.nodes[self._node]
        return self.at_commit(lambda: node.crash_here(how), after, before, database)

    def fill(self) -> Callable[[], None]:
        """The disk is full until what is returned is called."""
        self._full += 1

        def free() -> None:
            self._full -= 1

        return free

    def fill_files(self) -> Callable[[], None]:
        """The file system of the small files is full, that of the databases is not."""
        self._full_for_files += 1

        def free() -> None:
            self._full_for_files -= 1

        return free

    def slow(self, seconds: float) -> Callable[[], None]:
        """Commits take up to ``seconds`` until what is returned is called."""
        self._delays_s.append(seconds)

        def mend() -> None:
            self._delays_s.remove(seconds)

        return mend

    # For the world, and profiles of restores.

    def crashed(self) -> None:
        """The process is gone: what was not committed never was."""
        for name in sorted(self._in_use):
            old = self._connections[name]
            if old.in_transaction:
                old.execute("ROLLBACK")
            self._connections[name] = _copy_of(old)
            # The dead may hold it; they can do nothing with it.
            old.close()
        self._in_use.clear()

    def save(self) -> DiskImage:
        """An image of the disk as it is, to be taken between events."""
        return DiskImage(
            {name: one.serialize() for name, one in sorted(self._connections.items())},
            self.replicas.save(),
            dict(self.files),
            self.spool.save(),
        )

    def restore(self, image: DiskImage) -> None:
        """Put ``image`` in place of everything; the node must be down."""
        assert not self._in_use, "the node runs"
        for connection in self._connections.values():
            connection.close()
        self._connections = {name: _load(data) for name, data in image.databases.items()}
        self.replicas.restore(image.replicas)
        self.files = dict(image.files)
        self.spool.restore(image.documents)

    def edited(
        self, image: DiskImage, name: str, edit: Callable[[sqlite3.Connection], object]
    ) -> DiskImage:
        """``image`` after a tool that works on the database ``name`` while nothing runs."""
        connection = _load(image.databases[name])
        edit(connection)
        data = connection.serialize()
        connection.close()
        return attrs.evolve(image, databases={**image.databases, name: data})

    def lose(self) -> None:
        """A new, empty disk; the node must be down."""
        self.restore(DiskImage({}, {}, {}, {}))

    # Around commits.

    def _delay_s(self, clock: NodeClock) -> float:
        # A dead process may ask too, and must not disturb what the living draw.
        if not clock.is_alive:
            return 0.0
        if self._delays_s:
            self.delayed += 1
            return self.rng.uniform(0.1, max(self._delays_s))
        return self.rng.uniform(*COMMIT_S)

    def _before_commit(self, name: str, clock: NodeClock) -> None:
        if clock.is_alive:
            self._fail_if_full()
            self._run_armed(name, is_before=True)

    def _after_commit(self, name: str, clock: NodeClock) -> None:
        if not clock.is_alive:
            return
        self.commits += 1
        number = self._numbers[name] = self._numbers.get(name, 0) + 1
        trace = f"commit {name}"
        self._world.trace.note(self._world.now, self._node, trace, number.to_bytes(4, "little"))
        commit = Commit(self._node, name, number, self._connections[name])
        for hear in self.on_commit:
            hear(commit)
        self._run_armed(name, is_before=False)

    def _fail_if_full(self) -> None:
        if self._full:
            self.refused += 1
            raise StorageFull()

    def _run_armed(self, name: str, is_before: bool) -> None:
        if not self._armed:
            return
        is_file = name.startswith("file ")
        for armed in list(self._armed):
            if armed.is_before is not is_before:
                continue
            if armed.database != name and (armed.database or is_file):
                continue
            armed.left -= 1
            if armed.left <= 0:
                self._armed.remove(armed)
                armed.act()


class SimReplicas:
    """Replica files of a site in shared memory: ReplicaFiles of papercutd.storage.site.replica."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._keepers: dict[int, sqlite3.Connection] = {}

    def path(self, number: int) -> str:
        path = f"file:{self._prefix}-replica-{number}?mode=memory&cache=shared"
        if number not in self._keepers:
            keeper = sqlite3.connect(path, uri=True, check_same_thread=False)
            template("replica").backup(keeper)
            self._keepers[number] = keeper
        return path

    def remove(self, number: int) -> None:
        keeper = self._keepers.pop(number, None)
        if keeper is not None:
            keeper.close()

    def save(self) -> dict[int, bytes]:
        return {number: one.serialize() for number, one in sorted(self._keepers.items())}

    def restore(self, saved: dict[int, bytes]) -> None:
        for number in list(self._keepers):
            self.remove(number)
        for number, data in saved.items():
            self.path(number)
            source = sqlite3.connect(":memory:")
            source.deserialize(data)
            source.backup(self._keepers[number])
            source.close()


def _copy_of(connection: sqlite3.Connection) -> sqlite3.Connection:
    copy = connect(":memory:")
    connection.backup(copy)
    return copy


def _load(data: bytes) -> sqlite3.Connection:
    source = sqlite3.connect(":memory:")
    source.deserialize(data)
    loaded = _copy_of(source)
    source.close()
    return loaded
