"""A role of a whole installation that kills itself at a point, while people print."""

from __future__ import annotations

from papercutd.demo.processes import NotReady, Role
from papercutd.demo.scenario import is_ready, wait_for
from papercutd.roles.crash_points import VARIABLE
from tests.support.outage import OutageCase

#: Documents handed in until the process is dead.
DOCUMENTS_MAX = 60


class CrashCase(OutageCase):
    def begin(self, role: Role, point: str) -> None:
        """Start ``role``, which may die before it is up."""
        role.begin(**{VARIABLE: point})
        try:
            role.until_ready()
        except NotReady:
            pass

    def until_dead(self, role: Role, point: str) -> None:
        wait_for(point, lambda: not role.is_running(), 5.0)
        self.assertFalse(role.is_running(), f"{role.name} never came to {point}")
        role.kill()

    def crash(self, role: Role, point: str) -> None:
        role.stop()
        self.begin(role, point)
        for number in range(DOCUMENTS_MAX):
            if not role.is_running():
                break
            self.print_at(self.installation.branches[number % 2])
            if number > 8:
                wait_for("a while", lambda: not role.is_running(), 0.2)
        self.until_dead(role, point)
        for branch in self.installation.branches:
            self.print_at(branch)
        role.start()
        self.wait(f"everybody is back after {point} of {role.name}", is_ready)
