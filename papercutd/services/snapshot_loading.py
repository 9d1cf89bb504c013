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
#: The rows of a chunk, and whether it is the last.
Came = tuple[Rows, bool]
Ask = Callable[[int], Coroutine[Deferred[Any], Any, Came]]
Load = Callable[[int, Rows], Awaitable[None]]


@attrs.define
class _Asked:
    """A chunk on its way, or here."""

    chunk: Deferred[Came]
    is_there: bool = False


class ChunkLoader:
    """Loads the chunks from ``first`` to the last, in their order."""

    def __init__(self, env: Environment, ask: Ask, load: Load) -> None:
        """``load`` is given the rows of some chunks, and the index of the last of them."""
        self._env = env
        self._ask_for = ask
        self._load = load
        self._window = 1
        self._next = 0
        self._count: int | None = None
        self._asked: deque[_Asked] = deque()

    async def run(self, first: int, count: int | None) -> None:
        """``count``: of all chunks; None: the last says so. Raises what ``ask`` and ``load`` do."""
        self._next, self._count = first, count
        done = first
        try:
            while count is None or done < count:
                self._ask_more()
                rows, is_last = await self._asked.popleft().chunk
                done += 1
                # Those that are here already go into the same transaction.
                while not is_last and self._asked and self._asked[0].is_there:
                    more, is_last = await self._asked.popleft().chunk
                    rows += more
                    done += 1
                if not is_last:
                    self._ask_more()
                await self._load(done - 1, rows)
                if is_last:
                    # What was asked for beyond it is refused.
                    break
        finally:
            for left in self._asked:
                left.chunk.addErrback(lambda failure: None)

    def _ask_more(self) -> None:
        while len(self._asked) < self._window:
            if self._count is not None and self._next >= self._count:
                return
            self._ask(self._next)
            self._next += 1

    def _ask(self, index: int) -> None:
        began = self._env.now()
        asked = _Asked(Deferred.fromCoroutine(self._ask_for(index)))

        def came(chunk: Came) -> Came:
            asked.is_there = True
            took_s = self._env.now() - began
            if took_s <= QUICK_S:
                self._window = min(self._window + 1, WINDOW_MAX)
            elif took_s > SLOW_S:
                self._window = max(self._window // 2, 1)
            return chunk

        asked.chunk.addCallback(came)
        self._asked.append(asked)
