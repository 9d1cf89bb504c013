"""The paper: a simulated engine that feeds pages, counts them, jams and loses power.

The engine counts by itself, in a store of its own: its counters are the truth that what
is charged is compared with. After a loss of power it still knows how many pages of its
latest runs came out, whatever its controller had time to note.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from attrs.validators import gt
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from papercutd.environment import Environment
from papercutd.errors import PapercutError
from papercutd.storage.engine import Connection
from papercutd.storage.sqlite.writer import BARE, SqliteWriter

SCHEMA = "machine"
#: Runs whose pages the engine remembers: far more than a controller ever has open.
REMEMBERED_MAX = 2_000


class Jam(PapercutError):
    """Paper is stuck: clear the jam, then start again."""


@attrs.define
class Trouble:
    """What goes wrong, by the number of the page since the machine was switched on."""

    #: This page does not come out; 0: none.
    jam_at: int = 0
    #: After this page the power is gone; 0: never.
    power_at: int = 0
    #: What a loss of power is: nothing of this process happens after it.
    lose_power: Callable[[], None] = lambda: None


@attrs.frozen
class MachineSettings:
    """How fast it is."""

    pages_a_minute: float = attrs.field(default=30.0, validator=gt(0))


class Machine:
    """One engine; one page at a time."""

    def __init__(
        self,
        env: Environment,
        writer: SqliteWriter,
        settings: MachineSettings | None = None,
        trouble: Trouble | None = None,
    ) -> None:
        self._env = env
        self._writer = writer
        self._interval_s = 60.0 / (settings or MachineSettings()).pages_a_minute
        self.trouble = trouble or Trouble()
        #: Pages since it was switched on.
        self._fed = 0
        self._last_at = float("-inf")
        self.is_jammed = False

    async def close(self) -> None:
        await self._writer.close()

    async def feed(self, key: str, function: str, colour: bool) -> int:
        """Let one page of run ``key`` come out, counted; the run's pages so far. Raises Jam."""
        # At its speed after the page before; the first of a run takes as long.
        since_s = self._env.now() - self._last_at
        wait_s = self._interval_s - since_s if since_s < self._interval_s else self._interval_s
        await deferLater(self._env.clock, wait_s, lambda: None)
        if self.is_jammed or self._fed + 1 == self.trouble.jam_at:
            self.is_jammed = True
            raise Jam
        self._last_at = self._env.now()
        pages = await self._writer.submit(lambda c: _count(c, key, function, colour))
        self._fed += 1
        if self._fed == self.trouble.power_at:
            self.trouble.lose_power()
            await Deferred()
        return pages

    def clear(self) -> None:
        """Somebody took the stuck paper out."""
        self.is_jammed = False
        self.trouble.jam_at = 0

    def counters(self) -> Deferred[dict[str, int]]:
        """Pages since it was built, by ``copy grey``, ``scan colour``, ..."""

        def read(connection: Connection) -> dict[str, int]:
            return {
                f"{function} {'colour' if colour else 'grey'}": pages
                for function, colour, pages in connection.execute(
                    "SELECT function, colour, pages FROM counter ORDER BY function, colour"
                )
            }

        return self._writer.submit(read, BARE)

    def counted(self, key: str) -> Deferred[int]:
        """Pages of run ``key`` that came out; 0 of one it does not remember."""

        def read(connection: Connection) -> int:
            found = connection.execute("SELECT pages FROM run WHERE key = ?", (key,)).fetchone()
            return 0 if found is None else int(found[0])

        return self._writer.submit(read, BARE)


def _count(connection: Connection, key: str, function: str, colour: bool) -> int:
    connection.execute(
        "INSERT INTO counter VALUES (?, ?, 1)"
        " ON CONFLICT (function, colour) DO UPDATE SET pages = pages + 1",
        (function, int(colour)),
    )
    number, pages = connection.execute(
        "INSERT INTO run (key, pages) VALUES (?, 1)"
        " ON CONFLICT (key) DO UPDATE SET pages = pages + 1 RETURNING number, pages",
        (key,),
    ).fetchone()
    if pages == 1:
        connection.execute("DELETE FROM run WHERE number <= ?", (number - REMEMBERED_MAX,))
    return int(pages)
