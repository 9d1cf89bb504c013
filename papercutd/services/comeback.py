"""How a site comes again to an application server that has no time for it now (`NO busy`)."""

from __future__ import annotations

import attrs

from papercutd.environment import Environment
from protocols.errors import Refusal
from protocols.limits import JOURNAL_BATCHES_MAX

#: Where nothing else is said.
DEFAULT_S = 1.0
#: The bound of a wait grows no further, however often there was no time.
LONGEST_S = 16.0
_DOUBLINGS_MAX = 16


@attrs.define
class Comeback:
    """When to come again: later each time, and never all together."""

    _env: Environment
    _times: int = 0

    def wait_s(self, refusal: Refusal) -> float:
        """Seconds to stay away after ``refusal``: never less than it asks for."""
        asked = refusal.fields.get("retry_after_s")
        asked_s = float(asked) if isinstance(asked, int | float) else DEFAULT_S
        asked_s = min(max(asked_s, 0.1), 3600.0)
        bound_s = max(asked_s, min(asked_s * 2.0**self._times, LONGEST_S))
        self._times = min(self._times + 1, _DOUBLINGS_MAX)
        return self._env.rng.uniform(bound_s, 2.0 * bound_s)

    def served(self) -> None:
        """There was time."""
        self._times = 0


@attrs.define
class JournalPace:
    """Of one session: batches in flight, and how many may be.

    It begins with one, so that what a server without time has to refuse is little; each that is
    acknowledged lets one more go. A batch that was refused leaves a gap: those behind it are in
    vain, and all of them are sent again, after a wait, once everything is answered.
    """

    _comeback: Comeback
    window: int = 1
    in_flight: int = 0
    _wait_s: float | None = None

    @property
    def is_turned_away(self) -> bool:
        """Nothing more is to be sent until ``begin_again``."""
        return self._wait_s is not None

    def acknowledged(self) -> None:
        self.in_flight -= 1
        self.window = min(self.window + 1, JOURNAL_BATCHES_MAX)
        self._comeback.served()

    def turned_away(self, refusal: Refusal) -> None:
        self.in_flight -= 1
        self.window = 1
        if self._wait_s is None:
            self._wait_s = self._comeback.wait_s(refusal)

    def begin_again(self) -> float:
        """Everything is answered: how long to wait before the next batch."""
        wait_s, self._wait_s = self._wait_s or 0.0, None
        return wait_s
