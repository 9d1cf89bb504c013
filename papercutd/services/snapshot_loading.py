"""Loading a snapshot at a site: a few chunks are on their way while others are written.

How many depends on the link. Where a chunk comes at once more are asked for; where it takes
long, one is enough to keep the link busy, and what people wait for must not queue behind more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from papercutd.environment import Environment

#: Of the 32 requests that a session may have under way.
WINDOW_MAX = 8
#: A chunk that took less lets one more be asked for; one that took more halves their number.
QUICK_S = 0.1
SLOW_S = 1.0

Rows = list[Any]
Ask = Callable[[int], Coroutine[Deferred[Any], Any, Rows]]
Load = Callable[[int, Rows], Awaitable[None]]


@attrs.define
class _Asked:
    """A chunk on its way, or here."""

    rows: Deferred[Rows]
    is_there: bool = False


class ChunkLoader:
    """Loads the chunks from ``first`` to the last of ``count``, in their order."""

    def __init__(self, env: Environment, ask: Ask, load: Load) -> None:
        """``load`` is given the rows of some chunks, and the index of the last of them."""
        self._env = env
        self._ask_for = ask
        self._load = load
        self._window = 1
        self._asked: deque[_Asked] = deque()

    async def run(self, first: int, count: int) -> None:
        """Raises what ``ask`` and ``load`` raise."""
        next_asked = done = first
        try:
            while done < count:
                while next_asked < count and len(self._asked) < self._window:
                    self._ask(next_asked)
                    next_asked += 1
                rows = await self._asked[0].rows
                self._asked.popleft()
                done += 1
                # Those that are here already go into the same transaction.
                while self._asked and self._asked[0].is_there:
                    rows += await self._asked.popleft().rows
                    done += 1
                while next_asked < count and len(self._asked) < self._window:
                    self._ask(next_asked)
                    next_asked += 1
                await self._load(done - 1, rows)
        finally:
            for left in self._asked:
                left.rows.addErrback(lambda failure: None)

    def _ask(self, index: int) -> None:
        began = self._env.now()
        asked = _Asked(Deferred.fromCoroutine(self._ask_for(index)))

        def came(rows: Rows) -> Rows:
            asked.is_there = True
            took_s = self._env.now() - began
            if took_s <= QUICK_S:
                self._window = min(self._window + 1, WINDOW_MAX)
            elif took_s > SLOW_S:
                self._window = max(self._window // 2, 1)
            return rows

        asked.rows.addCallback(came)
        self._asked.append(asked)
