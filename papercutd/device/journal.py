"""The device's durable memory: what it was granted, what came out, what it still has to report.

Each method is one transaction: a chained record of what happened, and the tables that
follow from it. No page comes out before its grant is here; each page is here before the
next one comes.
"""

from __future__ import annotations

from typing import TypeVar

import attrs
import msgspec
from twisted.internet.defer import Deferred

from papercutd.storage.engine import Connection
from papercutd.storage.history.retention import Ages, read_ages
from papercutd.storage.replication.asker_journal import AskerJournal, forget_up_to

T = TypeVar("T")
SCHEMA = "device"
#: How long runs that a server acknowledged are shown, and how many at the most.
SHOWN_MAX = 10_000
#: Records of the log that are kept at the most.
RECORDS_MAX = 200_000
#: Runs that no server has acknowledged; with so many no other is begun.
KEPT_MAX = 1_000
_ENCODE = msgspec.json.Encoder().encode
_COLUMNS = (
    *("key", "grant_text", "function", "colour", "reserved", "pages", "unit_e4", "user_name"),
    *("state", "outcome", "finished_at", "answer", "amount_e4", "begun_at"),
)


@attrs.frozen
class Run:
    """One grant, and what came out under it. Pages are sides."""

    #: ``job/step``.
    key: str
    grant_text: str = attrs.field(repr=False)
    function: str
    colour: bool
    #: Pages reserved.
    reserved: int
    #: Pages that came out.
    pages: int
    unit_e4: int
    user_name: str
    #: ``running``, ``finished``, ``acknowledged``, or ``aside``: refused for good.
    state: str = "running"
    outcome: str = ""
    finished_at: float = 0.0
    #: What the server said to its FINISH.
    answer: str = ""
    amount_e4: int | None = None
    begun_at: float = 0.0


class DeviceJournal(AskerJournal):
    """The journal over one writer."""

    # Runs.

    def begun(self, run: Run) -> Deferred[None]:
        """``run`` was granted: pages may come from now on."""
        fields = {"key": run.key, "reserved": run.reserved, "function": run.function}

        def begin(connection: Connection, number: int) -> None:
            row = attrs.evolve(run, state="running", begun_at=self._wall_s())
            values = [getattr(row, name) for name in _COLUMNS]
            connection.execute(
                f"INSERT INTO run ({', '.join(_COLUMNS)}, number)"
                f" VALUES ({', '.join('?' * len(_COLUMNS))}, ?)",
                [*(int(v) if isinstance(v, bool) else v for v in values), number],
            )

        return self._write("begun", fields, begin)

    def counted(self, key: str, pages: int) -> Deferred[None]:
        """So many pages of the run are out; a count never falls."""
        return self._write(
            "counted",
            {"key": key, "pages": pages},
            lambda c, n: _execute(
                c, "UPDATE run SET pages = MAX(pages, ?) WHERE key = ?", pages, key
            ),
        )

    def finished(self, key: str, pages: int, outcome: str) -> Deferred[None]:
        """No page of the run comes any more: servers are owed its count."""
        return self._write(
            "finished",
            {"key": key, "pages": pages, "outcome": outcome},
            lambda c, n: _execute(
                c,
                "UPDATE run SET state = 'finished', pages = MAX(pages, ?), outcome = ?,"
                " finished_at = ? WHERE key = ? AND state = 'running'",
                *(pages, outcome, self._wall_s(), key),
            ),
        )

    def acknowledged(self, key: str, answer: str, amount_e4: int) -> Deferred[None]:
        """A server has the run: ``posted``, ``journalled`` or ``already``."""
        return self._write(
            "acknowledged",
            {"key": key, "answer": answer},
            lambda c, n: _execute(
                c,
                "UPDATE run SET state = 'acknowledged', answer = ?, amount_e4 = ?, grant_text = ''"
                " WHERE key = ?",
                *(answer, amount_e4, key),
            ),
        )

    def set_aside(self, key: str, code: str) -> Deferred[None]:
        """A server will never take the run: it is shown, and not reported again."""
        return self._write(
            "aside",
            {"key": key, "code": code},
            lambda c, n: _execute(
                c, "UPDATE run SET state = 'aside', answer = ? WHERE key = ?", code, key
            ),
        )

    def kept(self) -> Deferred[list[Run]]:
        """Runs that run or whose end no server has acknowledged, oldest first."""
        return self.read(lambda c: read_runs(c, "state IN ('running', 'finished')"))

    def owed(self, limit: int) -> Deferred[list[Run]]:
        """Finished runs that no server has acknowledged, oldest first."""
        return self.read(lambda c: read_runs(c, "state = 'finished'", limit))

    def aside(self) -> Deferred[list[Run]]:
        """Runs that a server refused for good."""
        return self.read(lambda c: read_runs(c, "state = 'aside'"))

    def runs(self, limit: int) -> Deferred[list[Run]]:
        """The newest runs of all states, oldest first."""
        return self.read(lambda c: read_runs(c, "1", -limit))

    def run(self, key: str) -> Deferred[Run | None]:
        return self.read(lambda c: next(iter(read_runs(c, "key = ?", -1, key)), None))

    def prune(self, running_s: float | None = None) -> Deferred[int]:
        """Forget old acknowledged runs and old records; the number of runs forgotten.

        ``running_s``: seconds since this process last did; None: it is the first time.
        """

        def prune(connection: Connection, number: int) -> int:
            ages = read_ages(connection, self._wall_s(), running_s)
            gone = connection.execute(
                "DELETE FROM run WHERE state = 'acknowledged' AND (finished_at < ?"
                " OR finished_at > ? OR number <="
                " (SELECT number FROM run WHERE state = 'acknowledged'"
                " ORDER BY number DESC LIMIT 1 OFFSET ?))",
                (ages.before, ages.beyond, SHOWN_MAX),
            ).rowcount
            _prune_records(connection, ages, number)
            return gone

        return self._write("prune", {}, prune)


def read_runs(
    connection: Connection, condition: str, limit: int = KEPT_MAX * 2, *values: object
) -> list[Run]:
    """Runs that meet ``condition``, oldest first; a negative limit: the newest so many."""
    order = "DESC" if limit < 0 else "ASC"
    rows = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM run WHERE {condition} ORDER BY number {order} LIMIT ?",
        (*values, abs(limit)),
    ).fetchall()
    runs = []
    for row in rows:
        found = dict(zip(_COLUMNS, row, strict=True))
        found["colour"] = bool(found["colour"])
        runs.append(Run(**found))
    return runs[::-1] if limit < 0 else runs


def _execute(connection: Connection, statement: str, *values: object) -> None:
    connection.execute(statement, values)


def _prune_records(connection: Connection, ages: Ages, head: int) -> None:
    """Forget records that are old, and all but the newest ``RECORDS_MAX``."""
    (keep,) = connection.execute(
        "SELECT MIN(number) FROM (SELECT number FROM record WHERE written_at BETWEEN ? AND ?"
        " UNION ALL SELECT ?)",
        (ages.before, ages.beyond, head),
    ).fetchone()
    keep = max(keep, head - RECORDS_MAX)
    forget_up_to(connection, keep)
