"""What happens to the installation, drawn from a seed: each fault begins, lasts and ends."""

from __future__ import annotations

import heapq
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

import attrs

from tests.soak.world import APPLICATION, World

LASTS_S = (0.5, 8.0)
PAUSE_S = (0.3, 2.5)
_FULL = "The disk is full"
#: Under way at one time.
TOGETHER_MAX = 3


@attrs.frozen
class Fault:
    """One, begun when it was made."""

    what: str
    #: What it strikes: nothing else strikes that meanwhile.
    target: str
    end: Callable[[], None]


@attrs.define
class Faults:
    """Strikes ``world`` until told to heal it."""

    world: World
    rng: random.Random
    say: Callable[[str], None]
    tried: Counter[str] = attrs.field(factory=Counter)
    found: list[str] = attrs.field(factory=list)
    _under_way: list[tuple[float, int, Fault]] = attrs.field(factory=list)
    _count: int = 0

    def run_until(self, deadline_s: float, count_max: int) -> None:
        """Until that monotonic time; at most ``count_max`` faults begin."""
        next_s = time.monotonic()
        while (now := time.monotonic()) < deadline_s:
            while self._under_way and self._under_way[0][0] <= now:
                heapq.heappop(self._under_way)[2].end()
            self.look_after()
            if now >= next_s and len(self._under_way) < TOGETHER_MAX and self._count < count_max:
                self._begin(now)
                next_s = now + self.rng.uniform(*PAUSE_S)
            time.sleep(0.1)

    def heal(self) -> None:
        """Everything that is under way ends."""
        while self._under_way:
            heapq.heappop(self._under_way)[2].end()
        self.look_after()

    def look_after(self) -> None:
        """A role that ended by itself is found, and started again, as a supervisor does it.

        One whose disk was full when it started says so and ends: that is no finding.
        """
        struck = {fault.target for _, _, fault in self._under_way}
        for name, role in self.world.roles.items():
            if f"role {name}" not in struck and not role.is_running():
                tail = role.log.read_text(errors="replace")[-1500:]
                if _FULL in tail[-500:]:
                    self.tried["start on a full disk"] += 1
                else:
                    self.found.append(f"{name} ended by itself:\n{tail}")
                role.begin()

    def _begin(self, now: float) -> None:
        struck = {fault.target for _, _, fault in self._under_way}
        kinds = (
            *(self._cut_trunk, self._cut_host, self._one_way, self._address),
            *(self._kill, self._kill, self._pause, self._fill, self._power_off),
        )
        fault = self.rng.choice(kinds)(struck)
        if fault is None:
            return
        lasts_s = self.rng.uniform(*LASTS_S)
        self._count += 1
        self.tried[fault.what] += 1
        self.say(f"{fault.what}: {fault.target} ({lasts_s:.1f} s)")
        heapq.heappush(self._under_way, (now + lasts_s, self._count, fault))

    def _pick(self, kind: str, names: list[str], struck: set[str]) -> str:
        """One that nothing strikes now; empty: none."""
        free = [name for name in sorted(names) if f"{kind} {name}" not in struck]
        return self.rng.choice(free) if free else ""

    def _cut_trunk(self, struck: set[str]) -> Fault | None:
        network = self.world.network
        name = self._pick("trunk", [branch.name for branch in self.world.branches], struck)
        if not name:
            return None
        network.cut_trunk(name)
        return Fault("branch cut off", f"trunk {name}", lambda: network.heal_trunk(name))

    def _cut_host(self, struck: set[str]) -> Fault | None:
        name = self._pick("cable", list(self.world.network.hosts), struck)
        if not name:
            return None
        host = self.world.host_of(name)
        host.cut()
        return Fault("cable out", f"cable {name}", host.heal)

    def _one_way(self, struck: set[str]) -> Fault | None:
        """Packets to the application server, or its to them, are dropped."""
        others = [name for name in self.world.network.hosts if name != APPLICATION]
        name = self._pick("route", others, struck)
        if not name:
            return None
        ends = [self.world.host_of(name), self.world.host_of(APPLICATION)]
        self.rng.shuffle(ends)
        source, address = ends[0], ends[1].address
        source.block(address)
        return Fault("route lost", f"route {name}", lambda: source.unblock(address))

    def _address(self, struck: set[str]) -> Fault | None:
        name = self._pick("cable", list(self.world.network.hosts), struck)
        if not name:
            return None
        self.world.host_of(name).change_address()
        return Fault("address changed", f"cable {name}", lambda: None)

    def _kill(self, struck: set[str]) -> Fault | None:
        name = self._pick("role", list(self.world.roles), struck)
        if not name:
            return None
        role = self.world.roles[name]
        role.kill()
        return Fault("kill -9", f"role {name}", role.begin)

    def _pause(self, struck: set[str]) -> Fault | None:
        name = self._pick("role", list(self.world.roles), struck)
        if not name:
            return None
        pid = self.world.roles[name].pid
        os.kill(pid, signal.SIGSTOP)
        return Fault("stopped", f"role {name}", lambda: os.kill(pid, signal.SIGCONT))

    def _fill(self, struck: set[str]) -> Fault | None:
        name = self._pick("role", list(self.world.roles), struck)
        if not name:
            return None
        disk = self.world.disks[name]
        disk.fill()
        return Fault("disk full", f"role {name}", disk.free)

    def _power_off(self, struck: set[str]) -> Fault | None:
        """The load switches it on again."""
        device = self.rng.choice(self.world.devices)
        try:
            os.kill(device.pid, signal.SIGKILL)
        except (AssertionError, ProcessLookupError):
            return None
        return Fault("device switched off", f"device {device.name}", lambda: None)
