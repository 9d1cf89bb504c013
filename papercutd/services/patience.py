"""A wait that grows with each time that something had to be done again."""

from __future__ import annotations

import attrs

from papercutd.environment import Environment


@attrs.define
class Patience:
    """How long to wait before the next time: not at all the first time, then longer each time.

    Each wait is drawn between half of a bound and the bound, which doubles from ``first_s`` to
    ``longest_s``. After ``calm_s`` without a time it begins anew.
    """

    _env: Environment
    first_s: float
    longest_s: float
    calm_s: float
    _times: int = 0
    _last_s: float = 0.0

    def wait_s(self) -> float:
        """Seconds to wait from now."""
        if self._times and self._env.now() - self._last_s > self.calm_s:
            self._times = 0
        if not self._times:
            return 0.0
        bound_s = self.first_s
        for _ in range(1, self._times):
            bound_s = min(bound_s * 2, self.longest_s)
        return self._env.rng.uniform(bound_s / 2, bound_s)

    def done(self) -> None:
        """It happened, now."""
        # Beyond this many the bound does not grow.
        self._times = min(self._times + 1, 64)
        self._last_s = self._env.now()
