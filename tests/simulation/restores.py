"""Faults that put a disk back, lose it, or run a copy of it: F23, F26-F34, F62 and F63.

An image is taken as a fault begins, and the node gets it back before the fault ends: what it
committed in between is gone. Who was restored, and what it had, is told to the oracle before
and after, so that what only lived there is counted apart and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs

from papercutd.storage.replication.timeline import restored
from tests.simulation.disk import DiskImage
from tests.simulation.node import Crash, Node
from tests.simulation.stage import End, Fault, Stage

#: Of a fault's time: before the image is put back, then as long off.
AGE_SHARE, DOWN_SHARE = 0.8, 0.1


class Judge(Protocol):
    """Who has to know whose memory was changed."""

    def before_restore(self, node: Node) -> None:
        """``node`` is off, its disk as it was."""

    def after_restore(self, node: Node) -> None:
        """``node`` is off, its disk as it will be found."""

    def copied(self, node: Node) -> None:
        """A copy of ``node`` is about to run under its name."""


class Restores:
    """Makes these faults on a stage. ``Restores(stage, judge).register()``."""

    def __init__(self, stage: Stage, judge: Judge) -> None:
        self._stage = stage
        self._world = stage.world
        self._judge = judge
        self._copies = 0

    def register(self) -> None:
        """Take the place of the beginners that the catalogue leaves to the scenario."""
        logic = self._stage.logic
        logic["F23"] = self._revert
        logic["F26"] = self._restore_database
        logic["F27"] = self._revert
        logic["F28"] = self._copy
        logic["F29"] = self._revert
        logic["F30"] = self._restore_database
        logic["F31"] = self._restore_with_verb
        logic["F32"] = self._restore_and_copy
        logic["F33"] = self._lose
        logic["F34"] = self._lose
        logic["F62"] = self._revert
        logic["F63"] = self._copy

    def _revert(self, fault: Fault) -> End:
        """The whole machine goes back, its anchor too."""
        image = self._node(fault).disk.save()
        return self._later(fault, lambda node: image)

    def _restore_database(self, fault: Fault) -> End:
        """The databases go back; small files beside them are as they were."""
        image = self._node(fault).disk.save()
        return self._later(fault, lambda node: attrs.evolve(image, files=dict(node.disk.files)))

    def _restore_with_verb(self, fault: Fault) -> End:
        """The administrator says so, before the server starts on the backup."""
        image = self._node(fault).disk.save()

        def told(node: Node) -> DiskImage:
            # Beyond the timeline of what is there, which a backup does not know of.
            database = node.disk.connection("application.db")
            found = None if database is None else database.execute("SELECT timeline FROM head")
            timeline = 0 if found is None else found.fetchone()[0] + 1
            return node.disk.edited(
                image,
                "application.db",
                lambda connection: restored(connection, node.wall_s(), timeline),
            )

        return self._later(fault, told)

    def _restore_and_copy(self, fault: Fault) -> End:
        """The application server goes back while a site runs twice."""
        application, site = fault.targets
        ends = [
            self._restore_database(attrs.evolve(fault, targets=(application,))),
            self._copy(attrs.evolve(fault, targets=(site,))),
        ]
        return lambda: all([end() for end in ends])

    def _lose(self, fault: Fault) -> End:
        """A new disk: it joins again with nothing."""
        empty = DiskImage({}, {}, {}, {})
        return self._later(fault, lambda node: empty)

    def _node(self, fault: Fault) -> Node:
        return self._stage.node(fault.targets[0])

    def _later(self, fault: Fault, image_of: Callable[[Node], DiskImage]) -> End:
        node, world = self._node(fault), self._world
        commits = node.disk.commits
        done: list[bool] = []

        def put_back() -> None:
            down_s = fault.duration_s * DOWN_SHARE
            if node.is_up:
                node.crash(Crash.POWER)
            # The dead are buried at the end of this event; their disk is theirs until then.
            node.down_until_s = max(node.down_until_s, world.now + down_s)
            world.later(0.0, replace, down_s)

        def replace(down_s: float) -> None:
            world.bury()
            self._judge.before_restore(node)
            node.disk.restore(image_of(node))
            self._judge.after_restore(node)
            done.append(node.disk.commits > commits)
            self._stage.restart_after(node.name, down_s)

        world.later(fault.duration_s * AGE_SHARE, put_back)
        return lambda: any(done)

    def _copy(self, fault: Fault) -> End:
        """A second machine with this one's disk and certificate; its askers go to the copy."""
        stage, world, network = self._stage, self._world, self._stage.network
        node = self._node(fault)
        self._copies += 1
        copy = world.add_node(f"{node.name}-copy{self._copies}", node.role)
        copy.identity, copy.on_boot = node.name, node.on_boot
        # Databases of a running node are as its last commit left them between events.
        copy.disk.restore(node.disk.save())
        self._judge.copied(node)
        commits = copy.disk.commits
        network.aliases[node.name] = copy.name
        for asker in stage.topology.nodes():
            if asker not in (stage.topology.application, node.name):
                for end, other in network.connections(asker, node.name):
                    network.reset(end, other)
        copy.boot()

        def end() -> bool:
            had_effect = copy.disk.commits > commits
            if network.aliases.get(node.name) == copy.name:
                del network.aliases[node.name]
            copy.cut_power()
            world.bury()
            return had_effect

        return end
