"""Faults that only the core's load can make: what damages or outlives a site's records.

F24, F40, F49 and F64. People who are merged and deleted are those of core_people.py.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from twisted.internet.defer import Deferred

from papercutd.errors import Rejected, StorageError
from papercutd.services.site_server import SiteServer
from protocols.errors import Refusal, SessionLost
from tests.simulation.core_nodes import CoreInstallation
from tests.simulation.faults_disk import anchor_full, crash_before_anchor
from tests.simulation.stage import End, Fault, Stage

#: In every record that nobody can read; the oracle lets it be parked.
POISON = "poison of the simulator"
REPAIR_AGAIN_S = 3.0


class Logic:
    """Makes these faults. ``Logic(stage, installation, rng).register()``."""

    def __init__(self, stage: Stage, installation: CoreInstallation, rng: random.Random) -> None:
        self._stage = stage
        self._world = stage.world
        self._in = installation
        self._rng = rng
        #: What the quiet period has to wait for.
        self.under_way: dict[str, int] = {}

    def register(self) -> None:
        logic = self._stage.logic
        logic["F16"] = lambda fault: crash_before_anchor(self._stage, fault)
        logic["F24"] = self._flip
        logic["F40"] = self._poison
        logic["F64"] = self._die_after_forwarding
        logic["F65"] = lambda fault: anchor_full(self._stage, fault)

    @property
    def is_over(self) -> bool:
        """Nothing of it is under way any more."""
        return not any(self.under_way.values())

    # F24.

    def _flip(self, fault: Fault) -> End:
        """Some rows of the replica are not what was sent; the comparison of the night mends it."""
        (name,) = fault.targets
        connection = self._stage.node(name).disk.connection("journal.db")
        flipped: list[int] = []
        if connection is not None:
            attached = [row[1] for row in connection.execute("PRAGMA database_list")]
            accounts = (
                [row[0] for row in connection.execute("SELECT id FROM replica.account")]
                if "replica" in attached
                else []
            )
            for account in self._rng.sample(accounts, min(2, len(accounts))):
                column = self._rng.choice(["credits_e4", "floor_e4"])
                connection.execute(
                    f"UPDATE replica.account SET {column} = {column} + ? WHERE id = ?",
                    (1 << self._rng.randint(0, 6), account),
                )
                flipped.append(account)

        def end() -> bool:
            if flipped:
                self._repair(name)
            return bool(flipped)

        return end

    def _repair(self, name: str) -> None:
        """Compared until one comparison has come to its end."""
        node, server = self._stage.node(name), self._in.sites.get(name)
        self.under_way[name] = self.under_way.get(name, 0) + 1

        def done(repaired: bool) -> None:
            self.under_way[name] -= 1
            if not repaired:
                self._world.later(REPAIR_AGAIN_S, self._repair, name)

        if node.clock is None or server is None:
            done(False)
            return
        clock = node.clock

        def begin() -> None:
            Deferred.fromCoroutine(self._run_repair(server)).addCallback(heard.append)

        heard: list[bool] = []

        def look() -> None:
            if heard:
                done(heard[0])
            elif node.clock is not clock:
                done(False)
            else:
                self._world.later(0.5, look)

        clock.callLater(0, begin)
        self._world.later(0.5, look)

    async def _run_repair(self, server: SiteServer) -> bool:
        try:
            found = await server.repair.run()
        except (SessionLost, Refusal, Rejected, StorageError):
            return False
        self._world.sometimes("F24 mended", found.repaired_rows)
        return True

    # F40.

    def _poison(self, fault: Fault) -> End:
        """A record in the journal that no release can apply: parked, and nothing waits for it."""
        (name,) = fault.targets
        node, server = self._stage.node(name), self._in.sites.get(name)
        written: list[object] = []
        bodies = [
            f'{{"kind":"completed","key":"{POISON}","at":0,"position":""}}',
            f'{{"kind":"{POISON}"}}',
        ]
        if node.clock is not None and server is not None:
            body = self._rng.choice(bodies)

            def write() -> None:
                server.store.salvage([body]).addCallbacks(written.append, lambda failure: None)
                server.uplink.journal_grew()

            node.clock.callLater(0, write)

        def end() -> bool:
            return bool(written)

        return end

    # F64.

    def _die_after_forwarding(self, fault: Fault) -> End:
        """The site is gone when the answer to what it forwarded comes."""
        application, site = fault.targets
        disk = self._stage.node(application).disk
        happened: list[bool] = []
        disarms: list[Callable[[], bool]] = []
        down_s = fault.duration_s / 4

        def arm() -> None:
            disarms[:] = [disk.at_commit(look, 1, False, "application.db")]

        def look() -> None:
            centre = disk.connection("application.db")
            found = (
                centre
                and centre.execute(
                    "SELECT 1 FROM hold JOIN decision USING (key) WHERE asker = ?"
                    " AND state = 'open' AND decision.number = (SELECT number FROM head)",
                    (f"site:{site}",),
                ).fetchone()
            )
            if found:
                happened.append(True)
                self._world.later(0, self._stage.crash, site, down_s)
            else:
                # Not within the loop over what is armed.
                self._world.later(0, arm)

        arm()

        def end() -> bool:
            for disarm in disarms:
                disarm()
            return bool(happened)

        return end
