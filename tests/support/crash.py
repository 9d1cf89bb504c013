"""A role of a whole installation that kills itself at a point, while people print."""

from __future__ import annotations

import time

from papercutd.demo.processes import NotReady, Role
from papercutd.demo.scenario import is_ready
from papercutd.roles.crash_points import VARIABLE
from tests.support.outage import OutageCase
from tests.support.waiting import wait_for

#: Documents handed in until the process is dead.
DOCUMENTS_MAX = 60
#: How long it may take to die of two documents, before there are two more.
BETWEEN_S = 0.4


class CrashCase(OutageCase):
    def begin(self, role: Role, point: str) -> None:
        """Start ``role``, which may die before it is up."""
        role.begin(**{VARIABLE: point})
        try:
            role.until_ready()
        except NotReady:
            pass

    @staticmethod
    def _died_within(role: Role, limit_s: float) -> bool:
        deadline = time.monotonic() + limit_s
        while role.is_running() and time.monotonic() < deadline:
            time.sleep(0.02)
        return not role.is_running()

    def until_dead(self, role: Role, point: str) -> None:
        wait_for(point, lambda: not role.is_running())
        self.assertFalse(role.is_running(), f"{role.name} never came to {point}")
        role.kill()

    def crash(self, role: Role, point: str) -> None:
        role.stop()
        self.begin(role, point)
        for _ in range(DOCUMENTS_MAX // 2):
            # One at each branch under way, and the next two when it lives through them.
            for branch in self.installation.branches:
                self.print_at(branch)
            if self._died_within(role, BETWEEN_S):
                break
        self.until_dead(role, point)
        for branch in self.installation.branches:
            self.print_at(branch)
        role.start()
        self.wait(f"everybody is back after {point} of {role.name}", is_ready)
