"""F56: printers without paper over a week-end, and reservations that wait for Monday.

On Friday the sites and their print servers are switched off; the application server runs on.
On Monday there is paper. Within seven days whatever was reserved is reserved still; after them
it is given up, and what prints then is charged all the same (design 4.3).
"""

from __future__ import annotations

import random

from tests.simulation.core_nodes import APPLICATION, CoreInstallation
from tests.simulation.core_running import RunningChecks
from tests.simulation.stage import Stage

WEEKEND_S = (2.4 * 86_400.0, 3.6 * 86_400.0)
#: So long nobody was away that kept a reservation.
LONG_S = 8.1 * 86_400.0
LONG_SHARE = 0.15
PAPER_AFTER_S = 20.0


class Weekend:
    """Friday to Monday."""

    def __init__(
        self,
        installation: CoreInstallation,
        stage: Stage,
        running: RunningChecks,
        rng: random.Random,
    ) -> None:
        self._in = installation
        self._world = installation.world
        self._stage = stage
        self._running = running
        self._rng = rng

    def pass_by(self) -> None:
        """Nothing, unless the plan left a printer without paper."""
        if not self._in.paper_out:
            return
        is_long = self._rng.random() < LONG_SHARE
        away_s = LONG_S if is_long else self._rng.uniform(*WEEKEND_S)
        # What waits on Friday is known to both ends of each link.
        self._world.run(self._world.now + 15.0)
        names = [name for name in self._stage.topology.nodes() if name != APPLICATION]
        for name in names:
            self._world.nodes[name].cut_power()
            self._world.nodes[name].down_until_s = self._world.now + away_s
        self._world.run(self._world.now + 1.0)
        waiting = self._open_at_providers()
        self._running.step_s = 3600.0
        self._running.is_long_away = is_long
        self._world.run(self._world.now + away_s)
        self._running.step_s = 5.0
        self._judge(waiting, is_long)
        self._stage.mend_all()
        self._world.run(self._world.now + PAPER_AFTER_S)
        self._in.paper_out.clear()

    def _open_at_providers(self) -> set[str]:
        """Keys that the application server reserves for a print server that has them open."""
        centre = self._world.nodes[APPLICATION].disk.connection("application.db")
        assert centre is not None
        reserved = {
            row[0] for row in centre.execute("SELECT key FROM decision WHERE state = 'open'")
        }
        found: set[str] = set()
        for name in self._stage.topology.providers:
            connection = self._world.nodes[name].disk.connection("provider.db")
            if connection is not None:
                found |= {
                    row[0]
                    for row in connection.execute(
                        "SELECT key FROM taken WHERE acked = 0 AND target = 'application'"
                    )
                }
        return found & reserved

    def _judge(self, waiting: set[str], is_long: bool) -> None:
        centre = self._world.nodes[APPLICATION].disk.connection("application.db")
        assert centre is not None
        states = dict(centre.execute("SELECT key, state FROM decision").fetchall())
        for key in sorted(waiting):
            self._world.findings.checked["I13"] += 1
            if not is_long and states.get(key) != "open":
                self._world.find("I13", f"{key} was given up over a week-end", APPLICATION)
            if is_long and states.get(key) == "open":
                self._world.find("I13", f"{key} is reserved after seven days", APPLICATION)
        if waiting:
            self._world.sometimes("F56")
            self._world.sometimes("eight days without paper", is_long)
