"""CUPS at the print servers: a simulated cupsd each, and the product's CupsSpooler beside it."""

from __future__ import annotations

import random
import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from papercutd.domain.document import Document, PageGroup
from papercutd.environment import Environment
from papercutd.provider.adapters.ipp import JobState
from papercutd.provider.cups.spooler import CupsSpooler
from papercutd.provider.journal import ProviderJournal
from papercutd.provider.provider import PrintProvider
from tests.simulation.node import Node
from tests.simulation.sim_cups import (
    SilentCounter,
    SimCups,
    SimCupsAnalyser,
    SimCupsd,
    SpooledJob,
)
from tests.simulation.stage import Fault, Stage
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.core_nodes import CoreInstallation

#: What is after a site in the names of its queues, and how their printers hold jobs.
QUEUES: dict[str, dict[str, Any]] = {
    "q": {"release": "immediate", "group": "desk"},
    "qs": {"release": "secure"},
    "qf": {"release": "find-me", "group": "desk"},
}
JOBS = 24
PAGES_MAX = 20
DOCUMENT_MAX_BYTES = 1 << 20


class CupsMachines:
    """A cupsd on every print server of an installation."""

    def __init__(self, installation: CoreInstallation) -> None:
        self._in = installation
        self._world: World = installation.world
        self.cupsd: dict[str, SimCupsd] = {}
        #: Documents are looked into there; nothing of it stays, and nothing comes from it.
        self._folder = Path(tempfile.mkdtemp(prefix="papercutd-simulation-"))
        weakref.finalize(self, shutil.rmtree, self._folder, True)
        self._world.on_crash.append(self._crashed)

    def add_printers(self, directory: Any, connection: Any, provider: str, site: str) -> None:
        for name, settings in QUEUES.items():
            queue = f"{site}-{name}"
            directory.add_printer(connection, queue, provider, f"cups:{queue}", **settings)

    def add_machine(self, node: Node, site: str) -> None:
        name = node.name

        def printed(job: SpooledJob, owner: str) -> None:
            self._in.print_paper(name, f"cups/{owner}")

        def interrupted(owner: str) -> None:
            self._in.reruns[(name, f"cups/{owner}")] += 1

        self.cupsd[name] = SimCupsd(
            self._world,
            node,
            {f"{site}-{queue}": f"papercut:ipp://printer/{site}-{queue}" for queue in QUEUES},
            (printed, interrupted),
            lambda: name in self._in.paper_out,
            self._world.random(f"cups {name}"),
        )

    def spooler(self, node: Node, env: Environment, journal: ProviderJournal) -> CupsSpooler:
        cupsd = self.cupsd[node.name]
        if not cupsd.is_up and not cupsd.is_stopped:
            # It went with the machine's power, and comes back with it.
            cupsd.start()
        return CupsSpooler(
            env,
            SimCups(cupsd, env.clock, env.rng),  # type: ignore[arg-type]
            journal,
            SimCupsAnalyser(cupsd),  # type: ignore[arg-type]
            SilentCounter(),
            self._folder / node.name,
            DOCUMENT_MAX_BYTES,
        )

    async def start(self, node: Node, spooler: CupsSpooler, provider: PrintProvider) -> None:
        """As the role does it: the socket is there once the provider has started."""
        clock = node.clock
        await spooler.start(provider)
        await provider.start()
        if node.clock is clock:
            spooler.watch()
            self.cupsd[node.name].listener = spooler.announced

    def _crashed(self, node: Node) -> None:
        cupsd = self.cupsd.get(node.name)
        if cupsd is not None:
            cupsd.provider_ended()
            if not node.has_power and cupsd.is_up:
                cupsd.stop()

    def has_power(self, name: str) -> bool:
        return self._world.nodes[name].has_power

    def unsettled(self) -> list[str]:
        """Jobs that CUPS has and that nobody holds on purpose."""
        waiting = []
        for name, cupsd in self.cupsd.items():
            connection = self._world.nodes[name].disk.connection("provider.db")
            assert connection is not None
            held = {
                row[0]
                for row in connection.execute(
                    "SELECT job_uuid FROM job WHERE state = 'held' AND job_uuid <> ''"
                )
            }
            living = {job.uuid for job in cupsd.jobs.values() if not job.is_final}
            waiting += [f"{name}: CUPS has {uuid} no more" for uuid in sorted(held - living)]
            for job in cupsd.jobs.values():
                if not job.is_final and not (job.state is JobState.HELD and job.uuid in held):
                    waiting.append(f"{name}: CUPS's job {job.number} is {job.state.name}")
        return waiting


class CupsLoad:
    """People who print by ``lp``, cancel there, and a cupsd that is killed."""

    def __init__(
        self, machines: CupsMachines, world: World, rng: random.Random, users: list[str]
    ) -> None:
        self._machines = machines
        self._world = world
        self._rng = rng
        self._users = users

    def start(self, chaos_s: float) -> None:
        for _ in range(JOBS):
            self._world.later(self._rng.uniform(6.0, chaos_s * 0.9), self._lp)

    def register(self, stage: Stage) -> None:
        stage.logic["F68"] = self._kill

    def _lp(self) -> None:
        rng = self._rng
        name = rng.choice(sorted(self._machines.cupsd))
        cupsd = self._machines.cupsd[name]
        queue = rng.choice([queue.name for queue in cupsd.queues()])
        pages = rng.randint(1, PAGES_MAX)
        document = Document((PageGroup("A4", pages, rng.randint(0, pages) // 4),))
        if cupsd.hand_in(queue, rng.choice(self._users), document) is not None:
            self._world.count("jobs of CUPS")
        if rng.random() < 0.15:
            self._world.later(rng.uniform(0.05, 3.0), self._cancel, name)

    def _cancel(self, name: str) -> None:
        cupsd = self._machines.cupsd[name]
        living = [job.number for job in cupsd.jobs.values() if not job.is_final]
        if cupsd.is_up and living:
            self._world.sometimes("canceled at CUPS", cupsd.end(self._rng.choice(living)))

    def _kill(self, fault: Fault) -> Callable[[], bool]:
        """F68: cupsd is killed; what it printed is pending again, paper or not."""
        name = self._rng.choice(sorted(self._machines.cupsd))
        cupsd = self._machines.cupsd[name]
        was_busy: list[bool] = []
        loses = self._rng.random() < 0.2
        is_over = False

        def kill(left: int) -> None:
            if is_over or not cupsd.is_up:
                return
            if not cupsd.is_busy and left:
                # It is worth more while something prints.
                self._world.later(0.1, kill, left - 1)
                return
            was_busy.append(cupsd.is_busy)
            cupsd.is_stopped = True
            cupsd.stop()
            if loses:
                cupsd.forget_subscriptions()

        def end() -> bool:
            nonlocal is_over
            is_over = True
            if was_busy and cupsd.is_stopped:
                cupsd.is_stopped = False
                if self._machines.has_power(name):
                    cupsd.start()
            return any(was_busy)

        kill(50)
        return end
